//! What a host may do, which follows from its certificate and its plan alone.
//!
//! A host that was broken into must not be a way into the cluster: it sees its own records, the Secrets that they
//! refer to, and nothing else, and it can say nothing but how it is.

use quorate_crds::Verb;
use quorate_store::{Bucket, Key, View};
use serde::Deserialize;

use super::Action;
use crate::entries::entries;

const PLANS: &str = "nodeplans";

/// As much of a plan's record as decides; everything else in it may change its form.
#[derive(Deserialize)]
struct Record {
    spec: RecordSpec,
}

#[derive(Deserialize)]
struct RecordSpec {
    node: String,
    #[serde(default)]
    assignment: Option<Assignment>,
}

#[derive(Deserialize)]
struct Assignment {
    #[serde(default)]
    secrets: Vec<SecretReference>,
}

#[derive(Deserialize)]
struct SecretReference {
    secret: String,
}

pub(super) fn allows(view: &View, node: &str, action: &Action) -> bool {
    let name = action.name.as_deref();
    let reads = matches!(action.verb, Verb::Get | Verb::List | Verb::Watch);
    let writes_status =
        matches!(action.verb, Verb::Update | Verb::Patch) && action.subresource == "status";
    match action.kind.as_str() {
        "nodes" => (reads || writes_status) && name == Some(node),
        PLANS => {
            let own = match name {
                Some(name) => name == node || is_record_of(view, name, node),
                None => action.node.as_deref() == Some(node),
            };
            (reads || writes_status) && own
        }
        "secrets" => {
            // Not watch: a plan that lets go of a Secret must take effect at once.
            action.verb == Verb::Get
                && action.subresource.is_empty()
                && name.is_some_and(|secret| is_referred_to(view, node, secret))
        }
        _ => false,
    }
}

/// The same in words.
pub(super) fn describe(node: &str) -> Vec<String> {
    vec![
        format!("get,list,watch nodes named {node}"),
        format!("update,patch nodes named {node} (status)"),
        format!("get,list,watch nodeplans with spec.node={node}"),
        format!("update,patch nodeplans with spec.node={node} (status)"),
        format!("get secrets that a nodeplan with spec.node={node} refers to"),
    ]
}

fn is_record_of(view: &View, name: &str, node: &str) -> bool {
    view.get(&Key::new(Bucket::new(PLANS), name))
        .and_then(|stored| serde_json::from_slice::<Record>(&stored.value).ok())
        .is_some_and(|record| record.spec.node == node)
}

fn is_referred_to(view: &View, node: &str, secret: &str) -> bool {
    entries(view, PLANS)
        .filter_map(|(_, stored)| serde_json::from_slice::<Record>(&stored.value).ok())
        .filter(|record| record.spec.node == node)
        .filter_map(|record| record.spec.assignment)
        .flat_map(|assignment| assignment.secrets)
        .any(|reference| reference.secret == secret)
}
