//! Registries: pulling from a real one, with everything it may want, and what is left when that goes wrong.

use dhow_tests::image::Compression;
use dhow_tests::registry::{Registry, Wants};
use dhow_tests::{BASE, Image, Layer, TestEnv, requires};

/// `me` with the password `secret`, as htpasswd writes it.
const USERS: &str = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// A layout with the base image, and what skopeo calls it.
fn layout(env: &TestEnv) -> String {
    let layout = env.file("layout");
    Image::write_oci_dir(&[dhow_tests::image::base()], layout.as_ref());
    format!("oci:{layout}:{BASE}")
}

fn tidy(env: &TestEnv) {
    for entry in std::fs::read_dir(env.path().join("tmp")).expect("it is there").flatten() {
        std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path())).ok();
    }
}

#[test]
fn pull_and_run_from_a_registry() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry");
    let env = TestEnv::new();
    let registry = Registry::new(&env);
    let host = &registry.host;
    registry.put(&env, &layout(&env), "team/base:1");
    let id = dhow_tests::image::base().id();
    let output = env.dhow(&format!("pull --tls-verify=false {host}/team/base:1")).run();
    assert_eq!(output.ok(), id);
    let said = output.both();
    assert!(said.contains(&format!("Trying to pull {host}/team/base:1...")), "{said}");
    assert!(said.contains("Copying blob sha256:") && said.contains("done"), "{said}");
    // Once more: everything is here.
    let again = env.dhow(&format!("pull --tls-verify=false {host}/team/base:1")).run();
    assert!(again.both().contains("already exists"), "{}", again.both());
    assert_eq!(env.ok(&format!("run --rm {host}/team/base:1 cat /data/seed")), "seed");
    // By digest; the name is the digest's.
    let digest = env.ok(&format!("image inspect --format {{{{.Digest}}}} {host}/team/base:1"));
    env.ok(&format!("rmi {host}/team/base:1"));
    let by_digest = format!("{host}/team/base@{digest}");
    assert_eq!(env.ok(&format!("pull -q --tls-verify=false {by_digest}")), id);
    assert_eq!(env.ok(&format!("run --rm {by_digest} echo x")), "x");
    let listed = env.ok("images --format '{{.Repository}} {{.Tag}} {{.Names}}'");
    assert_eq!(listed, format!("{host}/team/base <none> [{by_digest}]"));
    env.ok(&format!("rmi {by_digest}"));
    // run and create pull what is missing, as their flags say.
    let run = format!("run --rm --tls-verify=false {host}/team/base:1 echo pulled");
    env.fails(&run.replace("--rm", "--rm --pull=never"), 125, "no such image");
    assert_eq!(env.ok(&run), "pulled");
    assert_eq!(env.ok(&run.replace("--rm", "--rm --pull=newer -q")), "pulled");
    assert_eq!(env.ok(&run.replace("--rm", "--rm --pull=always -q")), "pulled");
    env.ok("rmi --all");
    env.ok(&format!("create --quiet --tls-verify=false --name c {host}/team/base:1"));
    env.ok("rm c");
    assert!(
        !env.root("partial").exists()
            || std::fs::read_dir(env.root("partial")).expect("a directory").count() == 0
    );
    tidy(&env);
}

#[test]
fn what_a_registry_has_not() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry");
    let env = TestEnv::new();
    let registry = Registry::new(&env);
    let host = &registry.host;
    registry.put(&env, &layout(&env), "base:1");
    env.fails(&format!("pull --tls-verify=false {host}/base:2"), 125, "has no image base:2");
    env.fails(&format!("pull --tls-verify=false {host}/nosuch"), 125, "has no image nosuch");
    let zeros = "0".repeat(64);
    env.fails(
        &format!("pull --tls-verify=false {host}/base@sha256:{zeros}"),
        125,
        "has no manifest",
    );
    // Without being told so, nobody speaks http.
    env.fails(&format!("pull --retry 0 {host}/base:1"), 125, host);
    env.fails("pull --retry 0 127.0.0.1:1/base:1", 125, "127.0.0.1:1");
    env.fails("pull oci-archive:x.tar", 125, "load");
    env.fails(&format!("pull --platform linux {host}/base:1"), 125, "OS/ARCH");
    env.fails("pull a.example/UPPER", 125, "UPPER");
    assert_eq!(env.ok("images -q"), "");
    // An image for somewhere else.
    env.ok(&format!("pull -q --tls-verify=false {host}/base:1"));
    let wrong = env.dhow(&format!("pull --tls-verify=false --arch riscv64 {host}/base:1")).run();
    assert!(wrong.both().contains("is for linux/"), "{}", wrong.both());
    tidy(&env);
}

