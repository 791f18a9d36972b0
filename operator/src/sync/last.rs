//! What an object in Kubernetes has become in a cluster.

use std::fmt;

use serde_json::Value;

use super::names::{CLUSTER_LABEL, MIRRORED_ANNOTATION, NAME_ANNOTATION};

/// One object of one cluster. The kind is the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The cluster, as the configuration names it.
    pub cluster: String,
    /// The object's name there.
    pub name: String,
}

impl Target {
    /// Where `object` says that it belongs. Without a word about it, that is the default cluster.
    pub fn wanted(object: &Value, default_cluster: Option<&str>) -> Option<Self> {
        let text = |path: &str, key: &str| {
            let value = object.pointer(path)?.get(key)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let cluster = text("/metadata/labels", CLUSTER_LABEL)
            .or_else(|| default_cluster.map(ToOwned::to_owned))?;
        let own = object.pointer("/metadata/name")?.as_str()?;
        let name = text("/metadata/annotations", NAME_ANNOTATION).unwrap_or_else(|| own.to_owned());
        Some(Self { cluster, name })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in cluster {:?}", self.name, self.cluster)
    }
}

/// What an object in Kubernetes was when both sides last agreed: the one fact that neither side can tell by itself, for an
/// object that is missing in the cluster may be new here or deleted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Which object.
    pub target: Target,
    /// That very object, and none that was made anew under its name.
    pub uid: String,
}

impl Last {
    /// What the object in Kubernetes says of itself.
    pub fn of(object: &Value) -> Option<Self> {
        let note = object
            .pointer("/metadata/annotations")?
            .get(MIRRORED_ANNOTATION)?
            .as_str()?;
        let mut parts = note.splitn(3, '/');
        let mut part = || {
            parts
                .next()
                .filter(|part| !part.is_empty())
                .map(ToOwned::to_owned)
        };
        Some(Self {
            target: Target {
                cluster: part()?,
                name: part()?,
            },
            uid: part()?,
        })
    }
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { cluster, name } = &self.target;
        write!(f, "{cluster}/{name}/{}", self.uid)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(labels: Value, annotations: Value) -> Value {
        json!({"metadata": {"name": "web", "labels": labels, "annotations": annotations}})
    }

    #[test]
    fn an_object_is_for_the_cluster_that_it_names_under_the_name_that_it_has_there() {
        let plain = object(json!({}), json!({}));
        let named = object(
            json!({CLUSTER_LABEL: "east"}),
            json!({NAME_ANNOTATION: "www"}),
        );

        assert_eq!(Target::wanted(&plain, None), None);
        let at = |cluster: &str, name: &str| {
            Some(Target {
                cluster: cluster.into(),
                name: name.into(),
            })
        };
        assert_eq!(Target::wanted(&plain, Some("west")), at("west", "web"));
        assert_eq!(Target::wanted(&named, Some("west")), at("east", "www"));
    }

    #[test]
    fn the_note_reads_back_and_what_is_no_note_is_none() {
        let note = "east/web/9f1c";
        let last =
            Last::of(&object(json!({}), json!({MIRRORED_ANNOTATION: note}))).expect("a note");
        assert_eq!(last.to_string(), note);
        for nonsense in ["", "east", "east/web", "east//9f1c", "/web/9f1c"] {
            let object = object(json!({}), json!({MIRRORED_ANNOTATION: nonsense}));
            assert_eq!(Last::of(&object), None, "{nonsense:?}");
        }
    }
}
