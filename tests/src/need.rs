//! What a test needs of the machine, declared by [`requires!`](crate::requires).

use std::path::Path;

/// Returns from the test, loudly, where the machine lacks something; with `STRICT=1`, as in CI, fails instead.
///
/// Words: `root`, `overlay`, `pty`, or the name of a program on the path.
#[macro_export]
macro_rules! requires {
    ($($need:literal),+ $(,)?) => {
        if let Some(missing) = $crate::missing(&[$($need),+]) {
            assert!(!$crate::strict(), "this test needs {missing}, and STRICT is set");
            println!("skipped: this test needs {missing}");
            return;
        }
    };
}

/// Whether a skip is a failure.
#[expect(clippy::disallowed_methods, reason = "STRICT is how whoever runs the tests says it")]
pub fn strict() -> bool {
    std::env::var_os("STRICT").is_some_and(|value| value != "0")
}

/// The first of `needs` that the machine does not have.
pub fn missing<'a>(needs: &[&'a str]) -> Option<&'a str> {
    needs.iter().find(|need| !present(need)).copied()
}

fn present(need: &str) -> bool {
    match need {
        "root" => nix::unistd::geteuid().is_root(),
        "overlay" => std::fs::read_to_string("/proc/filesystems")
            .is_ok_and(|list| list.contains("\toverlay")),
        "pty" => Path::new("/dev/ptmx").exists(),
        "memory-cgroup" => Path::new("/sys/fs/cgroup/memory").exists() || controller("memory"),
        program => ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists()),
    }
}

fn controller(name: &str) -> bool {
    std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|list| list.split_whitespace().any(|controller| controller == name))
}
