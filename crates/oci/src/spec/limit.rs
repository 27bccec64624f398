//! Limits of the process and its place in the OOM killer's order, as far as this process may set them.

use crate::error::built;
use crate::{Error, Host, Rlimit};
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};

/// What podman gives where nothing is asked for, if it may.
const DEFAULT: u64 = 1 << 20;

/// The limits of a spec: the explicit ones, and `nofile` and `nproc` at podman's default or what may be set here.
pub(crate) fn rlimits(explicit: &[Rlimit], host: &Host) -> Result<Vec<PosixRlimit>, Error> {
    let mut limits: Vec<Rlimit> = Vec::new();
    let wants_host = explicit.iter().any(|limit| limit.name == "host");
    if !wants_host {
        limits.extend(["nofile", "nproc"].map(|name| default_limit(name, host)));
    }
    for limit in explicit.iter().filter(|limit| limit.name != "host") {
        limit.validate()?;
        check(limit, host)?;
        match limits.iter_mut().find(|known| known.name == limit.name) {
            Some(known) => known.clone_from(limit),
            None => limits.push(limit.clone()),
        }
    }
    limits.iter().map(to_spec).collect()
}

fn default_limit(name: &str, host: &Host) -> Rlimit {
    let hard = host.hard_limit(name).min(DEFAULT);
    if hard < DEFAULT {
        tracing::debug!(name, hard, "default limit lowered to what this process may set");
    }
    Rlimit { name: name.to_owned(), soft: hard, hard }
}

fn check(limit: &Rlimit, host: &Host) -> Result<(), Error> {
    let most = host.hard_limit(&limit.name);
    if limit.hard <= most {
        return Ok(());
    }
    let why = if host.may_raise_limits() {
        format!("the kernel's maximum is {most}")
    } else {
        format!("the hard limit here is {most}, and raising it takes CAP_SYS_RESOURCE")
    };
    let hard = if limit.hard == u64::MAX { "-1".to_owned() } else { limit.hard.to_string() };
    Err(Error::unsupported("--ulimit", format!("{}={hard}", limit.name), why))
}

fn to_spec(limit: &Rlimit) -> Result<PosixRlimit, Error> {
    use PosixRlimitType::*;
    let kind = match limit.name.as_str() {
        "as" => RlimitAs,
        "core" => RlimitCore,
        "cpu" => RlimitCpu,
        "data" => RlimitData,
        "fsize" => RlimitFsize,
        "locks" => RlimitLocks,
        "memlock" => RlimitMemlock,
        "msgqueue" => RlimitMsgqueue,
        "nice" => RlimitNice,
        "nofile" => RlimitNofile,
        "nproc" => RlimitNproc,
        "rss" => RlimitRss,
        "rtprio" => RlimitRtprio,
        "rttime" => RlimitRttime,
        "sigpending" => RlimitSigpending,
        "stack" => RlimitStack,
        other => return Err(Error::invalid("--ulimit", other, "unknown limit")),
    };
    built(PosixRlimitBuilder::default().typ(kind).soft(limit.soft).hard(limit.hard).build())
}

/// The adjustment, raised to this process's own where lowering it is not allowed.
pub(crate) fn oom_score_adj(wanted: Option<i32>, host: &Host) -> Result<Option<i32>, Error> {
    let Some(wanted) = wanted else { return Ok(None) };
    if !(-1000..=1000).contains(&wanted) {
        return Err(Error::invalid(
            "--oom-score-adj",
            wanted.to_string(),
            "it is between -1000 and 1000",
        ));
    }
    if wanted < host.oom_score_adj && !host.may_raise_limits() {
        tracing::debug!(
            wanted,
            set = host.oom_score_adj,
            "oom_score_adj raised to what this process may set"
        );
        return Ok(Some(host.oom_score_adj));
    }
    Ok(Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CapSet;
    use crate::host::tests::generous;

    fn limited() -> Host {
        Host { effective: CapSet::EMPTY, ..generous() }
    }

    fn shown(explicit: &[&str], host: &Host) -> String {
        let explicit: Vec<Rlimit> = explicit.iter().map(|text| text.parse().unwrap()).collect();
        match rlimits(&explicit, host) {
            Ok(limits) => limits
                .iter()
                .map(|l| format!("{}={}:{}", l.typ(), l.soft(), l.hard()))
                .collect::<Vec<_>>()
                .join(" "),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn defaults_are_clamped_and_explicit_limits_are_not() {
        assert_eq!(
            shown(&[], &generous()),
            "RLIMIT_NOFILE=1048576:1048576 RLIMIT_NPROC=1048576:1048576"
        );
        assert_eq!(shown(&[], &limited()), "RLIMIT_NOFILE=524288:524288 RLIMIT_NPROC=1000:1000");
        assert_eq!(
            shown(&["nofile=5:6", "core=-1"], &limited()),
            "RLIMIT_NOFILE=5:6 RLIMIT_NPROC=1000:1000 RLIMIT_CORE=18446744073709551615:18446744073709551615"
        );
        assert_eq!(shown(&["host", "cpu=1"], &limited()), "RLIMIT_CPU=1:1");
        assert_eq!(
            shown(&["nofile=524289"], &limited()),
            r#"--ulimit "nofile=524289" is not possible here: the hard limit here is 524288, and raising it takes CAP_SYS_RESOURCE"#
        );
        assert_eq!(
            shown(&["nofile=-1"], &generous()),
            r#"--ulimit "nofile=-1" is not possible here: the kernel's maximum is 1048576"#
        );
    }

    #[test]
    fn oom_scores() {
        assert_eq!(oom_score_adj(None, &limited()).unwrap(), None);
        assert_eq!(oom_score_adj(Some(-500), &limited()).unwrap(), Some(0));
        assert_eq!(oom_score_adj(Some(-500), &generous()).unwrap(), Some(-500));
        assert_eq!(oom_score_adj(Some(500), &limited()).unwrap(), Some(500));
        assert!(oom_score_adj(Some(1001), &generous()).is_err());
    }
}
