//! A cluster with one object in it, for stories of who applies what.

use quorate_merge::{ApplyError, ApplyOptions, Conflict, UpdateOptions, apply, update};
use quorate_schema::Schema;
use serde_json::{Value, json};

pub(crate) const VERSION: &str = "quorate.dev/v1alpha1";

/// A schema with every way in which a value can be divided among owners.
pub(crate) fn schema() -> Schema {
    let text = json!({"type": "string"});
    Schema::parse(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "memory": text, "cpus": {"type": "integer"}, "note": {"type": "string", "nullable": true},
            "firmware": {"type": "object", "properties": {"kind": text, "secure": {"type": "boolean"}}},
            "window": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"from": text, "to": text}},
            "params": {"type": "object", "additionalProperties": text},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
            "args": {"type": "array", "x-kubernetes-list-type": "atomic", "items": text},
            "disks": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": text, "size": text, "cache": text,
                    "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"],
                        "items": {"type": "object", "required": ["number"], "properties": {"number": {"type": "integer"}, "label": text}}},
                }}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "required": ["port"], "properties": {
                    "port": {"type": "integer"}, "protocol": {"type": "string", "default": "tcp"}, "label": text}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "properties": {"phase": text, "node": text}},
    }}))
    .expect("the schema is structural")
}

pub(crate) fn object(spec: Value) -> Value {
    json!({"apiVersion": VERSION, "kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": spec})
}

/// One object and the clock.
pub(crate) struct Cluster {
    pub(crate) schema: Schema,
    pub(crate) live: Option<Value>,
    pub(crate) now: u32,
    pub(crate) changed: bool,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            schema: schema(),
            live: None,
            now: 0,
            changed: false,
        }
    }

    fn tick(&mut self) -> String {
        self.now += 1;
        format!("2030-01-01T00:{:02}:{:02}Z", self.now / 60, self.now % 60)
    }

    pub(crate) fn try_apply(
        &mut self,
        manager: &str,
        config: &Value,
        force: bool,
        subresource: Option<&str>,
    ) -> Result<(), ApplyError> {
        let now = self.tick();
        let options = ApplyOptions {
            manager,
            force,
            subresource,
            api_version: VERSION,
            now: &now,
        };
        let change = apply(&self.schema, self.live.as_ref(), config, &options)?;
        self.changed = change.changed;
        self.live = Some(change.object);
        Ok(())
    }

    pub(crate) fn apply(&mut self, manager: &str, spec: Value) -> &mut Self {
        self.try_apply(manager, &object(spec), false, None)
            .expect("the apply succeeds");
        self
    }

    pub(crate) fn force(&mut self, manager: &str, spec: Value) -> &mut Self {
        self.try_apply(manager, &object(spec), true, None)
            .expect("a forced apply succeeds");
        self
    }

    pub(crate) fn conflicts(&mut self, manager: &str, spec: Value) -> Vec<Conflict> {
        let before = self.live.clone();
        match self.try_apply(manager, &object(spec), false, None) {
            Err(ApplyError::Conflicts(conflicts)) => {
                assert_eq!(self.live, before);
                conflicts
            }
            other => panic!("a conflict was expected: {other:?}"),
        }
    }

    /// Replaces the object by what `change` makes of it.
    pub(crate) fn update(&mut self, manager: &str, change: impl FnOnce(&mut Value)) -> &mut Self {
        self.update_through(manager, None, change)
    }

    pub(crate) fn update_through(
        &mut self,
        manager: &str,
        subresource: Option<&str>,
        change: impl FnOnce(&mut Value),
    ) -> &mut Self {
        let now = self.tick();
        let mut new = self.live.clone().unwrap_or_else(|| object(json!({})));
        change(&mut new);
        let options = UpdateOptions {
            manager,
            subresource,
            api_version: VERSION,
            now: &now,
        };
        let change = update(&self.schema, self.live.as_ref(), new, &options).expect("an object");
        self.changed = change.changed;
        self.live = Some(change.object);
        self
    }

    pub(crate) fn object(&self) -> &Value {
        self.live.as_ref().expect("the object is there")
    }

    pub(crate) fn spec(&self) -> &Value {
        &self.object()["spec"]
    }

    pub(crate) fn entries(&self) -> &[Value] {
        self.object()["metadata"]["managedFields"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    /// The entry of `manager`.
    pub(crate) fn entry(&self, manager: &str) -> Option<&Value> {
        self.entries()
            .iter()
            .find(|entry| entry["manager"] == manager)
    }

    /// What `manager` owns, in the form of `FieldsV1`.
    pub(crate) fn owned(&self, manager: &str) -> Value {
        self.entry(manager)
            .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
    }
}
