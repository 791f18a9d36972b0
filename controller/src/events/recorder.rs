use std::hash::{Hash, Hasher};

use quorate_crds::{EventSpec, EventType};
use quorate_store::Bucket;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    error::ApiError,
    resource::{Engine, Manifest, Unrestricted, WriteOptions},
};

/// Different events of one object; the oldest makes room.
const MAX_PER_OBJECT: usize = 25;
/// What waits to be written; more is dropped and counted in the log.
const QUEUE: usize = 256;
/// Room for the dot and the digest behind the object's name.
const MAX_NAME: usize = 230;
/// Who says it.
const REPORTER: &str = "quorated";

/// Whether an event needs attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// The kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid, where known.
    pub uid: Option<String>,
    /// What happened, as one word for programs.
    pub reason: String,
    /// What happened, for people.
    pub note: String,
    /// Whether it needs attention.
    pub severity: Severity,
}

/// Takes note of what happens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Happening>,
}

impl Recorder {
    /// A recorder that writes through `engine` until its last clone is dropped.
    pub fn start(engine: Engine) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Happening>(QUEUE);
        tokio::spawn(async move {
            while let Some(happening) = waiting.recv().await {
                if let Err(error) = write(&engine, &happening).await {
                    tracing::warn!(%error, reason = happening.reason, "an event was not recorded");
                }
            }
        });
        Self { queue }
    }

    /// Records what happened, sooner or later.
    pub fn record(&self, happening: Happening) {
        tracing::info!(
            kind = happening.kind,
            name = happening.name,
            reason = happening.reason,
            "{}",
            happening.note
        );
        if let Err(error) = self.queue.try_send(happening) {
            tracing::warn!(%error, "an event was not recorded");
        }
    }
}

async fn write(engine: &Engine, happening: &Happening) -> Result<(), ApiError> {
    let name = event_name(happening);
    let options = WriteOptions {
        manager: REPORTER.into(),
        dry_run: false,
        force: false,
    };
    let manifest = fresh(happening, &name, &engine.sources().now());
    let first = engine
        .create(Manifest::from_value(manifest)?, &options, &Unrestricted)
        .await;
    match first {
        Ok(_) => make_room(engine, happening, &name).await,
        Err(ApiError::AlreadyExists(_)) => count_up(engine, &name, &options).await,
        Err(error) => Err(error),
    }
}

fn fresh(happening: &Happening, name: &str, now: &str) -> Value {
    let mut regarding = json!({"kind": happening.kind, "name": happening.name});
    if let Some(uid) = &happening.uid {
        regarding["uid"] = json!(uid);
    }
    json!({
        "apiVersion": quorate_crds::API_VERSION,
        "kind": "Event",
        "metadata": {"name": name},
        "spec": {
            "regarding": regarding,
            "reason": happening.reason,
            "note": happening.note,
            "type": match happening.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            },
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "reportingController": REPORTER,
        },
    })
}

/// The same thing happened again.
async fn count_up(engine: &Engine, name: &str, options: &WriteOptions) -> Result<(), ApiError> {
    let kind = crate::resource::find_kind("Event")?;
    let bytes = engine.get(kind, name, false).await?;
    let mut event = crate::resource::parse(kind, name, &bytes)?;
    let count = event
        .pointer("/spec/count")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    if let Some(spec) = event.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("count".into(), (count + 1).into());
        spec.insert("lastTimestamp".into(), engine.sources().now().into());
    }
    engine
        .update(Manifest::from_value(event)?, "", options, &Unrestricted)
        .await
        .map(|_| ())
}

/// Removes the oldest event of the object when it has too many.
async fn make_room(engine: &Engine, happening: &Happening, newest: &str) -> Result<(), ApiError> {
    let kind = crate::resource::find_kind("Event")?;
    let prefix = name_prefix(happening);
    let view = engine.store().view();
    let events = view.list(&Bucket::new(kind.plural), Some(&prefix), MAX_PER_OBJECT + 1);
    drop(view);
    let of_object: Vec<_> = events
        .iter()
        .filter(|(key, _)| key.name.starts_with(&prefix))
        .collect();
    if of_object.len() <= MAX_PER_OBJECT {
        return Ok(());
    }
    let oldest = of_object
        .iter()
        .filter(|(key, _)| *key.name != *newest)
        .min_by_key(|(_, stored)| stored.modified);
    if let Some((key, _)) = oldest {
        engine.forget(key).await?;
    }
    Ok(())
}

fn name_prefix(happening: &Happening) -> String {
    let name: String = happening.name.chars().take(MAX_NAME).collect();
    format!("{name}.")
}

/// Equal events have equal names; that is how they find each other.
fn event_name(happening: &Happening) -> String {
    let mut digest = Fnv::default();
    happening.hash(&mut digest);
    format!("{}{:016x}", name_prefix(happening), digest.finish())
}

/// What an event is called that is written in one transaction with what it tells of. Equal ones share it.
pub(crate) fn name_of(event: &EventSpec) -> String {
    event_name(&Happening {
        kind: event.regarding.kind.clone(),
        name: event.regarding.name.to_string(),
        uid: event.regarding.uid.clone(),
        reason: event.reason.clone(),
        note: event.note.clone(),
        severity: match event.type_ {
            EventType::Normal => Severity::Normal,
            EventType::Warning => Severity::Warning,
        },
    })
}

/// FNV-1a: stable between versions and members, which the standard library's hasher is not.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_events_have_one_name_and_different_ones_another() {
        let happening = Happening {
            kind: "VirtualMachine".into(),
            name: "web".into(),
            uid: None,
            reason: "Started".into(),
            note: "on node1".into(),
            severity: Severity::Normal,
        };
        let other = Happening {
            note: "on node2".into(),
            ..happening.clone()
        };
        assert_eq!(event_name(&happening), event_name(&happening.clone()));
        assert_ne!(event_name(&happening), event_name(&other));
        assert!(event_name(&happening).starts_with("web."));
    }
}
