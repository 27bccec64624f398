//! Rules, the program and v1's list against a plain reading of the rules.

use super::*;
use proptest::prelude::*;

/// For each kind of access, the last rule that matches decides.
fn plain(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let last = rules.iter().rev().find(|rule| {
            rule.access & bit != 0
                && rule.kind.is_none_or(|has| has == kind)
                && rule.major.is_none_or(|has| has == major)
                && rule.minor.is_none_or(|has| has == minor)
        });
        last.is_some_and(|rule| rule.allow)
    })
}

fn by_program(
    program: &[dhow_sys::bpf::Instruction],
    kind: Kind,
    major: u32,
    minor: u32,
    access: u8,
) -> bool {
    let kind = if kind == Kind::Block { 1 } else { 2 };
    ebpf::run(program, [u32::from(access) << 16 | kind, major, minor]) == 1
}

/// What the kernel makes of v1's list.
fn by_list(list: &List, kind: Kind, major: u32, minor: u32, access: u8) -> bool {
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let excepted = list.exceptions.iter().any(|((k, a, b), bits)| {
            *k == kind
                && a.is_none_or(|a| a == major)
                && b.is_none_or(|b| b == minor)
                && bits & bit != 0
        });
        excepted != list.allow
    })
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let number = || prop_oneof![Just(None), (0u32..3).prop_map(Some)];
    let kind = prop_oneof![Just(None), Just(Some(Kind::Block)), Just(Some(Kind::Char))];
    (any::<bool>(), kind, number(), number(), 1u8..8).prop_map(
        |(allow, kind, major, minor, access)| {
            let numbers = if kind.is_none() { (None, None) } else { (major, minor) };
            Rule { allow, kind, major: numbers.0, minor: numbers.1, access }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_and_the_list_follow_the_rules(rules in prop::collection::vec(a_rule(), 0..8)) {
        let program = ebpf::program(&rules);
        let list = List::of(&rules);
        for kind in [Kind::Block, Kind::Char] {
            for (major, minor, access) in itertools(4, 4, 1..8) {
                let expected = plain(&rules, kind, major, minor, access);
                prop_assert_eq!(by_program(&program, kind, major, minor, access), expected);
                // The list either says the same or was refused.
                if let Ok(list) = &list {
                    prop_assert_eq!(by_list(list, kind, major, minor, access), expected);
                }
            }
        }
    }
}

fn itertools(majors: u32, minors: u32, access: std::ops::Range<u8>) -> Vec<(u32, u32, u8)> {
    let mut all = Vec::new();
    for major in 0..majors {
        for minor in 0..minors {
            all.extend(access.clone().map(|access| (major, minor, access)));
        }
    }
    all
}

fn parse(text: &str) -> Result<Vec<Rule>, Error> {
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(text).unwrap();
    rules.iter().map(Rule::parse).collect()
}

#[test]
fn the_rules_of_a_usual_container() {
    let mut all = vec![Rule { allow: false, kind: None, major: None, minor: None, access: ALL }];
    all.extend(default_rules().iter().map(|rule| Rule::parse(rule).unwrap()));
    let program = ebpf::program(&all);
    let list = List::of(&all).unwrap();
    let rows = [
        (Kind::Char, 1, 3, READ | WRITE, true),
        (Kind::Char, 136, 17, READ, true),
        (Kind::Char, 1, 1, MKNOD, true),
        (Kind::Char, 1, 1, READ, false),
        (Kind::Block, 8, 0, MKNOD, true),
        (Kind::Block, 8, 0, READ | MKNOD, false),
        (Kind::Char, 10, 200, WRITE, false),
    ];
    for (kind, major, minor, access, expected) in rows {
        assert_eq!(plain(&all, kind, major, minor, access), expected);
        assert_eq!(by_program(&program, kind, major, minor, access), expected);
        assert_eq!(by_list(&list, kind, major, minor, access), expected);
    }
    let shown = "c *:* m\nb *:* m\nc 1:3 rwm\nc 136:* rwm\n";
    let list = List::parse(shown).unwrap();
    assert!(!list.allow);
    assert_eq!(list.exceptions.get(&(Kind::Char, Some(136), None)), Some(&ALL));
    assert!(List::parse("a *:* rwm\n").unwrap().allow);
    assert_eq!(List::parse("x 1:1 r"), None);
}

#[test]
fn what_a_rule_must_not_say() {
    let rows = [
        (r#"[{"allow":true,"type":"p"}]"#, "a fifo is no device"),
        (r#"[{"allow":true,"type":"c","access":"rx"}]"#, "'x' is no kind of access"),
        (r#"[{"allow":true,"type":"c","access":""}]"#, "it names no kind of access"),
        (r#"[{"allow":true,"type":"c","major":-2}]"#, "-2 is no device number"),
        (r#"[{"allow":true,"type":"c","minor":1048576}]"#, "1048576 is no device number"),
        (r#"[{"allow":true,"type":"a","major":1}]"#, "device numbers without a type"),
    ];
    for (text, why) in rows {
        assert_eq!(parse(text).unwrap_err().to_string(), format!("invalid device rule: {why}"));
    }
    let rules = parse(
        r#"[{"allow":true,"type":"c","major":1},{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]"#,
    );
    let error = List::of(&rules.unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid device rule: c 1:3 w cannot be taken out of c 1:* rwm with cgroup v1"
    );
}
