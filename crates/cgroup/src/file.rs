//! The files of a cgroup's directory.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use crate::{Directory, Error};

/// The longest value that is read: `memory.stat` and device lists stay far below.
const MAX: u64 = 1 << 20;

/// Writes a value in one write(2). The file must be there: it is never made.
pub(crate) fn write_raw(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

pub(crate) fn read_raw(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX).read_to_string(&mut text)?;
    Ok(text)
}

impl Directory {
    /// Writes a value to a file.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike are handed over")]
    pub(crate) fn write(&self, name: &str, value: impl ToString) -> Result<(), Error> {
        let (path, value) = (self.path.join(name), value.to_string());
        write_raw(&path, &value).map_err(|source| Error::Write { value, path, source })
    }

    /// Writes a value for a property of the spec; where this kernel has no such file, the property is not supported.
    pub(crate) fn set(&self, name: &str, what: &str, value: impl ToString) -> Result<(), Error> {
        match self.write(name, value) {
            Err(Error::Write { source, path, .. })
                if source.kind() == io::ErrorKind::NotFound && !path.exists() =>
            {
                Err(Error::unsupported(format!("{what} (this kernel has no {name})")))
            }
            other => other,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// What a file says, without the line's end.
    pub(crate) fn read(&self, name: &str) -> Result<String, Error> {
        let path = self.path.join(name);
        let mut text = read_raw(&path).map_err(Error::io("read", path))?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    /// As [`Self::read`]; `None` where there is no such file.
    pub(crate) fn read_if_there(&self, name: &str) -> Result<Option<String>, Error> {
        match self.read(name) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// A number; `max` is `u64::MAX`.
    pub(crate) fn number(&self, name: &str) -> Result<u64, Error> {
        let text = self.read(name)?;
        self.parse(name, &text)
    }

    pub(crate) fn number_if_there(&self, name: &str) -> Result<Option<u64>, Error> {
        self.read_if_there(name)?.map(|text| self.parse(name, &text)).transpose()
    }

    fn parse(&self, name: &str, text: &str) -> Result<u64, Error> {
        if text == "max" {
            return Ok(u64::MAX);
        }
        let unreadable =
            |_| Error::Unreadable { path: self.path.join(name), text: text.to_owned() };
        text.parse().map_err(unreadable)
    }
}
