//! Errors: their text, a hint, and the exit code.
//!
//! The codes are podman's: 125 an error of dhow itself, 126 the command cannot be invoked, 127 it cannot be found, any
//! other the container's own.

use std::io::Write as _;

use dhow_engine::Error as EngineError;

/// An error of dhow itself: a wrong flag, an unknown container, a full disk.
pub(crate) const ENGINE: u8 = 125;

/// A container ended and nobody saw how.
const UNKNOWN: u8 = 255;

/// Success.
pub(crate) const SUCCESS: u8 = 0;

/// Prints an error and says which exit code it means.
pub(crate) fn report(error: &anyhow::Error) -> u8 {
    // Whoever reads us has gone (`dhow ps | head`): there is nobody to tell, and it is not an error of ours.
    if is_broken_pipe(error) {
        return SUCCESS;
    }
    print(error);
    code(error)
}

/// Prints an error; commands about several containers do so for each.
pub(crate) fn print(error: &anyhow::Error) {
    let mut text = format!("Error: {}", one_line(error));
    if let Some(hint) = hint(error) {
        text.push_str("\nHint: ");
        text.push_str(hint);
    }
    warn_line(&text);
}

/// Prints a line to stderr. That it cannot be written is nobody's concern.
pub(crate) fn warn_line(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// The exit code an error means.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    engine_error(error).map_or(ENGINE, EngineError::exit_code)
}

/// The exit code for a container's own. None was seen (−1): the monitor killed it when its time was over, or has died;
/// podman's code for that is 255.
pub(crate) fn exit_code(code: i32, why: impl FnOnce() -> String) -> u8 {
    u8::try_from(code).unwrap_or_else(|_| {
        warn_line(&format!("Error: the exit code is not known: {}", why()));
        UNKNOWN
    })
}

/// The engine's error in a chain.
pub(crate) fn engine_error(error: &anyhow::Error) -> Option<&EngineError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// Whether the error says that a container or image does not exist.
pub(crate) fn is_no_such(error: &anyhow::Error) -> bool {
    matches!(engine_error(error), Some(EngineError::NoSuch { .. }))
}

/// The layers of an error, outermost first; a layer that only repeats the one above is left out.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let layer = cause.to_string();
        if text.ends_with(&layer) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&layer);
    }
    text
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match engine_error(error)? {
        EngineError::NameInUse { .. } => {
            Some("remove that container, choose another name, or use --replace")
        }
        EngineError::Ambiguous { .. } => Some("give more characters of the id"),
        EngineError::NoSuch { object: dhow_engine::Object::Container, .. } => {
            Some("`dhow ps -a` lists the containers")
        }
        EngineError::NoSuch { object: dhow_engine::Object::Image, .. } => {
            Some("`dhow images` lists the images; `dhow pull` and `dhow load` bring them in")
        }
        _ => None,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
        && engine_error(error).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_repeats_is_shown_once() {
        let error = anyhow::anyhow!("disk full")
            .context("cannot write x: disk full")
            .context("cannot load");
        assert_eq!(one_line(&error), "cannot load: cannot write x: disk full");
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        let gone = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
            .context("cannot write");
        assert_eq!(report(&gone), SUCCESS);
        assert_eq!(code(&anyhow::anyhow!("x")), ENGINE);
    }
}
