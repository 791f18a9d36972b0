//! kubectl's JSONPath dialect: templates like `{.metadata.name}{"\n"}` and bare paths like
//! `.spec.memory`.
//!
//! The dialect allows what RFC 9535 does not (`.name` without `$`, dashes in names, `\.` in names),
//! so a path is rewritten into the standard's bracket form and evaluated by a standard engine.

use std::str::FromStr;

use serde_json::Value;
use serde_json_path::JsonPath;

/// A path that does not parse. The message quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PathError(String);

/// One path, relative to the object at hand, or from the root when it begins with `$`.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    text: String,
    path: JsonPath,
    from_root: bool,
}

impl Path {
    /// Everything the path selects, in document order.
    pub(crate) fn select<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.path.query(value).all()
    }

    /// The first thing the path selects.
    pub(crate) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.select(value).into_iter().next()
    }

    /// What the path selects, as text for a cell; several values are joined by commas.
    pub(crate) fn text(&self, value: &Value) -> Option<String> {
        let found = self.select(value);
        if found.is_empty() || found.iter().all(|value| value.is_null()) {
            return None;
        }
        Some(
            found
                .into_iter()
                .map(scalar_text)
                .collect::<Vec<_>>()
                .join(","),
        )
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Path {
    type Err = PathError;

    /// Reads `.a.b`, `a.b`, `$.a.b` and any of them in braces.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let inner = text.trim();
        let inner = inner
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(inner)
            .trim();
        let standard =
            to_standard(inner).ok_or_else(|| bad(text, "a bracket or a quote is not closed"))?;
        let path = JsonPath::parse(&standard).map_err(|error| bad(text, &error.to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            path,
            from_root: inner.starts_with('$'),
        })
    }
}

fn bad(text: &str, why: &str) -> PathError {
    PathError(format!(
        "`{text}` is not a JSONPath: {why}; write it like `.metadata.name` or `{{.spec.disks[*].name}}`"
    ))
}

/// A value as people want to read it: strings bare, everything else as JSON.
pub(crate) fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn to_standard(path: &str) -> Option<String> {
    let mut standard = String::from("$");
    let body = path.strip_prefix(['$', '@']).unwrap_or(path);
    let mut chars = body.chars().peekable();
    let mut first = true;
    while let Some(&next) = chars.peek() {
        match next {
            '[' => standard.push_str(&bracket(&mut chars)?),
            '.' => {
                chars.next();
                if chars.next_if_eq(&'.').is_some() {
                    standard.push_str("..");
                }
                if chars.peek() != Some(&'[') {
                    push_name(&mut standard, &mut chars);
                }
            }
            _ if first => push_name(&mut standard, &mut chars),
            _ => return None,
        }
        first = false;
    }
    Some(standard)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn push_name(standard: &mut String, chars: &mut Chars<'_>) {
    let mut name = String::new();
    while let Some(next) = chars.next_if(|next| !matches!(next, '.' | '[')) {
        match next {
            '\\' => name.extend(chars.next()),
            other => name.push(other),
        }
    }
    match name.as_str() {
        "" => {}
        "*" => standard.push_str("[*]"),
        _ => {
            let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
            standard.push_str(&format!("['{escaped}']"));
        }
    }
}

fn bracket(chars: &mut Chars<'_>) -> Option<String> {
    let mut text = String::new();
    let mut depth = 0_u32;
    let mut quote = None;
    while let Some(next) = chars.next() {
        text.push(next);
        match (quote, next) {
            (Some(_), '\\') => text.extend(chars.next()),
            (Some(open), _) if open == next => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(next),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(text);
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// A whole template.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Path(Path),
    Range(Path, Vec<Piece>),
}

impl Template {
    /// Fill the template in. What an object does not have prints as nothing.
    pub(crate) fn render(&self, root: &Value) -> String {
        let mut out = String::new();
        render(&self.0, root, root, &mut out);
        out
    }
}

fn render(pieces: &[Piece], root: &Value, here: &Value, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Path(path) => {
                let found = path.select(if path.from_root { root } else { here });
                out.push_str(
                    &found
                        .into_iter()
                        .map(scalar_text)
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            }
            Piece::Range(path, body) => {
                for item in path.select(if path.from_root { root } else { here }) {
                    render(body, root, item, out);
                }
            }
        }
    }
}

impl FromStr for Template {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        // A bare path is accepted as kubectl accepts it.
        if !text.contains('{') && text.starts_with(['.', '$', '@']) {
            return Ok(Self(vec![Piece::Path(text.parse()?)]));
        }
        let mut stack: Vec<(Option<Path>, Vec<Piece>)> = vec![(None, Vec::new())];
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            push(&mut stack, literal(&rest[..open]));
            let (expression, after) = take_braces(&rest[open..])
                .ok_or_else(|| PathError(format!("`{text}`: a `{{` is not closed")))?;
            rest = after;
            let expression = expression.trim();
            if expression == "end" {
                match stack.pop() {
                    Some((Some(path), body)) if !stack.is_empty() => {
                        push(&mut stack, Some(Piece::Range(path, body)))
                    }
                    _ => {
                        return Err(PathError(format!(
                            "`{text}`: `{{end}}` without `{{range …}}`"
                        )));
                    }
                }
            } else if let Some(path) = expression.strip_prefix("range ") {
                stack.push((Some(path.parse()?), Vec::new()));
            } else if let Some(quoted) = unquote(expression) {
                push(&mut stack, Some(Piece::Text(quoted)));
            } else {
                push(&mut stack, Some(Piece::Path(expression.parse()?)));
            }
        }
        push(&mut stack, literal(rest));
        match (stack.pop(), stack.is_empty()) {
            (Some((None, pieces)), true) => Ok(Self(pieces)),
            _ => Err(PathError(format!(
                "`{text}`: `{{range …}}` without `{{end}}`"
            ))),
        }
    }
}

