//! The world of one test: private directories, commands in a known environment, and a search for leaks at the end.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::command::{Run, Transcript, split};
use crate::image;
use crate::leak;
use crate::netns::NetNs;
use crate::process::{Children, Proc};

/// A private root, run root, home and temporary directory. See the crate's invariant.
#[derive(Debug)]
pub struct TestEnv {
    dir: TempDir,
    transcript: Transcript,
    runtime: Option<String>,
    program: PathBuf,
    netns: NetNs,
}

impl TestEnv {
    /// An empty engine.
    #[track_caller]
    #[expect(
        clippy::new_without_default,
        reason = "a default that makes directories and panics would surprise"
    )]
    pub fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("dhow-test-").tempdir().expect("a temporary directory");
        for name in ["home", "tmp", "work"] {
            std::fs::create_dir(dir.path().join(name)).expect("a directory of our own");
        }
        let netns = NetNs::new();
        Self {
            dir,
            transcript: Transcript::default(),
            runtime: None,
            program: binary("dhow"),
            netns,
        }
    }

    /// An engine that has the base image.
    #[track_caller]
    pub fn with_base() -> Self {
        let env = Self::new();
        env.load_base();
        env
    }

    /// Uses this executable in place of the built `dhow`.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Uses this OCI runtime in place of the default one.
    #[must_use]
    pub fn runtime(mut self, runtime: &str) -> Self {
        self.runtime = Some(runtime.to_owned());
        self
    }

    /// Loads the base image.
    #[track_caller]
    pub fn load_base(&self) {
        self.dhow("load -q -i").arg(image::base_archive()).ok();
    }

    /// The network that its commands run in: of this environment alone, with nothing in it but a loopback device.
    pub fn netns(&self) -> &NetNs {
        &self.netns
    }

    /// The directory that holds all of it.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `root/…` of `docs/on-disk.md`.
    pub fn root(&self, below: &str) -> PathBuf {
        self.path().join("root").join(below)
    }

    /// `run/…` of `docs/on-disk.md`.
    pub fn run_root(&self, below: &str) -> PathBuf {
        self.path().join("run").join(below)
    }

    /// A place for the test's own files, in text as commands want it.
    pub fn file(&self, name: &str) -> String {
        self.path().join("work").join(name).display().to_string()
    }

    /// Writes a file of the test's own and returns its path.
    #[track_caller]
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.file(name);
        put(Path::new(&path), contents.as_ref());
        path
    }

    /// Makes a directory of the test's own and returns its path.
    #[track_caller]
    pub fn make_dir(&self, name: &str) -> String {
        let path = self.file(name);
        std::fs::create_dir_all(&path).expect("a directory of our own");
        path
    }

    /// `dhow` with this command line (see [`split`]), in the environment of this test.
    pub fn dhow(&self, line: &str) -> Run {
        self.bare().args(self.global()).args(split(line))
    }

    /// `dhow` without even the roots.
    pub fn bare(&self) -> Run {
        self.tool(&self.program)
    }

    /// Another program in the same environment.
    pub fn tool(&self, program: impl AsRef<Path>) -> Run {
        Run::new(program.as_ref(), Transcript::clone(&self.transcript))
            .netns(&self.netns)
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .dir(&self.path().join("work"))
    }

    /// The options that make `dhow` use this environment's directories.
    pub fn global(&self) -> Vec<String> {
        let mut words = vec![
            "--root".to_owned(),
            self.root("").display().to_string().trim_end_matches('/').to_owned(),
        ];
        words.extend([
            "--runroot".to_owned(),
            self.run_root("").display().to_string().trim_end_matches('/').to_owned(),
        ]);
        if let Some(runtime) = &self.runtime {
            words.extend(["--runtime".to_owned(), runtime.clone()]);
        }
        words
    }

    /// Runs `dhow`, which must succeed; stdout without the last newline.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        self.dhow(line).run().ok()
    }

    /// Runs `dhow`, which must fail with this code and one error that contains `needle`.
    #[track_caller]
    pub fn fails(&self, line: &str, code: i32, needle: &str) -> String {
        self.dhow(line).run().fails(code, needle)
    }

    /// Runs `dhow`, which must exit with this code, the container's own say; stdout.
    #[track_caller]
    pub fn code(&self, line: &str, code: i32) -> String {
        self.dhow(line).run().code(code)
    }

    /// One field of a container, by a template of `inspect`.
    #[track_caller]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.dhow("container inspect --format").arg(template).arg(container).ok()
    }

    /// A container's status, as `inspect` prints it.
    #[track_caller]
    pub fn status(&self, container: &str) -> String {
        self.inspect(container, "{{.State.Status}}")
    }

    /// Waits until a container has this status.
    #[track_caller]
    pub fn until(&self, container: &str, status: &str) {
        crate::wait_until(&format!("{container} becomes {status}"), || {
            Children::reap();
            self.status(container) == status
        });
    }

    /// The full id of a container.
    #[track_caller]
    pub fn id(&self, container: &str) -> String {
        self.inspect(container, "{{.Id}}")
    }

    /// The ids of all containers that have a directory, whatever state it is in.
    pub fn ids_on_disk(&self) -> Vec<String> {
        leak::names_in(&self.root("containers"))
    }

    /// The pid of a container's monitor.
    #[track_caller]
    pub fn monitor(&self, container: &str) -> Proc {
        let id = self.id(container);
        let shims = Proc::of_env(self.path());
        let shim = shims.into_iter().find(|process| {
            process.line.contains(&id)
                && process.line.split(' ').next().is_some_and(|name| name.ends_with("dhow-shim"))
        });
        shim.unwrap_or_else(|| panic!("{container} has no monitor"))
    }

    /// The pid of a container's first process, as seen from outside.
    #[track_caller]
    pub fn pid(&self, container: &str) -> u32 {
        self.inspect(container, "{{.State.Pid}}").parse().expect("a pid")
    }

    /// Reaps what has ended, as the init of a machine does.
    pub fn reap(&self) {
        Children::reap();
    }

    /// What a power cut and a boot leave: no process, no mount, and a run directory from an earlier boot.
    #[track_caller]
    pub fn reboot(&self) {
        leak::thaw(&self.ids_on_disk());
        leak::kill_all(self.path());
        leak::unmount_all(self.path());
        leak::remove_cgroups(&self.ids_on_disk());
        put(&self.run_root("boot"), b"00000000-0000-4000-8000-000000000000\n");
    }

    /// Asserts that nothing of this environment is left outside its files. A monitor may still be on its way out: it
    /// leaves after the command that has attended its container.
    #[track_caller]
    pub fn assert_quiet(&self) {
        let mut left = leak::settled_outside(self.path());
        left.extend(leak::settled_links(&self.netns));
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// Asserts that there is no container any more, nor anything of one.
    #[track_caller]
    pub fn assert_no_containers(&self) {
        Children::reap();
        let left = leak::containers(self.path());
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        self.assert_quiet();
    }

    /// Asserts that there is no container any more once what is ending has ended, nor a cgroup of these ids.
    #[track_caller]
    pub fn assert_no_containers_soon(&self, ids: &[String]) {
        let left = leak::settled_containers(self.path(), ids);
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// How many layers there are, half-made ones included.
    pub fn layers(&self) -> usize {
        leak::names_in(&self.root("layers")).iter().filter(|name| !name.contains("lock")).count()
    }

    /// Gives up on this environment: it is swept away without being judged.
    pub fn abandon(self) {
        leak::kill_all(self.path());
        leak::unmount_all(self.path());
        for name in ["root", "run", "tmp"] {
            std::fs::remove_dir_all(self.path().join(name)).ok();
        }
    }

    /// Removes every container and image through `dhow`, then lists what is left all the same.
    fn finish(&self) -> Vec<String> {
        if !self.root("").exists() {
            return leak::outside(self.path());
        }
        let ids = self.ids_on_disk();
        let mut left = Vec::new();
        for line in
            ["rm --all --force --time 0 --volumes", "rmi --all --force", "network prune --force"]
        {
            let output = self.dhow(line).run();
            if output.code != 0 {
                left.push(format!("`{line}` exited {}: {}", output.code, output.stderr));
            }
        }
        Children::reap();
        left.extend(leak::settled(self.path(), &ids));
        left.extend(leak::settled_links(&self.netns));
        left.extend(leak::tables(&self.netns));
        left
    }

    fn report(&self) -> String {
        let mut text = self.transcript.lock().map(|text| text.clone()).unwrap_or_default();
        text.push_str("\n--- tree\n");
        leak::tree(self.path(), &mut text);
        for id in self.ids_on_disk() {
            for name in ["ctr.log", "bundle/runtime.log", "runtime.log"] {
                if let Ok(log) =
                    std::fs::read_to_string(self.root("containers").join(&id).join(name))
                {
                    text.push_str(&format!("--- {id}/{name}\n{log}\n"));
                }
            }
        }
        text
    }
}

impl Drop for TestEnv {
    #[expect(clippy::print_stderr, reason = "this is how a failing test tells what happened")]
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let left = if failed { Vec::new() } else { self.finish() };
        if failed || !left.is_empty() {
            eprintln!("--- what happened in {}\n{}", self.path().display(), self.report());
        }
        leak::thaw(&self.ids_on_disk());
        leak::kill_all(self.path());
        leak::unmount_all(self.path());
        leak::remove_cgroups(&self.ids_on_disk());
        assert!(failed || left.is_empty(), "the test passed but left behind:\n{}", left.join("\n"));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own files need no durability")]
fn put(path: &Path, contents: &[u8]) {
    std::fs::write(path, contents)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// One of the programs under test, beside the test binary's directory.
///
/// # Panics
/// When it has not been built: cargo does not build another package's programs for a test.
#[track_caller]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let dirs = own.ancestors().skip(1).take(2);
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo xtask test`, or `cargo build` before `cargo test`")
    })
}