#[test]
fn every_compression_and_both_kinds_of_manifest() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry");
    let env = TestEnv::new();
    let registry = Registry::new(&env);
    let host = &registry.host;
    for (number, compression) in
        [Compression::None, Compression::Gzip, Compression::Zstd].into_iter().enumerate()
    {
        let image = Image::new("x:1")
            .layer(Layer::new().file("a", 0o644, "1"))
            .layer(Layer::new().file("b", 0o644, "2").whiteout("a"))
            .compression(compression);
        let dir = env.make_dir(&format!("layout{number}"));
        Image::write_oci_dir(std::slice::from_ref(&image), dir.as_ref());
        registry.put(&env, &format!("oci:{dir}:x:1"), &format!("x:{number}"));
        let pulled = env.ok(&format!("pull -q --tls-verify=false {host}/x:{number}"));
        assert_eq!(pulled, image.id());
        env.ok("rmi --all");
    }
    let target = format!("docker://{host}/v2:1");
    env.tool("/usr/bin/skopeo")
        .args(["copy", "--insecure-policy", "--dest-tls-verify=false", "--format", "v2s2"])
        .args([layout(&env), target])
        .ok();
    env.ok(&format!("pull -q --tls-verify=false {host}/v2:1"));
    let kind = env.ok(&format!("image inspect --format {{{{.ManifestType}}}} {host}/v2:1"));
    assert_eq!(kind, "application/vnd.docker.distribution.manifest.v2+json");
    env.ok(&format!("pull -q --all-tags --tls-verify=false {host}/x"));
    assert_eq!(env.ok("images --format '{{.Repository}}:{{.Tag}}'").lines().count(), 4);
    tidy(&env);
}

#[test]
fn a_registry_that_asks_who_it_is_and_shows_a_certificate() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry", "openssl");
    let env = TestEnv::new();
    let openssl = |line: &str| env.tool("/usr/bin/openssl").args(dhow_tests::split(line)).ok();
    let certs = env.make_dir("certs");
    openssl(&format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout {certs}/ca.pem -out {certs}/ca.crt"
    ));
    openssl(&format!(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout {certs}/server.pem -out {certs}/server.csr"
    ));
    let names = env.write("names", "subjectAltName=IP:127.0.0.1\n");
    openssl(&format!(
        "x509 -req -days 2 -in {certs}/server.csr -CA {certs}/ca.crt -CAkey {certs}/ca.pem -CAcreateserial -extfile {names} -out {certs}/server.pub"
    ));
    let wants = Wants {
        tls: Some((format!("{certs}/server.pub"), format!("{certs}/server.pem"))),
        users: Some(env.write("users", USERS)),
        ..Wants::default()
    };
    let registry = Registry::with(&env, &wants);
    let host = &registry.host;
    let ca = env.make_dir("ca");
    std::fs::copy(format!("{certs}/ca.crt"), format!("{ca}/ca.crt")).expect("just made");
    env.tool("/usr/bin/skopeo")
        .args(["copy", "--insecure-policy", "--dest-cert-dir", &ca, "--dest-creds", "me:secret"])
        .args([layout(&env), format!("docker://{host}/base:1")])
        .ok();
    let id = dhow_tests::image::base().id();
    let auth = env.file("auth.json");
    let image = format!("{host}/base:1");
    env.fails(&format!("pull --retry 0 {image}"), 125, "certificate");
    env.fails(&format!("pull --cert-dir {ca} {image}"), 125, "refuses access");
    env.fails(&format!("pull --cert-dir {ca} --creds me:wrong {image}"), 125, "refuses access");
    assert_eq!(env.ok(&format!("pull -q --cert-dir {ca} --creds me:secret {image}")), id);
    // Unverified, with the same credentials.
    assert_eq!(env.ok(&format!("pull -q --tls-verify=false --creds me:secret {image}")), id);
    // login and logout, in a file of ours and the usual one.
    env.fails(
        &format!("login --authfile {auth} -u me -p wrong --cert-dir {ca} {host}"),
        125,
        "refuses access",
    );
    assert!(!std::path::Path::new(&auth).exists());
    let login = format!("login --authfile {auth} --cert-dir {ca} -u me --password-stdin {host}");
    assert_eq!(env.dhow(&login).stdin("secret\n").ok(), "Login Succeeded!");
    assert_eq!(env.ok(&format!("login --authfile {auth} --get-login {host}")), "me");
    assert_eq!(env.ok(&format!("pull -q --authfile {auth} --cert-dir {ca} {image}")), id);
    // skopeo reads what dhow wrote, and dhow what skopeo wrote.
    env.tool("/usr/bin/skopeo")
        .args(["inspect", "--raw", "--cert-dir", &ca, "--authfile", &auth])
        .arg(format!("docker://{image}"))
        .ok();
    let said = env.ok(&format!("logout --authfile {auth} {host}"));
    assert_eq!(said, format!("Removed login credentials for {host}"));
    env.fails(&format!("logout --authfile {auth} {host}"), 125, "not logged in");
    env.fails(&format!("pull --authfile {auth} --cert-dir {ca} {image}"), 125, "refuses access");
    env.tool("/usr/bin/skopeo")
        .args(["login", "--authfile", &auth, "--cert-dir", &ca, "-u", "me", "-p", "secret", host])
        .ok();
    assert_eq!(env.ok(&format!("pull -q --authfile {auth} --cert-dir {ca} {image}")), id);
    tidy(&env);
}

