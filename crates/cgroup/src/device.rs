//! Which devices a cgroup may use: an ordered list of rules, of which the last one that matches decides, for each kind of
//! access by itself. What no rule matches is denied.
//!
//! v1 is told by its files, where a denial takes back what was allowed in the same words only; v2 by an eBPF program
//! ([`ebpf`]), which follows the list to the letter.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags};

use crate::hierarchy::Version;
use crate::{Cgroup, Directory, Error};

mod ebpf;

/// Kinds of access, as bits: `m`, `r`, `w` (`BPF_DEVCG_ACC_*`).
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Block,
    Char,
}

/// One rule; `None` is "any".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<Kind>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
}

/// The devices that every container may use, as runc has them: to be put after a spec's own rules.
#[must_use]
pub fn default_rules() -> Vec<LinuxDeviceCgroup> {
    let rows: [(LinuxDeviceType, Option<i64>, Option<i64>, &str); 10] = [
        // Making a node gives no access to what it stands for.
        (LinuxDeviceType::C, None, None, "m"),
        (LinuxDeviceType::B, None, None, "m"),
        // null, zero, full, tty, random, urandom
        (LinuxDeviceType::C, Some(1), Some(3), "rwm"),
        (LinuxDeviceType::C, Some(1), Some(5), "rwm"),
        (LinuxDeviceType::C, Some(1), Some(7), "rwm"),
        (LinuxDeviceType::C, Some(5), Some(0), "rwm"),
        (LinuxDeviceType::C, Some(1), Some(8), "rwm"),
        (LinuxDeviceType::C, Some(1), Some(9), "rwm"),
        // /dev/pts/N, ptmx
        (LinuxDeviceType::C, Some(136), None, "rwm"),
        (LinuxDeviceType::C, Some(5), Some(2), "rwm"),
    ];
    rows.into_iter()
        .map(|(kind, major, minor, access)| {
            let mut rule = LinuxDeviceCgroup::default();
            rule.set_allow(true).set_typ(Some(kind)).set_access(Some(access.to_owned()));
            rule.set_major(major).set_minor(minor);
            rule
        })
        .collect()
}

impl Cgroup {
    /// Makes these rules the cgroup's.
    pub(crate) fn apply_devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<(), Error> {
        let rules = rules.iter().map(Rule::parse).collect::<Result<Vec<_>, Error>>()?;
        if let Some(directory) = self.controller("devices") {
            return directory.apply_devices(&rules);
        }
        let Some(directory) = self.unified() else {
            return Err(Error::NoController { controller: "devices" });
        };
        let failed = |errno: rustix::io::Errno| Error::io("open", &directory.path)(errno.into());
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let cgroup = rustix::fs::open(&directory.path, flags, Mode::empty()).map_err(failed)?;
        let program = dhow_sys::bpf::load_device_program(&ebpf::program(&rules))
            .map_err(Error::io("load the device filter of", &directory.path))?;
        dhow_sys::bpf::set_device_program(cgroup.as_fd(), program.as_fd())
            .map_err(Error::io("attach the device filter to", &directory.path))
    }
}

impl Rule {
    fn parse(rule: &LinuxDeviceCgroup) -> Result<Rule, Error> {
        let invalid = |why: String| Error::invalid("device rule", why);
        let kind = match rule.typ() {
            None | Some(LinuxDeviceType::A) => None,
            Some(LinuxDeviceType::B) => Some(Kind::Block),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Char),
            Some(LinuxDeviceType::P) => {
                return Err(invalid("a fifo is no device".into()));
            }
        };
        let number = |number: Option<i64>| match number {
            // Also what engines write for "any".
            None | Some(-1) => Ok(None),
            // The kernel's device numbers have 12 and 20 bits.
            Some(number) => u32::try_from(number)
                .ok()
                .filter(|number| *number < 1 << 20)
                .map(Some)
                .ok_or_else(|| invalid(format!("{number} is no device number"))),
        };
        let mut access = 0;
        for letter in rule.access().as_deref().unwrap_or("rwm").chars() {
            access |= match letter {
                'm' => MKNOD,
                'r' => READ,
                'w' => WRITE,
                _ => return Err(invalid(format!("{letter:?} is no kind of access"))),
            };
        }
        if access == 0 {
            return Err(invalid("it names no kind of access".into()));
        }
        let (major, minor) = (number(rule.major())?, number(rule.minor())?);
        if kind.is_none() && (major.is_some() || minor.is_some()) {
            return Err(invalid("device numbers without a type".into()));
        }
        Ok(Rule { allow: rule.allow(), kind, major, minor, access })
    }

    /// Whether it speaks of everything, so that no rule before it counts.
    fn is_all(&self) -> bool {
        self.kind.is_none() && self.access == ALL
    }
}

/// What v1 keeps: a default and the exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    allow: bool,
    exceptions: BTreeMap<(Kind, Option<u32>, Option<u32>), u8>,
}

