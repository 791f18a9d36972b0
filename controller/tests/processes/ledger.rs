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
        // To its end also when it is told to stop: what was not answered may be created at any time.
        while !create(&cluster, at, &name).await {
            at += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ledger.enter(name);
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Creates what ends the watch.
pub(crate) async fn write_the_last(cluster: &DevCluster) {
    for at in 0.. {
        if create(cluster, at, THE_LAST).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether it was acknowledged by that member.
async fn create(cluster: &DevCluster, at: usize, name: &str) -> bool {
    let object = json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "Secret",
        "metadata": {"name": name},
        "spec": {"data": {"k": "dmFsdWU="}},
    });
    let request = CreateRequest {
        object: object.to_string().into(),
        options: Some(ChangeOptions::default()),
    };
    match tokio::time::timeout(PATIENCE, cluster.objects(at).create(request)).await {
        Ok(Ok(_)) => true,
        // An earlier try of ours, whose answer was lost.
        Ok(Err(status)) => status.code() == Code::AlreadyExists,
        Err(_) => false,
    }
}

/// What is created last of all.
pub(crate) const THE_LAST: &str = "the-last";

/// Follows all Secrets from `start`, and says which ones it was told of; when a member dies, goes on at another from where
/// it was. Ends with the last one.
pub(crate) async fn follow(cluster: Arc<DevCluster>, start: u64) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let mut seen = start;
    for at in 0.. {
        let request = WatchRequest {
            kind: "Secret".into(),
            resource_version: seen.to_string(),
            ..WatchRequest::default()
        };
        let watch = tokio::time::timeout(PATIENCE, cluster.objects(at).watch(request)).await;
        let Ok(Ok(watch)) = watch else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut watch = watch.into_inner();
        // When it says nothing its member is gone, or so busy that another one may be faster.
        while let Ok(Ok(Some(event))) = tokio::time::timeout(PATIENCE, watch.message()).await {
            let revision: u64 = event.resource_version.parse().expect("a revision");
            assert!(revision > seen, "told in order, each once");
            seen = revision;
            assert_eq!(
                event.r#type(),
                WatchType::Added,
                "nothing was changed twice"
            );
            let name = name_of(&event.object);
            let last = name == THE_LAST;
            assert!(told.insert(name), "told once");
            if last {
                return told;
            }
        }
    }
    told
}
