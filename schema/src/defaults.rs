//! Defaults, and the nulls that stand for "not given".
//!
//! As in kube-apiserver, null in a field that is not nullable counts as absent: the default takes
//! its place, and without a default the field goes.

use crate::node::Node;
use serde_json::Value;

/// Fills in every absent field of `value` that has a default, outer before inner.
pub(crate) fn apply(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, child) in &node.properties {
                if let Some(default) = &child.default
                    && fields
                        .get(name)
                        .is_none_or(|found| found.is_null() && !child.nullable)
                {
                    fields.insert(name.clone(), default.clone());
                }
            }
            fields.retain(|name, value| {
                let Some(child) = node.child(name) else {
                    return true;
                };
                if value.is_null() {
                    return child.nullable || child.preserve_unknown;
                }
                apply(child, value);
                true
            });
        }
        Value::Array(items) => {
            if let Some(child) = node.items.as_deref() {
                for item in items {
                    apply(child, item);
                }
            }
        }
        _ => {}
    }
}
