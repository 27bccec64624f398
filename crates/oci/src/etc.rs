//! The text of the files that an engine binds over a container's root: /etc/hosts, /etc/hostname, /etc/resolv.conf and
//! /run/.containerenv. Functions of their arguments; writing the files is the engine's.
//!
//! INVARIANT: whatever goes into a line was checked to be one word, so that no value can add a line of its own.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::str::FromStr;

/// A line that the user adds to /etc/hosts (`--add-host name:ip`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The name; several are separated by `;` in podman's syntax and become several entries.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
}

impl FromStr for HostEntry {
    type Err = Error;

    /// `NAME:IP`; the address may have colons and brackets (IPv6).
    fn from_str(text: &str) -> Result<HostEntry, Error> {
        let bad = |why: &str| Error::invalid("--add-host", text, why);
        let (name, ip) = text.split_once(':').ok_or_else(|| bad("not NAME:IP"))?;
        let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
        let ip = bare.parse().map_err(|_| bad("not an IP address"))?;
        word("--add-host", name)?;
        Ok(HostEntry { name: name.to_owned(), ip })
    }
}

/// What goes into /etc/hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsRequest {
    /// The user's lines; they come first, so they win.
    pub add: Vec<HostEntry>,
    /// The container's host name and name.
    pub own_names: Vec<String>,
    /// The address of those; `None` leaves them out.
    pub own_ip: Option<IpAddr>,
    /// The text of the file to begin with, usually the machine's /etc/hosts.
    pub base: Option<String>,
}

/// The text of /etc/hosts. Names that are given more than once keep the first address: the user's, the base file's,
/// `localhost`, the container's own.
///
/// # Errors
/// [`Error::Invalid`] for a name that is not one word.
pub fn hosts(request: &HostsRequest) -> Result<String, Error> {
    let mut text = String::new();
    let mut known: Vec<String> = Vec::new();
    for entry in &request.add {
        word("--add-host", &entry.name)?;
        line(&mut text, entry.ip, &[&entry.name]);
        known.push(entry.name.clone());
    }
    let added: Vec<String> = request.add.iter().map(|entry| entry.name.clone()).collect();
    for (ip, names) in base_lines(request.base.as_deref().unwrap_or_default()) {
        let names: Vec<&str> =
            names.into_iter().filter(|name| !added.iter().any(|a| a == name)).collect();
        if !names.is_empty() {
            line(&mut text, ip, &names);
            known.extend(names.iter().map(|name| (*name).to_owned()));
        }
    }
    if !known.iter().any(|name| name == "localhost") {
        line(&mut text, IpAddr::from([127, 0, 0, 1]), &["localhost"]);
        line(&mut text, IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), &["localhost"]);
    }
    if let Some(ip) = request.own_ip {
        let mut own: Vec<&str> = Vec::new();
        for name in &request.own_names {
            word("host name", name)?;
            if !own.contains(&name.as_str()) && !known.contains(name) {
                own.push(name);
            }
        }
        if !own.is_empty() {
            line(&mut text, ip, &own);
        }
    }
    Ok(text)
}

fn line(text: &mut String, ip: IpAddr, names: &[&str]) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "{ip}\t{}", names.join(" "));
}

/// The lines of a hosts file that have an address and a name; comments and the rest are left out.
fn base_lines(text: &str) -> impl Iterator<Item = (IpAddr, Vec<&str>)> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        let names: Vec<&str> = words.collect();
        (!names.is_empty()).then_some((ip, names))
    })
}

/// What goes into /etc/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsRequest {
    /// Name servers instead of the machine's.
    pub servers: Vec<String>,
    /// Search domains instead of the machine's; a single `.` is none.
    pub search: Vec<String>,
    /// Resolver options instead of the machine's.
    pub options: Vec<String>,
    /// The image's file stays (`--dns none`).
    pub none: bool,
    /// The network is the machine's, so a name server on its loopback can be reached.
    pub host_network: bool,
}

