//! Users and groups of the container, looked up in *its* files: /etc/passwd and /etc/group below the root file system.
//!
//! INVARIANTS: the files are read through [`Root`], so that a symlink in an image never leads to the host's; they are
//! read bounded; a line that does not parse is skipped, as the C library does; numbers need no entry.

use crate::Error;
use crate::error::no_nul;
use dhow_sys::root::Root;
use std::io;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// Directories of real organisations reach some megabytes; an image that needs more is hostile.
const MAX_FILE: u64 = 16 << 20;
/// The kernel's NGROUPS_MAX.
const MAX_GROUPS: usize = 65_536;

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, each once, in the order they were found.
    pub additional_gids: Vec<u32>,
    /// The name in /etc/passwd, where there is one.
    pub name: Option<String>,
    /// The home directory; `/` where none is known.
    pub home: String,
}

/// One line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PasswdEntry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// One line of /etc/group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupEntry {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// The container's user database.
#[derive(Debug, Default)]
struct Database {
    users: Vec<PasswdEntry>,
    groups: Vec<GroupEntry>,
}

/// Looks up `user` (`name`, `uid`, `name:group`, `uid:gid`, `:gid`, …; empty is root) and `group_add` (names or numbers).
///
/// A group given after the colon replaces the user's groups; `group_add` comes on top.
///
/// # Errors
/// [`Error::NoSuchUser`] for a name the files do not have, [`Error::Invalid`] for a number out of range.
pub fn resolve(root: &Root, user: &str, group_add: &[String]) -> Result<User, Error> {
    no_nul("user", user)?;
    let database = Database {
        users: parse_passwd(&read(root, PASSWD)?),
        groups: parse_group(&read(root, GROUP)?),
    };
    database.resolve(user, group_add)
}

/// The text of /etc/passwd with a line for `user`, where that is a mere number the file does not have: programs (ssh, git,
/// whoami) look themselves up. `None` where nothing is to be added. The line is podman's.
///
/// # Errors
/// [`Error::Io`]
pub fn passwd_with_entry(root: &Root, user: &User, cwd: &str) -> Result<Option<String>, Error> {
    if user.name.is_some() || user.uid == 0 {
        return Ok(None);
    }
    let mut text = read(root, PASSWD)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let home = if cwd.starts_with('/') && !cwd.contains([':', '\n', '\0']) { cwd } else { "/" };
    text.push_str(&format!("{0}:*:{0}:{1}:container user:{home}:/bin/sh\n", user.uid, user.gid));
    Ok(Some(text))
}

fn read(root: &Root, path: &'static str) -> Result<String, Error> {
    match root.read_bounded(path, MAX_FILE) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // An image of one static binary has no such files: numbers still work.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(e) => Err(Error::io("read, in the container,", path)(e)),
    }
}

