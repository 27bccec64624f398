//! Programs kept by what they were made from.
//!
//! A file's name is the SHA-256 of the profile, the native architecture and this compiler's version; in it are the flags,
//! the instructions, and the SHA-256 of both, without which it does not count. Finding a program takes a fifth of the
//! time of compiling it (`cargo bench -p dhow-seccomp`), so that this stays as plain as it is: nothing is ever removed,
//! which is for the directory's life (a tmpfs) to end.

use std::path::Path;

use dhow_sys::fs::{Durability, create_dir_all, read_bounded, write_atomic};
use dhow_sys::seccomp::{Instruction, MAX_INSTRUCTIONS};
use oci_spec::runtime::LinuxSeccomp;
use sha2::{Digest as _, Sha256};

use crate::{Error, Program, compile, native};

/// To be raised whenever the same profile comes to another program.
const COMPILER: &[u8] = b"dhow-seccomp 1\0";
const DIGEST: usize = 32;

/// As [`compile`], from `dir` where it was compiled before. The directory (made 0700 where it is missing) must be
/// nobody else's: what lies there is what confines a container.
///
/// A file that is damaged is made anew. One that cannot be written is no error: the program is there all the same.
///
/// CRASH: the file comes by a rename; a kill before leaves a temporary one, which nobody reads.
///
/// # Errors
/// As [`compile`].
pub fn cached(dir: &Path, profile: &LinuxSeccomp) -> Result<Program, Error> {
    let path = dir.join(key(profile));
    let kept = read_bounded(&path, 4 + 8 * MAX_INSTRUCTIONS as u64 + DIGEST as u64);
    if let Some(program) = kept.ok().and_then(|bytes| decode(&bytes)) {
        return Ok(program);
    }
    let program = compile(profile)?;
    let bytes = encode(&program);
    if write_atomic(&path, &bytes, 0o600, Durability::Volatile).is_err()
        && create_dir_all(dir, 0o700).is_ok()
    {
        drop(write_atomic(&path, &bytes, 0o600, Durability::Volatile));
    }
    Ok(program)
}

/// A profile has no maps, so that its JSON is always the same.
fn key(profile: &LinuxSeccomp) -> String {
    let mut hash = Sha256::new();
    hash.update(COMPILER);
    hash.update(native().to_string());
    hash.update([0]);
    hash.update(serde_json::to_vec(profile).unwrap_or_default());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(program: &Program) -> Vec<u8> {
    let mut bytes = program.flags().to_ne_bytes().to_vec();
    bytes.extend(program.to_bytes());
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Program> {
    let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if Sha256::digest(body).as_slice() != digest {
        return None;
    }
    let (flags, instructions) = body.split_first_chunk::<4>()?;
    let (instructions, rest) = instructions.as_chunks::<8>();
    let whole = rest.is_empty() && !instructions.is_empty();
    let instructions = instructions.iter().map(|one| Instruction::from_bytes(*one)).collect();
    whole.then(|| Program::from_parts(instructions, u32::from_ne_bytes(*flags)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn profile(name: &str) -> LinuxSeccomp {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","flags":["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls":[{{"names":["{name}"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_program_is_found_again_and_a_damaged_one_made_anew() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("run/seccomp");
        let made = cached(&dir, &profile("read")).unwrap();
        assert_eq!(made, compile(&profile("read")).unwrap());
        assert!(made.notify());
        let files = || std::fs::read_dir(&dir).unwrap().flatten().collect::<Vec<_>>();
        let [file] = files().try_into().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);

        // What lies there is what is answered: another program in its place, with a right digest.
        let other = compile(&profile("getpid")).unwrap();
        write_atomic(&file.path(), &encode(&other), 0o600, Durability::Volatile).unwrap();
        assert_eq!(cached(&dir, &profile("read")).unwrap(), other);
        assert_ne!(other, made);

        for damage in [0, 1, 4, 20, encode(&other).len() - 1] {
            let mut bytes = encode(&other);
            if damage < 4 {
                bytes.truncate(damage);
            } else {
                bytes[damage] ^= 1;
            }
            write_atomic(&file.path(), &bytes, 0o600, Durability::Volatile).unwrap();
            assert_eq!(cached(&dir, &profile("read")).unwrap(), made, "{damage}");
            assert_eq!(std::fs::read(file.path()).unwrap(), encode(&made));
        }
        assert_eq!(cached(&dir, &profile("getpid")).unwrap(), other);
        assert_eq!(files().len(), 2);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = cached(&file.path().join("below a file"), &profile("read")).unwrap();
        assert_eq!(made, compile(&profile("read")).unwrap());
    }
}
