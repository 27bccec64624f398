//! Devices given to a container, and rules for the device cgroup, as podman's flags write them.

use crate::Error;
use crate::error::no_nul;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A device of the host, or every device below a directory of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Absolute path on the host: a device, or a directory of devices.
    pub source: String,
    /// Absolute path in the container.
    pub destination: String,
    /// Some of `r`, `w`, `m`.
    pub access: String,
}

/// A rule for the device cgroup (`c 1:3 rwm`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Which kind.
    pub kind: DeviceType,
    /// `None` is each.
    pub major: Option<i64>,
    /// `None` is each.
    pub minor: Option<i64>,
    /// Some of `r`, `w`, `m`.
    pub access: String,
}

/// The kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// Both kinds.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

impl FromStr for Device {
    type Err = Error;

    /// `/dev/host[:/dev/container][:rwm]`
    fn from_str(text: &str) -> Result<Device, Error> {
        let bad = |why: &str| Error::invalid("--device", text, why);
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, access) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, access] if is_access(access) => (source, source, access),
            [source, destination] => (source, destination, "rwm"),
            [source, destination, access] => (source, destination, access),
            _ => return Err(bad("not HOST[:CONTAINER][:PERMISSIONS]")),
        };
        let device = Device {
            source: source.to_owned(),
            destination: destination.to_owned(),
            access: access.to_owned(),
        };
        device.validate()?;
        Ok(device)
    }
}

impl Device {
    /// What [`FromStr`] promises, for a value that came another way.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for path in [&self.source, &self.destination] {
            no_nul("--device", path)?;
            if !path.starts_with('/') {
                return Err(Error::invalid("--device", path, "the path is not absolute"));
            }
        }
        if !is_access(&self.access) {
            return Err(Error::invalid(
                "--device",
                &self.access,
                "permissions are some of r, w and m, each once",
            ));
        }
        Ok(())
    }
}

impl FromStr for DeviceRule {
    type Err = Error;

    /// `(a|b|c) MAJOR:MINOR rwm`, a number may be `*`.
    fn from_str(text: &str) -> Result<DeviceRule, Error> {
        let bad = |why: &str| Error::invalid("--device-cgroup-rule", text, why);
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [kind, numbers, access] = fields[..] else {
            return Err(bad("not TYPE MAJOR:MINOR PERMISSIONS"));
        };
        let kind = match kind {
            "a" => DeviceType::All,
            "b" => DeviceType::Block,
            "c" => DeviceType::Char,
            _ => return Err(bad("the type is a, b or c")),
        };
        let number = |text: &str| match text {
            "*" => Ok(None),
            digits => match digits.parse::<u32>() {
                Ok(n) => Ok(Some(i64::from(n))),
                Err(_) => Err(bad("a device number is a number or *")),
            },
        };
        let (major, minor) =
            numbers.split_once(':').ok_or_else(|| bad("not TYPE MAJOR:MINOR PERMISSIONS"))?;
        if !is_access(access) {
            return Err(bad("permissions are some of r, w and m, each once"));
        }
        Ok(DeviceRule {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: access.to_owned(),
        })
    }
}

/// Some of `r`, `w`, `m`, each once.
pub(crate) fn is_access(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 3
        && text.bytes().all(|b| b"rwm".contains(&b))
        && b"rwm".iter().all(|b| text.bytes().filter(|c| c == b).count() <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check<T: FromStr<Err = Error> + std::fmt::Debug>(text: &str, expected: &Expect) {
        expected.assert_eq(&match text.parse::<T>() {
            Ok(value) => format!("{value:?}"),
            Err(e) => e.to_string(),
        });
    }

    #[test]
    fn devices() {
        check::<Device>(
            "/dev/fuse",
            &expect![[
                r#"Device { source: "/dev/fuse", destination: "/dev/fuse", access: "rwm" }"#
            ]],
        );
        check::<Device>(
            "/dev/a:r",
            &expect![[r#"Device { source: "/dev/a", destination: "/dev/a", access: "r" }"#]],
        );
        check::<Device>(
            "/dev/a:/dev/b:mr",
            &expect![[r#"Device { source: "/dev/a", destination: "/dev/b", access: "mr" }"#]],
        );
        check::<Device>(
            "/dev/a:/dev/b:rr",
            &expect![[r#"invalid --device "rr": permissions are some of r, w and m, each once"#]],
        );
        check::<Device>(
            "/dev/a:b",
            &expect![[r#"invalid --device "b": the path is not absolute"#]],
        );
        check::<Device>("", &expect![[r#"invalid --device "": the path is not absolute"#]]);
        check::<Device>(
            "/a:/b:r:w",
            &expect![[r#"invalid --device "/a:/b:r:w": not HOST[:CONTAINER][:PERMISSIONS]"#]],
        );
    }

    #[test]
    fn rules() {
        check::<DeviceRule>(
            "c 5:* rmw",
            &expect![[r#"DeviceRule { kind: Char, major: Some(5), minor: None, access: "rmw" }"#]],
        );
        check::<DeviceRule>(
            "a *:* rwm",
            &expect![[r#"DeviceRule { kind: All, major: None, minor: None, access: "rwm" }"#]],
        );
        check::<DeviceRule>(
            "x 1:1 r",
            &expect![[r#"invalid --device-cgroup-rule "x 1:1 r": the type is a, b or c"#]],
        );
        check::<DeviceRule>(
            "c 1 r",
            &expect![[r#"invalid --device-cgroup-rule "c 1 r": not TYPE MAJOR:MINOR PERMISSIONS"#]],
        );
        check::<DeviceRule>(
            "c -1:1 r",
            &expect![[
                r#"invalid --device-cgroup-rule "c -1:1 r": a device number is a number or *"#
            ]],
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "(?s).{0,40}") {
            if let Ok(device) = text.parse::<Device>() {
                prop_assert!(device.validate().is_ok());
            }
            if let Ok(rule) = text.parse::<DeviceRule>() {
                prop_assert!(is_access(&rule.access));
            }
        }
    }
}
