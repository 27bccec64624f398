//! `--change`: the Dockerfile instructions that alter a configuration, for `import` and `commit`.
//!
//! The syntax is that of `buildah-config`'s Dockerfile form: an instruction's name in any case, then its arguments;
//! CMD, ENTRYPOINT, VOLUME and ONBUILD's kin take a JSON array or plain text. An instruction that cannot be carried
//! out is an error; none is ignored.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::config::{Healthcheck, Settings};
use crate::error::{Error, Result};

/// One instruction, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The command.
    Cmd(Words),
    /// The words before the command.
    Entrypoint(Words),
    /// Environment variables.
    Env(Vec<(String, String)>),
    /// Ports, as `80/tcp`.
    Expose(Vec<String>),
    /// Labels.
    Label(Vec<(String, String)>),
    /// A trigger of later builds.
    OnBuild(String),
    /// The signal that asks a container to end.
    StopSignal(String),
    /// Who runs it.
    User(String),
    /// Directories that become volumes.
    Volume(Vec<String>),
    /// Where it starts; relative to the one before.
    WorkDir(String),
    /// The shell for shell forms that follow.
    Shell(Vec<String>),
    /// The health check.
    Healthcheck(Box<Healthcheck>),
}

/// A command line: words, or text for a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// The exec form.
    Exec(Vec<String>),
    /// The shell form.
    Shell(String),
}

impl FromStr for Change {
    type Err = Error;

    fn from_str(instruction: &str) -> Result<Change> {
        parse(instruction).map_err(|why| Error::Change { instruction: instruction.to_owned(), why })
    }
}

impl Change {
    /// Alters `settings`.
    pub fn apply(&self, settings: &mut Settings) {
        let empty = || Value::Object(Map::new());
        match self {
            Change::Cmd(words) => settings.cmd = words.in_shell(&settings.shell),
            Change::Entrypoint(words) => settings.entrypoint = words.in_shell(&settings.shell),
            Change::Env(pairs) => {
                for (name, value) in pairs {
                    let prefix = format!("{name}=");
                    let entry = format!("{prefix}{value}");
                    match settings.env.iter_mut().find(|e| e.starts_with(&prefix)) {
                        Some(old) => *old = entry,
                        None => settings.env.push(entry),
                    }
                }
            }
            Change::Expose(ports) => {
                settings.exposed_ports.extend(ports.iter().map(|port| (port.clone(), empty())));
            }
            Change::Label(pairs) => settings.labels.extend(pairs.iter().cloned()),
            Change::OnBuild(trigger) => settings.on_build.push(trigger.clone()),
            Change::StopSignal(signal) => settings.stop_signal.clone_from(signal),
            Change::User(user) => settings.user.clone_from(user),
            Change::Volume(paths) => {
                settings.volumes.extend(paths.iter().map(|path| (path.clone(), empty())));
            }
            Change::WorkDir(path) if path.starts_with('/') => settings.working_dir.clone_from(path),
            Change::WorkDir(path) => {
                let base = settings.working_dir.trim_end_matches('/');
                settings.working_dir = format!("{base}/{path}");
            }
            Change::Shell(words) => settings.shell.clone_from(words),
            Change::Healthcheck(check) => settings.healthcheck = Some(Healthcheck::clone(check)),
        }
    }
}

impl Words {
    fn in_shell(&self, shell: &[String]) -> Vec<String> {
        match self {
            Words::Exec(words) => words.clone(),
            Words::Shell(text) if shell.is_empty() => {
                vec!["/bin/sh".into(), "-c".into(), text.clone()]
            }
            Words::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
        }
    }
}

