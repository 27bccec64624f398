//! The names of fields: which a report has, and what a user's template means by one.
//!
//! The template is rewritten before it is executed, because the template engine knows only exact names: `.ID`
//! becomes `.Id` where that is the report's name, `.Labels.a` and `.Label "a"` become `index .Labels "a"`.

use std::collections::BTreeSet;

use gotmpl::Value;
use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, PipeNode, SmolStr};

/// Fields whose own fields are chosen by users, so that a missing one is no mistake.
const FREE: [&str; 6] = ["Labels", "Annotations", "Sysctls", "Tmpfs", "CgroupConf", "ExposedPorts"];

/// How deep expressions are followed; the parser refuses deeper ones anyhow.
const DEPTH: usize = 128;

/// All names of fields in some data.
#[derive(Debug)]
pub(super) struct Names {
    all: BTreeSet<String>,
    top: Vec<String>,
}

impl Names {
    /// The names in `data`: of a list, those of its first element count as the top ones.
    pub(super) fn of(data: &Value) -> Names {
        let mut all = BTreeSet::new();
        collect(data, &mut all, 0);
        let row = match data {
            Value::List(rows) => rows.first().unwrap_or(&Value::Nil),
            single => single,
        };
        let top = match row {
            Value::Map(fields) => fields.keys().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        Names { all, top }
    }

    /// What to say after "no such field".
    pub(super) fn hint(&self) -> String {
        if self.top.is_empty() {
            String::new()
        } else {
            format!("; there are: {}", self.top.join(", "))
        }
    }

    /// The template with its names resolved.
    pub(super) fn resolve(&self, list: &ListNode) -> ListNode {
        let mut list = list.clone();
        self.in_list(&mut list);
        list
    }

    fn in_list(&self, list: &mut ListNode) {
        for node in &mut list.nodes {
            match node {
                Node::Action(action) => self.in_pipe(&mut action.pipe, 0),
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                    self.in_branch(branch);
                }
                Node::Template(template) => {
                    if let Some(pipe) = &mut template.pipe {
                        self.in_pipe(pipe, 0);
                    }
                }
                _ => {}
            }
        }
    }

    fn in_branch(&self, branch: &mut BranchNode) {
        self.in_pipe(&mut branch.pipe, 0);
        self.in_list(&mut branch.body);
        if let Some(body) = &mut branch.else_body {
            self.in_list(body);
        }
    }

    fn in_pipe(&self, pipe: &mut PipeNode, depth: usize) {
        if depth > DEPTH {
            return;
        }
        for command in &mut pipe.commands {
            label_method(command);
            for expression in &mut command.args {
                self.in_expression(expression, depth + 1);
            }
        }
    }

    fn in_expression(&self, expression: &mut Expr, depth: usize) {
        let position = expression.pos();
        match expression {
            Expr::Pipe(_, pipe) => self.in_pipe(pipe, depth),
            Expr::Field(_, fields) => {
                self.mend(fields);
                if let Some((before, keys)) = split_at_free(fields) {
                    *expression = indexed(Expr::Field(position, before), &keys);
                }
            }
            Expr::Variable(_, name, fields) => {
                self.mend(fields);
                if let Some((before, keys)) = split_at_free(fields) {
                    *expression = indexed(Expr::Variable(position, name.clone(), before), &keys);
                }
            }
            Expr::Chain(_, inner, fields) => {
                self.mend(fields);
                if depth <= DEPTH {
                    self.in_expression(inner, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// Gives each name the case it has in the data, up to the first that users choose.
    fn mend(&self, fields: &mut [SmolStr]) {
        for field in fields {
            if !self.all.contains(field.as_str())
                && let Some(name) = self.all.iter().find(|name| name.eq_ignore_ascii_case(field))
            {
                *field = SmolStr::from(name.as_str());
            }
            if FREE.contains(&field.as_str()) {
                break;
            }
        }
    }
}

/// `.Label "x"`, which is a method in docker and podman, is `index .Labels "x"`.
fn label_method(command: &mut CommandNode) {
    let [Expr::Field(position, fields), Expr::String(..)] = command.args.as_slice() else { return };
    let Some((last, before)) = fields.split_last().filter(|(last, _)| last.as_str() == "Label")
    else {
        return;
    };
    let mut labels = before.to_vec();
    labels.push(SmolStr::from(format!("{last}s")));
    let position = *position;
    command.args[0] = Expr::Field(position, labels);
    command.args.insert(0, Expr::Identifier(position, SmolStr::from("index")));
}

/// The fields up to the one whose own fields users choose, and those.
fn split_at_free(fields: &[SmolStr]) -> Option<(Vec<SmolStr>, Vec<SmolStr>)> {
    let free = fields.iter().position(|field| FREE.contains(&field.as_str()))?;
    let (before, keys) = fields.split_at(free + 1);
    (!keys.is_empty()).then(|| (before.to_vec(), keys.to_vec()))
}

/// `(index EXPRESSION KEY…)`. A label's name may have dots in it, which the template's parser took for fields.
fn indexed(expression: Expr, keys: &[SmolStr]) -> Expr {
    let position = expression.pos();
    let key = keys.iter().map(SmolStr::as_str).collect::<Vec<_>>().join(".");
    let args = vec![
        Expr::Identifier(position, SmolStr::from("index")),
        expression,
        Expr::String(position, key.into()),
    ];
    let command = CommandNode { pos: position, args };
    Expr::Pipe(
        position,
        PipeNode { pos: position, decl: Vec::new(), commands: vec![command], is_assign: false },
    )
}

fn collect(value: &Value, names: &mut BTreeSet<String>, depth: usize) {
    if depth > DEPTH {
        return;
    }
    match value {
        Value::List(values) => values.iter().for_each(|value| collect(value, names, depth + 1)),
        Value::Map(fields) => {
            for (name, value) in fields.iter() {
                names.insert(name.to_string());
                if !FREE.contains(&name.as_ref()) {
                    collect(value, names, depth + 1);
                }
            }
        }
        _ => {}
    }
}

/// A field's name as the heading of a column: `CreatedAt` is `CREATED AT`, `ImageID` is `IMAGE ID`.
pub(super) fn capital_words(field: &str) -> String {
    let mut heading = String::new();
    let mut previous_lower = false;
    for c in field.chars() {
        if c.is_uppercase() && previous_lower {
            heading.push(' ');
        }
        previous_lower = c.is_lowercase();
        heading.extend(c.to_uppercase());
    }
    heading
}
