//! A transaction of the cluster's own loops, as it is being put together.
//!
//! What callers write goes through admission, defaults and field ownership. What the leader itself decides was decided on
//! a state, and is right exactly as long as the objects that it changes are still those: every object that a draft has
//! changed is written on the condition that nobody else has.

use std::collections::BTreeMap;

use quorate_crds::{EventSpec, EventType, KindInfo};
use quorate_store::{Condition, Key, Revision, Transaction, View, Write};
use serde_json::{Value, json};

use super::{Engine, live, metadata, object};
use crate::{admission, error::ApiError, events, sources::Sources};

/// One object in a draft.
struct Entry {
    kind: &'static KindInfo,
    found: Option<(Value, Revision)>,
    now: Option<Value>,
    relied_on: bool,
}

/// A transaction that is being put together on one view.
pub(crate) struct Draft<'a> {
    view: &'a View,
    sources: &'a Sources,
    now: String,
    entries: BTreeMap<Key, Entry>,
    conditions: Vec<Condition>,
    others: Vec<Write>,
    events: Vec<Write>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(view: &'a View, sources: &'a Sources) -> Self {
        Self {
            view,
            sources,
            now: sources.now(),
            entries: BTreeMap::new(),
            conditions: Vec::new(),
            others: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The view that it rests on.
    pub(crate) fn view(&self) -> &'a View {
        self.view
    }

    /// The object as this draft leaves it.
    pub(crate) fn get(
        &mut self,
        kind: &'static KindInfo,
        name: &str,
    ) -> Result<Option<&Value>, ApiError> {
        Ok(self.entry(kind, name)?.now.as_ref())
    }

    /// Changes an object, if it is there. Whether it is.
    pub(crate) fn edit(
        &mut self,
        kind: &'static KindInfo,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<bool, ApiError> {
        let entry = self.entry(kind, name)?;
        if let Some(object) = &mut entry.now {
            change(object);
        }
        Ok(entry.now.is_some())
    }

    /// Creates an object, unless there is one of that name. Whether it was created.
    pub(crate) fn create(
        &mut self,
        kind: &'static KindInfo,
        mut new: Value,
    ) -> Result<bool, ApiError> {
        let uid = self.sources.new_uid()?;
        let now = self.now.clone();
        let name = object::name(&new).to_owned();
        let entry = self.entry(kind, &name)?;
        if entry.now.is_some() {
            return Ok(false);
        }
        let status = new
            .get("status")
            .filter(|status| !status.is_null())
            .cloned();
        metadata::begin(kind, &mut new, uid, &now);
        kind.schema.apply_defaults(&mut new);
        if let (Some(status), Some(fields)) = (status, new.as_object_mut()) {
            fields.insert("status".to_owned(), status);
        }
        entry.now = Some(new);
        Ok(true)
    }

    /// Gives an object this spec, creating it when it is not there. Its status stays.
    pub(crate) fn put_spec(&mut self, kind: &'static KindInfo, new: Value) -> Result<(), ApiError> {
        let name = object::name(&new).to_owned();
        if self.entry(kind, &name)?.now.is_none() {
            return self.create(kind, new).map(drop);
        }
        self.edit(kind, &name, |object| {
            if object.get("spec") != new.get("spec") {
                object["spec"] = new["spec"].clone();
                metadata::bump_generation(object);
            }
        })
        .map(drop)
    }

    /// Removes an object, whatever finalizers it has; what it has claimed is free again.
    pub(crate) fn remove(&mut self, kind: &'static KindInfo, name: &str) -> Result<(), ApiError> {
        let Some(gone) = self.entry(kind, name)?.now.take() else {
            return Ok(());
        };
        let released = admission::release(self.view, kind, name, &gone);
        self.conditions.extend(released.conditions);
        self.others.extend(released.writes);
        Ok(())
    }

    /// The transaction is right only as long as this object is as it was found.
    pub(crate) fn rely_on(&mut self, kind: &'static KindInfo, name: &str) -> Result<(), ApiError> {
        self.entry(kind, name)?.relied_on = true;
        Ok(())
    }

    /// The transaction is right only while this holds.
    pub(crate) fn require(&mut self, condition: Condition) {
        self.conditions.push(condition);
    }

    /// Takes in what somebody else has put together on the same view.
    pub(crate) fn include(&mut self, parts: Vec<(Condition, Write)>) {
        for (condition, write) in parts {
            self.conditions.push(condition);
            self.others.push(write);
        }
    }

    /// Tells people; equal events are counted.
    pub(crate) fn tell(&mut self, spec: &EventSpec) -> Result<(), ApiError> {
        let kind = super::find_kind("Event")?;
        let name = events::name_of(spec);
        let key = Engine::key(kind, &name);
        let known = self.view.get(&key);
        let event = match known {
            Some(stored) => {
                let mut event = live::parse(kind, &name, &stored.value)?;
                let count = event["spec"]["count"].as_u64().unwrap_or(1);
                event["spec"]["count"] = json!(count + 1);
                event["spec"]["lastTimestamp"] = json!(spec.last_timestamp);
                event
            }
            None => {
                let mut event = json!({
                    "apiVersion": quorate_crds::API_VERSION,
                    "kind": "Event",
                    "metadata": {"name": name},
                    "spec": spec,
                });
                metadata::begin(kind, &mut event, self.sources.new_uid()?, &self.now);
                event
            }
        };
        let important = spec.type_ == EventType::Warning;
        tracing::info!(
            kind = spec.regarding.kind,
            name = spec.regarding.name.as_str(),
            reason = spec.reason,
            important,
            "{}",
            spec.note
        );
        if !self
            .events
            .iter()
            .any(|write| matches!(write, Write::Put { key: other, .. } if *other == key))
        {
            self.events.push(Write::Put {
                key,
                value: object::encode(&event),
                expires_at_ms: Some(self.sources.now_ms() + events::TTL_MS),
            });
        }
        Ok(())
    }

    /// Whether nothing would be written but events.
    pub(crate) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.entries.values().all(|entry| !entry.changed())
    }

    /// What is to be proposed; none when nothing has changed.
    pub(crate) fn finish(self) -> Option<Transaction> {
        let mut transaction = Transaction {
            conditions: self.conditions,
            writes: Vec::new(),
        };
        for (key, entry) in self.entries {
            let changed = entry.changed();
            if !changed && !entry.relied_on {
                continue;
            }
            transaction.conditions.push(match &entry.found {
                Some((_, revision)) => Condition::AtRevision(key.clone(), *revision),
                None => Condition::Absent(key.clone()),
            });
            if changed {
                transaction.writes.push(match entry.now {
                    Some(object) => Write::Put {
                        key,
                        value: object::encode(&object),
                        expires_at_ms: None,
                    },
                    None => Write::Delete { key },
                });
            }
        }
        transaction.writes.extend(self.others);
        transaction.writes.extend(self.events);
        (!transaction.writes.is_empty()).then_some(transaction)
    }

    fn entry(&mut self, kind: &'static KindInfo, name: &str) -> Result<&mut Entry, ApiError> {
        let key = Engine::key(kind, name);
        let known = self.entries.contains_key(&key);
        let found = if known {
            None
        } else {
            self.view
                .get(&key)
                .map(|stored| {
                    Ok::<_, ApiError>((live::parse(kind, name, &stored.value)?, stored.modified))
                })
                .transpose()?
        };
        Ok(self.entries.entry(key).or_insert_with(|| Entry {
            kind,
            now: found.as_ref().map(|(object, _)| object.clone()),
            found,
            relied_on: false,
        }))
    }
}

impl Entry {
    fn changed(&self) -> bool {
        debug_assert_ne!(self.kind.kind, "Secret", "secrets are sealed by the engine");
        self.found.as_ref().map(|(object, _)| object) != self.now.as_ref()
    }
}
