//! Mounts, and `--mount type=…,…`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tmpfs::{TmpfsMount, TmpfsOptions};
use super::{Invalid, volume};

/// Something mounted in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Mount {
    /// A file or directory of the host.
    Bind(BindMount),
    /// A volume.
    Volume(VolumeMount),
    /// Memory.
    Tmpfs(TmpfsMount),
}

/// A file or directory of the host in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// On the host; must be made absolute before the engine gets it.
    pub source: PathBuf,
    /// Absolute.
    pub destination: PathBuf,
    /// How.
    pub options: MountOptions,
}

/// A volume in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Which.
    pub source: VolumeSource,
    /// Absolute.
    pub destination: PathBuf,
    /// How.
    pub options: MountOptions,
}

/// Which volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// By name; made when there is none.
    Named(String),
    /// A new one that is removed with the container (`--rm`, `rm --volumes`).
    Anonymous,
}

/// How something is mounted. None: not said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MountOptions {
    /// `ro` or `rw`.
    pub read_only: Option<bool>,
    /// `rbind` or `bind`: mounts below the source too.
    pub recursive: Option<bool>,
    /// `shared`, `rslave`, …
    pub propagation: Option<Propagation>,
    /// `z` or `Z`: SELinux label of the source.
    pub relabel: Option<Relabel>,
    /// `U`: the source's files get the container user's owner.
    pub chown: bool,
    /// `O`: an overlay above the source, which is itself never written to.
    pub overlay: bool,
    /// `upperdir=`, with `overlay`: keeps what is written.
    pub upper_dir: Option<PathBuf>,
    /// `workdir=`, with `upper_dir`.
    pub work_dir: Option<PathBuf>,
    /// `exec` or `noexec`.
    pub exec: Option<bool>,
    /// `dev` or `nodev`.
    pub dev: Option<bool>,
    /// `suid` or `nosuid`.
    pub suid: Option<bool>,
    /// `copy` or `nocopy`: an empty volume is filled with what the image has there. For a tmpfs `tmpcopyup`.
    pub copy: Option<bool>,
}

/// Propagation of mounts between host and container (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of mount(8)")]
pub enum Propagation {
    Shared,
    Rshared,
    Slave,
    Rslave,
    Private,
    Rprivate,
    Unbindable,
    Runbindable,
}

/// Who may use the relabelled source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relabel {
    /// `z`: every container.
    Shared,
    /// `Z`: this container.
    Private,
}

impl FromStr for Propagation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "shared" => Self::Shared,
            "rshared" => Self::Rshared,
            "slave" => Self::Slave,
            "rslave" => Self::Rslave,
            "private" => Self::Private,
            "rprivate" => Self::Rprivate,
            "unbindable" => Self::Unbindable,
            "runbindable" => Self::Runbindable,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Unbindable => "unbindable",
            Self::Runbindable => "runbindable",
        })
    }
}

/// A word of an option list: `key` or `key=value`.
pub(super) struct Field<'a> {
    pub(super) key: &'a str,
    value: Option<&'a str>,
}

impl<'a> Field<'a> {
    pub(super) fn new(word: &'a str) -> Self {
        match word.split_once('=') {
            Some((key, value)) => Self { key, value: Some(value) },
            None => Self { key: word, value: None },
        }
    }

    /// The value of an option that needs one.
    pub(super) fn value(&self) -> Result<&'a str, String> {
        self.value
            .filter(|v| !v.is_empty())
            .ok_or_else(|| format!("{} needs a value, as in {}=VALUE", self.key, self.key))
    }

    pub(super) fn number<T: FromStr>(&self) -> Result<T, String> {
        self.value()?
            .parse()
            .map_err(|_| format!("{} must be a number that is not negative", self.key))
    }

    /// The value of a switch: alone it means true.
    pub(super) fn flag(&self) -> Result<bool, String> {
        match self.value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(format!("{} takes true or false", self.key)),
        }
    }

    /// Sets what must be said once only.
    pub(super) fn once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), String> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("{}: this has been said already by another option", self.key)),
        }
    }
}

