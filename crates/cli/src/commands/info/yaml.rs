//! A report as YAML 1.2: block style, keys in the order of the value, a string in quotes where it would be read as
//! something else.
//!
//! INVARIANT: what is written is read back by a YAML parser as the same value; whatever is not plainly harmless is
//! written as a JSON string, which YAML contains.

use serde_json::Value;

/// The value as a document.
pub(super) fn to_text(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => block(&mut text, value, 0),
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
    text
}

/// A map or list that is not empty, each entry on its own line.
fn block(text: &mut String, value: &Value, indent: usize) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                text.push_str(&format!("{margin}{}:", string(key)));
                match value {
                    Value::Object(_) if !is_empty(value) => {
                        text.push('\n');
                        block(text, value, indent + 2);
                    }
                    // The entries of a list need no margin of their own below a key.
                    Value::Array(_) if !is_empty(value) => {
                        text.push('\n');
                        block(text, value, indent);
                    }
                    Value::String(lines) if is_text(lines) => {
                        text.push_str(" |-\n");
                        lines
                            .lines()
                            .for_each(|line| text.push_str(&format!("{margin}  {line}\n")));
                    }
                    scalar => text.push_str(&format!(" {}\n", inline(scalar))),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                if matches!(value, Value::Object(_) | Value::Array(_)) && !is_empty(value) {
                    let mut entry = String::new();
                    block(&mut entry, value, indent + 2);
                    text.push_str(&format!("{margin}- {}", &entry[indent + 2..]));
                } else {
                    text.push_str(&format!("{margin}- {}\n", inline(value)));
                }
            }
        }
        scalar => text.push_str(&format!("{margin}{}\n", inline(scalar))),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Several lines that a literal block can hold: no control characters, no margin that would be taken for one.
fn is_text(text: &str) -> bool {
    text.contains('\n')
        && !text.ends_with('\n')
        && text.split('\n').all(|line| {
            !line.is_empty()
                && !line.starts_with([' ', '\t'])
                && !line.chars().any(|c| c.is_control() || c == '\u{feff}')
        })
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

fn string(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { Value::from(text).to_string() }
}

/// Whether the text means itself without quotes: it begins with a letter or slash, is no word or number of YAML's,
/// and has no character that YAML gives a meaning to.
fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || " /._-+,()@=%".contains(c);
    let word = text.to_ascii_lowercase();
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    begins
        && !text.ends_with(' ')
        && text.chars().all(harmless)
        && !matches!(
            word.as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn a_report() {
        let report = json!({
            "host": {
                "arch": "amd64", "cgroupControllers": ["cpu", "memory"], "cpus": 2, "empty": [], "none": {}, "nothing": null,
                "distribution": {"version": "12"}, "flag": true, "kernel": "6.18.44-fc", "uptime": "0h 14m 36.00s",
                "runtime": {"path": "/usr/bin/runc", "version": "runc version 1.1.5\nspec: 1.0.2"},
            },
            "list": [{"a": 1, "b": ["x"]}, "yes", ""],
            "odd": ["a: b", "# c", "- d", "tab\t", "\nx", "é", "1.0", "on"],
        });
        expect![[r##"
            host:
              arch: amd64
              cgroupControllers:
              - cpu
              - memory
              cpus: 2
              distribution:
                version: "12"
              empty: []
              flag: true
              kernel: "6.18.44-fc"
              none: {}
              nothing: null
              runtime:
                path: /usr/bin/runc
                version: |-
                  runc version 1.1.5
                  spec: 1.0.2
              uptime: "0h 14m 36.00s"
            list:
            - a: 1
              b:
              - x
            - "yes"
            - ""
            odd:
            - "a: b"
            - "# c"
            - "- d"
            - "tab\t"
            - "\nx"
            - "é"
            - "1.0"
            - "on"
        "##]]
        .assert_eq(&to_text(&report));
    }

    #[test]
    fn a_scalar_is_a_document() {
        assert_eq!(to_text(&json!("x")), "x\n");
        assert_eq!(to_text(&json!({})), "{}\n");
    }
}