/// The text of /etc/resolv.conf, or `None` where the image's file is to stay. `host_text` is [`host_resolv_conf`]'s.
///
/// # Errors
/// [`Error::Invalid`] for a server that is no address, and for words that are none.
pub fn resolv_conf(request: &DnsRequest, host_text: &str) -> Result<Option<String>, Error> {
    if request.none {
        if !request.servers.is_empty() || !request.search.is_empty() || !request.options.is_empty()
        {
            return Err(Error::invalid(
                "--dns",
                "none",
                "it leaves the image's file as it is, so no other DNS option fits",
            ));
        }
        return Ok(None);
    }
    for server in &request.servers {
        // A zone may follow: fe80::1%eth0.
        let address = server.split_once('%').map_or(server.as_str(), |(address, _)| address);
        word("--dns", server)?;
        address
            .parse::<IpAddr>()
            .map_err(|_| Error::invalid("--dns", server, "not an IP address"))?;
    }
    request.search.iter().try_for_each(|domain| word("--dns-search", domain))?;
    request.options.iter().try_for_each(|option| word("--dns-option", option))?;
    let host = Resolver::parse(host_text, request.host_network);
    let or_host =
        |own: &[String], host: Vec<String>| if own.is_empty() { host } else { own.to_vec() };
    let search = match request.search.as_slice() {
        [only] if only == "." => Vec::new(),
        own => or_host(own, host.search),
    };
    let mut text = String::new();
    let mut put = |keyword: &str, words: &[String]| {
        if !words.is_empty() {
            let _infallible = writeln!(text, "{keyword} {}", words.join(" "));
        }
    };
    put("search", &search);
    for server in or_host(&request.servers, host.servers) {
        put("nameserver", &[server]);
    }
    put("options", &or_host(&request.options, host.options));
    Ok(Some(text))
}

/// The three things that a resolv.conf says.
#[derive(Default)]
struct Resolver {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolver {
    fn parse(text: &str, host_network: bool) -> Resolver {
        let mut found = Resolver::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (keyword, rest) = (words.next(), words.map(str::to_owned));
            match keyword {
                Some("nameserver") => found
                    .servers
                    .extend(rest.take(1).filter(|server| host_network || !is_loopback(server))),
                // The last line counts, as in resolv.conf(5).
                Some("search" | "domain") => found.search = rest.collect(),
                Some("options") => found.options.extend(rest),
                _ => {}
            }
        }
        found
    }
}

fn is_loopback(server: &str) -> bool {
    server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A resolv.conf of more than this is not one.
const MAX_RESOLV_CONF: u64 = 1 << 20;

/// The machine's resolv.conf. Where that names systemd-resolved's stub, which is on the loopback of the machine and so
/// out of a container's reach, the servers behind the stub. Empty where the machine has none.
///
/// # Errors
/// [`Error::Io`]
pub fn host_resolv_conf() -> Result<String, Error> {
    let text = read_optional("/etc/resolv.conf")?;
    let servers = Resolver::parse(&text, true).servers;
    if !servers.is_empty()
        && servers.iter().all(|server| server == "127.0.0.53" || server == "127.0.0.54")
    {
        let behind = read_optional("/run/systemd/resolve/resolv.conf")?;
        if !behind.is_empty() {
            return Ok(behind);
        }
    }
    Ok(text)
}

fn read_optional(path: &'static str) -> Result<String, Error> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_RESOLV_CONF).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

/// The text of /etc/hostname.
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}

/// What a privileged container's /run/.containerenv says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerEnv {
    /// Name and version of the engine.
    pub engine: String,
    /// The container's name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The image's name.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// The engine runs without root's rights.
    pub rootless: bool,
    /// The container is privileged; of another one the file is empty, as podman's.
    pub privileged: bool,
}

/// The text of /run/.containerenv: that the file is there says "this is a container".
pub fn containerenv(env: &ContainerEnv) -> String {
    if !env.privileged {
        return String::new();
    }
    let rootless = u8::from(env.rootless);
    format!(
        "engine={:?}\nname={:?}\nid={:?}\nimage={:?}\nimageid={:?}\nrootless={rootless}\n",
        env.engine, env.name, env.id, env.image, env.image_id
    )
}

