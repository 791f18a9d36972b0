//! Tells people when leadership moves. The new leader tells; it alone can.

use quorate_store::Store;

use crate::{
    cluster_info::ClusterInfo,
    events::{Happening, Recorder, Severity},
};

/// Runs for as long as the store does.
pub(super) async fn run(store: Store, recorder: Recorder) {
    let mut leadership = store.leadership();
    loop {
        let Ok(now) = leadership.wait_for(|now| now.is_self).await.map(|now| *now) else {
            return;
        };
        let status = store.status();
        let name = status
            .members
            .iter()
            .find(|member| member.id == status.member_id)
            .map_or("?", |member| member.name.as_str());
        let cluster = ClusterInfo::read(&store.view()).name;
        if !cluster.is_empty() {
            recorder.record(Happening {
                kind: "Cluster".into(),
                name: cluster,
                uid: None,
                reason: "LeaderElected".into(),
                note: format!(
                    "member {} ({name}) leads in term {}",
                    status.member_id, now.term
                ),
                severity: Severity::Normal,
            });
        }
        if leadership.wait_for(|now| !now.is_self).await.is_err() {
            return;
        }
    }
}
