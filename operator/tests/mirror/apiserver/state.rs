//! What the API server holds, and how it changes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::rights::Rights;

/// Group, resource, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) kind: &'static str,
    pub(super) object: Value,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) version: u64,
    pub(super) objects: BTreeMap<Key, Value>,
    pub(super) history: Vec<Change>,
    /// The oldest version from which a watch can begin.
    pub(super) oldest: u64,
    /// What came over HTTP and changed something, as `verb resource/name`.
    pub(super) writes: Vec<String>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) rights: Mutex<Rights>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Stores an object, unless it is stored just so, and says whether it was not.
    pub(super) fn put(&self, key: &Key, mut object: Value) -> (Value, bool) {
        let mut state = self.state();
        if let Some(info) = quorate_crds::find(&key.resource).filter(|_| key.group == "quorate.dev")
        {
            info.schema.apply_defaults(&mut object);
            info.schema.prune(&mut object);
        }
        // Written as text, kept as bytes.
        if let Some(text) = object
            .as_object_mut()
            .and_then(|it| it.remove("stringData"))
        {
            for (name, value) in text.as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                object["data"][name] = STANDARD.encode(value).into();
            }
        }
        let before = state.objects.get(key).cloned();
        let next = state.version + 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = key.name.clone().into();
        if !key.namespace.is_empty() {
            metadata["namespace"] = key.namespace.clone().into();
        }
        match &before {
            None => {
                metadata["uid"] = format!("kubernetes-{next}").into();
                metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
                metadata["generation"] = 1.into();
            }
            Some(before) => {
                metadata["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
                if object == *before {
                    return (object, false);
                }
                if object["spec"] != before["spec"] {
                    let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
                    object["metadata"]["generation"] = (generation + 1).into();
                }
            }
        }
        object["metadata"]["resourceVersion"] = next.to_string().into();
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|finalizers| !finalizers.is_empty());
        let gone = object["metadata"].get("deletionTimestamp").is_some() && !held;
        let kind = match (&before, gone) {
            (_, true) => "DELETED",
            (None, _) => "ADDED",
            (Some(_), _) => "MODIFIED",
        };
        if gone {
            state.objects.remove(key);
        } else {
            state.objects.insert(key.clone(), object.clone());
        }
        state.version = next;
        state.history.push(Change {
            version: next,
            key: key.clone(),
            kind,
            object: object.clone(),
        });
        drop(state);
        self.changed.send_replace(next);
        (object, true)
    }
}

pub(super) fn key(group: &str, resource: &str, namespace: &str, object: &Value) -> Key {
    Key {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned(),
    }
}

pub(super) fn ours(resource: &str, name: &str) -> Key {
    Key {
        group: "quorate.dev".to_owned(),
        resource: resource.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    }
}

pub(super) fn within(held: &Key, asked: &Key) -> bool {
    (&held.group, &held.resource, &held.namespace)
        == (&asked.group, &asked.resource, &asked.namespace)
}

/// RFC 7386.
pub(super) fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            if let Some(into) = into.as_object_mut() {
                into.remove(name);
            }
        } else {
            merge(&mut into[name], value);
        }
    }
}
