//! The system call filter: profiles in the docker format, resolved for this architecture, these capabilities and this
//! kernel into the runtime spec's form, as podman resolves them (by the *bounding* set).
//!
//! The default profile is the containers world's, unchanged, in `data/`. A profile of the user that names something
//! unknown is an error: a filter that silently lost a rule would be worse than none.

use crate::capability::CapSet;
use crate::error::built;
use crate::{Error, Host};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};
use serde::{Deserialize, Deserializer};

/// The longest profile that is read.
pub const MAX_PROFILE: u64 = 8 << 20;

const DEFAULT: &str = include_str!("../data/seccomp.json");

/// A profile as docker and podman write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arch_map: Vec<ArchMap>,
    /// The older form of `archMap`.
    #[serde(default, deserialize_with = "null_is_empty")]
    architectures: Vec<Arch>,
    #[serde(default, deserialize_with = "null_is_empty")]
    flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default, deserialize_with = "null_is_empty")]
    sub_architectures: Vec<Arch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The oldest form: one name a rule.
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    names: Vec<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    args: Vec<Arg>,
    #[serde(default, deserialize_with = "null_is_empty")]
    includes: Filter,
    #[serde(default, deserialize_with = "null_is_empty")]
    excludes: Filter,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: LinuxSeccompOperator,
}

/// When a rule counts.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default, deserialize_with = "null_is_empty")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arches: Vec<String>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The default profile for a container with that bounding set.
pub(crate) fn default_profile(bounding: CapSet, host: &Host) -> Result<LinuxSeccomp, Error> {
    resolve(DEFAULT, bounding, host)
}

/// A profile's text for a container with that bounding set.
///
/// # Errors
/// [`Error::Json`] for what is not a profile, [`Error::Invalid`] for one that contradicts itself.
pub fn resolve(text: &str, bounding: CapSet, host: &Host) -> Result<LinuxSeccomp, Error> {
    let profile: Profile = serde_json::from_str(text)
        .map_err(|source| Error::Json { what: "seccomp profile", source })?;
    if !profile.arch_map.is_empty() && !profile.architectures.is_empty() {
        return Err(Error::invalid(
            "seccomp profile",
            "architectures",
            "it has both architectures and archMap",
        ));
    }
    let native = Native::of(&host.machine);
    let mut syscalls = Vec::with_capacity(profile.syscalls.len());
    for rule in profile.syscalls {
        if rule.applies(bounding, native.name, host.kernel)? {
            syscalls.push(rule.into_spec()?);
        }
    }
    let mut seccomp = LinuxSeccomp::default();
    seccomp.set_default_action(profile.default_action);
    seccomp.set_default_errno_ret(profile.default_errno_ret);
    seccomp.set_architectures(
        Some(native.architectures(profile.arch_map, profile.architectures))
            .filter(|a| !a.is_empty()),
    );
    seccomp.set_flags(Some(profile.flags).filter(|flags| !flags.is_empty()));
    seccomp.set_listener_path(profile.listener_path.map(Into::into));
    seccomp.set_listener_metadata(profile.listener_metadata);
    seccomp.set_syscalls(Some(syscalls));
    Ok(seccomp)
}

impl Rule {
    fn applies(&self, bounding: CapSet, arch: &str, kernel: (u32, u32)) -> Result<bool, Error> {
        let matches = |kernel_text: &str| Ok::<bool, Error>(kernel >= parse_kernel(kernel_text)?);
        let (includes, excludes) = (&self.includes, &self.excludes);
        if excludes.caps.iter().any(|cap| bounding.has(cap))
            || excludes.arches.iter().any(|name| name == arch)
        {
            return Ok(false);
        }
        if let Some(text) = &excludes.min_kernel
            && matches(text)?
        {
            return Ok(false);
        }
        if !includes.caps.iter().all(|cap| bounding.has(cap)) {
            return Ok(false);
        }
        if !includes.arches.is_empty() && !includes.arches.iter().any(|name| name == arch) {
            return Ok(false);
        }
        match &includes.min_kernel {
            Some(text) => matches(text),
            None => Ok(true),
        }
    }

    fn into_spec(self) -> Result<LinuxSyscall, Error> {
        let names = match (self.name, self.names) {
            (Some(name), names) if names.is_empty() => vec![name],
            (None, names) => names,
            (Some(name), _) => {
                return Err(Error::invalid(
                    "seccomp profile",
                    name,
                    "a rule has both name and names",
                ));
            }
        };
        let args = self.args.into_iter().map(Arg::into_spec).collect::<Result<Vec<_>, Error>>()?;
        let mut syscall = LinuxSyscall::default();
        syscall.set_names(names).set_action(self.action).set_errno_ret(self.errno_ret);
        syscall.set_args(Some(args).filter(|args| !args.is_empty()));
        Ok(syscall)
    }
}

impl Arg {
    fn into_spec(self) -> Result<LinuxSeccompArg, Error> {
        if self.index > 5 {
            return Err(Error::invalid(
                "seccomp profile",
                self.index.to_string(),
                "an argument's index is 0 to 5",
            ));
        }
        let builder =
            LinuxSeccompArgBuilder::default().index(self.index).value(self.value).op(self.op);
        // Left out when zero, as every runtime takes it.
        let builder = if self.value_two == 0 { builder } else { builder.value_two(self.value_two) };
        built(builder.build())
    }
}

