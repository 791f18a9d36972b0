//! What is to be done about a Secret that an object refers to.
//!
//! There is no definition of our Secrets in Kubernetes, which has its own. One that an object refers to is carried into the
//! cluster under the same name, if its label allows it: whoever may write our kinds must not be able to carry off any Secret
//! of the operator's namespace, such as the operator's own credentials.

use quorate_crds::API_VERSION;
use serde_json::{Value, json};

use super::names::{FIELD_MANAGER, MIRROR_LABEL, SOURCE_ANNOTATION};

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretStep {
    /// The cluster has it, or it is no business of ours.
    Nothing,
    /// Apply this in the cluster.
    Apply(Value),
    /// It is there and may not be carried over; the text says what to do.
    NotAllowed(String),
}

/// Decides. `source` is the Secret in Kubernetes, `live` the one in the cluster. The values are never compared: the cluster's
/// Secret says from which version of which Secret they are.
pub fn secret(name: &str, source: Option<&Value>, live: Option<&Value>) -> SecretStep {
    let Some(source) = source else {
        // Somebody keeps it in the cluster itself, or the cluster says that it is missing.
        return SecretStep::Nothing;
    };
    let text = |path: &str| source.pointer(path).and_then(Value::as_str);
    let allowed = source
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(MIRROR_LABEL))
        .is_some_and(|value| value == "true");
    if !allowed {
        // What the cluster has under this name is then not from here.
        return match live {
            Some(live) if !is_ours(live) => SecretStep::Nothing,
            _ => SecretStep::NotAllowed(format!(
                "the Secret {name:?} of Kubernetes may not be carried into a cluster; if it should be, give it the label \
                 {MIRROR_LABEL}=true"
            )),
        };
    }
    let version = format!(
        "{}/{}",
        text("/metadata/uid").unwrap_or_default(),
        text("/metadata/resourceVersion").unwrap_or_default()
    );
    let has = live.and_then(|live| {
        live.pointer("/metadata/annotations")?
            .get(SOURCE_ANNOTATION)?
            .as_str()
    });
    if has == Some(version.as_str()) {
        return SecretStep::Nothing;
    }
    SecretStep::Apply(json!({
        "apiVersion": API_VERSION,
        "kind": "Secret",
        "metadata": {"name": name, "annotations": {SOURCE_ANNOTATION: version}},
        "spec": {
            "type": text("/type").unwrap_or("Opaque"),
            "data": source.get("data").cloned().unwrap_or_else(|| json!({})),
        },
    }))
}

fn is_ours(live: &Value) -> bool {
    live.pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"] == FIELD_MANAGER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(version: &str, label: &str) -> Value {
        json!({
            "metadata": {"name": "bmc", "uid": "u", "resourceVersion": version, "labels": {MIRROR_LABEL: label}},
            "type": "Opaque",
            "data": {"password": "c2VjcmV0"},
        })
    }

    #[test]
    fn a_secret_is_carried_over_once_for_each_version() {
        let SecretStep::Apply(first) = secret("bmc", Some(&source("7", "true")), None) else {
            panic!("it is not there yet");
        };
        assert_eq!(first["spec"]["data"]["password"], "c2VjcmV0");

        let again = secret("bmc", Some(&source("7", "true")), Some(&first));
        assert_eq!(again, SecretStep::Nothing);
        let changed = secret("bmc", Some(&source("8", "true")), Some(&first));
        assert!(matches!(changed, SecretStep::Apply(_)));
    }

    #[test]
    fn without_the_label_nothing_leaves_kubernetes() {
        let refused = secret("bmc", Some(&source("7", "false")), None);
        let SecretStep::NotAllowed(why) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains(MIRROR_LABEL) && !why.contains("c2VjcmV0"));
    }

    #[test]
    fn a_secret_that_somebody_keeps_in_the_cluster_is_left_alone() {
        let live = json!({"metadata": {"managedFields": [{"manager": "quorate"}]}});
        assert_eq!(secret("bmc", None, Some(&live)), SecretStep::Nothing);
        let unlabelled = secret("bmc", Some(&source("7", "false")), Some(&live));
        assert_eq!(unlabelled, SecretStep::Nothing);
    }
}
