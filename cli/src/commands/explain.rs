//! `quorate explain`: a kind or a field, from the schema that the server checks against.

use quorate_crds::KindInfo;
use quorate_schema::{ListType, Node, NodeKind};
use serde_json::Value;

use crate::{
    console::{Tone, paint},
    error::CliError,
    jsonpath::scalar_text,
    kinds,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KIND or KIND.field.field, like vm.spec.disks
    #[arg(value_name = "WHAT")]
    what: String,
    /// Show all fields below, without their descriptions
    #[arg(long)]
    recursive: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    session.console.print(&explain(
        &args.what,
        args.recursive,
        session.console.color(),
    )?)
}

fn explain(what: &str, recursive: bool, color: bool) -> Result<String, CliError> {
    let mut steps = what.split('.').filter(|step| !step.is_empty());
    let kind = kinds::find(steps.next().unwrap_or_default())?;
    let path: Vec<&str> = steps.collect();
    let (node, required) = find(kind, &path)?;
    let heading = |text: &str| paint(color, Tone::Bold, text);
    let mut out = format!(
        "{}     {}\n{}  {}\n",
        heading("KIND:"),
        kind.kind,
        heading("VERSION:"),
        quorate_crds::API_VERSION
    );
    if !path.is_empty() {
        let required = if required { ", required" } else { "" };
        out.push_str(&format!(
            "{}    {} <{}>{required}\n",
            heading("FIELD:"),
            path.join("."),
            type_name(node)
        ));
    }
    let description = if path.is_empty() {
        Some(kind.description)
    } else {
        node.description.as_deref()
    };
    out.push_str(&format!("\n{}\n", heading("DESCRIPTION:")));
    out.push_str(&indented(description.unwrap_or("(none)"), 4));
    for line in constraints(node) {
        out.push_str(&indented(&line, 4));
    }
    let below = through_lists(node);
    if !below.properties.is_empty() {
        out.push_str(&format!("\n{}\n", heading("FIELDS:")));
        if recursive {
            tree(&mut out, below, 1, color);
        } else {
            list(&mut out, below, color);
        }
    }
    Ok(out)
}

