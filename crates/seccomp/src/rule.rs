//! A profile as rules on calls: names looked up, actions as the kernel's results, arguments as conditions.

use crate::Error;
use crate::arch::{Target, Through};
use crate::program::NOTIFY;
use crate::table::Call;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Operator,
};

/// `SECCOMP_RET_ERRNO` with ENOSYS.
pub(crate) const ENOSYS: u32 = 0x0005_0000 | 38;

/// A comparison of one argument: bits of it that count, against a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) index: usize,
    pub(crate) operator: Operator,
    pub(crate) mask: u64,
    pub(crate) value: u64,
}

/// Conditions that must all hold, and the result if they do. None: always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) result: u32,
}

/// A profile, before it is looked at for one architecture.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) default: u32,
    /// Whether a call that the profile cannot know is ENOSYS.
    stub: bool,
    /// In the profile's order.
    calls: Vec<Named>,
    /// The cases of each rule; empty where they come to what the default says.
    cases: Vec<Vec<Case>>,
}

/// A name in a rule. Those of rules that say what the default says are kept too: they tell what the profile knows.
#[derive(Debug)]
struct Named {
    call: Call,
    through: Option<Through>,
    /// Index into [`Rules::cases`].
    rule: usize,
}

/// What a number comes to on one architecture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// This result, whatever the arguments.
    Always(u32),
    /// The first of these that holds, or the default.
    Cases(Vec<Case>),
}

impl Rules {
    pub(crate) fn resolve(profile: &LinuxSeccomp) -> Result<Rules, Error> {
        let action = profile.default_action();
        if action == Action::ScmpActNotify {
            return Err(Error::Invalid("SCMP_ACT_NOTIFY cannot be the default action".into()));
        }
        let default = result(action, profile.default_errno_ret())?;
        let stub =
            !matches!(action, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace);
        let mut rules = Rules { default, stub, calls: Vec::with_capacity(512), cases: Vec::new() };
        for syscall in profile.syscalls().iter().flatten() {
            let result = result(syscall.action(), syscall.errno_ret())?;
            let cases = cases(syscall.args().as_deref().unwrap_or_default(), result)?;
            let rule = rules.cases.len();
            rules.cases.push(if result == default { Vec::new() } else { cases });
            for name in syscall.names() {
                if name.is_empty() {
                    return Err(Error::Invalid("a system call has an empty name".into()));
                }
                // The listener's descriptor is handed over by a write, which nobody could answer yet.
                if result == NOTIFY && name == "write" {
                    return Err(Error::Invalid("SCMP_ACT_NOTIFY cannot be used for write".into()));
                }
                let Some(call) = Call::named(name) else { continue };
                rules.calls.push(Named { call, through: Through::of(call), rule });
            }
        }
        Ok(rules)
    }

    /// What each number comes to on an architecture, sorted, and the highest number that the profile knows where those
    /// above it are ENOSYS.
    pub(crate) fn of(&self, target: &Target) -> (Vec<(u32, Entry)>, Option<u32>) {
        let mut newest = 0;
        let mut found: Vec<(u32, Option<Through>, usize)> = Vec::with_capacity(self.calls.len());
        for named in &self.calls {
            if let Some(number) = target.number(named.call) {
                newest = newest.max(number);
                found.push((number, None, named.rule));
            }
            let through =
                named.through.and_then(|through| Some((target.through(through)?, through)));
            if let Some((number, through)) = through {
                newest = newest.max(number);
                found.push((number, Some(through), named.rule));
            }
        }
        // Stable: what came first stays first.
        found.sort_by_key(|(number, _, _)| *number);
        let entries = found.chunk_by(|a, b| a.0 == b.0).filter_map(|same| {
            let (number, _, _) = same.first()?;
            Some((*number, self.entry(same)?))
        });
        (entries.collect(), Some(newest).filter(|number| self.stub && *number != 0))
    }

    /// A case without conditions wins over all others, and the first of those over the rest.
    fn entry(&self, same: &[(u32, Option<Through>, usize)]) -> Option<Entry> {
        let mut cases: Vec<Case> = Vec::new();
        for (_, through, rule) in same {
            for case in &self.cases[*rule] {
                let Some(through) = through else {
                    if case.conditions.is_empty() {
                        return Some(Entry::Always(case.result));
                    }
                    add(&mut cases, case.clone());
                    continue;
                };
                let first = Condition {
                    index: 0,
                    operator: Operator::ScmpCmpMaskedEq,
                    mask: through.mask(),
                    value: through.operation,
                };
                // What the call's own first argument is, lies in memory here.
                let others = case.conditions.iter().filter(|one| one.index != 0).copied();
                let conditions = std::iter::once(first).chain(others).collect();
                add(&mut cases, Case { conditions, result: case.result });
            }
        }
        if cases.is_empty() { None } else { Some(Entry::Cases(cases)) }
    }
}

