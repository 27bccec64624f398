//! Capabilities: names, sets, and which of the five sets of a process holds what.
//!
//! INVARIANTS: all five sets are always written out (a runtime may take an absent object for "everything"), and the
//! inheritable and ambient sets are empty but for a non-root user with explicitly added capabilities (CVE-2022-27649).

use crate::Error;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use std::fmt;

/// Every capability in the order of the kernel's numbers.
const ALL: [(&str, Capability); 41] = [
    ("CAP_CHOWN", Capability::Chown),
    ("CAP_DAC_OVERRIDE", Capability::DacOverride),
    ("CAP_DAC_READ_SEARCH", Capability::DacReadSearch),
    ("CAP_FOWNER", Capability::Fowner),
    ("CAP_FSETID", Capability::Fsetid),
    ("CAP_KILL", Capability::Kill),
    ("CAP_SETGID", Capability::Setgid),
    ("CAP_SETUID", Capability::Setuid),
    ("CAP_SETPCAP", Capability::Setpcap),
    ("CAP_LINUX_IMMUTABLE", Capability::LinuxImmutable),
    ("CAP_NET_BIND_SERVICE", Capability::NetBindService),
    ("CAP_NET_BROADCAST", Capability::NetBroadcast),
    ("CAP_NET_ADMIN", Capability::NetAdmin),
    ("CAP_NET_RAW", Capability::NetRaw),
    ("CAP_IPC_LOCK", Capability::IpcLock),
    ("CAP_IPC_OWNER", Capability::IpcOwner),
    ("CAP_SYS_MODULE", Capability::SysModule),
    ("CAP_SYS_RAWIO", Capability::SysRawio),
    ("CAP_SYS_CHROOT", Capability::SysChroot),
    ("CAP_SYS_PTRACE", Capability::SysPtrace),
    ("CAP_SYS_PACCT", Capability::SysPacct),
    ("CAP_SYS_ADMIN", Capability::SysAdmin),
    ("CAP_SYS_BOOT", Capability::SysBoot),
    ("CAP_SYS_NICE", Capability::SysNice),
    ("CAP_SYS_RESOURCE", Capability::SysResource),
    ("CAP_SYS_TIME", Capability::SysTime),
    ("CAP_SYS_TTY_CONFIG", Capability::SysTtyConfig),
    ("CAP_MKNOD", Capability::Mknod),
    ("CAP_LEASE", Capability::Lease),
    ("CAP_AUDIT_WRITE", Capability::AuditWrite),
    ("CAP_AUDIT_CONTROL", Capability::AuditControl),
    ("CAP_SETFCAP", Capability::Setfcap),
    ("CAP_MAC_OVERRIDE", Capability::MacOverride),
    ("CAP_MAC_ADMIN", Capability::MacAdmin),
    ("CAP_SYSLOG", Capability::Syslog),
    ("CAP_WAKE_ALARM", Capability::WakeAlarm),
    ("CAP_BLOCK_SUSPEND", Capability::BlockSuspend),
    ("CAP_AUDIT_READ", Capability::AuditRead),
    ("CAP_PERFMON", Capability::Perfmon),
    ("CAP_BPF", Capability::Bpf),
    ("CAP_CHECKPOINT_RESTORE", Capability::CheckpointRestore),
];

/// What podman gives a container that asks for nothing.
const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The number of CAP_SYS_RESOURCE: raising limits.
pub(crate) const SYS_RESOURCE: &str = "CAP_SYS_RESOURCE";

/// A set of capabilities as the kernel's bit mask.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSet(u64);

impl CapSet {
    /// Nothing.
    pub const EMPTY: CapSet = CapSet(0);

    /// From the kernel's mask (`CapBnd` of /proc/pid/status); bits this crate has no name for are left out.
    pub fn from_bits(bits: u64) -> CapSet {
        CapSet(bits & ((1 << ALL.len()) - 1))
    }