/// One word of a line.
fn word(what: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty()
        || text.len() > 255
        || !text.chars().all(|c| c.is_ascii_graphic() && c != '#')
    {
        return Err(Error::invalid(what, text, "not a word of printable characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check_hosts(add: &[&str], own: &[&str], base: &str, expected: &Expect) {
        let request = HostsRequest {
            add: add.iter().map(|entry| entry.parse().unwrap()).collect(),
            own_names: own.iter().map(|&name| name.to_owned()).collect(),
            own_ip: Some(IpAddr::from([127, 0, 0, 1])),
            base: Some(base.to_owned()),
        };
        expected.assert_eq(&hosts(&request).unwrap_or_else(|e| e.to_string()));
    }

    #[test]
    fn hosts_files() {
        check_hosts(
            &[],
            &["abc", "name", "abc"],
            "127.0.0.1 localhost # me\n::1 localhost ip6-localhost\n# x\nnonsense\n10.0.0.1\n",
            &expect![[r#"
            127.0.0.1	localhost
            ::1	localhost ip6-localhost
            127.0.0.1	abc name
        "#]],
        );
        check_hosts(
            &["db:10.0.0.2", "v6:[fe80::1]", "other:::1"],
            &["abc"],
            "127.0.0.1 localhost db\n",
            &expect![[r#"
                10.0.0.2	db
                fe80::1	v6
                ::1	other
                127.0.0.1	localhost
                127.0.0.1	abc
            "#]],
        );
        check_hosts(
            &["localhost:9.9.9.9"],
            &["localhost"],
            "127.0.0.1 localhost\n",
            &expect![[r#"
            9.9.9.9	localhost
        "#]],
        );
        check_hosts(
            &[],
            &["a b"],
            "",
            &expect![[r#"invalid host name "a b": not a word of printable characters"#]],
        );
    }

    #[test]
    fn host_entries() {
        for bad in
            ["", "name", "name:", "name:1.2.3", ":1.2.3.4", "na me:1.2.3.4", "na\nme:1.2.3.4"]
        {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad}");
        }
    }

    fn check_dns(request: &DnsRequest, host: &str, expected: &Expect) {
        let got = match resolv_conf(request, host) {
            Ok(text) => text.unwrap_or_else(|| "(none)".into()),
            Err(e) => e.to_string(),
        };
        expected.assert_eq(&got);
    }

    #[test]
    fn resolv_confs() {
        const HOST: &str = "# c\nsearch a.example\nnameserver 127.0.0.1\nnameserver 10.0.0.53 extra\noptions edns0\nsearch b.example c.example\n";
        let list = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let plain = DnsRequest::default();
        check_dns(
            &plain,
            HOST,
            &expect![[r#"
            search b.example c.example
            nameserver 10.0.0.53
            options edns0
        "#]],
        );
        check_dns(
            &DnsRequest { host_network: true, ..plain.clone() },
            HOST,
            &expect![[r#"
            search b.example c.example
            nameserver 127.0.0.1
            nameserver 10.0.0.53
            options edns0
        "#]],
        );
        let own = DnsRequest {
            servers: list(&["1.1.1.1", "fe80::1%eth0"]),
            search: list(&["."]),
            options: list(&["ndots:3"]),
            ..plain.clone()
        };
        check_dns(
            &own,
            HOST,
            &expect![[r#"
            nameserver 1.1.1.1
            nameserver fe80::1%eth0
            options ndots:3
        "#]],
        );
        check_dns(&DnsRequest { none: true, ..plain.clone() }, HOST, &expect!["(none)"]);
        check_dns(
            &DnsRequest { none: true, ..own },
            HOST,
            &expect![[
                r#"invalid --dns "none": it leaves the image's file as it is, so no other DNS option fits"#
            ]],
        );
        check_dns(
            &DnsRequest { servers: list(&["one.example"]), ..plain.clone() },
            HOST,
            &expect![[r#"invalid --dns "one.example": not an IP address"#]],
        );
        check_dns(
            &DnsRequest { search: list(&["a\nnameserver 6.6.6.6"]), ..plain },
            HOST,
            &expect![[
                r#"invalid --dns-search "a\nnameserver 6.6.6.6": not a word of printable characters"#
            ]],
        );
    }

    #[test]
    fn containerenvs() {
        let env = ContainerEnv {
            engine: "dhow-1".into(),
            name: "n".into(),
            id: "i".into(),
            image: "a\"\n".into(),
            ..ContainerEnv::default()
        };
        assert_eq!(containerenv(&env), "");
        let text = containerenv(&ContainerEnv { privileged: true, ..env });
        assert_eq!(
            text,
            "engine=\"dhow-1\"\nname=\"n\"\nid=\"i\"\nimage=\"a\\\"\\n\"\nimageid=\"\"\nrootless=0\n"
        );
    }

    proptest! {
        #[test]
        fn no_value_adds_a_line(name in "(?s).{0,20}", base in "(?s).{0,60}") {
            let ip = IpAddr::from([10, 0, 0, 1]);
            let request = HostsRequest { add: vec![HostEntry { name: name.clone(), ip }], own_names: vec![name], own_ip: Some(ip), base: Some(base) };
            if let Ok(text) = hosts(&request) {
                for line in text.lines() {
                    let (ip, names) = line.split_once('\t').unwrap();
                    prop_assert!(ip.parse::<IpAddr>().is_ok());
                    prop_assert!(!names.is_empty());
                }
            }
        }
    }
}