fn parse(instruction: &str) -> Result<Change, String> {
    let instruction = instruction.trim();
    if instruction.contains('\0') {
        return Err("it contains a zero byte".to_owned());
    }
    // podman accepts `CMD=…` beside `CMD …`.
    let end =
        instruction.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(instruction.len());
    let (name, rest) = instruction.split_at(end);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
    let name = name.to_ascii_uppercase();
    if rest.is_empty() && !matches!(name.as_str(), "CMD" | "ENTRYPOINT") {
        return Err(if name.is_empty() { "it is empty" } else { "it needs an argument" }.to_owned());
    }
    Ok(match name.as_str() {
        "CMD" => Change::Cmd(words(rest)?),
        "ENTRYPOINT" => Change::Entrypoint(words(rest)?),
        "ENV" => Change::Env(pairs(rest)?),
        "LABEL" => Change::Label(pairs(rest)?),
        "EXPOSE" => Change::Expose(rest.split_whitespace().map(port).collect::<Result<_, _>>()?),
        "ONBUILD" => Change::OnBuild(rest.to_owned()),
        "STOPSIGNAL" => Change::StopSignal(one_word(rest)?),
        "USER" => Change::User(one_word(rest)?),
        "VOLUME" => Change::Volume(volumes(rest)?),
        "WORKDIR" => Change::WorkDir(single(rest)?),
        "SHELL" => match words(rest)? {
            Words::Exec(shell) if !shell.is_empty() => Change::Shell(shell),
            _ => return Err("SHELL takes a JSON array of words".to_owned()),
        },
        "HEALTHCHECK" => Change::Healthcheck(Box::new(healthcheck(rest)?)),
        other => {
            return Err(format!(
                "the instruction {other:?} is none of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, \
                 SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR"
            ));
        }
    })
}

/// A JSON array of strings, or text for a shell; nothing at all clears it.
fn words(text: &str) -> Result<Words, String> {
    if text.is_empty() {
        return Ok(Words::Exec(Vec::new()));
    }
    if !text.starts_with('[') {
        return Ok(Words::Shell(text.to_owned()));
    }
    let list = serde_json::from_str(text)
        .map_err(|e| format!("the list is no JSON array of strings: {e}"))?;
    Ok(Words::Exec(list))
}

fn volumes(text: &str) -> Result<Vec<String>, String> {
    let paths = match words(text)? {
        Words::Exec(paths) => paths,
        Words::Shell(text) => split(&text)?,
    };
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(format!("the volume {path:?} is no absolute path")),
        None => Ok(paths),
    }
}

fn port(text: &str) -> Result<String, String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let numbers = range.split('-').map(|n| n.parse::<u16>().ok().filter(|n| *n > 0));
    let fits = range.matches('-').count() < 2
        && numbers.clone().all(|n| n.is_some())
        && numbers.is_sorted();
    if !fits || !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(format!(
            "{text:?} is no port: a number or a range, then nothing or /tcp, /udp, /sctp"
        ));
    }
    Ok(format!("{range}/{protocol}"))
}

/// `name=value …`, or the old form `name value`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = split(text)?;
    if words.first().is_some_and(|word| !word.contains('=')) {
        let (name, value) =
            text.split_once(char::is_whitespace).ok_or("it has a name and no value")?;
        return Ok(vec![(single(name)?, single(value.trim())?)]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(format!("{word:?} is not of the form name=value")),
        })
        .collect()
}

fn one_word(text: &str) -> Result<String, String> {
    match split(text)?.as_slice() {
        [word] => Ok(word.clone()),
        _ => Err("it takes one word".to_owned()),
    }
}

/// The whole text as one value, its quotes and backslashes taken away.
fn single(text: &str) -> Result<String, String> {
    Ok(split(text)?.join(" "))
}