fn push(stack: &mut [(Option<Path>, Vec<Piece>)], piece: Option<Piece>) {
    if let (Some((_, pieces)), Some(piece)) = (stack.last_mut(), piece) {
        pieces.push(piece);
    }
}

fn literal(text: &str) -> Option<Piece> {
    (!text.is_empty()).then(|| Piece::Text(text.to_owned()))
}

// `text` begins with `{`; quotes may hold braces.
fn take_braces(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, next) in text.char_indices().skip(1) {
        match (quote, next) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == next => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(next),
            (None, '}') => return Some((&text[1..at], &text[at + 1..])),
            (None, _) => {}
        }
    }
    None
}

fn unquote(text: &str) -> Option<String> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guest() -> Value {
        json!({
            "metadata": {"name": "web", "labels": {"app.example.org/tier": "front"}},
            "spec": {"disks": [{"name": "root", "size": "20Gi"}, {"name": "data", "size": "1Ti"}], "boot-order": ["hd"]},
            "status": {"conditions": [{"type": "Placed", "status": "True"}, {"type": "Ready", "status": "False"}]},
        })
    }

    fn filled(template: &str) -> String {
        template
            .parse::<Template>()
            .expect("the template parses")
            .render(&guest())
    }

    #[test]
    fn a_template_prints_what_it_names_and_nothing_for_what_is_absent() {
        assert_eq!(filled("{.metadata.name}"), "web");
        assert_eq!(filled(".metadata.name"), "web");
        assert_eq!(filled("{$.metadata.name} {@.metadata.name}"), "web web");
        assert_eq!(filled("[{.spec.absent}]"), "[]");
        assert_eq!(filled("{.spec.disks[*].name}"), "root data");
        assert_eq!(filled("{.spec.disks[-1:].size}"), "1Ti");
        assert_eq!(filled("{..size}"), "20Gi 1Ti");
    }

    #[test]
    fn names_may_hold_dashes_and_escaped_dots() {
        assert_eq!(filled("{.spec.boot-order[0]}"), "hd");
        assert_eq!(
            filled(r"{.metadata.labels.app\.example\.org/tier}"),
            "front"
        );
        assert_eq!(
            filled("{.metadata.labels['app.example.org/tier']}"),
            "front"
        );
    }

    #[test]
    fn filters_select_by_a_field_of_the_item() {
        assert_eq!(
            filled(r#"{.status.conditions[?(@.type=="Ready")].status}"#),
            "False"
        );
    }

    #[test]
    fn ranges_repeat_their_body_for_each_item() {
        assert_eq!(
            filled(
                r#"{range .spec.disks[*]}{.name}{"\t"}{.size} of {$.metadata.name}{"\n"}{end}done"#
            ),
            "root\t20Gi of web\ndata\t1Ti of web\ndone"
        );
    }

    #[test]
    fn a_broken_template_says_what_is_wrong() {
        let message = |text: &str| {
            text.parse::<Template>()
                .expect_err("must not parse")
                .to_string()
        };
        assert!(message("{.a").contains("not closed"));
        assert!(message("{range .a[*]}x").contains("without `{end}`"));
        assert!(message("{end}").contains("without `{range"));
        assert!(message("{.a[}").contains("not closed"));
        assert!(message("{.a[?]}").contains("not a JSONPath"));
    }
}