impl List {
    /// The list that rules come to, if the kernel's files can say it.
    fn of(rules: &[Rule]) -> Result<List, Error> {
        let mut list = List { allow: false, exceptions: BTreeMap::new() };
        for rule in rules {
            let kinds: &[Kind] = match rule.kind {
                None if rule.is_all() => {
                    list = List { allow: rule.allow, exceptions: BTreeMap::new() };
                    continue;
                }
                None => &[Kind::Block, Kind::Char],
                Some(Kind::Block) => &[Kind::Block],
                Some(Kind::Char) => &[Kind::Char],
            };
            for kind in kinds {
                list.add((*kind, rule.major, rule.minor), rule)?;
            }
        }
        list.exceptions.retain(|_, access| *access != 0);
        Ok(list)
    }

    fn add(&mut self, key: (Kind, Option<u32>, Option<u32>), rule: &Rule) -> Result<(), Error> {
        if rule.allow != self.allow {
            *self.exceptions.entry(key).or_default() |= rule.access;
            return Ok(());
        }
        // The kernel takes an exception back in the same words only: a wider one would stay, a narrower one too.
        let meets = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        let overlaps = |(kind, major, minor): &(Kind, Option<u32>, Option<u32>), access: u8| {
            *kind == key.0
                && meets(*major, key.1)
                && meets(*minor, key.2)
                && access & rule.access != 0
        };
        let wider = |number: Option<u32>, other: Option<u32>| number.is_none() && other.is_some();
        for (exception, access) in &mut self.exceptions {
            if !overlaps(exception, *access) {
                continue;
            }
            if wider(exception.1, key.1) || wider(exception.2, key.2) {
                let (rule, exception) = (words(key, rule.access), words(*exception, *access));
                let why = format!("{rule} cannot be taken out of {exception} with cgroup v1");
                return Err(Error::invalid("device rule", why));
            }
            *access &= !rule.access;
        }
        Ok(())
    }

    /// What `devices.list` says. Exceptions from "everything is allowed" are not shown.
    fn parse(text: &str) -> Option<List> {
        let mut list = List { allow: false, exceptions: BTreeMap::new() };
        for line in text.lines() {
            let mut words = line.split([' ', ':']);
            let (kind, major, minor) = (words.next()?, words.next()?, words.next()?);
            let kind = match kind {
                "a" => return Some(List { allow: true, exceptions: BTreeMap::new() }),
                "b" => Kind::Block,
                "c" => Kind::Char,
                _ => return None,
            };
            let number = |text: &str| match text {
                "*" => Some(None),
                text => text.parse().ok().map(Some),
            };
            let access = words.next()?.chars().fold(0, |access, letter| {
                access
                    | [('m', MKNOD), ('r', READ), ('w', WRITE)]
                        .iter()
                        .find(|(l, _)| *l == letter)
                        .map_or(0, |(_, bit)| *bit)
            });
            list.exceptions.insert((kind, number(major)?, number(minor)?), access);
        }
        Some(list)
    }
}

fn words((kind, major, minor): (Kind, Option<u32>, Option<u32>), access: u8) -> String {
    let kind = match kind {
        Kind::Block => 'b',
        Kind::Char => 'c',
    };
    let number =
        |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let mut letters = String::new();
    for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
        if access & bit != 0 {
            letters.push(letter);
        }
    }
    format!("{kind} {}:{} {letters}", number(major), number(minor))
}

impl Directory {
    /// The fewest writes from what the kernel has to what is wanted, so that an update of a running container leaves no
    /// moment without the devices that it keeps.
    fn apply_devices(&self, rules: &[Rule]) -> Result<(), Error> {
        debug_assert_eq!(self.hierarchy.version, Version::V1);
        let wanted = List::of(rules)?;
        let text = self.read("devices.list")?;
        let mut now = List::parse(&text).ok_or_else(|| Error::Unreadable {
            path: self.path.join("devices.list"),
            text: text.clone(),
        })?;
        let (more, less) = if wanted.allow {
            ("devices.deny", "devices.allow")
        } else {
            ("devices.allow", "devices.deny")
        };
        // What is excepted from "everything is allowed" is not shown: then it is said anew.
        if now.allow != wanted.allow || wanted.allow {
            self.write(less, "a")?;
            now = List { allow: wanted.allow, exceptions: BTreeMap::new() };
        }
        let bits = |list: &List, key| list.exceptions.get(key).copied().unwrap_or(0);
        for (key, access) in &wanted.exceptions {
            let missing = access & !bits(&now, key);
            if missing != 0 {
                self.write(more, words(*key, missing))?;
            }
        }
        for (key, access) in &now.exceptions {
            let surplus = access & !bits(&wanted, key);
            if surplus != 0 {
                self.write(less, words(*key, surplus))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
