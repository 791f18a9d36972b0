use std::collections::BTreeMap;

use quorate_controller::fencing::StatusWrite;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What is stored, with the revision that last changed it.
#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<(&'static str, String), (Value, u64)>,
    revision: u64,
}

impl Objects {
    pub(super) fn put(&mut self, bucket: &'static str, name: &str, mut object: Value) {
        object["apiVersion"] = json!("quorate.dev/v1alpha1");
        object["kind"] = json!(kind(bucket));
        object["metadata"] = json!({"name": name, "generation": 1});
        self.store(bucket, name, object);
    }

    fn store(&mut self, bucket: &'static str, name: &str, object: Value) {
        self.revision += 1;
        self.objects
            .insert((bucket, name.to_owned()), (object, self.revision));
    }

    /// Changes one field; a change below `/spec` is a new generation.
    pub(super) fn change(&mut self, bucket: &'static str, name: &str, pointer: &str, value: Value) {
        let mut object: Value = self.read(bucket, name);
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        for depth in 2..=parent.split('/').count() {
            let path: Vec<&str> = parent.split('/').take(depth).collect();
            let (above, last) = (path[..depth - 1].join("/"), path[depth - 1]);
            let above = object.pointer_mut(&above).expect("made before");
            if above[last].is_null() {
                above[last] = json!({});
            }
        }
        object.pointer_mut(parent).expect("made")[field] = value;
        if pointer.starts_with("/spec") {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.store(bucket, name, object);
    }

    pub(super) fn delete(&mut self, bucket: &'static str, name: &str) {
        self.objects.remove(&(bucket, name.to_owned()));
    }

    pub(super) fn read<T: DeserializeOwned>(&self, bucket: &'static str, name: &str) -> T {
        let (object, _) = self
            .objects
            .get(&(bucket, name.to_owned()))
            .expect("stored");
        serde_json::from_value(object.clone()).expect("readable")
    }

    pub(super) fn names(&self, bucket: &str) -> Vec<&str> {
        self.objects
            .keys()
            .filter(|(of, _)| *of == bucket)
            .map(|(_, name)| name.as_str())
            .collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &str, &Value, u64)> {
        self.objects
            .iter()
            .map(|((bucket, name), (object, revision))| (*bucket, name.as_str(), object, *revision))
    }

    /// What the shell does with a write: nothing, when the object is another by now.
    pub(super) fn merge_status(&mut self, write: &StatusWrite) -> bool {
        let Some((object, revision)) = self.objects.get(&(write.bucket, write.name.clone())) else {
            return false;
        };
        if *revision != write.revision {
            return false;
        }
        let mut object = object.clone();
        if object["status"].is_null() {
            object["status"] = json!({});
        }
        let status = object["status"].as_object_mut().expect("an object");
        for (field, value) in &write.fields {
            if value.is_null() {
                status.remove(field);
            } else {
                status.insert(field.clone(), value.clone());
            }
        }
        self.store(write.bucket, &write.name, object);
        true
    }
}

fn kind(bucket: &str) -> &'static str {
    match bucket {
        "clusters" => "Cluster",
        "nodes" => "Node",
        "fencedevices" => "FenceDevice",
        _ => "FenceOperation",
    }
}
