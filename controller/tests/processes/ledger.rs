//! What was acknowledged, and what a watch told.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use quorate_proto::api::v1::{ChangeOptions, CreateRequest, WatchRequest, WatchType};
use serde_json::json;
use tokio::sync::Notify;
use tonic::Code;

use crate::cluster::{DevCluster, name_of};

/// A call that is not answered within this time is tried elsewhere.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<(String, Instant)>>,
    grown: Notify,
}

impl Ledger {
    fn enter(&self, name: String) {
        self.entries
            .lock()
            .expect("whole")
            .push((name, Instant::now()));
        self.grown.notify_waiters();
    }

    fn len(&self) -> usize {
        self.entries.lock().expect("whole").len()
    }

    /// Waits for so many more acknowledgements.
    pub(crate) async fn grown_by(&self, more: usize) {
        let wanted = self.len() + more;
        loop {
            let grown = self.grown.notified();
            if self.len() >= wanted {
                return;
            }
            grown.await;
        }
    }

    /// The longest time without an acknowledgement that ended after `since`.
    pub(crate) fn longest_gap_since(&self, since: Instant) -> Duration {
        let entries = self.entries.lock().expect("whole");
        entries
            .windows(2)
            .filter(|pair| pair[1].1 >= since)
            .map(|pair| pair[1].1.duration_since(pair[0].1))
            .max()
            .unwrap_or_default()
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.entries
            .lock()
            .expect("whole")
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Creates one object after the other, and enters those that were acknowledged.
pub(crate) async fn write_until(
    cluster: Arc<DevCluster>,
    ledger: Arc<Ledger>,
    client: usize,
    stop: Arc<AtomicBool>,
) {
    let mut at = client;
    for number in 0.. {
        let name = format!("c{client}-{number}");
        let object = json!({
            "apiVersion": "quorate.dev/v1alpha1",
            "kind": "Secret",
            "metadata": {"name": name},
            "spec": {"data": {"k": "dmFsdWU="}},
        });
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let request = CreateRequest {
                object: object.to_string().into(),
                options: Some(ChangeOptions::default()),
            };
            let mut objects = cluster.objects(at);
            match tokio::time::timeout(PATIENCE, objects.create(request)).await {
                Ok(Ok(_)) => break,
                // An earlier try of ours, whose answer was lost.
                Ok(Err(status)) if status.code() == Code::AlreadyExists => break,
                Ok(Err(_)) | Err(_) => {
                    at += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        ledger.enter(name);
    }
}

/// What a watch told.
pub(crate) struct Told {
    pub(crate) names: BTreeSet<String>,
    pub(crate) revision: u64,
}

/// Follows all Secrets from `start`; when a member dies, goes on at another from where it was. Ends when the writers
/// have stopped and nothing more comes.
pub(crate) async fn follow(cluster: Arc<DevCluster>, start: u64, stop: Arc<AtomicBool>) -> Told {
    let mut told = Told {
        names: BTreeSet::new(),
        revision: start,
    };
    for at in 0.. {
        let request = WatchRequest {
            kind: "Secret".into(),
            resource_version: told.revision.to_string(),
            ..WatchRequest::default()
        };
        let watch = tokio::time::timeout(PATIENCE, cluster.objects(at).watch(request)).await;
        let Ok(Ok(watch)) = watch else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut watch = watch.into_inner();
        loop {
            match tokio::time::timeout(PATIENCE, watch.message()).await {
                Ok(Ok(Some(event))) => {
                    let revision: u64 = event.resource_version.parse().expect("a revision");
                    assert!(revision > told.revision, "told in order, each once");
                    told.revision = revision;
                    assert_eq!(
                        event.r#type(),
                        WatchType::Added,
                        "nothing was changed twice"
                    );
                    assert!(told.names.insert(name_of(&event.object)), "told once");
                }
                Ok(_) => break,
                Err(_) if stop.load(Ordering::Relaxed) => return told,
                Err(_) => {}
            }
        }
    }
    told
}