impl MountOptions {
    /// Takes an option that every mount has; `Ok(false)`: it is not one.
    pub(super) fn apply_flags(&mut self, field: &Field<'_>) -> Result<bool, String> {
        let flag = |slot: &mut Option<bool>, means: bool| field.once(slot, field.flag()? == means);
        match field.key {
            "ro" | "readonly" => flag(&mut self.read_only, true)?,
            "rw" => flag(&mut self.read_only, false)?,
            "exec" => flag(&mut self.exec, true)?,
            "noexec" => flag(&mut self.exec, false)?,
            "dev" => flag(&mut self.dev, true)?,
            "nodev" => flag(&mut self.dev, false)?,
            "suid" => flag(&mut self.suid, true)?,
            "nosuid" => flag(&mut self.suid, false)?,
            "U" | "chown" => self.chown = field.flag()?,
            word => match word.parse() {
                Ok(propagation) if field.value.is_none() => {
                    field.once(&mut self.propagation, propagation)?;
                }
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Takes an option of a bind mount or volume; `Ok(false)`: it is not one.
    pub(super) fn apply(&mut self, field: &Field<'_>) -> Result<bool, String> {
        match field.key {
            "bind" => field.once(&mut self.recursive, false)?,
            "rbind" => field.once(&mut self.recursive, true)?,
            "z" => field.once(&mut self.relabel, Relabel::Shared)?,
            "Z" => field.once(&mut self.relabel, Relabel::Private)?,
            "O" => self.overlay = true,
            "upperdir" => field.once(&mut self.upper_dir, field.value()?.into())?,
            "workdir" => field.once(&mut self.work_dir, field.value()?.into())?,
            "idmap" => return Err("idmap is not supported yet".into()),
            _ => return self.apply_flags(field),
        }
        Ok(true)
    }

    /// Refuses options that contradict each other.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.overlay && (self.upper_dir.is_some() || self.work_dir.is_some()) {
            return Err("upperdir and workdir go with O only".into());
        }
        if self.upper_dir.is_some() != self.work_dir.is_some() {
            return Err("upperdir and workdir must be given together".into());
        }
        let absolute =
            [&self.upper_dir, &self.work_dir].into_iter().flatten().all(|dir| dir.is_absolute());
        if !absolute {
            return Err("upperdir and workdir must be absolute paths".into());
        }
        if self.overlay && self.copy.is_some() {
            return Err("copy and nocopy do not go with O".into());
        }
        Ok(())
    }

    /// What the kernel or the runtime carries out, as words of mount(8) in a settled order; what the engine does
    /// itself (relabelling, `U`, `O`, copying) is not among them.
    pub fn words(&self) -> Vec<String> {
        let choice = |on: Option<bool>, yes: &str, no: &str| {
            on.map(|on| if on { yes } else { no }.to_owned())
        };
        [
            choice(self.recursive, "rbind", "bind"),
            choice(self.read_only, "ro", "rw"),
            choice(self.exec, "exec", "noexec"),
            choice(self.dev, "dev", "nodev"),
            choice(self.suid, "suid", "nosuid"),
            self.propagation.map(|propagation| propagation.to_string()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Checks and tidies a path in the container.
pub(super) fn destination(path: &str) -> Result<PathBuf, &'static str> {
    if !path.starts_with('/') {
        return Err("the path in the container must be absolute");
    }
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean == Path::new("/") {
        return Err("nothing can be mounted on the container's root directory");
    }
    Ok(clean)
}

impl Mount {
    /// Where it appears in the container.
    pub fn destination(&self) -> &Path {
        match self {
            Self::Bind(mount) => &mount.destination,
            Self::Volume(mount) => &mount.destination,
            Self::Tmpfs(mount) => &mount.destination,
        }
    }

    /// The path of the host in it, which must be made absolute before the engine gets it.
    pub fn host_path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Bind(mount) => Some(&mut mount.source),
            Self::Volume(_) | Self::Tmpfs(_) => None,
        }
    }
}

impl FromStr for Mount {
    type Err = Invalid;

    /// Reads a `--mount`; a `--volume` is read by [`super::parse_volume`].
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new("mount", text, why);
        let words = comma_separated(text).map_err(|why| invalid(why.into()))?;
        let kinds: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix("type=")).collect();
        let fields: Vec<Field<'_>> =
            words.iter().map(|word| Field::new(word)).filter(|field| field.key != "type").collect();
        match kinds[..] {
            [] | ["volume"] => volume_mount(&fields),
            ["bind"] => bind_mount(&fields),
            ["tmpfs"] => tmpfs_mount(&fields),
            [kind @ ("image" | "devpts" | "glob" | "ramfs" | "artifact")] => Err(format!(
                "type {kind} is not supported yet: expected type=bind, type=tmpfs or type=volume"
            )),
            [kind] => Err(format!(
                "no type is called {kind:?}: expected type=bind, type=tmpfs or type=volume"
            )),
            _ => Err("type is given more than once".into()),
        }
        .map_err(invalid)
    }
}

