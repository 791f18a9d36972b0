//! What a host does about a shared filesystem, step by step, as the cluster's members and its own kernel say.

use super::*;
use crate::drivers::{CheckSeen, MountSeen, Owner};
use crate::plan::{Plan, Record, Remembered};
use crate::reconcile::seen::Seen;
use crate::reconcile::work::Work;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{CheckResult, Name};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

/// The record of host an1, and what its kernel shows.
struct Host {
    assignment: Value,
    locks: Option<LockspaceSeen>,
    mounted: Option<Owner>,
    long: bool,
    options: Option<Vec<String>>,
    check: Option<CheckSeen>,
    adjusted: bool,
}

impl Host {
    fn told(active: bool, step: &str, generation: u64, members: &[&str]) -> Self {
        let members: Vec<Value> = members
            .iter()
            .map(|node| json!({"node": node, "nodeId": 1, "incarnation": 3}))
            .collect();
        Self {
            assignment: json!({
                "object": {"kind": "SharedFilesystem", "name": "images"}, "epoch": generation, "active": active,
                "mount": {"device": "/dev/drbd7", "filesystem": "gfs2", "mountPoint": "/srv/images", "journals": 2,
                          "lockspace": {"id": 77, "table": "anvil:images", "generation": generation, "step": step,
                                        "members": members}},
            }),
            locks: None,
            mounted: None,
            long: false,
            options: None,
            check: None,
            adjusted: true,
        }
    }

    fn kernel(mut self, generation: Option<u64>, running: bool) -> Self {
        self.locks = Some(LockspaceSeen {
            name: "images".into(),
            ours: true,
            generation,
            running,
            joining: generation.is_none(),
            leaving: false,
            members: Vec::new(),
        });
        self
    }

    fn leaving(mut self) -> Self {
        self.locks.iter_mut().for_each(|locks| locks.leaving = true);
        self
    }

    fn mounted(mut self) -> Self {
        self.mounted = Some(Owner::Ours("images".into()));
        self
    }

