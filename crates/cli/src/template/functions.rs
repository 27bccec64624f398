//! The functions that podman and docker give to templates, beside those of the template language itself.

use std::sync::Arc;

use gotmpl::{FuncMap, TemplateError, Value, ValueFunc};

type Answer = Result<Value, TemplateError>;
type Function = fn(&[Value]) -> Answer;

/// For the rows.
pub(super) fn all() -> FuncMap {
    functions([
        ("json", json),
        ("join", join),
        ("split", split),
        ("lower", lower),
        ("upper", upper),
        ("title", title),
        ("pad", pad),
        ("truncate", truncate),
        ("index", index),
    ])
}

/// For the heading of a table: each gives back the heading it is called with.
pub(super) fn for_headings() -> FuncMap {
    functions(
        ["json", "join", "split", "lower", "upper", "title", "pad", "truncate", "index"]
            .map(|name| (name, first as Function)),
    )
}

fn functions<const N: usize>(list: [(&str, Function); N]) -> FuncMap {
    list.into_iter()
        .map(|(name, function)| (name.to_owned(), Arc::new(function) as ValueFunc))
        .collect()
}

fn wrong(function: &str, usage: &str) -> TemplateError {
    TemplateError::Exec(format!("{function} is used as {usage}"))
}

fn text(value: String) -> Answer {
    Ok(Value::String(value.into()))
}

fn first(arguments: &[Value]) -> Answer {
    arguments.first().cloned().ok_or_else(|| wrong("a function", "{{function .Field}}"))
}

/// `json VALUE`: compact JSON.
fn json(arguments: &[Value]) -> Answer {
    let [value] = arguments else { return Err(wrong("json", "{{json .Field}}")) };
    text(to_json(value).to_string())
}

/// The value as JSON; what JSON cannot say (a function, an infinite number) is null.
fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.as_ref().into(),
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(name, value)| (name.as_ref(), to_json(value))).collect()
        }
        _ => serde_json::Value::Null,
    }
}

/// `join LIST SEPARATOR`; a text counts as a list of one.
fn join(arguments: &[Value]) -> Answer {
    match arguments {
        [Value::List(values), Value::String(separator)] => {
            text(values.iter().map(Value::to_string).collect::<Vec<_>>().join(separator))
        }
        [Value::Map(entries), Value::String(separator)] => text(
            entries
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(separator),
        ),
        [single @ Value::String(_), Value::String(_)] => Ok(single.clone()),
        [Value::Nil, Value::String(_)] => text(String::new()),
        _ => Err(wrong("join", "{{join .List \",\"}}")),
    }
}

/// `split TEXT SEPARATOR`.
fn split(arguments: &[Value]) -> Answer {
    let [Value::String(whole), Value::String(separator)] = arguments else {
        return Err(wrong("split", "{{split .Field \",\"}}"));
    };
    let part = |part: &str| Value::String(part.into());
    let parts: Vec<Value> = if separator.is_empty() {
        whole.chars().map(|c| part(c.encode_utf8(&mut [0; 4]))).collect()
    } else {
        whole.split(separator.as_ref()).map(part).collect()
    };
    Ok(Value::List(parts.into()))
}

fn lower(arguments: &[Value]) -> Answer {
    let [value] = arguments else { return Err(wrong("lower", "{{lower .Field}}")) };
    text(value.to_string().to_lowercase())
}

fn upper(arguments: &[Value]) -> Answer {
    let [value] = arguments else { return Err(wrong("upper", "{{upper .Field}}")) };
    text(value.to_string().to_uppercase())
}

/// `title TEXT`: each word with a capital.
fn title(arguments: &[Value]) -> Answer {
    let [value] = arguments else { return Err(wrong("title", "{{title .Field}}")) };
    let mut at_start = true;
    let mut result = String::new();
    for c in value.to_string().chars() {
        if at_start {
            result.extend(c.to_uppercase());
        } else {
            result.push(c);
        }
        at_start = !c.is_alphanumeric() && c != '_' && c != '\'';
    }
    text(result)
}

/// `pad TEXT BEFORE AFTER`: spaces around a text that is not empty.
fn pad(arguments: &[Value]) -> Answer {
    let [value, before, after] = arguments else { return Err(wrong("pad", "{{pad .Field 1 2}}")) };
    let spaces = |count: &Value| -> Result<String, TemplateError> {
        let count = count
            .as_int()
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= 4096);
        count
            .map(|count| " ".repeat(count))
            .ok_or_else(|| wrong("pad", "{{pad .Field 1 2}} with 0 to 4096 spaces"))
    };
    let value = value.to_string();
    if value.is_empty() {
        text(value)
    } else {
        text(format!("{}{value}{}", spaces(before)?, spaces(after)?))
    }
}

/// `truncate TEXT LENGTH`, in characters.
fn truncate(arguments: &[Value]) -> Answer {
    let length = |value: &Value| value.as_int().and_then(|length| usize::try_from(length).ok());
    match arguments {
        [value, limit] if length(limit).is_some() => {
            text(value.to_string().chars().take(length(limit).unwrap_or(0)).collect())
        }
        _ => Err(wrong("truncate", "{{truncate .Field 12}}")),
    }
}

/// `index COLLECTION KEY…`: as Go's, where a map of texts has an empty text for a key that is not there.
fn index(arguments: &[Value]) -> Answer {
    let [collection, keys @ ..] = arguments else {
        return Err(wrong("index", "{{index .Map \"key\"}}"));
    };
    keys.iter().try_fold(collection.clone(), |value, key| match (&value, key) {
        (Value::Map(entries), Value::String(name)) => {
            Ok(entries.get(name).cloned().unwrap_or_else(|| Value::String("".into())))
        }
        _ => value.index(key),
    })
}
