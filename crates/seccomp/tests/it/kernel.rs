//! A program in the kernel: it holds for the thread that installs it, so that a thread of the test is confined.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dhow_seccomp::{Program, compile};
use dhow_sys::{seccomp, watch};

/// Whether this thread may install a filter; where it may not, that is a failure if STRICT is set.
fn permitted() -> bool {
    let permitted = is_root();
    assert!(permitted || !crate::strict(), "this test needs root, and STRICT is set");
    permitted
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn program(text: &str) -> Program {
    compile(&serde_json::from_str(text).unwrap()).unwrap()
}

fn install(program: &Program) -> Option<OwnedFd> {
    seccomp::install(program.instructions(), program.flags()).unwrap()
}

fn make_dir(path: &std::path::Path) -> Result<(), Option<i32>> {
    std::fs::create_dir(path).map_err(|error| error.raw_os_error())
}

#[test]
fn what_is_denied_is_denied_and_the_rest_goes_on() {
    if !permitted() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let confined = thread::spawn(move || {
        let program = program(
            r#"{"defaultAction":"SCMP_ACT_ALLOW",
                "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],
                "flags":["SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_LOG"],
                "syscalls":[
                    {"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":95,"args":[{"index":1,"value":511,"op":"SCMP_CMP_EQ"}]},
                    {"names":["symlink","symlinkat"],"action":"SCMP_ACT_ERRNO"}]}"#,
        );
        assert!(install(&program).is_none());
        assert_eq!(make_dir(&path.join("with 0777")), Err(Some(95)));
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().mode(0o700).create(path.join("with 0700")).unwrap();
        let error = std::os::unix::fs::symlink("a", path.join("b")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.contains("Seccomp:\t2"), "{status}");
    });
    confined.join().unwrap();
    // Another thread is as free as before.
    make_dir(&dir.path().join("free")).unwrap();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_newer_than_the_profile_is_an_old_kernels_and_an_older_one_gets_the_default() {
    if !permitted() {
        return;
    }
    let confined = thread::spawn(|| {
        let program = program(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
                {"names":["clone3"],"action":"SCMP_ACT_TRAP"},
                {"names":["read","write","open","openat","fstat","newfstatat","statx","mmap","munmap","madvise","exit","exit_group","futex","close","rt_sigprocmask","sigaltstack","mprotect"],"action":"SCMP_ACT_ALLOW"}]}"#,
        );
        install(&program);
        let old = make_dir(std::path::Path::new("/proc/no"));
        // openat2 is 437, clone3 435.
        let new = dhow_sys::root::Root::open("/").and_then(|root| root.open_dir("proc"));
        let new = new.map(drop).map_err(|error| error.raw_os_error());
        (old, new)
    });
    let (old, new) = confined.join().unwrap();
    assert_eq!(old, Err(Some(1)));
    assert_eq!(new, Err(Some(38)));
}

#[test]
fn a_listener_gets_what_is_notified() {
    if !permitted() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notified");
    let (sender, receiver) = mpsc::channel();
    let confined = thread::spawn(move || {
        let program = program(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
                "syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        );
        assert!(program.notify());
        sender.send(install(&program).unwrap()).unwrap();
        make_dir(&path)
    });
    let listener = receiver.recv().unwrap();
    let ready = watch::wait_readable(&[listener.as_fd()], Some(Duration::from_secs(30))).unwrap();
    assert_eq!(ready, Some(0));
    // Nobody answers any more.
    drop(listener);
    assert_eq!(confined.join().unwrap(), Err(Some(38)));
}

#[test]
fn nothing_is_installed_by_a_program_that_the_kernel_refuses() {
    if !permitted() {
        return;
    }
    let without_end = seccomp::Instruction { code: 0x20, jt: 0, jf: 0, k: 0 };
    let error = seccomp::install(&[without_end], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