fn add(cases: &mut Vec<Case>, case: Case) {
    if !cases.contains(&case) {
        cases.push(case);
    }
}

/// What a program returns for an action.
fn result(action: Action, errno: Option<u32>) -> Result<u32, Error> {
    let limit = match action {
        Action::ScmpActErrno => 4095,
        Action::ScmpActTrace => 0xffff,
        _ => 0,
    };
    match errno {
        Some(_) if limit == 0 => {
            return Err(Error::Invalid(format!("{action} takes no errnoRet")));
        }
        Some(errno) if errno > limit => {
            return Err(Error::Invalid(format!("errnoRet {errno} of {action} is above {limit}")));
        }
        _ => {}
    }
    const EPERM: u32 = 1;
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => 0,
        Action::ScmpActKillProcess => 0x8000_0000,
        Action::ScmpActTrap => 0x0003_0000,
        Action::ScmpActErrno => 0x0005_0000 | errno.unwrap_or(EPERM),
        Action::ScmpActNotify => NOTIFY,
        Action::ScmpActTrace => 0x7ff0_0000 | errno.unwrap_or(EPERM),
        Action::ScmpActLog => 0x7ffc_0000,
        Action::ScmpActAllow => 0x7fff_0000,
    })
}

fn cases(args: &[LinuxSeccompArg], result: u32) -> Result<Vec<Case>, Error> {
    let conditions = args.iter().map(Condition::of).collect::<Result<Vec<_>, Error>>()?;
    let mut seen = [false; 6];
    let twice = conditions.iter().any(|one| std::mem::replace(&mut seen[one.index], true));
    if twice {
        return Ok(conditions
            .into_iter()
            .map(|one| Case { conditions: vec![one], result })
            .collect());
    }
    Ok(vec![Case { conditions, result }])
}

impl Condition {
    fn of(arg: &LinuxSeccompArg) -> Result<Condition, Error> {
        if arg.index() > 5 {
            return Err(Error::Invalid(format!("argument {}: an index is 0 to 5", arg.index())));
        }
        let (mask, value) = match arg.op() {
            Operator::ScmpCmpMaskedEq => (arg.value(), arg.value_two().unwrap_or_default()),
            _ => (u64::MAX, arg.value()),
        };
        Ok(Condition { index: arg.index(), operator: arg.op(), mask, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rules, Error> {
        Rules::resolve(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_a_profile_must_not_say() {
        let rows = [
            (
                r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
                "SCMP_ACT_NOTIFY cannot be the default action",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#,
                "SCMP_ACT_ALLOW takes no errnoRet",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}"#,
                "errnoRet 4096 of SCMP_ACT_ERRNO is above 4095",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_TRACE","errnoRet":65536}]}"#,
                "errnoRet 65536 of SCMP_ACT_TRACE is above 65535",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
                "SCMP_ACT_NOTIFY cannot be used for write",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[""],"action":"SCMP_ACT_TRAP"}]}"#,
                "a system call has an empty name",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_TRAP","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
                "argument 6: an index is 0 to 5",
            ),
        ];
        for (text, expected) in rows {
            let error = parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("invalid seccomp profile: {expected}"), "{text}");
        }
    }

    #[test]
    fn actions_are_the_kernels_results() {
        let rows = [
            (Action::ScmpActKill, None, libc::SECCOMP_RET_KILL_THREAD),
            (Action::ScmpActKillThread, None, libc::SECCOMP_RET_KILL_THREAD),
            (Action::ScmpActKillProcess, None, libc::SECCOMP_RET_KILL_PROCESS),
            (Action::ScmpActTrap, None, libc::SECCOMP_RET_TRAP),
            (Action::ScmpActErrno, None, libc::SECCOMP_RET_ERRNO | 1),
            (Action::ScmpActErrno, Some(0), libc::SECCOMP_RET_ERRNO),
            (Action::ScmpActErrno, Some(38), ENOSYS),
            (Action::ScmpActTrace, Some(7), libc::SECCOMP_RET_TRACE | 7),
            (Action::ScmpActTrace, None, libc::SECCOMP_RET_TRACE | 1),
            (Action::ScmpActLog, None, libc::SECCOMP_RET_LOG),
            (Action::ScmpActAllow, None, libc::SECCOMP_RET_ALLOW),
            (Action::ScmpActNotify, None, 0x7fc0_0000),
        ];
        for (action, errno, expected) in rows {
            assert_eq!(result(action, errno).unwrap(), expected, "{action}");
        }
    }
}
