//! Rules that compare an object with others of its cluster.

mod amounts;
mod event_count;
mod fence_levels;
mod guest_fits;
mod guest_network;
mod guest_room;
mod network_cards;
mod network_subnet;
mod pool_above;
mod pool_room;
mod volume_fits;
mod watchdog_only;

use std::collections::BTreeMap;

use quorate_crds::KindInfo;
use quorate_store::{Bucket, Condition, Key, View};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Findings;

/// Applies every rule to the change of an object from `old` to `next`. A rule that is about what people
/// want is not applied again when only the status has changed.
pub(super) fn check(
    view: &View,
    kind: &KindInfo,
    name: &str,
    old: Option<&Value>,
    next: &Value,
    findings: &mut Findings,
) {
    if old.is_some_and(|old| old.get("spec") == next.get("spec")) {
        return;
    }
    match kind.kind {
        "Event" => event_count::check(view, kind, old, findings),
        "Network" => {
            let others = others(view, kind, name, findings);
            network_subnet::check(next, &others, findings);
            network_cards::check(next, &others, findings);
        }
        "Node" => {
            fence_levels::check(view, next, findings);
            watchdog_only::check(view, next, findings);
        }
        "StoragePool" => pool_above::pool(view, next, findings),
        "Volume" => {
            pool_above::volume(view, name, next, findings);
            volume_fits::volume(view, name, old, next, findings);
        }
        "VirtualMachine" => {
            guest_network::check(view, old, next, findings);
            guest_fits::check(view, name, old, next, findings);
            pool_above::disks(view, next, findings);
            volume_fits::disks(view, name, next, findings);
        }
        _ => {}
    }
}

/// All other objects of a kind of which there are few. The answer stands only while none of them changes.
fn others(view: &View, kind: &KindInfo, name: &str, findings: &mut Findings) -> Vec<Value> {
    let bucket = Bucket::new(kind.plural);
    findings.rely_on(Condition::BucketUnchangedSince(
        bucket.clone(),
        view.bucket_revision(&bucket),
    ));
    view.list(&bucket, None, usize::MAX)
        .into_iter()
        .filter(|(key, _)| *key.name != *name)
        .filter_map(|(_, stored)| serde_json::from_slice(&stored.value).ok())
        .collect()
}

/// One object of another kind, where it exists.
fn one(view: &View, plural: &'static str, name: &str) -> Option<Value> {
    let stored = view.get(&Key::new(Bucket::new(plural), name))?;
    serde_json::from_slice(&stored.value).ok()
}

/// An object as its type; none for one that is not what its kind says, which the schema refuses.
fn read<K: DeserializeOwned>(object: &Value) -> Option<K> {
    K::deserialize(object).ok()
}

/// All objects of a kind, by name.
fn read_all<K: DeserializeOwned>(view: &View, plural: &'static str) -> BTreeMap<String, K> {
    view.list(&Bucket::new(plural), None, usize::MAX)
        .into_iter()
        .filter_map(|(key, stored)| {
            let object = serde_json::from_slice(&stored.value).ok()?;
            Some((key.name.to_string(), object))
        })
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}