/// Words as a shell would see them: spaces separate, quotes and backslashes protect. Nothing is expanded.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('"') | None, '\\') => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("it ends in a backslash".to_owned()),
            },
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// `NONE`, or options and `CMD` with a command.
fn healthcheck(text: &str) -> Result<Healthcheck, String> {
    let mut rest = text;
    let mut other = Map::new();
    while rest.starts_with("--") {
        let (option, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = tail.trim_start();
        let (name, value) =
            option.split_once('=').ok_or_else(|| format!("{option:?} has no value"))?;
        let (key, value) = match name {
            "--interval" => ("Interval", nanoseconds(value)?),
            "--timeout" => ("Timeout", nanoseconds(value)?),
            "--start-period" => ("StartPeriod", nanoseconds(value)?),
            "--retries" => {
                ("Retries", value.parse::<i64>().map_err(|_| format!("{value:?} is no number"))?)
            }
            _ => return Err(format!("{name:?} is no option of HEALTHCHECK")),
        };
        other.insert(key.to_owned(), value.into());
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let test = match (kind.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") if other.is_empty() => vec!["NONE".to_owned()],
        ("CMD", command) if !command.is_empty() => match words(command)? {
            Words::Exec(words) => [vec!["CMD".to_owned()], words].concat(),
            Words::Shell(text) => vec!["CMD-SHELL".to_owned(), text],
        },
        _ => return Err("HEALTHCHECK takes NONE, or options and CMD with a command".to_owned()),
    };
    Ok(Healthcheck { test, other })
}

/// Go's durations: `1m30s`, `500ms`.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration like 30s or 1m30s");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    i64::try_from(span.as_nanos()).ok().filter(|n| *n >= 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(changes: &[&str], expected: &Expect) {
        let mut settings = Settings::default();
        for change in changes {
            change.parse::<Change>().unwrap().apply(&mut settings);
        }
        expected.assert_eq(&serde_json::to_string(&settings).unwrap());
    }

    #[test]
    fn commands_in_both_forms() {
        check(
            &[r#"CMD ["sh", "-l"]"#, "entrypoint echo  hi"],
            &expect![[r#"{"Entrypoint":["/bin/sh","-c","echo  hi"],"Cmd":["sh","-l"]}"#]],
        );
        check(
            &[r#"SHELL ["/bin/bash","-c"]"#, "CMD=ls"],
            &expect![[r#"{"Cmd":["/bin/bash","-c","ls"],"Shell":["/bin/bash","-c"]}"#]],
        );
        check(&["CMD a", "CMD []"], &expect!["{}"]);
    }

    #[test]
    fn pairs_quoted_and_in_the_old_form() {
        check(
            &[r#"ENV A=1 B="two words" C='$x'"#, "ENV A=2", "ENV D a b", r"LABEL x=a\ b y="],
            &expect![[
                r#"{"Env":["A=2","B=two words","C=$x","D=a b"],"Labels":{"x":"a b","y":""}}"#
            ]],
        );
    }

    #[test]
    fn the_rest() {
        check(
            &[
                "EXPOSE 80 53/udp 1000-1010",
                "USER app:app",
                "VOLUME /data",
                r#"VOLUME ["/a b"]"#,
                "WORKDIR /srv",
                "WORKDIR x",
                "STOPSIGNAL SIGINT",
                "ONBUILD RUN true",
                "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f x",
            ],
            &expect![[
                r#"{"User":"app:app","ExposedPorts":{"1000-1010/tcp":{},"53/udp":{},"80/tcp":{}},"Volumes":{"/a b":{},"/data":{}},"WorkingDir":"/srv/x","StopSignal":"SIGINT","Healthcheck":{"Test":["CMD-SHELL","curl -f x"],"Interval":90000000000,"Retries":3},"OnBuild":["RUN true"]}"#
            ]],
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let cases = [
            ("", "empty"),
            ("RUN true", "none of"),
            ("ENV", "argument"),
            ("ENV A", "no value"),
            ("ENV A=1 B", "name=value"),
            ("ENV =x", "name=value"),
            ("CMD [1]", "JSON"),
            ("CMD [\"a\"", "JSON"),
            ("EXPOSE http", "no port"),
            ("EXPOSE 0", "no port"),
            ("EXPOSE 9-8", "no port"),
            ("EXPOSE 80/icmp", "no port"),
            ("VOLUME data", "absolute"),
            ("USER a b", "one word"),
            ("LABEL a=\"b", "quote"),
            ("LABEL a=b\\", "backslash"),
            ("HEALTHCHECK curl", "HEALTHCHECK takes"),
            ("HEALTHCHECK --x=1 CMD y", "no option"),
            ("HEALTHCHECK --interval=x CMD y", "no duration"),
            ("SHELL sh", "JSON"),
        ];
        for (text, why) in cases {
            let error = text.parse::<Change>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?} gives {error}");
        }
    }
}
