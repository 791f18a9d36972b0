//! Keeps the detector told of what the log says about hosts. Every member does, so that each hears whom it should.

use std::sync::Arc;

use quorate_crds::{Cluster, Node, NodePlan, NodeState};
use quorate_store::{Bucket, Change, Revision, Store, View, WatchError, WatchScope};
use tokio::{sync::watch, time::Instant};

use crate::detector::{Known, Settings, SharedDetector};

/// Runs until the store stops. `known` says up to which revision the detector knows everything.
pub(super) async fn run(store: Store, detector: SharedDetector, known: watch::Sender<Revision>) {
    loop {
        let view = store.view();
        survey(&view, &detector);
        let Ok(mut changes) = store.watch(WatchScope::default(), view.revision()) else {
            // History has moved on between the two lines above.
            tokio::task::yield_now().await;
            continue;
        };
        known.send_replace(view.revision());
        drop(view);
        loop {
            match changes.next_batch().await {
                Ok(batch) => {
                    for change in &batch {
                        note(change, &detector);
                    }
                    known.send_replace(changes.revision());
                }
                Err(WatchError::Expired { .. }) => break,
                Err(WatchError::Stopped) => return,
            }
        }
    }
}

fn survey(view: &View, detector: &SharedDetector) {
    for bucket in ["clusters", "nodes", "nodeplans"] {
        let bucket = Bucket::new(bucket);
        for (key, stored) in view.list(&bucket, None, usize::MAX) {
            put(bucket.as_str(), &key.name, &stored.value, detector);
        }
    }
}

fn note(change: &Arc<Change>, detector: &SharedDetector) {
    let (bucket, name) = (change.key.bucket.as_str(), &*change.key.name);
    match &change.value {
        Some(value) => put(bucket, name, value, detector),
        None if bucket == "nodes" => detector.lock().forget(name),
        None => {}
    }
}

fn put(bucket: &str, name: &str, value: &[u8], detector: &SharedDetector) {
    match bucket {
        "clusters" => {
            if let Ok(cluster) = serde_json::from_slice::<Cluster>(value) {
                detector.lock().configure(Settings::from(&cluster.spec));
            }
        }
        "nodes" => {
            let status = serde_json::from_slice::<Node>(value)
                .ok()
                .and_then(|node| node.status);
            // A host that has never registered has nothing to beat with.
            if let Some(status) = status
                && let Some(incarnation) = status.incarnation
            {
                let mut detector = detector.lock();
                let known = Known {
                    incarnation,
                    state: status.state.unwrap_or(NodeState::Joining),
                };
                detector.know(name, known, Instant::now());
            }
        }
        // Heads are named like their hosts; the other records are many and none of our business.
        "nodeplans" if !name.contains(".virtualmachine.") && !name.contains(".volume.") => {
            if let Ok(head) = serde_json::from_slice::<NodePlan>(value)
                && let Some(lowest) = head.spec.lowest_valid_generation
            {
                let mut detector = detector.lock();
                detector.set_lowest_valid_generation(head.spec.node.as_str(), lowest);
            }
        }
        _ => {}
    }
}
