//! References: how names are read, completed and written back.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(text: &str, expected: &Expect) {
    let hub = text.parse::<ImageReference>();
    let local = ImageReference::local(text);
    let show = |r: Result<ImageReference>| match r {
        Ok(reference) => format!("{reference}  ({})", reference.familiar()),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&format!("{}\n{}", show(hub), show(local)));
}

#[test]
fn short_names_belong_to_docker_hub_or_to_localhost() {
    check(
        "busybox",
        &expect![[r#"
            docker.io/library/busybox:latest  (busybox)
            localhost/busybox:latest  (localhost/busybox)"#]],
    );
    check(
        "me/tool:1.0",
        &expect![[r#"
            docker.io/me/tool:1.0  (me/tool:1.0)
            localhost/me/tool:1.0  (localhost/me/tool:1.0)"#]],
    );
}

#[test]
fn a_registry_is_known_by_a_dot_a_port_an_upper_case_letter_or_its_name() {
    check(
        "host:5000/x",
        &expect![[r#"
            host:5000/x:latest  (host:5000/x)
            host:5000/x:latest  (host:5000/x)"#]],
    );
    check(
        "[fd00::1]:5000/x:y",
        &expect![[r#"
            [fd00::1]:5000/x:y  ([fd00::1]:5000/x:y)
            [fd00::1]:5000/x:y  ([fd00::1]:5000/x:y)"#]],
    );
    check(
        "index.docker.io/busybox",
        &expect![[r#"
            docker.io/library/busybox:latest  (busybox)
            docker.io/library/busybox:latest  (busybox)"#]],
    );
    check(
        "localhost/x",
        &expect![[r#"
            localhost/x:latest  (localhost/x)
            localhost/x:latest  (localhost/x)"#]],
    );
}

#[test]
fn a_digest_needs_no_tag_and_stands_beside_one() {
    let reference: ImageReference = format!("busybox@{DIGEST}").parse().unwrap();
    assert_eq!(reference.tag(), None);
    assert_eq!(reference.to_string(), format!("docker.io/library/busybox@{DIGEST}"));
    let both: ImageReference = format!("busybox:1@{DIGEST}").parse().unwrap();
    assert_eq!(both.to_string(), format!("docker.io/library/busybox:1@{DIGEST}"));
    assert_eq!(both.with_digest(DIGEST.parse().unwrap()), reference);
}

#[test]
fn what_is_no_reference_says_why() {
    let id = "a".repeat(64);
    let long = format!("x/{}", "a".repeat(300));
    let cases = [
        ("", "the name is empty"),
        (":tag", "the name is empty"),
        ("a:", "the tag is empty"),
        ("a:-b", "a tag has letters"),
        ("a:b c", "a tag has letters"),
        ("A", "lower case"),
        ("a//b", "a repository is made of"),
        ("a/", "a repository is made of"),
        ("/a", "a repository is made of"),
        ("../a", "no host name"),
        ("a/../b", "a repository is made of"),
        ("-a", "a repository is made of"),
        ("a___b", "a repository is made of"),
        ("a..b", "a repository is made of"),
        ("ho_st.x/a", "no host name"),
        ("host:port/a", "no number"),
        ("a@sha256:12", "the digest"),
        ("a@", "the digest"),
        ("a\0b", "a repository is made of"),
        ("é", "a repository is made of"),
        (id.as_str(), "an id"),
        (long.as_str(), "255"),
    ];
    for (text, why) in cases {
        let error = text.parse::<ImageReference>().unwrap_err().to_string();
        assert!(error.contains(why), "{text:?} gives {error}");
    }
}

#[test]
fn a_short_name_may_stand_for_two() {
    let names = |text| -> Vec<String> {
        ImageReference::candidates(text).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(names("x:1"), ["localhost/x:1", "docker.io/library/x:1"]);
    assert_eq!(names("example.org/x"), ["example.org/x:latest"]);
}

proptest! {
    #[test]
    fn what_is_shown_parses_to_the_same(
        registry in "(localhost|[a-z][a-z0-9]{0,8}\\.[a-zA-Z0-9]{1,5}|[A-Z][a-z]{1,4}|[a-z]{1,5}:[0-9]{1,5}|docker\\.io)",
        path in "[a-z0-9]{1,6}((\\.|_|__|-{1,3}|/)[a-z0-9]{1,6}){0,4}",
        tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        digest in proptest::bool::ANY,
    ) {
        let mut text = format!("{registry}/{path}");
        if let Some(tag) = tag {
            text = format!("{text}:{tag}");
        }
        if digest {
            text = format!("{text}@{DIGEST}");
        }
        let reference: ImageReference = text.parse().unwrap();
        prop_assert_eq!(&reference.to_string().parse::<ImageReference>().unwrap(), &reference);
        prop_assert_eq!(&reference.familiar().parse::<ImageReference>().unwrap(), &reference);
        let json = serde_json::to_string(&reference).unwrap();
        prop_assert_eq!(serde_json::from_str::<ImageReference>(&json).unwrap(), reference);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        if let Ok(reference) = text.parse::<ImageReference>() {
            prop_assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
        }
    }

    #[test]
    fn names_near_the_grammar_never_panic_and_round_trip(text in "[a-zA-Z0-9:/@._\\[\\]-]{0,60}") {
        if let Ok(reference) = ImageReference::local(&text) {
            prop_assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
        }
    }
}