impl Database {
    fn resolve(&self, text: &str, group_add: &[String]) -> Result<User, Error> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
            None => (text, None),
        };
        let mut found = self.user(if user.is_empty() { "0" } else { user })?;
        if let Some(group) = group {
            found.gid = self.group(group)?;
        }
        let mut gids = Vec::new();
        if !text.is_empty() {
            push_once(&mut gids, found.gid);
        }
        if let (None, Some(name)) = (group, &found.name) {
            for entry in
                self.groups.iter().filter(|entry| entry.members.iter().any(|member| member == name))
            {
                push_once(&mut gids, entry.gid);
            }
        }
        for group in group_add {
            push_once(&mut gids, self.group(group)?);
        }
        if gids.len() > MAX_GROUPS {
            return Err(Error::invalid(
                "user",
                text,
                format!("more than {MAX_GROUPS} supplementary groups"),
            ));
        }
        found.additional_gids = gids;
        Ok(found)
    }

    /// A name first, then a number: a user may be called `1000`.
    fn user(&self, text: &str) -> Result<User, Error> {
        let by_name = self.users.iter().find(|entry| entry.name == text);
        let number = parse_id("user", text)?;
        let entry = by_name.or_else(|| self.users.iter().find(|entry| Some(entry.uid) == number));
        match (entry, number) {
            (Some(entry), _) => Ok(User {
                uid: entry.uid,
                gid: entry.gid,
                additional_gids: Vec::new(),
                name: Some(entry.name.clone()),
                home: if entry.home.starts_with('/') { entry.home.clone() } else { "/".into() },
            }),
            (None, Some(uid)) => Ok(User {
                uid,
                gid: 0,
                additional_gids: Vec::new(),
                name: None,
                home: if uid == 0 { "/root".into() } else { "/".into() },
            }),
            (None, None) => Err(Error::NoSuchUser {
                what: "user",
                name: crate::error::shorten(text),
                file: PASSWD,
            }),
        }
    }

    fn group(&self, text: &str) -> Result<u32, Error> {
        no_nul("group", text)?;
        if let Some(entry) = self.groups.iter().find(|entry| entry.name == text) {
            return Ok(entry.gid);
        }
        parse_id("group", text)?.ok_or_else(|| Error::NoSuchUser {
            what: "group",
            name: crate::error::shorten(text),
            file: GROUP,
        })
    }
}

/// `None` for what is not a number. The last id, −1, means "leave as it is" to the kernel and is nobody's.
fn parse_id(what: &'static str, text: &str) -> Result<Option<u32>, Error> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id < u32::MAX => Ok(Some(id)),
        _ => Err(Error::invalid(what, text, "the number is out of range")),
    }
}

fn push_once(gids: &mut Vec<u32>, gid: u32) {
    if !gids.contains(&gid) {
        gids.push(gid);
    }
}

fn parse_passwd(text: &str) -> Vec<PasswdEntry> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            let home = fields.nth(1).unwrap_or_default();
            Some(PasswdEntry { name: name.to_owned(), uid, gid, home: home.to_owned() })
        })
        .collect()
}

