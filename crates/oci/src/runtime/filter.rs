//! The system call filter, compiled for a runtime that takes it so.
//!
//! crun compiles the profile with libseccomp at each create, which takes longer than all else it does, unless an
//! annotation of the spec holds the program. The profile stays in the spec: its flags count, and a crun that does not know
//! the annotation goes by it. A further process (`exec`) gets the program that crun has kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_spec::runtime::Spec;

use super::{Runtime, RuntimeKind};

/// crun(1): a program for `seccomp(SECCOMP_SET_MODE_FILTER)`, as base64.
const ANNOTATION: &str = "run.oci.seccomp_bpf_data";

impl Runtime {
    /// Puts the compiled filter into a spec, if this runtime takes one. An annotation that the user has set stays.
    ///
    /// A profile that is not compiled here (for an architecture without a table) is the runtime's to compile, or to
    /// refuse: the container is confined all the same.
    pub fn hand_over_filter(&self, spec: &mut Spec) {
        if self.kind != RuntimeKind::Crun {
            return;
        }
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let Some(profile) = profile else { return };
        let program = match dhow_seccomp::compile(profile) {
            Ok(program) => program,
            Err(error) => {
                tracing::debug!(%error, "the filter is left to the runtime to compile");
                return;
            }
        };
        let mut annotations = spec.annotations().clone().unwrap_or_default();
        annotations
            .entry(ANNOTATION.to_owned())
            .or_insert_with(|| STANDARD.encode(program.to_bytes()));
        spec.set_annotations(Some(annotations));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn handed(path: &str, spec: &str) -> Option<String> {
        let path = PathBuf::from(path);
        let kind = RuntimeKind::of(&path);
        let runtime = Runtime { path, kind, state_root: "/s".into(), without_cgroups: false };
        let mut spec: Spec = serde_json::from_str(spec).unwrap();
        runtime.hand_over_filter(&mut spec);
        assert!(serde_json::to_string(&spec).unwrap().contains("seccomp"));
        spec.annotations().as_ref()?.get(ANNOTATION).cloned()
    }

    const SPEC: &str = r#"{"ociVersion":"1.0.2","linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW",
        "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}}}"#;

    #[test]
    fn crun_gets_the_program_and_others_the_profile_alone() {
        let program = STANDARD.decode(handed("/usr/bin/crun", SPEC).unwrap()).unwrap();
        assert_eq!(program.len() % 8, 0);
        // The last instruction of a program answers.
        assert_eq!(program[program.len() - 8..][..2], 6u16.to_ne_bytes());
        assert_eq!(handed("/usr/bin/runc", SPEC), None);
        assert_eq!(handed("/usr/bin/youki", SPEC), None);
    }

    #[test]
    fn what_cannot_be_compiled_is_left_to_crun_and_the_users_own_program_stays() {
        let foreign =
            SPEC.replace(r#""syscalls""#, r#""architectures":["SCMP_ARCH_PARISC"],"syscalls""#);
        assert_eq!(handed("crun", &foreign), None);
        let own = SPEC
            .replace(r#""linux""#, r#""annotations":{"run.oci.seccomp_bpf_data":"b3du"},"linux""#);
        assert_eq!(handed("crun", &own).as_deref(), Some("b3du"));
        let unconfined = r#"{"ociVersion":"1.0.2","annotations":{"seccomp":"none"},"linux":{}}"#;
        assert_eq!(handed("crun", unconfined), None);
    }
}
