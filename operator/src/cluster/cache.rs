//! What is known of the objects of one kind in one cluster.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use serde_json::Value;

/// How far what is known can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Not everything is known yet.
    Loading,
    /// Everything is known, and changes are told.
    Following,
    /// The cluster has not answered for a while; the text says why.
    Silent(String),
}

/// What is known of the objects of one kind in one cluster.
#[derive(Debug)]
pub struct Cache {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    objects: HashMap<String, Arc<Value>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            state: RwLock::new(State {
                phase: Phase::Loading,
                objects: HashMap::new(),
            }),
        }
    }
}

impl Cache {
    /// An object, and how far its absence can be relied on.
    pub fn look(&self, name: &str) -> (Phase, Option<Arc<Value>>) {
        let state = self.read();
        (state.phase.clone(), state.objects.get(name).cloned())
    }

    /// How far everything can be relied on.
    pub fn phase(&self) -> Phase {
        self.read().phase.clone()
    }

    /// All objects that are known.
    pub fn all(&self) -> Vec<Arc<Value>> {
        self.read().objects.values().cloned().collect()
    }

    /// Takes note of an object, unless a later state of it is known.
    pub fn put(&self, object: Value) {
        let Some(name) = name_of(&object).map(ToOwned::to_owned) else {
            return;
        };
        let objects = &mut self.write().objects;
        let later = objects
            .get(&name)
            .is_some_and(|known| version_of(known) > version_of(&object));
        if !later {
            objects.insert(name, Arc::new(object));
        }
    }

    /// An object is gone since `revision`, unless one was made anew.
    pub(super) fn remove(&self, name: &str, revision: u64) {
        let objects = &mut self.write().objects;
        if objects
            .get(name)
            .is_some_and(|known| version_of(known) <= revision)
        {
            objects.remove(name);
        }
    }

    /// These are all objects at `revision`. What is known to be later stays.
    pub(super) fn replace(&self, listed: Vec<Value>, revision: u64) {
        {
            let mut state = self.write();
            state
                .objects
                .retain(|_, known| version_of(known) > revision);
            state.phase = Phase::Following;
        }
        for object in listed {
            self.put(object);
        }
    }

    /// Enters a phase; returns whether it is another one.
    pub(super) fn enter(&self, phase: Phase) -> bool {
        let mut state = self.write();
        let changed = state.phase != phase;
        state.phase = phase;
        changed
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn name_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name")?.as_str()
}

fn version_of(object: &Value) -> u64 {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, version: u64) -> Value {
        json!({"metadata": {"name": name, "resourceVersion": version.to_string()}})
    }

    fn version(cache: &Cache, name: &str) -> Option<u64> {
        cache.look(name).1.map(|object| version_of(&object))
    }

    #[test]
    fn news_that_come_late_do_not_undo_what_is_known() {
        let cache = Cache::default();
        cache.put(object("web", 7));
        cache.put(object("web", 5));
        assert_eq!(version(&cache, "web"), Some(7));

        cache.remove("web", 6);
        assert_eq!(version(&cache, "web"), Some(7), "an older one was deleted");
        cache.remove("web", 8);
        assert_eq!(version(&cache, "web"), None);
    }

    #[test]
    fn a_new_list_ends_what_is_gone_and_keeps_what_is_later() {
        let cache = Cache::default();
        assert_eq!(cache.phase(), Phase::Loading);
        cache.put(object("gone", 3));
        cache.put(object("later", 20));

        cache.replace(vec![object("web", 9)], 10);

        assert_eq!(cache.phase(), Phase::Following);
        assert_eq!(version(&cache, "gone"), None);
        assert_eq!(version(&cache, "later"), Some(20));
        assert_eq!(version(&cache, "web"), Some(9));
    }
}
