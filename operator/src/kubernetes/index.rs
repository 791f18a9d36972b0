//! Which objects in Kubernetes stand for which objects of the clusters.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::sync::{Last, Target, place};

/// The objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    places: HashMap<String, Entry>,
    /// Rank before name, so that the first of a set is the one that stands for the object.
    by_place: BTreeMap<Target, BTreeSet<(String, String)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    place: Target,
    rank: String,
    uid: String,
}

impl Index {
    /// Takes note of an object. Returns whom else that may concern.
    pub(super) fn put(&self, object: &Value, default_cluster: Option<&str>) -> Vec<String> {
        let text = |path: &str| {
            let text = object.pointer(path).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let name = text("/metadata/name");
        let place = place(object, Target::wanted(object, default_cluster).as_ref());
        // What has become an object of the cluster stays it; among the others the oldest comes first.
        let rank = match Last::of(object) {
            Some(_) => String::new(),
            None => text("/metadata/creationTimestamp"),
        };
        let new = place.map(|place| Entry {
            place,
            rank,
            uid: text("/metadata/uid"),
        });
        self.entries().set(&name, new)
    }

    /// An object is gone. Returns whom else that may concern.
    pub(super) fn remove(&self, name: &str) -> Vec<String> {
        self.entries().set(name, None)
    }

    /// These are all that there are. Returns whom what is gone may concern.
    pub(super) fn retain(&self, present: &BTreeSet<String>) -> Vec<String> {
        let mut entries = self.entries();
        let gone: Vec<String> = entries
            .places
            .keys()
            .filter(|name| !present.contains(*name))
            .cloned()
            .collect();
        gone.iter()
            .flat_map(|name| entries.set(name, None))
            .collect()
    }

    /// The objects that stand for `place`, the one that counts first, each with its uid.
    pub(super) fn at(&self, place: &Target) -> Vec<(String, String)> {
        let entries = self.entries();
        let set = entries.by_place.get(place);
        set.into_iter()
            .flatten()
            .map(|(_, name)| (name.clone(), entries.places[name].uid.clone()))
            .collect()
    }

    /// All objects of a cluster.
    pub(super) fn of(&self, cluster: &str) -> Vec<String> {
        let entries = self.entries();
        let all = entries.places.iter();
        all.filter(|(_, entry)| entry.place.cluster == cluster)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The object that stands for `place` before `name` does.
    pub(super) fn before(&self, place: &Target, name: &str) -> Option<String> {
        let first = self.at(place).into_iter().next()?.0;
        (first != name).then_some(first)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn set(&mut self, name: &str, new: Option<Entry>) -> Vec<String> {
        let old = match &new {
            Some(new) => self.places.insert(name.to_owned(), new.clone()),
            None => self.places.remove(name),
        };
        if old == new {
            return Vec::new();
        }
        let mut concerned = Vec::new();
        if let Some(old) = old
            && let Some(set) = self.by_place.get_mut(&old.place)
        {
            set.remove(&(old.rank, name.to_owned()));
            concerned.extend(set.iter().map(|(_, name)| name.clone()));
            if set.is_empty() {
                self.by_place.remove(&old.place);
            }
        }
        if let Some(new) = new {
            let rank = new.rank;
            let set = self.by_place.entry(new.place).or_default();
            concerned.extend(set.iter().map(|(_, name)| name.clone()));
            set.insert((rank, name.to_owned()));
        }
        concerned
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, created: &str, there: &str) -> Value {
        json!({"metadata": {
            "name": name, "uid": format!("uid-{name}"), "creationTimestamp": created,
            "annotations": {"operator.quorate.dev/name": there},
        }})
    }

    #[test]
    fn of_two_objects_for_one_the_older_counts_and_the_other_hears_when_it_goes() {
        let index = Index::default();
        let place = Target {
            cluster: "east".to_owned(),
            name: "web".to_owned(),
        };
        index.put(&object("a", "2026-02-01T00:00:00Z", "web"), Some("east"));
        let concerned = index.put(&object("b", "2026-01-01T00:00:00Z", "web"), Some("east"));

        assert_eq!(concerned, ["a"]);
        assert_eq!(index.before(&place, "a").as_deref(), Some("b"));
        assert_eq!(index.before(&place, "b"), None);
        assert_eq!(index.remove("b"), ["a"]);
        assert_eq!(index.before(&place, "a"), None);
        assert_eq!(index.of("east"), ["a"]);
        assert!(index.retain(&BTreeSet::new()).is_empty() && index.of("east").is_empty());
    }
}
