use jiff::Timestamp;
use quorate_crds::{
    ConditionStatus, EvidenceKind, FenceDevice, FenceDeviceState, FenceOperation, FencePhase, Time,
};
use quorate_planner::Reason;
use quorate_store::{Bucket, Condition, Key, View, Write};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::coordinator::say;

const EVERYTHING: usize = usize::MAX;

/// What takes the evidence about an incarnation back, because it was heard after it had been confirmed off: its
/// operations become Voided, and the devices that said off Contradicted, so that no level rests on them until somebody has
/// looked. To be committed as a whole.
#[must_use]
pub fn void(view: &View, node: &str, incarnation: u64, now: Timestamp) -> Vec<(Condition, Write)> {
    let reason = format!(
        "incarnation {incarnation} of {node} was heard after it had been confirmed off; look for \
         swapped power or network cables"
    );
    let mut writes = Vec::new();
    let mut liars: Vec<String> = Vec::new();
    for (key, stored) in view.list(&Bucket::new("fenceoperations"), None, EVERYTHING) {
        let Some((mut operation, mut object)) = read::<FenceOperation>(&stored.value) else {
            continue;
        };
        let Some(status) = operation.status.as_mut() else {
            continue;
        };
        let proves = status
            .evidence
            .as_ref()
            .filter(|evidence| evidence.incarnation == incarnation);
        let (Some(evidence), Some(FencePhase::Succeeded)) = (proves, status.phase) else {
            continue;
        };
        if operation.spec.node.as_str() != node {
            continue;
        }
        if evidence.kind == EvidenceKind::Devices {
            liars.extend(
                status
                    .results
                    .iter()
                    .filter(|result| Some(&result.level.0) == evidence.level.as_ref())
                    .map(|result| result.device.0.clone()),
            );
        }
        status.phase = Some(FencePhase::Voided);
        status.voided_at = Some(Time::from(now));
        status.void_reason = Some(reason.clone());
        let contradicted = Reason::EvidenceContradicted;
        say(
            &mut status.conditions,
            "Complete",
            ConditionStatus::False,
            contradicted,
            &reason,
            now,
        );
        say(
            &mut status.conditions,
            "Voided",
            ConditionStatus::True,
            contradicted,
            &reason,
            now,
        );
        object["status"] = json!(status);
        writes.push(replacing(key, stored.modified, &object));
    }
    liars.sort();
    liars.dedup();
    for name in liars {
        let key = Key::new(Bucket::new("fencedevices"), name.as_str());
        let Some(stored) = view.get(&key) else {
            continue;
        };
        let Some((device, mut object)) = read::<FenceDevice>(&stored.value) else {
            continue;
        };
        let mut status = device.status.unwrap_or_default();
        let message =
            format!("it said off, but {reason}, then test it by `quorate fence test {name}`");
        status.observed_generation = device.metadata.generation;
        status.state = Some(FenceDeviceState::Contradicted);
        status.last_failure = Some(Time::from(now));
        status.last_error = Some(message.clone());
        let contradicted = Reason::EvidenceContradicted;
        say(
            &mut status.conditions,
            "Ready",
            ConditionStatus::False,
            contradicted,
            &message,
            now,
        );
        say(
            &mut status.conditions,
            "Contradicted",
            ConditionStatus::True,
            contradicted,
            &message,
            now,
        );
        object["status"] = json!(status);
        writes.push(replacing(key, stored.modified, &object));
    }
    writes
}

fn read<T: DeserializeOwned + Serialize>(stored: &[u8]) -> Option<(T, Value)> {
    let object: Value = serde_json::from_slice(stored).ok()?;
    let typed = T::deserialize(&object).ok()?;
    Some((typed, object))
}

fn replacing(key: Key, revision: u64, object: &Value) -> (Condition, Write) {
    let write = Write::Put {
        key: key.clone(),
        value: object.to_string().into(),
        expires_at_ms: None,
    };
    (Condition::AtRevision(key, revision), write)
}