#[test]
fn names_and_places_of_registries_conf_and_what_the_policy_says() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry");
    let env = TestEnv::new();
    let registry = Registry::new(&env);
    let host = &registry.host;
    registry.put(&env, &layout(&env), "team/base:1");
    let conf = env.write(
        "registries.conf",
        format!(
            "unqualified-search-registries = ['{host}']\n\
             [aliases]\n\"tool\" = \"{host}/team/base\"\n\
             [[registry]]\nlocation = '{host}'\ninsecure = true\n\
             [[registry]]\nprefix = 'far.example'\nlocation = '127.0.0.1:1'\n\
             [[registry.mirror]]\nlocation = '{host}'\ninsecure = true\n\
             [[registry]]\nprefix = 'blocked.example'\nblocked = true\n"
        ),
    );
    let dhow = |line: &str| env.dhow(line).env("CONTAINERS_REGISTRIES_CONF", &conf);
    let id = dhow_tests::image::base().id();
    assert_eq!(dhow("pull -q team/base:1").ok(), id);
    assert_eq!(dhow("run --rm tool:1 echo alias").ok(), "alias");
    assert_eq!(dhow("pull -q far.example/team/base:1").ok(), id);
    assert!(env.ok("images --format {{.Repository}}").contains("far.example/team/base"));
    dhow("pull blocked.example/x").fails(125, "blocks blocked.example");
    let empty = env.write("empty.conf", "");
    env.dhow("pull team/base:1")
        .env("CONTAINERS_REGISTRIES_CONF", &empty)
        .fails(125, "write it in full");
    let reject = env.write("reject.json", "{\"default\":[{\"type\":\"reject\"}]}");
    let signed = env.write(
        "signed.json",
        format!(
            "{{\"default\":[{{\"type\":\"insecureAcceptAnything\"}}],\"transports\":{{\"docker\":{{\"{host}\":[{{\"type\":\"signedBy\"}}]}}}}}}"
        ),
    );
    dhow(&format!("pull --signature-policy {reject} team/base:1")).fails(125, "reject");
    dhow(&format!("pull --signature-policy {signed} team/base:1"))
        .fails(125, "cannot verify signatures");
    tidy(&env);
}