fn parse_group(text: &str) -> Vec<GroupEntry> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
            let gid = fields.nth(1)?.parse().ok()?;
            let members =
                fields.next().unwrap_or_default().split(',').filter(|member| !member.is_empty());
            Some(GroupEntry {
                name: name.to_owned(),
                gid,
                members: members.map(str::to_owned).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n# comment:x:7:7::/:\nbroken line\nalice:x:1000:1000::/home/alice:/bin/sh\n\
                         1234:x:2000:2000::/home/digits:\nnohome:x:3000:3000\nbad:x:notanumber:0::/:\n";
    const GROUPS: &str = "root:x:0:\nalice:x:1000:\nvideo:x:44:bob,alice\naudio:x:63:alice,\n";

    fn check(user: &str, add: &[&str], expected: &Expect) {
        let database = Database { users: parse_passwd(USERS), groups: parse_group(GROUPS) };
        let add: Vec<String> = add.iter().map(|&g| g.to_owned()).collect();
        let got = match database.resolve(user, &add) {
            Ok(u) => format!("{}:{} {:?} {:?} {}", u.uid, u.gid, u.additional_gids, u.name, u.home),
            Err(e) => e.to_string(),
        };
        expected.assert_eq(&got);
    }

    #[test]
    fn users_and_groups() {
        check("", &[], &expect![[r#"0:0 [] Some("root") /root"#]]);
        check("alice", &[], &expect![[r#"1000:1000 [1000, 44, 63] Some("alice") /home/alice"#]]);
        check("1000", &[], &expect![[r#"1000:1000 [1000, 44, 63] Some("alice") /home/alice"#]]);
        check(
            "alice:video",
            &["77", "audio"],
            &expect![[r#"1000:44 [44, 77, 63] Some("alice") /home/alice"#]],
        );
        check(
            "alice:",
            &["44"],
            &expect![[r#"1000:1000 [1000, 44, 63] Some("alice") /home/alice"#]],
        );
        check("1234", &[], &expect![[r#"2000:2000 [2000] Some("1234") /home/digits"#]]);
        check("4321", &[], &expect![[r#"4321:0 [0] None /"#]]);
        check("4321:44", &[], &expect![[r#"4321:44 [44] None /"#]]);
        check(":44", &[], &expect![[r#"0:44 [44] Some("root") /root"#]]);
        check("nohome", &[], &expect![[r#"3000:3000 [3000] Some("nohome") /"#]]);
        check(
            "bad",
            &[],
            &expect![
                "unable to find user bad: no matching entries in /etc/passwd of the container"
            ],
        );
        check(
            "root:nope",
            &[],
            &expect![
                "unable to find group nope: no matching entries in /etc/group of the container"
            ],
        );
        check(
            "root",
            &["nope"],
            &expect![
                "unable to find group nope: no matching entries in /etc/group of the container"
            ],
        );
        check(
            "4294967295",
            &[],
            &expect![[r#"invalid user "4294967295": the number is out of range"#]],
        );
        check(
            "99999999999999999999",
            &[],
            &expect![[r#"invalid user "99999999999999999999": the number is out of range"#]],
        );
        check(
            "-1",
            &[],
            &expect!["unable to find user -1: no matching entries in /etc/passwd of the container"],
        );
    }

    #[test]
    fn a_line_for_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let user = |text: &str| resolve(&root, text, &[]).unwrap();
        assert_eq!(
            passwd_with_entry(&root, &user("7:8"), "/w").unwrap().unwrap(),
            "7:*:7:8:container user:/w:/bin/sh\n"
        );
        assert_eq!(
            passwd_with_entry(&root, &user("7"), "/w\n:").unwrap().unwrap(),
            "7:*:7:0:container user:/:/bin/sh\n"
        );
        assert_eq!(passwd_with_entry(&root, &user("0"), "/w").unwrap(), None);
    }

    #[test]
    fn links_of_the_image_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/real")).unwrap();
        std::os::unix::fs::symlink("/etc/real/passwd", dir.path().join("etc/passwd")).unwrap();
        // Both are on the host, and neither is in the root.
        std::os::unix::fs::symlink("../../../../../../etc/gshadow", dir.path().join("etc/group"))
            .unwrap();
        dhow_sys::fs::write_atomic(
            &dir.path().join("etc/real/passwd"),
            b"inside:x:5:6::/in:/bin/sh\n",
            0o644,
            dhow_sys::fs::Durability::Volatile,
        )
        .unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(resolve(&root, "inside", &[]).map(|u| u.uid).ok(), Some(5));
        assert!(matches!(resolve(&root, "inside:root", &[]), Err(Error::NoSuchUser { .. })));
        // A link to itself is an error that names the file.
        std::fs::remove_file(dir.path().join("etc/group")).unwrap();
        std::os::unix::fs::symlink("/etc/group", dir.path().join("etc/group")).unwrap();
        let error = resolve(&root, "inside", &[]).unwrap_err().to_string();
        assert_eq!(error, "cannot read, in the container, /etc/group");
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(passwd in "(?s).{0,200}", group in "(?s).{0,200}", user in "(?s).{0,20}") {
            let database = Database { users: parse_passwd(&passwd), groups: parse_group(&group) };
            if let Ok(found) = database.resolve(&user, std::slice::from_ref(&user)) {
                prop_assert!(found.home.starts_with('/'));
            }
        }

        #[test]
        fn entries_come_back(name in "[a-z_][a-z0-9_-]{0,15}", uid in 0..u32::MAX, gid in 0..u32::MAX, home in "/[a-z/]{0,20}") {
            let database = Database { users: parse_passwd(&format!("{name}:x:{uid}:{gid}:gecos:{home}:/bin/sh")), groups: Vec::new() };
            let found = database.resolve(&name, &[]).unwrap();
            prop_assert_eq!((found.uid, found.gid, found.home), (uid, gid, home));
        }
    }
}
