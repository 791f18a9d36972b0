//! The reference pages of the book, written from the schemas.

use quorate_crds::{API_VERSION, KindInfo, kinds};
use serde_json::Value;
use std::fmt::Write as _;

const NOTE: &str = "<!-- Generated from the types in crds/src/kinds by `make fix`. -->\n";

const INTRODUCTION: &str = "\
All kinds belong to `quorate.dev/v1alpha1` and to the whole cluster: there are no namespaces.
`apiVersion`, `kind`, `metadata`, `spec` and `status` have the meaning that they have in Kubernetes. People
write `spec`, daemons write `status`, and neither writes the other's.

Values have the same form everywhere:

| Value | Form | Examples |
|---|---|---|
| duration | numbers with units | `250ms`, `10s`, `1m30s`, `168h` |
| size | a whole number of bytes with a unit: `Ki`, `Mi`, `Gi`, `Ti`, `Pi` count by 1024, `k`, `M`, `G`, `T`, `P` by 1000 | `512Mi`, `20Gi`, `1T` |
| time | RFC 3339 | `2026-03-01T12:00:00Z` |
| name | small letters, digits, `-` and, where it names an object, `.` | `an-a01n01`, `web.example.com` |
| network, IP address | IPv4 or IPv6 | `10.20.0.0/16`, `fd00::1` |

A set holds each value once. In a list of objects *by* a field, that field tells the objects apart: two
managers can each own some of them. A list without such a field has one owner.

| Kind | Plural | Short | What it stands for |
|---|---|---|---|
";

/// The page that lists all kinds.
pub(crate) fn index() -> String {
    let mut page = format!("{NOTE}\n# Kinds\n\n{INTRODUCTION}");
    for info in kinds() {
        row(
            &mut page,
            &[
                &format!("[{}]({}.md)", info.kind, info.singular),
                &format!("`{}`", info.plural),
                &code_list(info.short_names.iter().copied()),
                &cell(info.description),
            ],
        );
    }
    page
}

/// The page of one kind.
pub(crate) fn page(info: &KindInfo) -> String {
    let mut page = format!("{NOTE}\n# {}\n\n{}\n\n", info.kind, info.description);
    let names = [info.plural, info.singular]
        .into_iter()
        .chain(info.short_names.iter().copied());
    let _ = writeln!(
        page,
        "`apiVersion: {API_VERSION}`, `kind: {}`; on the command line {}.\n",
        info.kind,
        code_list(names)
    );
    columns(&mut page, info);
    let source = info.schema.source();
    let root = &source["properties"];
    rules(&mut page, source);
    object(&mut page, "spec", &root["spec"], true);
    if info.status {
        object(&mut page, "status", &root["status"], false);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn columns(page: &mut String, info: &KindInfo) {
    page.push_str("| Column | Shows | From |\n|---|---|---|\n");
    for column in &info.columns {
        let wide = if column.priority > 0 { " (wide)" } else { "" };
        row(
            page,
            &[
                &format!("{}{wide}", column.name),
                &cell(&column.description),
                &format!("`{}`", column.json_path),
            ],
        );
    }
    page.push('\n');
}

/// One object's fields, then those of the objects inside it.
fn object(page: &mut String, path: &str, schema: &Value, top: bool) {
    let level = if path.contains('.') { "###" } else { "##" };
    let _ = writeln!(page, "{level} {path}\n");
    let spec = top || path.starts_with("spec");
    if let Some(description) = schema.get("description").and_then(Value::as_str) {
        let _ = writeln!(page, "{description}\n");
    }
    page.push_str(if spec {
        "| Field | Type | Default | Meaning |\n|---|---|---|---|\n"
    } else {
        "| Field | Type | Meaning |\n|---|---|---|\n"
    });
    let mut inner = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|required| required == name));
        let (type_, nested) = type_of(field);
        let mut cells = vec![format!("`{name}`"), type_];
        if spec {
            cells.push(default(field, required));
        }
        cells.push(cell(&meaning(field)));
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        row(page, &cells);
        if let Some((suffix, nested)) = nested {
            inner.push((format!("{path}.{name}{suffix}"), nested));
        }
    }
    page.push('\n');
    rules(page, schema);
    for (path, nested) in inner {
        object(page, &path, nested, false);
    }
}

