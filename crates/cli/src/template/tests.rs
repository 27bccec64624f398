//! The template module against fixed data: what podman 4.3.1 prints, and where dhow is better.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rows() -> Vec<serde_json::Value> {
    vec![
        json!({"Id": "0506f64e1626", "Names": "web", "Mounts": ["/data", "/x"], "Pid": 17, "Size": null,
               "Labels": {"a": "b", "org.x": "y"}, "CreatedAt": "now", "State": {"ExitCode": 0, "Status": "running"}}),
        json!({"Id": "1a5fcdf6cd1b", "Names": "done", "Mounts": [], "Pid": 0, "Size": null,
               "Labels": {}, "CreatedAt": "then", "State": {"ExitCode": 3, "Status": "exited"}}),
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "what is expected stands in the call")]
fn check(format: &str, expected: Expect) {
    let rows = rows();
    let text = Format::parse(format).and_then(|format| {
        list(&format, &rows, &"JSON", &[("Id", "CONTAINER ID")], true, || "OWN TABLE\n".to_owned())
    });
    expected.assert_eq(&text.unwrap_or_else(|error| format!("error: {error:#}\n")));
}

#[test]
fn words_that_are_no_templates() {
    check("json", expect![["\"JSON\"\n"]]);
    check("{{json .}}", expect![["\"JSON\"\n"]]);
    check("{{ json }}", expect![["\"JSON\"\n"]]);
    check("table", expect![["OWN TABLE\n"]]);
    check("", expect![["OWN TABLE\n"]]);
    check("jsonx", expect![["jsonx\njsonx\n"]]);
}

#[test]
fn a_row_is_a_line() {
    check(
        "{{.Id}} {{.Names}}",
        expect![[r#"
        0506f64e1626 web
        1a5fcdf6cd1b done
    "#]],
    );
    check(r"{{.Id}}\t{{.Names}}\n", expect![["0506f64e1626\tweb\n1a5fcdf6cd1b\tdone\n"]]);
    check("{{range .}}{{.Names}} {{end}}", expect![["web done \n"]]);
    check("{{.State.Status}}", expect![["running\nexited\n"]]);
}

#[test]
fn names_are_found_in_any_case() {
    check("{{.ID}} {{.state.exitcode}}", expect![["0506f64e1626 0\n1a5fcdf6cd1b 3\n"]]);
}

#[test]
fn tables_have_headings() {
    check(
        r"table {{.ID}}\t{{.Names}}",
        expect![[r#"
        CONTAINER ID  NAMES
        0506f64e1626  web
        1a5fcdf6cd1b  done
    "#]],
    );
    check(
        "table {{.ID}} {{.CreatedAt}} {{json .Mounts}} {{join .Mounts \",\"}}",
        expect![[r#"
        CONTAINER ID  CREATED AT  MOUNTS          MOUNTS
        0506f64e1626  now         ["/data","/x"]  /data,/x
        1a5fcdf6cd1b  then        []
    "#]],
    );
    check(
        r#"table {{.Names}}\t{{if eq .Pid 17}}a b{{else}}c{{end}}"#,
        expect![[r#"
        web         a           b
        done        c
    "#]],
    );
    check(
        r"table {{range .}}{{.Names}}\t{{.Pid}}\n{{end}}",
        expect![[r#"
        NAMES       PID
        web         17
        done        0
    "#]],
    );
    // A heading that cannot be made is left out; the rows are what matters.
    check("table {{.State.Status}}", expect![["running\nexited\n"]]);
}

#[test]
fn labels_may_be_missing() {
    check(
        "{{.Labels.a}}|{{.Label \"a\"}}|{{index .Labels \"a\"}}|{{.Labels.org.x}}|{{$.Labels.nope}}|",
        expect![[r#"
        b|b|b|y||
        |||||
    "#]],
    );
}

#[test]
fn functions() {
    check(
        "{{upper .Names}} {{lower \"AB\"}} {{title \"a bc-d\"}} {{truncate .Id 4}} [{{pad .Names 1 2}}] {{len .Mounts}}",
        expect![[r#"
            WEB ab A Bc-D 0506 [ web  ] 2
            DONE ab A Bc-D 1a5f [ done  ] 0
        "#]],
    );
    check(
        "{{range split \"a,b\" \",\"}}<{{.}}>{{end}} {{printf \"%-6s|\" .Names}} {{json .State}} {{range .Mounts}}{{println .}}{{end}}",
        expect![[r#"
            <a><b> web   | {"ExitCode":0,"Status":"running"} /data
            /x
            <a><b> done  | {"ExitCode":3,"Status":"exited"} 
        "#]],
    );
    check("{{.Size}}", expect![["<no value>\n<no value>\n"]]);
}

#[test]
fn mistakes_are_named() {
    check(
        "{{.Nope}}",
        expect![[r#"
        error: the template asks for the field "Nope", which does not exist; there are: CreatedAt, Id, Labels, Mounts, Names, Pid, Size, State
    "#]],
    );
    check(
        "{{.State.Nope}}",
        expect![[r#"
        error: the template asks for the field "Nope", which does not exist; there are: CreatedAt, Id, Labels, Mounts, Names, Pid, Size, State
    "#]],
    );
    check(
        "{{.ID",
        expect![[r#"
        error: cannot parse the template "{{.ID": line 1, column 6: unclosed action
    "#]],
    );
    check(
        "{{nope .ID}}",
        expect![[r#"
        error: the template calls "nope", which is no function
    "#]],
    );
    check(
        "{{truncate .ID \"x\"}}",
        expect![[r#"
        error: cannot execute the template: truncate is used as {{truncate .Field 12}}
    "#]],
    );
    check(
        "{{.Id.x}}",
        expect![[r#"
        error: cannot execute the template: can't evaluate field x in type string
    "#]],
    );
}

proptest! {
    /// Whatever the user types: an answer or an error.
    #[test]
    fn no_template_panics(source in "(\\{\\{|\\}\\}|table |range |if |end|json |\\.|Id|Labels|Label|\"a\"|\\$|:=|\\||index |truncate |pad |-?[0-9]{1,9}|\\(|\\)| |\\\\t|.){0,12}") {
        if let Ok(format) = Format::parse(&source) {
            drop(list(&format, &rows(), &"JSON", &[], true, String::new));
        }
    }

    /// Text without an action is printed as it is.
    #[test]
    fn plain_text_is_kept(source in "[a-z0-9 :;,.]{1,20}x") {
        prop_assume!(!source.trim_start().starts_with("table") && !is_json(&source));
        let Format::Rows(template) = Format::parse(&source).unwrap() else { panic!("{source} is plain text") };
        prop_assert_eq!(template.render(&()).unwrap(), format!("{}\n", source.trim_start()));
    }
}
