//! A real registry on loopback: Debian's docker-registry, in a directory of its own, as a test wants it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::command::Running;
use crate::env::TestEnv;
use crate::netns::NetNs;
use crate::wait::wait_until;

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    running: Option<Running>,
    netns: NetNs,
}

/// What a registry wants of who asks.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// A certificate and its key: it speaks https.
    pub tls: Option<(String, String)>,
    /// A file of users as htpasswd writes it (bcrypt).
    pub users: Option<String>,
    /// More of its configuration, as YAML at the top.
    pub more: String,
}

impl Registry {
    /// One that anybody may use, without TLS.
    #[track_caller]
    pub fn new(env: &TestEnv) -> Self {
        Self::with(env, &Wants::default())
    }

    /// One that is particular.
    #[track_caller]
    pub fn with(env: &TestEnv, wants: &Wants) -> Self {
        let netns = env.netns().clone();
        let port = netns.inside(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("an address").port()
        });
        let host = format!("127.0.0.1:{port}");
        let dir = env.make_dir(&format!("registry-{port}"));
        let mut conf = format!(
            "version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {dir}\n  delete:\n    enabled: true\n"
        );
        conf.push_str(&format!("http:\n  addr: {host}\n  secret: s\n"));
        if let Some((certificate, key)) = &wants.tls {
            conf.push_str(&format!("  tls:\n    certificate: {certificate}\n    key: {key}\n"));
        }
        if let Some(users) = &wants.users {
            conf.push_str(&format!("auth:\n  htpasswd:\n    realm: test\n    path: {users}\n"));
        }
        conf.push_str(&wants.more);
        let file = env.write(&format!("registry-{port}.yml"), conf);
        let running = env.tool("/usr/bin/docker-registry").args(["serve", &file]).spawn();
        wait_until("the registry listens", || netns.inside(|| TcpStream::connect(&host).is_ok()));
        Self { host, netns, running: Some(running) }
    }

    /// Where its blobs are, for damage.
    pub fn dir(&self, env: &TestEnv) -> String {
        let port = self.host.rsplit(':').next().unwrap_or_default();
        env.file(&format!("registry-{port}"))
    }

    /// Puts an OCI layout's image there, by skopeo.
    #[track_caller]
    pub fn put(&self, env: &TestEnv, source: &str, name: &str) {
        let target = format!("docker://{}/{name}", self.host);
        env.tool("/usr/bin/skopeo")
            .args(["copy", "--insecure-policy", "--dest-tls-verify=false", source, &target])
            .ok();
    }

    /// The answer to a plain GET.
    pub fn get(&self, path: &str) -> String {
        let host = &self.host;
        let mut stream = self.netns.inside(|| TcpStream::connect(host).expect("it listens"));
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host);
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.signal(nix::sys::signal::Signal::SIGTERM);
            if !std::thread::panicking() {
                running.finish();
            }
        }
    }
}