fn find<'a>(kind: &'a KindInfo, path: &[&str]) -> Result<(&'a Node, bool), CliError> {
    let mut node = kind.schema.root();
    let mut required = false;
    for (at, step) in path.iter().enumerate() {
        let parent = through_lists(node);
        node = parent.child(step).ok_or_else(|| {
            let here = [&[kind.singular], &path[..at]].concat().join(".");
            let guess = kinds::did_you_mean(step, parent.properties.keys().map(String::as_str));
            let next = if parent.properties.is_empty() {
                "it has no fields".to_owned()
            } else {
                format!(
                    "it has {}",
                    parent
                        .properties
                        .keys()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            };
            CliError::usage(format!("{here} has no field {step:?};{guess} {next}"))
        })?;
        required = parent.requires(step);
    }
    Ok((node, required))
}

fn through_lists(node: &Node) -> &Node {
    let mut node = node;
    while let Some(items) = node.items.as_deref() {
        node = items;
    }
    node
}

fn type_name(node: &Node) -> String {
    match (node.kind, &node.items, &node.additional_properties) {
        (NodeKind::Array, Some(items), _) => format!("[]{}", type_name(items)),
        (NodeKind::Object, _, Some(values)) if node.is_map() => {
            format!("map of {}", type_name(values))
        }
        (kind, _, _) => kind.as_str().to_owned(),
    }
}

/// What is allowed, one thing a line.
fn constraints(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    let says_nothing =
        |default: &&Value| default.as_object().is_some_and(serde_json::Map::is_empty);
    if let Some(default) = node
        .default
        .as_ref()
        .filter(|default| !says_nothing(default))
    {
        lines.push(format!("Default: {default}"));
    }
    lines.extend(allowed_values(node));
    if let Some(range) = range(node) {
        lines.push(range);
    }
    if let Some(pattern) = &node.pattern {
        lines.push(format!("Pattern: {}", pattern.as_str()));
    }
    if let Some(limits) = between("characters", node.min_length, node.max_length) {
        lines.push(limits);
    }
    if let Some(limits) = between("items", node.min_items, node.max_items) {
        lines.push(limits);
    }
    match &node.list_type {
        ListType::Map { keys } => {
            lines.push(format!("Items are told apart by: {}", keys.join(", ")))
        }
        ListType::Set => lines.push("Each item at most once.".to_owned()),
        ListType::Atomic => {}
    }
    for rule in &node.rules {
        lines.push(format!("Rule: {}", rule.message().unwrap_or(rule.text())));
    }
    lines
}

fn allowed_values(node: &Node) -> Option<String> {
    let allowed = &through_lists(node).allowed;
    let words = allowed.iter().map(scalar_text).collect::<Vec<_>>();
    (!words.is_empty()).then(|| format!("Allowed: {}", words.join(", ")))
}

fn range(node: &Node) -> Option<String> {
    let low = node.minimum.as_ref().map(|bound| {
        format!(
            "{} {}",
            if bound.exclusive {
                "more than"
            } else {
                "at least"
            },
            bound.value
        )
    });
    let high = node.maximum.as_ref().map(|bound| {
        format!(
            "{} {}",
            if bound.exclusive {
                "less than"
            } else {
                "at most"
            },
            bound.value
        )
    });
    match (low, high) {
        (None, None) => None,
        (low, high) => Some(format!(
            "Range: {}",
            low.into_iter().chain(high).collect::<Vec<_>>().join(", ")
        )),
    }
}

fn between(what: &str, low: Option<u64>, high: Option<u64>) -> Option<String> {
    match (low, high) {
        (None, None) => None,
        (Some(low), None) => Some(format!("At least {low} {what}.")),
        (None, Some(high)) => Some(format!("At most {high} {what}.")),
        (Some(low), Some(high)) => Some(format!("{low} to {high} {what}.")),
    }
}

fn list(out: &mut String, node: &Node, color: bool) {
    for (name, field) in &node.properties {
        out.push_str(&field_line(name, field, node.requires(name), 1, color));
        // The first paragraph is enough to choose; the field's own page has the rest.
        let first = field
            .description
            .as_deref()
            .unwrap_or_default()
            .split("\n\n")
            .next()
            .unwrap_or_default();
        out.push_str(&indented(first, 6));
        out.push_str(&indented(&allowed_values(field).unwrap_or_default(), 6));
    }
}

fn tree(out: &mut String, node: &Node, depth: usize, color: bool) {
    for (name, field) in &node.properties {
        out.push_str(&field_line(name, field, node.requires(name), depth, color));
        tree(out, through_lists(field), depth + 1, color);
    }
}

fn field_line(name: &str, field: &Node, required: bool, depth: usize, color: bool) -> String {
    let indent = "  ".repeat(depth);
    let name = paint(color, Tone::Mark, name);
    let required = if required { ", required" } else { "" };
    let default = match &field.default {
        Some(Value::Object(_) | Value::Array(_)) | None => String::new(),
        Some(default) => format!(", default {default}"),
    };
    format!("{indent}{name} <{}>{required}{default}\n", type_name(field))
}

fn indented(text: &str, by: usize) -> String {
    const WIDTH: usize = 96;
    let indent = " ".repeat(by);
    let mut out = String::new();
    for paragraph in text.split("\n\n") {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && by + line.chars().count() + 1 + word.chars().count() > WIDTH {
                out.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            out.push_str(&format!("{indent}{line}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(what: &str) -> String {
        explain(what, false, false).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    #[test]
    fn a_kind_is_explained_with_its_fields() {
        let text = explained("secret");
        assert!(
            text.starts_with(
                "KIND:     Secret\nVERSION:  quorate.dev/v1alpha1\n\nDESCRIPTION:\n    "
            ),
            "{text}"
        );
        assert!(
            text.contains("\n  metadata <object>") && text.contains("\n  spec <object>"),
            "{text}"
        );
    }

    #[test]
    fn a_field_is_explained_with_its_type() {
        let text = explained("secret.spec.data");
        assert!(
            text.contains("FIELD:    spec.data <map of string>"),
            "{text}"
        );
    }

    #[test]
    fn every_kind_can_be_explained_to_its_last_field() {
        for kind in quorate_crds::kinds() {
            let text = explain(kind.kind, true, false).expect("explained");
            assert!(
                text.contains("\n    name <string>"),
                "{}: {text}",
                kind.kind
            );
        }
    }

    #[test]
    fn a_wrong_field_gets_a_guess_and_the_right_ones() {
        let message = explain("secret.spec.dta", false, false)
            .expect_err("no such field")
            .to_string();
        assert!(
            message.starts_with(
                "secret.spec has no field \"dta\"; did you mean \"data\"? it has data, "
            ),
            "{message}"
        );
        assert!(
            explain("sekret", false, false)
                .expect_err("no such kind")
                .to_string()
                .contains("did you mean \"secret\"?")
        );
    }

    #[test]
    fn long_texts_are_wrapped() {
        let text = indented(&"word ".repeat(40), 4);
        assert!(
            text.lines().count() > 1
                && text
                    .lines()
                    .all(|line| line.len() <= 96 && line.starts_with("    word")),
            "{text}"
        );
    }
}
