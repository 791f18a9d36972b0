//! `metadata.managedFields`: who owns which fields, and since when.

use crate::field_set::FieldSet;
use serde_json::{Map, Value, json};
use std::fmt;

/// Managers that update rather than apply are remembered one by one up to this number, as in
/// Kubernetes; the oldest beyond it are put together.
const MAX_UPDATERS: usize = 10;
/// The manager that owns what the oldest updaters owned.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By applying a configuration that has them.
    Apply,
    /// By creating, replacing or patching the object.
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What tells one entry from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) operation: Operation,
    pub(crate) subresource: Option<&'a str>,
    pub(crate) api_version: &'a str,
}

/// One entry.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) subresource: Option<String>,
    api_version: String,
    time: Option<String>,
    fields: FieldSet,
    /// The entry as it was read, while nothing in it has changed.
    original: Option<Value>,
}

impl Manager {
    pub(crate) fn fields(&self) -> &FieldSet {
        &self.fields
    }

    /// Takes `paths` away from this manager.
    pub(crate) fn lose(&mut self, paths: &FieldSet) {
        let common = self.fields.intersection(paths);
        if !common.is_empty() {
            self.fields.subtract(&common);
            self.original = None;
        }
    }

    /// An applier is the same one whatever version it applies.
    fn is(&self, identity: &Identity<'_>) -> bool {
        self.name == identity.name
            && self.operation == identity.operation
            && self.subresource.as_deref() == identity.subresource
            && (self.operation == Operation::Apply || self.api_version == identity.api_version)
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        Some(Self {
            name: text("manager").unwrap_or_default().to_owned(),
            operation: match text("operation")? {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            },
            subresource: text("subresource")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            api_version: text("apiVersion").unwrap_or_default().to_owned(),
            time: text("time").map(str::to_owned),
            fields: FieldSet::from_value(value.get("fieldsV1")?).ok()?,
            original: Some(value.clone()),
        })
    }

    fn into_value(self) -> Value {
        if let Some(original) = self.original {
            return original;
        }
        let mut entry = Map::new();
        entry.insert("manager".to_owned(), json!(self.name));
        entry.insert("operation".to_owned(), json!(self.operation.as_str()));
        entry.insert("apiVersion".to_owned(), json!(self.api_version));
        if let Some(time) = self.time {
            entry.insert("time".to_owned(), json!(time));
        }
        entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
        entry.insert("fieldsV1".to_owned(), self.fields.to_value());
        if let Some(subresource) = self.subresource {
            entry.insert("subresource".to_owned(), json!(subresource));
        }
        Value::Object(entry)
    }

    /// Appliers first, then by time, name and subresource: the order in which Kubernetes writes them.
    fn rank(&self) -> (Operation, Option<&str>, &str, Option<&str>) {
        (
            self.operation,
            self.time.as_deref(),
            &self.name,
            self.subresource.as_deref(),
        )
    }
}

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managers {
    entries: Vec<Manager>,
}

impl Managers {
    /// The managers of `object`; entries that cannot be read are left out.
    pub(crate) fn of(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array();
        Self {
            entries: entries
                .into_iter()
                .flatten()
                .filter_map(Manager::read)
                .collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What `identity` owns, when it has an entry.
    pub(crate) fn fields_of(&self, identity: &Identity<'_>) -> Option<&FieldSet> {
        self.entries
            .iter()
            .find(|manager| manager.is(identity))
            .map(Manager::fields)
    }

    pub(crate) fn others<'a>(
        &'a self,
        identity: &'a Identity<'_>,
    ) -> impl Iterator<Item = &'a Manager> {
        self.entries
            .iter()
            .filter(move |manager| !manager.is(identity))
    }

    /// Takes `paths` away from everybody but `identity`.
    pub(crate) fn take_from_others(&mut self, identity: &Identity<'_>, paths: &FieldSet) {
        if paths.is_empty() {
            return;
        }
        for manager in &mut self.entries {
            if !manager.is(identity) {
                manager.lose(paths);
            }
        }
    }

    /// Rewrites every set by `change`, which tells whether it did anything.
    pub(crate) fn rewrite(&mut self, change: impl Fn(&mut FieldSet) -> bool) {
        for manager in &mut self.entries {
            if change(&mut manager.fields) {
                manager.original = None;
            }
        }
    }

    /// Gives `identity` exactly `fields`. Its time becomes `now` when the set is another one than
    /// before, or when `touched` says that it changed the value of a field.
    pub(crate) fn set(
        &mut self,
        identity: &Identity<'_>,
        fields: FieldSet,
        touched: bool,
        now: &str,
    ) {
        let Some(position) = self.entries.iter().position(|manager| manager.is(identity)) else {
            self.entries.push(Manager {
                name: identity.name.to_owned(),
                operation: identity.operation,
                subresource: identity.subresource.map(str::to_owned),
                api_version: identity.api_version.to_owned(),
                time: Some(now.to_owned()),
                fields,
                original: None,
            });
            return;
        };
        let manager = &mut self.entries[position];
        if touched || manager.fields != fields || manager.api_version != identity.api_version {
            manager.fields = fields;
            identity.api_version.clone_into(&mut manager.api_version);
            manager.time = Some(now.to_owned());
            manager.original = None;
        }
    }

    /// Puts the oldest updaters together while there are too many.
    pub(crate) fn cap_updaters(&mut self) {
        loop {
            let updaters = |manager: &&Manager| manager.operation == Operation::Update;
            if self.entries.iter().filter(updaters).count() <= MAX_UPDATERS {
                return;
            }
            let oldest = self
                .entries
                .iter()
                .enumerate()
                .filter(|(_, manager)| {
                    manager.operation == Operation::Update && manager.name != ANCIENT
                })
                .min_by_key(|(_, manager)| (manager.time.clone(), manager.name.clone()))
                .map(|(position, _)| position);
            let Some(oldest) = oldest else {
                return;
            };
            let mut manager = self.entries.remove(oldest);
            ANCIENT.clone_into(&mut manager.name);
            manager.original = None;
            let bucket = self.entries.iter_mut().find(|bucket| {
                bucket.name == ANCIENT
                    && bucket.operation == Operation::Update
                    && bucket.api_version == manager.api_version
                    && bucket.subresource == manager.subresource
            });
            match bucket {
                Some(bucket) => {
                    bucket.fields.add(&manager.fields);
                    bucket.time = manager.time.max(bucket.time.take());
                    bucket.original = None;
                }
                None => self.entries.push(manager),
            }
        }
    }

    /// Writes the managers that own anything into `object`.
    pub(crate) fn write(mut self, object: &mut Value) {
        self.entries.retain(|manager| !manager.fields.is_empty());
        if self
            .entries
            .iter()
            .any(|manager| manager.original.is_none())
        {
            self.entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
        }
        let Value::Object(object) = object else {
            return;
        };
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(metadata) = metadata {
            if self.entries.is_empty() {
                metadata.remove("managedFields");
            } else {
                let entries = self.entries.into_iter().map(Manager::into_value).collect();
                metadata.insert("managedFields".to_owned(), Value::Array(entries));
            }
        }
    }
}
