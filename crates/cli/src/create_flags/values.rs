//! How the values of single flags are read. Clap names the flag and the value, so an error is the reason alone.

use std::net::IpAddr;
use std::str::FromStr;

use dhow_engine::request::{
    CgroupMode, Invalid, Label, Mount, NamespaceKind, NamespaceMode, User, parse_volume,
};

use super::{Attach, Entrypoint};

/// Reads a flag's value; clap names the flag and the value, so the error is the reason alone.
pub(crate) fn value<T: FromStr<Err = Invalid>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: Invalid| e.why)
}

pub(super) fn annotation(text: &str) -> Result<Label, String> {
    Label::parse_annotation(text).map_err(|e| e.why)
}

pub(super) fn volume(text: &str) -> Result<Mount, String> {
    parse_volume(text).map_err(|e| e.why)
}

pub(super) fn namespace(
    kind: NamespaceKind,
) -> impl Fn(&str) -> Result<NamespaceMode, String> + Clone {
    move |text| NamespaceMode::parse(kind, text).map_err(|e| e.why)
}

pub(super) fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| "expected an octal mask, as in 0022".into())
}

pub(super) fn cgroups(text: &str) -> Result<CgroupMode, String> {
    match text {
        "enabled" => Ok(CgroupMode::Enabled),
        "disabled" => Ok(CgroupMode::Disabled),
        "no-conmon" | "split" => Err("not supported yet: expected enabled or disabled".into()),
        _ => Err("expected enabled or disabled".into()),
    }
}

pub(super) fn stream(text: &str) -> Result<Attach, String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(Attach::Stdin),
        "stdout" => Ok(Attach::Stdout),
        "stderr" => Ok(Attach::Stderr),
        _ => Err("expected stdin, stdout or stderr".into()),
    }
}

pub(super) fn entrypoint(text: &str) -> Result<Entrypoint, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map(Entrypoint)
            .map_err(|_| "expected a JSON list of texts, or one word".into());
    }
    Ok(Entrypoint(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }))
}

pub(super) fn group(text: &str) -> Result<String, String> {
    match text {
        "keep-groups" => Err("not supported yet".into()),
        _ => Ok(value::<User>(text)
            .ok()
            .filter(|user| user.group.is_none())
            .ok_or("expected a group's name or number")?
            .user),
    }
}

pub(super) fn hostname(text: &str) -> Result<String, String> {
    let good = !text.is_empty()
        && text.len() <= 64
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected at most 64 letters, digits, - and .".into())
    }
}

pub(super) fn network_alias(text: &str) -> Result<String, String> {
    dhow_engine::request::alias(text).map_err(|e| e.why)
}

pub(super) fn name_server(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IPv4 or IPv6 address".into())
}

pub(super) fn number_list(text: &str) -> Result<String, String> {
    let range = |part: &str| {
        let ends: Vec<_> = part.splitn(2, '-').map(str::parse::<u16>).collect();
        match &ends[..] {
            [Ok(_)] => true,
            [Ok(first), Ok(last)] => first <= last,
            _ => false,
        }
    };
    if text.split(',').all(range) {
        Ok(text.to_owned())
    } else {
        Err("expected numbers and ranges, as in 0-3,8".into())
    }
}
