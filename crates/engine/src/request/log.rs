//! `--log-driver` and `--log-opt`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ByteSize, Invalid};

/// Where a container's output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// A text line a line, as Kubernetes has it.
    #[default]
    K8sFile,
    /// A JSON object a line, as Docker has it.
    JsonFile,
    /// Nowhere.
    None,
    /// Nowhere: the container writes to what its starter writes to.
    Passthrough,
}

impl FromStr for LogDriver {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "k8s-file" => Ok(Self::K8sFile),
            "json-file" => Ok(Self::JsonFile),
            "none" => Ok(Self::None),
            "passthrough" => Ok(Self::Passthrough),
            "journald" => {
                Err("not supported yet: expected k8s-file, json-file, none or passthrough")
            }
            _ => Err("expected k8s-file, json-file, none or passthrough"),
        }
        .map_err(|why| Invalid::new("log driver", text, why))
    }
}

impl fmt::Display for LogDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K8sFile => "k8s-file",
            Self::JsonFile => "json-file",
            Self::None => "none",
            Self::Passthrough => "passthrough",
        })
    }
}

/// A container's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogOptions {
    /// `--log-driver`.
    pub driver: LogDriver,
    /// `--log-opt path=`: absolute; none: in the container's directory.
    pub path: Option<PathBuf>,
    /// `--log-opt max-size=`: a file is rotated before it grows past this.
    pub max_size: Option<ByteSize>,
    /// `--log-opt max-file=`: so many files are kept, the current one included.
    pub max_files: Option<u32>,
}

/// One `--log-opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOption {
    /// `path=`.
    Path(PathBuf),
    /// `max-size=`; 0 or −1: no limit.
    MaxSize(Option<ByteSize>),
    /// `max-file=`.
    MaxFiles(u32),
}

impl LogOption {
    /// Adds the option to what has been asked for.
    pub fn apply(self, to: &mut LogOptions) {
        match self {
            Self::Path(path) => to.path = Some(path),
            Self::MaxSize(size) => to.max_size = size,
            Self::MaxFiles(count) => to.max_files = Some(count),
        }
    }
}

impl FromStr for LogOption {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("log option", text, why);
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| invalid("expected NAME=VALUE, as in max-size=10m"))?;
        match key {
            "path" if !value.is_empty() => Ok(Self::Path(value.into())),
            "path" => Err(invalid("expected path=FILE")),
            "max-size" => match value {
                "-1" | "0" => Ok(Self::MaxSize(None)),
                _ => {
                    let size = value.parse().map_err(|e: Invalid| invalid(&e.why))?;
                    if size == ByteSize(0) {
                        Ok(Self::MaxSize(None))
                    } else {
                        Ok(Self::MaxSize(Some(size)))
                    }
                }
            },
            "max-file" => match value.parse() {
                Ok(count) if count > 0 => Ok(Self::MaxFiles(count)),
                _ => Err(invalid("expected a number of files, at least 1")),
            },
            "tag" | "label" => {
                Err(invalid("not supported yet: expected path=, max-size= or max-file="))
            }
            _ => Err(invalid("expected path=, max-size= or max-file=")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_drivers_and_options() {
        for text in ["k8s-file", "json-file", "none", "passthrough"] {
            assert_eq!(text.parse::<LogDriver>().unwrap().to_string(), text);
        }
        assert!(
            "journald".parse::<LogDriver>().unwrap_err().to_string().contains("not supported yet")
        );
        assert_eq!("max-size=10k".parse(), Ok(LogOption::MaxSize(Some(ByteSize(10240)))));
        assert_eq!("max-size=-1".parse(), Ok(LogOption::MaxSize(None)));
        assert_eq!("max-file=3".parse(), Ok(LogOption::MaxFiles(3)));
        assert_eq!("path=/x".parse(), Ok(LogOption::Path("/x".into())));
        for bad in ["", "path=", "path", "max-size=a", "max-file=0", "tag=x", "colour=blue"] {
            assert!(bad.parse::<LogOption>().is_err(), "{bad}");
        }
    }
}
