//! The process of a planned container: arguments, environment, user, working directory.
//!
//! What the flags say wins over what the image says, as podman-create(1) has it.

use oci_spec::image::Config as ImageConfig;

use crate::error::{Error, Result};
use crate::request::{CreateRequest, ProcessOptions};

/// The entry point and the command, apart, as inspect and commit show them.
pub(super) struct Command {
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
}

impl Command {
    /// The arguments of the process.
    pub(super) fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }
}

/// Entry point and command: `--entrypoint` drops the image's command too.
pub(super) fn command(request: &CreateRequest, image: Option<&ImageConfig>) -> Result<Command> {
    let of_image = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
    let own_entrypoint = request.process.entrypoint.as_ref();
    let entrypoint = match own_entrypoint {
        // `--entrypoint ""` arrives as an empty list or one empty word: the image's is dropped.
        Some(words) => words.iter().filter(|w| words.len() > 1 || !w.is_empty()).cloned().collect(),
        None => of_image(image.and_then(|c| c.entrypoint().as_ref())),
    };
    let command = if !request.command.is_empty() {
        request.command.clone()
    } else if own_entrypoint.is_some() {
        Vec::new()
    } else {
        of_image(image.and_then(|c| c.cmd().as_ref()))
    };
    if entrypoint.is_empty() && command.is_empty() {
        return Err(Error::Invalid(
            "no command to run: none was given, and the image has neither CMD nor ENTRYPOINT; append a command".into(),
        ));
    }
    if entrypoint.iter().chain(&command).any(|word| word.contains('\0')) {
        return Err(Error::Invalid("an argument of the command has a NUL byte in it".into()));
    }
    Ok(Command { entrypoint, command })
}

/// The environment: the image's below, the flags' above; later entries win over earlier ones of one name.
pub(super) fn environment(options: &ProcessOptions, image: Option<&ImageConfig>) -> Vec<String> {
    let mut env: Vec<String> = Vec::new();
    let mut set = |entry: String| {
        let name = entry.split('=').next().unwrap_or_default().to_owned();
        match env.iter_mut().find(|old| old.split('=').next() == Some(&name)) {
            Some(old) => *old = entry,
            None => env.push(entry),
        }
    };
    if !options.unset_env_all {
        let of_image = image.and_then(|c| c.env().as_ref()).into_iter().flatten();
        for entry in of_image {
            let name = entry.split('=').next().unwrap_or_default();
            if !name.is_empty() && !options.unset_env.iter().any(|unset| unset == name) {
                // An entry without `=` in an image is a variable with an empty value.
                set(if entry.contains('=') { entry.clone() } else { format!("{entry}=") });
            }
        }
    }
    for var in &options.env {
        set(var.to_string());
    }
    env
}

/// The names that stay unset whatever the defaults are.
pub(super) fn unset(options: &ProcessOptions) -> Vec<String> {
    let mut names = options.unset_env.clone();
    if options.unset_env_all {
        names.extend(["PATH", "TERM", "HOSTNAME", "HOME", "container"].map(str::to_owned));
    }
    names.retain(|name| !options.env.iter().any(|var| &var.name == name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{EnvVar, Source};
    use oci_spec::image::ConfigBuilder;

    fn image() -> ImageConfig {
        ConfigBuilder::default()
            .entrypoint(vec!["/entry".to_owned()])
            .cmd(vec!["cmd".to_owned()])
            .env(vec!["A=1".to_owned(), "B=2".to_owned()])
            .build()
            .unwrap()
    }

    fn request(entrypoint: Option<&[&str]>, command: &[&str]) -> CreateRequest {
        let mut request = CreateRequest::new(Source::Image("x".into()));
        request.process.entrypoint =
            entrypoint.map(|e| e.iter().map(ToString::to_string).collect());
        request.command = command.iter().map(ToString::to_string).collect();
        request
    }

    #[test]
    fn entrypoint_and_command_as_podman_combines_them() {
        let image = image();
        for (entrypoint, words, expected) in [
            (None, &[][..], "/entry cmd"),
            (None, &["x", "y"], "/entry x y"),
            (Some(&["sh"][..]), &[], "sh"),
            (Some(&["sh", "-c"]), &["true"], "sh -c true"),
            (Some(&[""]), &["true"], "true"),
            (Some(&[]), &["true"], "true"),
        ] {
            let command = command(&request(entrypoint, words), Some(&image)).unwrap();
            assert_eq!(command.args().join(" "), expected, "{entrypoint:?} {words:?}");
        }
        assert!(command(&request(Some(&[""]), &[]), Some(&image)).is_err());
        assert!(command(&request(None, &[]), None).is_err());
    }

    #[test]
    fn flags_win_over_the_image_and_unset_wins_over_both_defaults() {
        let mut options = ProcessOptions {
            env: vec![
                EnvVar { name: "B".into(), value: "x".into() },
                EnvVar { name: "C".into(), value: "y".into() },
            ],
            unset_env: vec!["A".into(), "C".into(), "PATH".into()],
            ..ProcessOptions::default()
        };
        assert_eq!(environment(&options, Some(&image())), ["B=x", "C=y"]);
        assert_eq!(unset(&options), ["A", "PATH"]);
        options.unset_env_all = true;
        options.env.clear();
        assert!(environment(&options, Some(&image())).is_empty());
    }
}