#[derive(Default)]
struct Ends {
    source: Option<String>,
    destination: Option<PathBuf>,
}

impl Ends {
    fn apply(&mut self, field: &Field<'_>) -> Result<bool, String> {
        match field.key {
            "src" | "source" => field.once(&mut self.source, field.value()?.to_owned())?,
            "dst" | "destination" | "target" => {
                field.once(&mut self.destination, destination(field.value()?)?)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn destination(self) -> Result<PathBuf, String> {
        self.destination.ok_or_else(|| "the destination is missing: dst=PATH".into())
    }
}

/// An option that only says what is so anyway, or that belongs to another system: accepted by nobody's loss.
fn is_without_meaning(field: &Field<'_>) -> bool {
    field.key == "consistency"
}

fn unknown(field: &Field<'_>, kind: &str) -> String {
    format!("a {kind} mount has no option {:?}", field.key)
}

fn bind_mount(fields: &[Field<'_>]) -> Result<Mount, String> {
    let (mut ends, mut options) = (Ends::default(), MountOptions::default());
    for field in fields {
        let known = ends.apply(field)?
            || match field.key {
                "bind-propagation" => {
                    let word = field.value()?;
                    let propagation =
                        word.parse().map_err(|()| format!("no propagation is called {word:?}"))?;
                    field.once(&mut options.propagation, propagation).map(|()| true)?
                }
                "bind-nonrecursive" => {
                    let on = field.flag()?;
                    field.once(&mut options.recursive, !on).map(|()| true)?
                }
                "relabel" => {
                    let relabel = match field.value()? {
                        "shared" => Relabel::Shared,
                        "private" => Relabel::Private,
                        _ => return Err("relabel takes shared or private".into()),
                    };
                    field.once(&mut options.relabel, relabel).map(|()| true)?
                }
                _ => is_without_meaning(field) || options.apply(field)?,
            };
        if !known {
            return Err(unknown(field, "bind"));
        }
    }
    options.check()?;
    let source = ends.source.take().ok_or("the source is missing: src=PATH")?;
    Ok(Mount::Bind(BindMount { source: source.into(), destination: ends.destination()?, options }))
}

fn volume_mount(fields: &[Field<'_>]) -> Result<Mount, String> {
    let (mut ends, mut options) = (Ends::default(), MountOptions::default());
    for field in fields {
        let known = ends.apply(field)?
            || match field.key {
                "copy" => {
                    field.flag().and_then(|on| field.once(&mut options.copy, on)).map(|()| true)?
                }
                "nocopy" | "volume-nocopy" => {
                    field.flag().and_then(|on| field.once(&mut options.copy, !on)).map(|()| true)?
                }
                "subpath" | "volume-subpath" | "volume-opt" => {
                    return Err(format!("{} is not supported yet", field.key));
                }
                _ => is_without_meaning(field) || options.apply(field)?,
            };
        if !known {
            return Err(unknown(field, "volume"));
        }
    }
    options.check()?;
    let source = match ends.source.take() {
        Some(name) => VolumeSource::Named(volume::name(&name)?),
        None => VolumeSource::Anonymous,
    };
    Ok(Mount::Volume(VolumeMount { source, destination: ends.destination()?, options }))
}

fn tmpfs_mount(fields: &[Field<'_>]) -> Result<Mount, String> {
    let (mut ends, mut options) = (Ends::default(), TmpfsOptions::default());
    for field in fields {
        if !(ends.apply(field)? || is_without_meaning(field) || options.apply(field)?) {
            return Err(unknown(field, "tmpfs"));
        }
    }
    if ends.source.is_some() {
        return Err("a tmpfs mount has no source".into());
    }
    Ok(Mount::Tmpfs(TmpfsMount { destination: ends.destination()?, options }))
}

/// Splits at commas; a word in double quotes may hold commas, and two double quotes for one (RFC 4180).
fn comma_separated(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let mut word = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next() {
                    Some('"') if chars.next_if_eq(&'"').is_some() => word.push('"'),
                    Some('"') => break,
                    Some(c) => word.push(c),
                    None => return Err("a quotation mark is not closed"),
                }
            }
        }
        while let Some(c) = chars.next_if(|c| *c != ',') {
            word.push(c);
        }
        if word.is_empty() {
            return Err("an option is empty: expected KEY=VALUE pairs separated by commas");
        }
        words.push(word);
        if chars.next().is_none() {
            return Ok(words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse() {
            Ok(Mount::Bind(m)) => {
                format!(
                    "bind {} {} {}",
                    m.source.display(),
                    m.destination.display(),
                    m.options.words().join(",")
                )
            }
            Ok(Mount::Volume(m)) => {
                format!(
                    "volume {:?} {} {}",
                    m.source,
                    m.destination.display(),
                    m.options.words().join(",")
                )
            }
            Ok(Mount::Tmpfs(m)) => {
                format!("tmpfs {} {}", m.destination.display(), m.options.words().join(","))
            }
            Err(e) => e.why,
        }
    }

    #[test]
    fn reads_the_three_types() {
        assert_eq!(read("type=bind,src=/a,dst=/b,ro"), "bind /a /b ro");
        assert_eq!(
            read(
                "type=bind,source=/a,target=/b/../c/,readonly=false,bind-propagation=rslave,bind-nonrecursive"
            ),
            "bind /a /c bind,rw,rslave"
        );
        assert_eq!(read("type=volume,src=data,dst=/d"), r#"volume Named("data") /d "#);
        assert_eq!(read("dst=/d"), "volume Anonymous /d ");
        assert_eq!(
            read("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700"),
            "tmpfs /t size=1048576,mode=700"
        );
        assert_eq!(read(r#"type=bind,"src=/a,b",dst=/c"#), "bind /a,b /c ");
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, words) in [
            ("", "an option is empty"),
            ("type=bind,src=/a", "destination is missing"),
            ("type=bind,dst=/a", "source is missing"),
            ("type=bind,src=/a,dst=b", "must be absolute"),
            ("type=bind,src=/a,dst=/", "root directory"),
            ("type=bind,src=/a,dst=/b,dst=/c", "said already"),
            ("type=bind,src=/a,dst=/b,ro,rw", "said already"),
            ("type=bind,src=/a,dst=/b,size=1", "no option"),
            ("type=bind,src=/a,dst=/b,bind-propagation=x", "no propagation"),
            ("type=bind,src=/a,dst=/b,upperdir=/u", "with O only"),
            ("type=tmpfs,src=/a,dst=/b", "no source"),
            ("type=nfs,dst=/b", "expected type=bind"),
            ("type=image,src=x,dst=/b", "not supported yet"),
            ("type=bind,type=tmpfs", "more than once"),
            ("type=volume,src=../x,dst=/b", "volume's name"),
            ("type=bind,\"src=/a", "not closed"),
        ] {
            assert!(read(text).contains(words), "{text}: {}", read(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(type=(bind|tmpfs|volume),)?[a-zZOU=/,.\"0-9é-]{0,40}") {
            let _read = text.parse::<Mount>();
        }

        #[test]
        fn option_words_read_back(ro: Option<bool>, recursive: Option<bool>, exec: Option<bool>, suid: Option<bool>) {
            let options = MountOptions { read_only: ro, recursive, exec, suid, ..MountOptions::default() };
            let mut again = MountOptions::default();
            for word in options.words() {
                proptest::prop_assert_eq!(again.apply(&Field::new(&word)), Ok(true));
            }
            proptest::prop_assert_eq!(again, options);
        }
    }
}
