//! `--add-host NAME:ADDRESS`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A line for /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// Host names, at least one.
    pub names: Vec<String>,
    /// Their address; none: the host's own, `host-gateway`.
    pub address: Option<IpAddr>,
}

impl FromStr for HostEntry {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("host entry", text, why);
        // An IPv6 address has colons itself, a name has none.
        let (names, address) = text
            .split_once(':')
            .ok_or_else(|| invalid("expected NAME[;NAME…]:ADDRESS, as in db:10.0.0.7"))?;
        let names: Vec<String> = names.split(';').map(str::to_owned).collect();
        if names.iter().any(|n| {
            n.is_empty() || n.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#')
        }) {
            return Err(invalid(
                "a name is empty or has white space in it: expected NAME[;NAME…]:ADDRESS",
            ));
        }
        let address = match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address) {
            "host-gateway" => None,
            literal => Some(literal.parse().map_err(|_| {
                invalid("the address must be an IPv4 or IPv6 address or host-gateway, as in db:10.0.0.7 or db:fd00::7")
            })?),
        };
        Ok(Self { names, address })
    }
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.names.join(";"))?;
        match self.address {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("host-gateway"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in ["db:10.0.0.7", "db:fd00::7", "a;b:1.2.3.4", "h:host-gateway"] {
            assert_eq!(text.parse::<HostEntry>().unwrap().to_string(), text);
        }
        assert_eq!("a:[::1]".parse::<HostEntry>().unwrap().to_string(), "a:::1");
        for bad in
            ["", "db", ":1.2.3.4", "db:", "db:1.2.3", "a b:1.2.3.4", "a\n:1.2.3.4", ";a:1.2.3.4"]
        {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad:?}");
        }
    }
}
