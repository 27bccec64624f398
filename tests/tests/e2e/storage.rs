//! What lies on disk: how much it is, what nobody uses, an image's files seen from the host.

use dhow_tests::{BASE, TestEnv, requires};

#[test]
fn prune_takes_what_nobody_uses() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let base = env.ok(&format!("image inspect --format {{{{.Id}}}} {BASE}"));
    env.ok("run --name c base sh -c 'echo 1 > /one'");
    env.ok("commit -q c made:1");
    let first = env.ok("image inspect --format {{.Id}} made:1");
    env.ok("commit -q c made:1");
    assert_eq!(env.ok("images -q --filter dangling=true").lines().count(), 1);
    env.dhow("image prune").stdin("n\n").fails(125, "no terminal");
    assert_eq!(env.ok("image prune -f"), first);
    assert_eq!(env.ok("image prune -f"), "");
    // A named one goes with --all, one with a container stays.
    let made = env.ok("image inspect --format {{.Id}} made:1");
    assert_eq!(env.ok("image prune -af"), made);
    assert_eq!(env.ok("images -q --no-trunc"), format!("sha256:{base}"));
    let said = env.ok("system prune -f");
    assert!(said.starts_with("Deleted Containers\n") && said.contains("Total reclaimed"), "{said}");
    env.ok("run -d --name running base probe hold");
    env.ok("image prune -af");
    env.ok("system prune -af");
    assert_eq!(env.ok("ps -q").lines().count(), 1);
    env.ok("rm -f -t 0 running");
    let said = env.ok("system prune -af");
    assert!(said.contains(&base) && said.contains("Total reclaimed space: 3."), "{said}");
    assert_eq!(env.layers(), 0);
}

#[test]
fn df_counts_each_layer_once() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok("run --name c -v data:/v base sh -c 'dd if=/dev/zero of=/mine bs=1000 count=5; echo 123456789 > /v/x'");
    env.ok("commit -q c made:1");
    let rows =
        env.ok("system df --format '{{.Type}}|{{.Total}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}'");
    let rows: Vec<&str> = rows.lines().collect();
    assert!(rows[0].starts_with("Images|2|1|3."), "{rows:?}");
    assert!(rows[1].starts_with("Containers|1|0|5") && rows[1].ends_with("(100%)"), "{rows:?}");
    assert!(rows[2].starts_with("Local Volumes|1|1|10B|0B"), "{rows:?}");
    assert_eq!(env.ok("images -q --filter containers=true"), env.ok("images -q base"));
    assert_eq!(env.ok("images -q --filter containers=false"), env.ok("images -q made:1"));
    assert_eq!(env.ok("images -q --filter readonly=true"), "");
    let verbose = env.ok("system df -v");
    for text in ["localhost/made", "5kB", "data", "10B"] {
        assert!(verbose.contains(text), "{text}: {verbose}");
    }
    let tree = env.ok("image tree made:1");
    assert!(
        tree.contains("├── ID: ") && tree.contains(&format!("Top Layer of: [{BASE}]")),
        "{tree}"
    );
    assert!(tree.contains("└── ID: ") && tree.contains("[localhost/made:1]"), "{tree}");
    assert!(env.ok("image tree --whatrequires base").contains("localhost/made:1"));
    env.ok("rm -v c");
}

#[test]
fn an_image_is_mounted_read_only_as_often_as_is_asked() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let id = env.ok(&format!("image inspect --format {{{{.Id}}}} {BASE}"));
    let path = env.ok("image mount base");
    assert_eq!(
        std::fs::read_to_string(format!("{path}/data/seed")).expect("it is there"),
        "seed\n"
    );
    assert!(std::fs::File::create(format!("{path}/new")).is_err());
    assert_eq!(env.ok(&format!("image mount {}", &id[..12])), path);
    assert!(env.ok("image mount").contains(&path));
    assert!(env.ok("image mount --format json").contains(&id));
    env.fails("rmi base", 2, "its mount");
    env.ok("image prune -af");
    assert_eq!(env.ok("image unmount base"), id);
    assert!(env.ok("image mount").contains(&path));
    assert_eq!(env.ok("image unmount base"), id);
    assert_eq!(env.ok("image mount"), "");
    env.fails("image unmount base", 125, "not mounted");
    env.fails("image mount nosuch", 125, "nosuch");
    env.ok("image mount --all");
    env.ok("image unmount --all");
    env.ok("image mount base");
    env.ok("rmi -f base");
    assert_eq!(env.layers(), 0);
}
