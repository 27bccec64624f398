//! The rules of the house that a compiler does not check, as tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cargo::{cargo, root};

/// Which crate may know which: everything else is an architectural change.
const ARROWS: &[(&str, &[&str])] = &[
    ("dhow", &["dhow-engine", "dhow-sys"]),
    (
        "dhow-engine",
        &[
            "dhow-state",
            "dhow-storage",
            "dhow-oci",
            "dhow-shim",
            "dhow-image",
            "dhow-network",
            "dhow-sys",
        ],
    ),
    ("dhow-image", &["dhow-storage", "dhow-sys"]),
    ("dhow-state", &["dhow-sys"]),
    ("dhow-storage", &["dhow-sys"]),
    ("dhow-oci", &["dhow-seccomp", "dhow-sys"]),
    ("dhow-network", &["dhow-sys"]),
    ("dhow-shim", &["dhow-sys"]),
    ("dhow-seccomp", &["dhow-sys"]),
    ("dhow-cgroup", &["dhow-sys"]),
    ("dhow-sys", &[]),
    ("dhow-tests", &[]),
    ("xtask", &[]),
];

#[test]
fn the_arrows_between_crates() {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is json");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let members: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    for package in packages {
        let name = text(&package["name"]);
        let rule = ARROWS.iter().find(|(from, _)| *from == name);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("the crate {name} has no row in ARROWS"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = text(&dependency["name"]);
            assert!(
                !members.contains(&to) || allowed.contains(&to.as_str()),
                "{name} must not know {to}"
            );
        }
    }
}

#[test]
fn every_module_says_its_duty() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!") || text.starts_with("#!"),
            "{} does not open with //!",
            path.display()
        );
    }
}

#[test]
fn no_module_outgrows_a_reading() {
    for (path, text) in sources() {
        let own = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(
            own < 600,
            "{} has {own} lines without its tests: split it by concept",
            path.display()
        );
    }
}

#[test]
fn nothing_is_silenced_or_left_for_later() {
    // Written in two parts, so that this file keeps its own rule.
    let words = [
        concat!("#[al", "low("),
        concat!("#![al", "low("),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
    ];
    for (path, text) in sources() {
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn only_sys_is_unsafe() {
    for (path, text) in sources() {
        let below_sys = path.starts_with(root().join("crates/sys"));
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let words = [concat!("un", "safe {"), concat!("un", "safe fn"), concat!("un", "safe impl")];
        let found = code.filter(|line| words.iter().any(|word| line.contains(word))).count();
        assert!(
            below_sys || found == 0,
            "{} is unsafe: that belongs in crates/sys",
            path.display()
        );
    }
}

#[test]
fn modules_are_named_after_their_file() {
    for (path, _) in sources() {
        assert!(
            path.file_name().is_none_or(|name| name != "mod.rs"),
            "{}: `foo.rs` and `foo/`, no mod.rs",
            path.display()
        );
    }
}

/// docs/libpod-defects.md has a row for every defect, and each names files and tests that are there.
#[test]
fn the_table_of_defects_names_what_exists() {
    let table = fs::read_to_string(root().join("docs/libpod-defects.md")).expect("the table");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| Q") || line.starts_with("| P"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let ids: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    let wanted = (1..=71).map(|n| format!("Q{n}")).chain((1..=9).map(|n| format!("P{n}")));
    for id in wanted {
        assert!(ids.contains(id.as_str()), "{id} has no row");
    }
    for row in &rows {
        let [id, _, _, place, tests] = row[..] else { panic!("not five cells: {row:?}") };
        let mut source = String::new();
        let is_separator = |c: char| !(c.is_alphanumeric() || "_/.`".contains(c));
        for word in place.split(is_separator).chain(tests.split(is_separator)) {
            if word.ends_with(".rs") {
                let below = if word.starts_with("e2e/") { "tests/tests" } else { "crates" };
                let path = root().join(below).join(word);
                source = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{id}: {}: {error}", path.display()));
            } else if let Some(name) =
                word.strip_prefix('`').and_then(|word| word.strip_suffix('`'))
            {
                let is_there = source.contains(&format!("fn {name}("))
                    || source.contains(&format!("struct {name} "));
                assert!(is_there, "{id}: {name} is not where the table says");
            }
        }
    }
}

/// Every Rust file of the checkout.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for place in ["crates", "tests", "xtask"] {
        collect(&root().join(place), &mut found);
    }
    assert!(found.len() > 20, "the sources are not where they were");
    found
}

fn collect(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("a directory of the checkout").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            found.push((path, text));
        }
    }
}
