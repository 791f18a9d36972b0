//! Unified differences between two states of an object.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::{
    console::{Tone, paint},
    object::{self, MASKED_AFTER, MASKED_BEFORE},
};

/// The difference between what is stored and what would be, or nothing when they are equal.
///
/// What the server keeps about an object (versions, field owners, status) is left out: it changes
/// with every write and is nobody's intent. Secrets show that a value changes, never the value.
pub(crate) fn diff(
    live: Option<&Value>,
    proposed: &Value,
    label: &str,
    color: bool,
) -> Option<String> {
    let mut before = live.map(intent).unwrap_or_default();
    let mut after = intent(proposed);
    if object::is_secret(proposed) {
        mask(&mut before, &mut after);
    }
    let before = if live.is_some() {
        quorate_crds::manifest::to_yaml(&before)
    } else {
        String::new()
    };
    let after = quorate_crds::manifest::to_yaml(&after);
    if before == after {
        return None;
    }
    Some(unified(&before, &after, label, color))
}

fn unified(before: &str, after: &str, label: &str, color: bool) -> String {
    let changes = TextDiff::from_lines(before, after);
    let mut out = String::new();
    out.push_str(&paint(color, Tone::Bold, &format!("--- live/{label}")));
    out.push('\n');
    out.push_str(&paint(color, Tone::Bold, &format!("+++ proposed/{label}")));
    out.push('\n');
    for hunk in changes.unified_diff().context_radius(3).iter_hunks() {
        out.push_str(&paint(
            color,
            Tone::Mark,
            hunk.header().to_string().trim_end(),
        ));
        out.push('\n');
        for change in hunk.iter_changes() {
            let (sign, tone) = match change.tag() {
                ChangeTag::Delete => ('-', Tone::Bad),
                ChangeTag::Insert => ('+', Tone::Good),
                ChangeTag::Equal => (' ', Tone::Plain),
            };
            let line = change.value().trim_end_matches('\n');
            out.push_str(&paint(color, tone, &format!("{sign}{line}")));
            out.push('\n');
        }
    }
    out
}

fn intent(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for kept_by_the_server in [
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
        ] {
            metadata.remove(kept_by_the_server);
        }
    }
    object
}

fn mask(before: &mut Value, after: &mut Value) {
    for field in ["/spec/data", "/spec/stringData"] {
        let old = before
            .pointer(field)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let new = after
            .pointer(field)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for (side, other, text) in [
            (&mut *before, &new, MASKED_BEFORE),
            (&mut *after, &old, MASKED_AFTER),
        ] {
            if let Some(values) = side.pointer_mut(field).and_then(Value::as_object_mut) {
                for (key, value) in values {
                    let same = other.get(key) == Some(&*value);
                    *value = Value::from(if same { object::MASKED } else { text });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_changed_field_shows_as_one_line_out_and_one_line_in() {
        let live = json!({"kind": "VirtualMachine", "metadata": {"name": "web", "resourceVersion": "7"}, "spec": {"memory": "2Gi"}});
        let proposed = json!({"kind": "VirtualMachine", "metadata": {"name": "web", "resourceVersion": "8"}, "spec": {"memory": "4Gi"}});

        let text = diff(Some(&live), &proposed, "virtualmachine/web", false).expect("they differ");

        assert!(
            text.starts_with("--- live/virtualmachine/web\n+++ proposed/virtualmachine/web\n@@ "),
            "{text}"
        );
        assert!(
            text.contains("\n-  memory: 2Gi\n+  memory: 4Gi\n"),
            "{text}"
        );
    }

    #[test]
    fn what_only_the_server_changes_is_no_difference() {
        let live = json!({"metadata": {"name": "web", "resourceVersion": "7", "generation": 1}, "spec": {}, "status": {"a": 1}});
        let proposed = json!({"metadata": {"name": "web", "resourceVersion": "9", "generation": 2, "managedFields": []}, "spec": {}});
        assert_eq!(diff(Some(&live), &proposed, "x", false), None);
    }

    #[test]
    fn an_object_that_does_not_exist_yet_is_all_added() {
        let text = diff(
            None,
            &json!({"kind": "Node", "metadata": {"name": "an01"}}),
            "node/an01",
            false,
        )
        .expect("new");
        assert!(
            text.lines().skip(3).all(|line| line.starts_with('+')),
            "{text}"
        );
    }

    #[test]
    fn the_values_of_a_secret_never_show() {
        let secret = |password: &str| json!({"kind": "Secret", "metadata": {"name": "ipmi"}, "spec": {"data": {"password": password, "user": "cm9vdA=="}}});

        let text = diff(Some(&secret("b2xk")), &secret("bmV3"), "secret/ipmi", false)
            .expect("they differ");

        assert!(
            text.contains("*** (before)") && text.contains("*** (after)"),
            "{text}"
        );
        assert!(
            !text.contains("b2xk") && !text.contains("bmV3") && !text.contains("cm9vdA"),
            "{text}"
        );
    }
}