#[test]
fn a_pull_that_is_killed_is_gone_on_with() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry");
    let env = TestEnv::new();
    let registry = Registry::new(&env);
    let host = &registry.host;
    registry.put(&env, &layout(&env), "base:1");
    let pull = format!("pull --tls-verify=false {host}/base:1");
    // What a killed pull leaves: a part of the blob.
    env.ok(&pull);
    let layer: String = std::fs::read_to_string(
        std::fs::read_dir(env.file("layout/blobs/sha256"))
            .expect("blobs")
            .flatten()
            .map(|entry| entry.path())
            .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"{\"config\"")))
            .expect("the manifest"),
    )
    .expect("text");
    let layer = layer.split("\"layers\"").nth(1).expect("layers").split("sha256:").nth(1);
    let hex = &layer.expect("a digest")[..64];
    let blob = std::fs::read(env.file(&format!("layout/blobs/sha256/{hex}"))).expect("the layer");
    env.ok("rmi --all");
    for part in [&blob[..blob.len() / 2], b"not what it should be", &blob[..]] {
        let partial = env.root("partial");
        std::fs::create_dir_all(&partial).expect("ours");
        std::fs::File::create(partial.join(hex))
            .and_then(|mut file| std::io::Write::write_all(&mut file, part))
            .expect("ours");
        env.ok("images");
        env.ok(&pull);
        assert_eq!(env.ok(&format!("run --rm {host}/base:1 cat /data/seed")), "seed");
        assert_eq!(std::fs::read_dir(&partial).expect("a directory").count(), 0);
        env.ok("rmi --all");
    }
    // Two at once.
    let pulls: Vec<_> = (0..4).map(|_| env.dhow(&pull).spawn()).collect();
    for pull in pulls {
        pull.finish().ok();
    }
    assert_eq!(env.layers(), 1);
    tidy(&env);
}

#[test]
fn push_sends_what_the_registry_lacks() {
    requires!("root", "overlay", "runc", "skopeo", "docker-registry");
    let env = TestEnv::with_base();
    let registry = Registry::new(&env);
    let host = &registry.host;
    let push = |line: &str| {
        let output = env.dhow(&format!("push --tls-verify=false {line}")).run();
        output.ok();
        output.both()
    };
    let id = dhow_tests::image::base().id();
    let skopeo = |name: &str| {
        env.tool("/usr/bin/skopeo")
            .args(["inspect", "--tls-verify=false", "--raw", &format!("docker://{host}/{name}")])
            .ok()
    };
    let said = push(&format!("{BASE} {host}/team/base:1"));
    assert!(said.contains("done"), "{said}");
    assert!(skopeo("team/base:1").contains(&id));
    // A copy verifies every digest of it.
    let copy = env.file("copy");
    env.tool("/usr/bin/skopeo")
        .args(["copy", "--insecure-policy", "--src-tls-verify=false"])
        .args([format!("docker://{host}/team/base:1"), format!("dir:{copy}")])
        .ok();
    let again = push(&format!("{BASE} {host}/team/base:2"));
    assert!(again.contains("already exists") && !again.contains("done"), "{again}");
    assert_eq!(skopeo("team/base:1"), skopeo("team/base:2"));
    // What was pulled keeps its digest, and is mounted from where it came.
    env.ok("rmi --all");
    env.ok(&format!("pull -q --tls-verify=false {host}/team/base:1"));
    let digest = env.ok(&format!("image inspect --format {{{{.Digest}}}} {host}/team/base:1"));
    let file = env.file("digest");
    let mounted = push(&format!("--digestfile {file} {host}/team/base:1 {host}/other/base:3"));
    assert!(mounted.contains("already exists") && !mounted.contains("done"), "{mounted}");
    assert_eq!(std::fs::read_to_string(&file).expect("just written"), digest);
    // Made here, by its own name, in docker's words.
    env.ok(&format!("run --name c {host}/team/base:1 sh -c 'echo new > /new'"));
    env.ok(&format!("commit -q c {host}/made:1"));
    let made = push(&format!("--format v2s2 {host}/made:1"));
    assert!(made.contains("already exists") && made.contains("done"), "{made}");
    assert!(skopeo("made:1").contains("vnd.docker.distribution.manifest.v2+json"));
    env.ok("rm c");
    env.ok("rmi --all");
    assert_eq!(env.ok(&format!("run --rm -q --tls-verify=false {host}/made:1 cat /new")), "new");
    env.fails(&format!("push --tls-verify=false nosuch {host}/x"), 125, "nosuch");
    let short = env.ok("images -q");
    env.fails(&format!("push --tls-verify=false {short}"), 125, "say where");
    env.fails(&format!("push --retry 0 {host}/made:1"), 125, host);
    tidy(&env);
}