    /// Whether the set holds the capability of that full name (`CAP_CHOWN`).
    pub fn has(self, name: &str) -> bool {
        number(name).is_some_and(|n| self.0 & (1 << n) != 0)
    }

    /// The full names in the kernel's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ALL.iter()
            .enumerate()
            .filter(move |(n, _)| self.0 & (1 << n) != 0)
            .map(|(_, (name, _))| *name)
    }

    /// The full names of what a container gets that asks for nothing.
    pub fn default_names() -> &'static [&'static str] {
        &DEFAULT
    }

    fn with(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }

    fn without(self, other: CapSet) -> CapSet {
        CapSet(self.0 & !other.0)
    }

    fn both(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    fn to_spec(self) -> Capabilities {
        ALL.iter()
            .enumerate()
            .filter(|(n, _)| self.0 & (1 << n) != 0)
            .map(|(_, (_, cap))| *cap)
            .collect()
    }

    /// The set of a runtime spec, the inverse of what this crate writes.
    pub(crate) fn from_spec(caps: Option<&Capabilities>) -> CapSet {
        let Some(caps) = caps else { return CapSet::EMPTY };
        let bits = ALL.iter().enumerate().filter(|(_, (_, cap))| caps.contains(cap));
        CapSet(bits.fold(0, |set, (n, _)| set | (1 << n)))
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl FromIterator<CapSet> for CapSet {
    fn from_iter<I: IntoIterator<Item = CapSet>>(sets: I) -> CapSet {
        sets.into_iter().fold(CapSet::EMPTY, CapSet::with)
    }
}

/// The number of a full name.
fn number(name: &str) -> Option<usize> {
    ALL.iter().position(|(known, _)| *known == name)
}

/// What a list of `--cap-add`/`--cap-drop` values names.
#[derive(Default)]
struct Named {
    all: bool,
    set: CapSet,
}

fn named(what: &'static str, values: &[String]) -> Result<Named, Error> {
    let mut named = Named::default();
    for value in values {
        let upper = value.trim().to_ascii_uppercase();
        if upper == "ALL" {
            named.all = true;
            continue;
        }
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let n = number(&full).ok_or_else(|| Error::invalid(what, value, "unknown capability"))?;
        named.set = named.set.with(CapSet(1 << n));
    }
    Ok(named)
}

/// The bounding set of a container.
///
/// `available` is the bounding set of this process: what is not in it cannot be given. A default capability that is
/// missing is left out, an explicit one is an error.
pub(crate) fn bounding(
    privileged: bool,
    add: &[String],
    drop: &[String],
    available: CapSet,
) -> Result<CapSet, Error> {
    let added = named("--cap-add", add)?;
    let dropped = named("--cap-drop", drop)?;
    if added.all && dropped.all {
        return Err(Error::invalid(
            "--cap-add",
            "ALL",
            "adding all capabilities and dropping all is not allowed",
        ));
    }
    if let Some(name) = added.set.both(dropped.set).names().next() {
        return Err(Error::invalid(
            "--cap-add",
            name,
            "a capability cannot be both added and dropped",
        ));
    }
    if let Some(name) = added.set.without(available).names().next() {
        return Err(Error::unsupported("--cap-add", name, "this process does not have it either"));
    }
    let base = if privileged || added.all {
        available
    } else if dropped.all {
        CapSet::EMPTY
    } else {
        DEFAULT
            .iter()
            .filter_map(|name| number(name))
            .map(|n| CapSet(1 << n))
            .collect::<CapSet>()
            .both(available)
    };
    Ok(base.without(dropped.set).with(added.set))
}

/// The five sets of a process with `bounding` that runs as `uid`.
pub(crate) fn process_sets(
    bounding: CapSet,
    uid: u32,
    privileged: bool,
    add: &[String],
) -> Result<LinuxCapabilities, Error> {
    if uid == 0 {
        return Ok(sets(bounding, bounding, CapSet::EMPTY));
    }
    // The kernel clears the effective set when root becomes somebody else; what was asked for by name survives through
    // the ambient set, so that an unprivileged program gets what `--cap-add` said.
    let kept = if privileged {
        CapSet::EMPTY
    } else {
        let added = named("--cap-add", add)?;
        if added.all { bounding } else { added.set.both(bounding) }
    };
    Ok(sets(bounding, kept, kept))
}

/// The sets of a spec: `kept` is effective and permitted, `ambient` is ambient and inheritable.
pub(crate) fn sets(bounding: CapSet, kept: CapSet, ambient: CapSet) -> LinuxCapabilities {
    let mut caps = LinuxCapabilities::default();
    caps.set_bounding(Some(bounding.to_spec()))
        .set_effective(Some(kept.to_spec()))
        .set_permitted(Some(kept.to_spec()))
        .set_inheritable(Some(ambient.to_spec()))
        .set_ambient(Some(ambient.to_spec()));
    caps
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const EVERYTHING: CapSet = CapSet((1 << 41) - 1);

    fn check(privileged: bool, add: &str, drop: &str, available: CapSet, expected: &Expect) {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let got = match bounding(privileged, &list(add), &list(drop), available) {
            Ok(set) => {
                set.names().map(|n| n.trim_start_matches("CAP_")).collect::<Vec<_>>().join(" ")
            }
            Err(e) => e.to_string(),
        };
        expected.assert_eq(&got);
    }

    #[test]
    fn bounding_sets() {
        let here = CapSet::from_bits(0x1fffeffffff); // without CAP_SYS_RESOURCE
        check(
            false,
            "",
            "",
            EVERYTHING,
            &expect![[
                r#"CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP"#
            ]],
        );
        check(
            false,
            "sys_admin",
            "Cap_Chown mknod",
            EVERYTHING,
            &expect![[
                r#"DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT SYS_ADMIN AUDIT_WRITE SETFCAP"#
            ]],
        );
        check(false, "net_admin", "all", EVERYTHING, &expect![[r#"NET_ADMIN"#]]);
        check(false, "", "ALL", EVERYTHING, &expect![[r#""#]]);
        check(
            false,
            "all",
            "all",
            EVERYTHING,
            &expect![[
                r#"invalid --cap-add "ALL": adding all capabilities and dropping all is not allowed"#
            ]],
        );
        check(
            false,
            "chown",
            "CAP_CHOWN",
            EVERYTHING,
            &expect![[
                r#"invalid --cap-add "CAP_CHOWN": a capability cannot be both added and dropped"#
            ]],
        );
        check(
            false,
            "foo",
            "",
            EVERYTHING,
            &expect![[r#"invalid --cap-add "foo": unknown capability"#]],
        );
        check(
            false,
            "sys_resource",
            "",
            here,
            &expect![[
                r#"--cap-add "CAP_SYS_RESOURCE" is not possible here: this process does not have it either"#
            ]],
        );
        assert_eq!(bounding(true, &[], &[], here).unwrap(), here);
        assert_eq!(
            bounding(false, &["all".into()], &["sys_admin".into()], here).unwrap(),
            here.without(named("", &["sys_admin".into()]).unwrap().set)
        );
    }

    #[test]
    fn a_user_keeps_only_what_was_added_by_name() {
        let set = bounding(false, &["net_admin".into()], &[], EVERYTHING).unwrap();
        let caps = process_sets(set, 1000, false, &["net_admin".into()]).unwrap();
        assert_eq!(
            CapSet::from_spec(caps.ambient().as_ref()).names().collect::<Vec<_>>(),
            ["CAP_NET_ADMIN"]
        );
        assert_eq!(caps.effective(), caps.ambient());
        assert_eq!(CapSet::from_spec(caps.bounding().as_ref()), set);
        let caps = process_sets(set, 0, false, &[]).unwrap();
        assert_eq!(caps.ambient().as_ref().map(|s| s.len()), Some(0));
        assert_eq!(CapSet::from_spec(caps.effective().as_ref()), set);
    }
}