    fn does(&self) -> String {
        let plan = Plan::new("an1", &Remembered::default());
        let record = Record {
            name: "an1.filesystem.images".to_owned(),
            generation: 1,
            term: 1,
            assignment: Arc::new(serde_json::from_value(self.assignment.clone()).expect("one")),
            said: None,
        };
        let mounts = self.mounted.iter().map(|owner| MountSeen {
            owner: owner.clone(),
            device: AbsolutePath("/dev/drbd7".into()),
            mount_point: AbsolutePath("/srv/images".into()),
            filesystem: "gfs2".into(),
            state: MountState::Mounted,
            journal: Some(0),
            journals: None,
            quota: None,
            options: self.options.clone(),
            refused: None,
            capacity: 0,
            free: 0,
        });
        let seen = Seen {
            lockspaces: self.locks.iter().cloned().collect(),
            mounts: mounts.collect(),
            checks: self.check.iter().cloned().collect(),
            ..Seen::default()
        };
        let work = Work {
            adjusted: self.adjusted,
            long: self.long.then_some("mount"),
            ..Work::default()
        };
        let case = Case {
            record: &record,
            plan: &plan,
            seen: &seen,
            work: &work,
            begun: None,
            host: &Name::from("an1"),
            reaches_cluster: true,
            now: Instant::now(),
        };
        let assigned = record.assignment.mount.as_ref().expect("a mount");
        match decide(&case, assigned) {
            Verdict::Do(act) => act.verb().to_owned(),
            Verdict::Waits(_) => "wait".to_owned(),
            Verdict::Ended(trouble, _) => trouble.as_str().to_owned(),
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn a_newcomer_mounts_and_waits_at_the_door() {
    let mut host = Host::told(true, "Stop", 4, &["an2"]);
    assert_eq!(host.does(), "mount");
    host.long = true;
    assert_eq!(host.does(), "wait", "it has not come to the door yet");
    let host = Host::told(true, "Stop", 4, &["an2"]).kernel(None, false);
    assert_eq!(host.does(), "wait", "the members have not let it in");
    let host = Host::told(true, "Start", 5, &["an1", "an2"]).kernel(None, false);
    assert_eq!(host.does(), "start locks");
    let host = Host::told(true, "Start", 5, &["an1", "an2"]).kernel(Some(5), true);
    assert_eq!(host.mounted().does(), "Converged");
}

#[test]
fn a_member_stops_and_starts_with_the_others() {
    let host = Host::told(true, "Stop", 6, &["an1", "an2"]).kernel(Some(5), true);
    assert_eq!(host.mounted().does(), "stop locks");
    let host = Host::told(true, "Stop", 6, &["an1", "an2"]).kernel(Some(6), false);
    assert_eq!(host.mounted().does(), "Converged");
    let host = Host::told(true, "Start", 6, &["an1"]).kernel(Some(6), false);
    assert_eq!(host.mounted().does(), "start locks");
    let host = Host::told(true, "Start", 6, &["an1"]).kernel(Some(6), true);
    assert_eq!(host.mounted().does(), "Converged");
}

#[test]
fn one_that_leaves_unmounts_first_and_goes_only_when_it_is_let_out() {
    let both = ["an1", "an2"];
    let host = Host::told(false, "Start", 6, &both).kernel(Some(6), true);
    assert_eq!(host.mounted().does(), "unmount", "while locks are given");
    let host = Host::told(false, "Start", 6, &both).kernel(Some(6), true);
    assert_eq!(host.leaving().does(), "wait");
    let host = Host::told(false, "Stop", 7, &both).kernel(Some(6), true);
    assert_eq!(host.leaving().does(), "stop locks");
    let host = Host::told(false, "Stop", 7, &both).kernel(Some(7), false);
    assert_eq!(host.leaving().does(), "Converged");
    let host = Host::told(false, "Start", 7, &["an2"]).kernel(Some(7), false);
    assert_eq!(host.leaving().does(), "leave locks");
    assert_eq!(Host::told(false, "Start", 7, &["an2"]).does(), "Released");
}

#[test]
fn a_member_still_stops_for_a_dead_one_while_its_unmount_is_under_way() {
    let mut host = Host::told(false, "Stop", 7, &["an1"]).kernel(Some(6), true);
    host.long = true;
    assert_eq!(host.does(), "stop locks");
}

#[test]
fn a_mount_at_the_door_that_is_not_wanted_any_more_is_turned_away() {
    let mut host = Host::told(false, "Start", 6, &["an2"]).kernel(None, false);
    host.long = true;
    assert_eq!(host.does(), "leave locks");
}

#[test]
fn what_is_somebody_else_s_is_never_touched() {
    let mut host = Host::told(true, "Start", 6, &["an1"]).kernel(Some(5), true);
    host.locks.iter_mut().for_each(|locks| locks.ours = false);
    assert_eq!(host.does(), "ForeignInTheWay");
    let mut host = Host::told(false, "Start", 6, &["an2"]).kernel(Some(5), true);
    host.locks.iter_mut().for_each(|locks| locks.ours = false);
    host.mounted = Some(Owner::Foreign);
    assert_eq!(host.does(), "Released", "nothing of ours is here");
}

#[test]
fn options_that_change_are_told_to_the_kernel_and_hold_up_no_locks() {
    let both = ["an1", "an2"];
    let mut host = Host::told(true, "Start", 6, &both)
        .kernel(Some(6), true)
        .mounted();
    host.assignment["mount"]["options"] = json!(["noatime", "quota=on"]);
    host.options = Some(vec!["noatime".into()]);
    assert_eq!(host.does(), "remount");
    host.long = true;
    assert_eq!(host.does(), "wait");
    host.assignment["mount"]["lockspace"]["step"] = json!("Stop");
    assert_eq!(host.does(), "stop locks", "though it remounts still");
    let mut host = Host::told(true, "Start", 6, &both)
        .kernel(Some(6), true)
        .mounted();
    host.assignment["mount"]["options"] = json!(["noatime", "quota=on"]);
    host.options = Some(vec!["noatime".into(), "quota=on".into()]);
    assert_eq!(host.does(), "Converged", "whether it took them or not");
}

#[test]
fn one_of_those_that_have_it_mounted_adds_what_it_needs() {
    let grows = |first: &str| {
        let mut host = Host::told(true, "Start", 6, &[first, "an3"])
            .kernel(Some(6), true)
            .mounted();
        host.assignment["mount"]["lockspace"]["members"][1]["node"] = json!("an1");
        host.adjusted = false;
        host.does()
    };
    assert_eq!(grows("an0"), "Converged", "an0 does it");
    let mut host = Host::told(true, "Start", 6, &["an1", "an2"])
        .kernel(Some(6), true)
        .mounted();
    host.adjusted = false;
    assert_eq!(host.does(), "grow");
    host.long = true;
    host.assignment["mount"]["lockspace"]["step"] = json!("Stop");
    assert_eq!(host.does(), "stop locks", "though it grows still");
}

#[test]
fn a_check_is_made_once_and_never_beside_a_mount() {
    let told = || {
        let mut host = Host::told(true, "Start", 6, &[]);
        host.assignment["mount"]["lockspace"] = Value::Null;
        host.assignment["mount"]["check"] = json!({"number": 4, "repair": true});
        host
    };
    let seen = |number, runs, result| CheckSeen {
        owner: "images".into(),
        number,
        runs,
        result,
        message: None,
    };
    let mut host = told();
    assert_eq!(host.does(), "check");
    host.check = Some(seen(3, false, Some(CheckResult::Clean)));
    assert_eq!(host.does(), "check", "that was another one");
    host.long = true;
    assert_eq!(host.does(), "wait");
    host.check = Some(seen(4, false, Some(CheckResult::Repaired)));
    host.long = false;
    assert_eq!(host.does(), "Converged");

    let mut killed = told();
    killed.check = Some(seen(4, true, None));
    assert_eq!(killed.does(), "check", "anew, when the first has ended");
    assert_eq!(told().mounted().does(), "InUse");
    let mut mounts = Host::told(true, "Start", 6, &["an1"]);
    mounts.check = Some(seen(4, true, None));
    assert_eq!(mounts.does(), "wait", "nobody mounts what is checked");
    let mut leaves = Host::told(false, "Start", 6, &[]);
    leaves.check = Some(seen(4, true, None));
    assert_eq!(leaves.does(), "wait", "it is not let go of yet");
}