/// `4.8` → (4, 8)
fn parse_kernel(text: &str) -> Result<(u32, u32), Error> {
    let parsed = text
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.ok_or_else(|| Error::invalid("seccomp profile", text, "minKernel is MAJOR.MINOR"))
}

/// This machine's architecture in the two languages of a profile.
struct Native {
    /// As `includes.arches` names it.
    name: &'static str,
    arch: Option<Arch>,
}

impl Native {
    fn of(machine: &str) -> Native {
        let (name, arch) = match machine {
            "x86_64" => ("amd64", Some(Arch::ScmpArchX86_64)),
            "i386" | "i486" | "i586" | "i686" => ("x86", Some(Arch::ScmpArchX86)),
            "aarch64" => ("arm64", Some(Arch::ScmpArchAarch64)),
            "armv6l" | "armv7l" | "armv8l" => ("arm", Some(Arch::ScmpArchArm)),
            "ppc64le" => ("ppc64le", Some(Arch::ScmpArchPpc64le)),
            "ppc64" => ("ppc64", Some(Arch::ScmpArchPpc64)),
            "s390x" => ("s390x", Some(Arch::ScmpArchS390x)),
            "riscv64" => ("riscv64", Some(Arch::ScmpArchRiscv64)),
            "loongarch64" => ("loongarch64", Some(Arch::ScmpArchLoongarch64)),
            "mips64" => (
                "mips64",
                Some(if cfg!(target_endian = "big") {
                    Arch::ScmpArchMips64
                } else {
                    Arch::ScmpArchMipsel64
                }),
            ),
            _ => ("", None),
        };
        Native { name, arch }
    }

    /// The architectures of the filter. None of the map's: the runtime then takes the native one alone.
    fn architectures(&self, map: Vec<ArchMap>, listed: Vec<Arch>) -> Vec<Arch> {
        let Some(entry) = map.into_iter().find(|entry| Some(entry.architecture) == self.arch)
        else {
            return listed;
        };
        std::iter::once(entry.architecture).chain(entry.sub_architectures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::generous;

    fn allowed(seccomp: &LinuxSeccomp, name: &str) -> bool {
        seccomp.syscalls().iter().flatten().any(|rule| {
            rule.action() == LinuxSeccompAction::ScmpActAllow
                && rule.names().iter().any(|n| n == name)
        })
    }

    fn on(machine: &str, caps: u64) -> LinuxSeccomp {
        default_profile(CapSet::from_bits(caps), &Host { machine: machine.into(), ..generous() })
            .unwrap()
    }

    #[test]
    fn the_default_profile_follows_capabilities() {
        let plain = on("x86_64", 0);
        assert_eq!(plain.default_action(), LinuxSeccompAction::ScmpActErrno);
        assert_eq!(plain.default_errno_ret(), Some(38));
        assert!(allowed(&plain, "openat2"));
        assert!(!allowed(&plain, "bpf"));
        assert!(!allowed(&plain, "chroot"));
        assert!(allowed(&on("x86_64", 1 << 21), "bpf"));
        assert!(allowed(&on("x86_64", 1 << 18), "chroot"));
    }

    #[test]
    fn the_default_profile_follows_the_architecture() {
        use Arch::*;
        let plain = on("x86_64", 0);
        assert_eq!(
            plain.architectures().clone().unwrap(),
            [ScmpArchX86_64, ScmpArchX86, ScmpArchX32]
        );
        assert!(allowed(&plain, "arch_prctl"));
        let arm = on("aarch64", 0);
        assert_eq!(arm.architectures().clone().unwrap(), [ScmpArchAarch64, ScmpArchArm]);
        assert!(!allowed(&arm, "arch_prctl"));
        assert!(on("riscv64", 0).architectures().is_none());
    }

    #[test]
    fn own_profiles() {
        let host = generous();
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"flags":null,"syscalls":[
            {"name":"mkdir","action":"SCMP_ACT_ERRNO","args":null},
            {"names":["rmdir"],"action":"SCMP_ACT_KILL_PROCESS","includes":{"minKernel":"6.2"}},
            {"names":["chdir"],"action":"SCMP_ACT_LOG","excludes":{"minKernel":"6.2"},"args":[{"index":1,"value":2,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let seccomp = resolve(text, CapSet::EMPTY, &host).unwrap();
        let names: Vec<_> =
            seccomp.syscalls().iter().flatten().flat_map(|rule| rule.names()).collect();
        assert_eq!(names, ["mkdir", "chdir"]);

        let errors = [
            ("", "cannot parse seccomp profile"),
            ("[]", "cannot parse seccomp profile"),
            (r#"{"defaultAction":"SCMP_ACT_NONSENSE"}"#, "cannot parse seccomp profile"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
                r#"invalid seccomp profile "a": a rule has both name and names"#,
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["b"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
                r#"invalid seccomp profile "6": an argument's index is 0 to 5"#,
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["b"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"six"}}]}"#,
                r#"invalid seccomp profile "six": minKernel is MAJOR.MINOR"#,
            ),
        ];
        for (text, expected) in errors {
            assert_eq!(
                resolve(text, CapSet::EMPTY, &host).unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }
}
