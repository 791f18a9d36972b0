//! Tells people what becomes of the members: who leads, who came, who is gone and who is back. The leader
//! tells; it alone knows.

use std::{collections::BTreeMap, time::Duration};

use quorate_store::{Leadership, MemberId, MemberStatus, Store};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    cluster_info::ClusterInfo,
    events::{Happening, Recorder, Severity},
};

/// How often the leader looks whom it reaches. A member that is away for less is not worth a word.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whom the leader knew, and whether it reached them.
type Known = BTreeMap<MemberId, bool>;

/// Runs for as long as the store does.
pub async fn run(store: Store, recorder: Recorder) {
    let mut leadership = store.leadership();
    loop {
        let Ok(now) = leadership.wait_for(|now| now.is_self).await.map(|now| *now) else {
            return;
        };
        tell_election(&store, &recorder, now);
        let lost = tokio::select! {
            lost = leadership.wait_for(|now| !now.is_self) => lost.is_err(),
            () = look_around(&store, &recorder) => true,
        };
        if lost {
            return;
        }
    }
}

fn tell_election(store: &Store, recorder: &Recorder, now: Leadership) {
    let status = store.status();
    let leader = status
        .members
        .iter()
        .find(|member| member.id == status.member_id)
        .map_or_else(|| status.member_id.to_string(), named);
    let note = format!("member {leader} leads in term {}", now.term);
    tell(store, recorder, "LeaderElected", note, Severity::Normal);
}

async fn look_around(store: &Store, recorder: &Recorder) {
    let mut known: Option<Known> = None;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let members = store.status().members;
        if let Some(known) = &known {
            for (reason, note, severity) in news(known, &members) {
                tell(store, recorder, reason, note, severity);
            }
        }
        // Whoever has not been asked yet is taken to be as before: there.
        known = Some(
            members
                .iter()
                .map(|member| (member.id, member.reachable != Some(false)))
                .collect(),
        );
    }
}

/// What is different from what was known.
fn news(known: &Known, members: &[MemberStatus]) -> Vec<(&'static str, String, Severity)> {
    members
        .iter()
        .filter_map(|member| {
            let reached = member.reachable != Some(false);
            let name = named(member);
            match known.get(&member.id) {
                None => Some((
                    "MemberJoined",
                    format!("member {name} joined"),
                    Severity::Normal,
                )),
                Some(true) if !reached => Some((
                    "MemberUnreachable",
                    format!("member {name} does not answer the leader; look whether it runs and whether the network is whole"),
                    Severity::Warning,
                )),
                Some(false) if reached => Some((
                    "MemberReachable",
                    format!("member {name} answers again"),
                    Severity::Normal,
                )),
                Some(_) => None,
            }
        })
        .collect()
}

fn named(member: &MemberStatus) -> String {
    format!("{} ({})", member.id, member.name)
}

fn tell(store: &Store, recorder: &Recorder, reason: &str, note: String, severity: Severity) {
    let cluster = ClusterInfo::read(&store.view()).name;
    // A cluster that is being founded has no name yet, and nobody who asks.
    if cluster.is_empty() {
        return;
    }
    recorder.record(Happening {
        kind: "Cluster".into(),
        name: cluster,
        uid: None,
        reason: reason.into(),
        note,
        severity,
    });
}

#[cfg(test)]
mod tests {
    use quorate_store::Role;

    use super::*;

    fn member(id: MemberId, reachable: Option<bool>) -> MemberStatus {
        MemberStatus {
            id,
            name: format!("m{id}"),
            addresses: Vec::new(),
            role: Role::Voter,
            witness: false,
            feature_level: 1,
            lag: None,
            reachable,
        }
    }

    #[test]
    fn only_what_has_changed_is_news() {
        let known = Known::from([(1, true), (2, true), (3, false)]);
        let members = [
            member(1, None),
            member(2, Some(false)),
            member(3, Some(true)),
            member(4, None),
        ];
        let reasons: Vec<_> = news(&known, &members)
            .into_iter()
            .map(|(reason, ..)| reason)
            .collect();
        assert_eq!(
            reasons,
            ["MemberUnreachable", "MemberReachable", "MemberJoined"]
        );
    }
}