/// A field's type in words, and the schema of the objects in it.
fn type_of(field: &Value) -> (String, Option<(&'static str, &Value)>) {
    let items = &field["items"];
    let values = &field["additionalProperties"];
    match field["type"].as_str().unwrap_or("any") {
        "array" if items["properties"].is_object() => {
            let keys = field["x-kubernetes-list-map-keys"].as_array();
            let by = keys.map_or_else(String::new, |keys| {
                format!(", by {}", code_list(keys.iter().filter_map(Value::as_str)))
            });
            (format!("list of objects{by}"), Some(("[]", items)))
        }
        "array" => {
            let sort = if field["x-kubernetes-list-type"] == "set" {
                "set"
            } else {
                "list"
            };
            (format!("{sort} of {}", several(items)), None)
        }
        "object" if field["properties"].is_object() => ("object".to_owned(), Some(("", field))),
        "object" => (format!("map to {}", several(values)), None),
        _ => (word(field).to_owned(), None),
    }
}

/// What a single value is called.
fn word(schema: &Value) -> &str {
    match schema["format"].as_str() {
        Some("quantity") => "size",
        Some("mac") => "MAC address",
        Some("ip") => "IP address",
        Some("cidr") => "network",
        Some("byte") => "base64 text",
        Some("date-time") => "time",
        Some("duration") => "duration",
        _ if is_name(schema) => "name",
        _ => schema["type"].as_str().unwrap_or("value"),
    }
}

fn several(schema: &Value) -> String {
    let word = word(schema);
    let ending = if word.ends_with('s') { "es" } else { "s" };
    format!("{word}{ending}")
}

/// Whether the value is the name of an object, or of a part of one.
fn is_name(schema: &Value) -> bool {
    schema["pattern"]
        .as_str()
        .is_some_and(|pattern| pattern.starts_with("^[a-z0-9]([-a-z0-9]*[a-z0-9])?"))
}

fn default(field: &Value, required: bool) -> String {
    match field.get("default") {
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Object(_)) => "its fields' own".to_owned(),
        Some(other) => format!("`{other}`"),
        None if required => "**required**".to_owned(),
        None => String::new(),
    }
}

/// What the description says, and what the schema allows.
fn meaning(field: &Value) -> String {
    let mut text = field["description"].as_str().unwrap_or_default().to_owned();
    let limited = if field["items"].is_object() {
        &field["items"]
    } else {
        field
    };
    let listed = text.contains("\n- `");
    if let Some(allowed) = limited["enum"].as_array().filter(|_| !listed) {
        let names = code_list(allowed.iter().filter_map(Value::as_str));
        let _ = write!(text, " Allowed: {names}.");
    }
    let bounds = (number(limited, "minimum"), number(limited, "maximum"));
    match bounds {
        (Some(least), Some(most)) => {
            let _ = write!(text, " From {least} to {most}.");
        }
        (Some(least), None) if least != "0" => {
            let _ = write!(text, " At least {least}.");
        }
        (None, Some(most)) => {
            let _ = write!(text, " At most {most}.");
        }
        _ => {}
    }
    if let Some(most) = field["maxItems"].as_u64() {
        let _ = write!(text, " At most {most} items.");
    }
    let spoken = limited["format"].is_string() || is_name(limited);
    if let Some(pattern) = limited["pattern"].as_str().filter(|_| !spoken) {
        let _ = write!(text, "\nPattern: `{pattern}`");
    }
    for rule in field["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if !field["properties"].is_object() {
            let _ = write!(
                text,
                "\nRule: {}",
                rule["message"].as_str().unwrap_or_default()
            );
        }
    }
    text
}

fn number(schema: &Value, key: &str) -> Option<String> {
    let number = schema.get(key)?.as_f64()?;
    Some(format!("{number}"))
}

fn rules(page: &mut String, schema: &Value) {
    let rules = schema["x-kubernetes-validations"].as_array();
    let rules: Vec<&Value> = rules.into_iter().flatten().collect();
    if rules.is_empty() {
        return;
    }
    page.push_str("Rules:\n\n");
    for rule in rules {
        let _ = writeln!(
            page,
            "- {}: `{}`",
            rule["message"].as_str().unwrap_or_default(),
            rule["rule"].as_str().unwrap_or_default()
        );
    }
    page.push('\n');
}

fn code_list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn cell(text: &str) -> String {
    text.trim()
        .replace("\n\n", "<br>")
        .replace('\n', "<br>")
        .replace('|', "\\|")
}

fn row(page: &mut String, cells: &[&str]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}
