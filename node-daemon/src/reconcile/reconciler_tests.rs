use super::*;
use crate::drivers::{
    GuestDoing, GuestSeen, HowEnded, LogicalVolumeSeen, NetworkSeen, Owner, PeerSeen, PoolsSeen,
    ReplicaSeen, VerifySeen, VolumeGroupSeen,
};
use crate::plan::Remembered;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{ConditionStatus, ConnectionState, DiskState, ReplicaRole, VerifyState};
use quorate_proto::host::v1::PlanUpdate;
use serde_json::{Value, json};
use std::time::Duration;

/// A host, its plan, and what its subsystems show. Every act succeeds.
struct Story {
    plan: Plan,
    reconciler: Reconciler,
    right: Right,
    now: Instant,
    networks: Vec<NetworkSeen>,
    replicas: Vec<ReplicaSeen>,
    groups: Vec<VolumeGroupSeen>,
    unread: Vec<AbsolutePath>,
    /// The replicated devices that were to be read last.
    read: Vec<AbsolutePath>,
    guests: Vec<GuestSeen>,
    acts: Vec<&'static str>,
}

impl Story {
    fn new(records: &[Value], objects: &[Value]) -> Self {
        let remembered = Remembered {
            incarnation: 2,
            ..Remembered::default()
        };
        let mut story = Self {
            plan: Plan::new("an1", &remembered),
            reconciler: Reconciler::new("an1", 2, BTreeMap::new()),
            right: Right::Granted,
            now: Instant::now(),
            networks: Vec::new(),
            replicas: Vec::new(),
            groups: Vec::new(),
            unread: Vec::new(),
            read: Vec::new(),
            guests: Vec::new(),
            acts: Vec::new(),
        };
        story.plan_is(1, records, objects);
        story
    }

    fn plan_is(&mut self, generation: u64, records: &[Value], objects: &[Value]) {
        let head = json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": "an1"},
            "spec": {"node": "an1", "incarnation": 2, "term": 1, "planGeneration": generation,
                     "lowestValidGeneration": 1, "records": records.len()},
        });
        let records = records.iter().map(|assignment| {
            let object = &assignment["object"];
            let kind = object["kind"].as_str().expect("a kind").to_lowercase();
            let name = object["name"].as_str().expect("a name");
            json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan",
                "metadata": {"name": format!("an1.{kind}.{name}")},
                "spec": {"node": "an1", "incarnation": 2, "term": 1, "planGeneration": generation,
                         "assignment": assignment},
            })
        });
        let bytes = |value: &Value| serde_json::to_vec(value).expect("JSON").into();
        let update = PlanUpdate {
            whole: true,
            records: records.chain([head]).map(|value| bytes(&value)).collect(),
            objects: objects.iter().map(bytes).collect(),
            node: bytes(&json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "Node", "metadata": {"name": "an1"}, "spec": {},
            })),
            ..PlanUpdate::default()
        };
        let accepted = self.plan.receive(&update).expect("acceptable");
        self.reconciler.plan_changed(&self.plan, &accepted);
    }

    /// Lets time pass, and everything be done that is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.turn();
            let next = self.reconciler.wake_at().unwrap_or(end);
            self.now = next.clamp(self.now + Duration::from_millis(1), end);
        }
        self.turn();
    }

    fn turn(&mut self) {
        for _ in 0..1_000 {
            if !self.look() && !self.act() {
                return;
            }
        }
        panic!("it acts without end: {:?}", &self.acts[..20]);
    }

    fn look(&mut self) -> bool {
        let looks = self.reconciler.looks(self.now);
        for look in &looks {
            if look.subsystem == Subsystem::Pools {
                self.read.clone_from(&look.above);
            }
            let seen = match look.subsystem {
                Subsystem::Networks => Observation::Networks(self.networks.clone()),
                Subsystem::Pools => Observation::Pools(PoolsSeen {
                    groups: self.groups.clone(),
                    unread: self.unread.clone(),
                }),
                Subsystem::Replication => Observation::Replication(self.replicas.clone()),
                Subsystem::Filesystems => Observation::Filesystems(Vec::new(), Vec::new()),
                Subsystem::Lockspaces => Observation::Lockspaces(Vec::new()),
                Subsystem::Guests => Observation::Guests(self.guests.clone()),
            };
            self.reconciler.looked(seen, self.now);
        }
        !looks.is_empty()
    }

    fn act(&mut self) -> bool {
        let wall = Timestamp::UNIX_EPOCH;
        let jobs = self
            .reconciler
            .next(&self.plan, &self.right, self.now, wall);
        for job in &jobs {
            self.acts.push(job.act.verb());
            self.reconciler.finished(job, &Ok(()), self.now);
        }
        !jobs.is_empty()
    }

    /// One turn of it, and everything that is begun fails.
    fn fail(&mut self, trouble: Trouble) {
        self.look();
        let wall = Timestamp::UNIX_EPOCH;
        let (right, now) = (&self.right, self.now);
        for job in self.reconciler.next(&self.plan, right, now, wall) {
            let error = DriverError::passing(trouble, "so it is");
            self.reconciler.finished(&job, &Err(error), now);
            self.acts.push(job.act.verb());
        }
        self.look();
        self.now = self.reconciler.wake_at().unwrap_or(now);
    }

    fn said(&self, record: &str) -> NodePlanStatus {
        let answers = self.reconciler.answers();
        let answer = answers.into_iter().find(|(name, _)| name == record);
        answer.expect("something was said").1
    }

    fn condition(&self, record: &str, type_: &str) -> Option<(bool, String)> {
        let said = self.said(record);
        let condition = said.conditions.iter().find(|it| it.type_ == type_)?;
        Some((
            condition.status == ConditionStatus::True,
            condition.reason.clone(),
        ))
    }
}

fn web(epoch: u64, active: bool) -> Value {
    json!({"object": {"kind": "VirtualMachine", "name": "web"}, "objectGeneration": 1, "epoch": epoch, "active": active,
           "guest": {"desiredState": "Running", "step": if active { "Keep" } else { "Release" }}})
}

fn web_manifest() -> Value {
    json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachine",
           "metadata": {"name": "web", "uid": "u", "generation": 1},
           "spec": {"memory": "1Gi", "cpu": {"sockets": 1}}})
}

fn seen(doing: GuestDoing, epoch: u64) -> GuestSeen {
    GuestSeen {
        domain: "web".into(),
        owner: Owner::Ours("web".into()),
        epoch: Some(epoch),
        generation: Some(1),
        doing,
        pending_changes: Vec::new(),
        migration: None,
        nics: Vec::new(),
        agent: None,
        display: None,
        resources: None,
    }
}

const DATA: &str = "an1.volume.data";
const WEB: &str = "an1.virtualmachine.web";

#[test]
fn an_act_that_succeeds_and_changes_nothing_is_given_up_with_a_reason() {
    // Whatever is defined, the host shows nothing.
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.pass(Duration::from_secs(3600));
    let acts = story.acts.len();
    assert!(acts < 100, "{acts} times in an hour");
    assert!(story.acts.iter().all(|act| *act == "define"));
    let stalled = story.condition(WEB, "Stalled");
    assert_eq!(stalled, Some((true, "DoesNotConverge".to_owned())));

    // When it helps at last, that is forgotten.
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(120));
    assert_eq!(story.condition(WEB, "Stalled"), None);
    assert_eq!(
        story.condition(WEB, "Converged"),
        Some((true, "AsPlanned".to_owned()))
    );
}

#[test]
fn a_guest_that_runs_is_adopted_and_not_touched() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.right = Right::Denied("no lease".into());
    story.pass(Duration::from_secs(600));
    assert_eq!(story.acts, [] as [&str; 0]);
    assert_eq!(
        story.condition(WEB, "Converged"),
        Some((true, "AsPlanned".to_owned()))
    );
}

#[test]
fn without_a_lease_nothing_is_started_and_what_is_to_end_ends() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.right = Right::Denied("the host has no fresh lease".into());
    story.pass(Duration::from_secs(60));
    assert_eq!(story.acts, [] as [&str; 0]);
    let message = story.said(WEB).message;
    assert_eq!(message.as_deref(), Some("the host has no fresh lease"));

    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.reconciler.hint(Subsystem::Guests);
    story.plan_is(2, &[web(2, false)], &[web_manifest()]);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.acts, ["shut down"]);
}

#[test]
fn a_guest_is_started_once_per_epoch_and_then_its_end_is_the_planners_affair() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Off(HowEnded::NeverStarted), 1)];
    story.look();
    story.act();
    assert_eq!(story.acts, ["start"]);

    story.guests = vec![seen(GuestDoing::Off(HowEnded::Crashed), 1)];
    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(600));
    assert_eq!(story.acts, ["start"], "whatever the time");
    let stalled = story.condition(WEB, "Stalled");
    assert_eq!(stalled, Some((true, "GuestCrashed".to_owned())));

    story.plan_is(2, &[web(2, true)], &[web_manifest()]);
    story.pass(Duration::from_millis(1));
    assert_eq!(story.acts[1], "define", "under the new epoch");
}

#[test]
fn what_is_so_is_said_again_when_other_words_may_have_arrived() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.pass(Duration::from_secs(1));
    let well = story.said(WEB);
    story.reconciler.said(WEB, well.clone());
    assert!(story.reconciler.answers().is_empty());

    // A report that says something else is lost on its way, and then everything is as it was before.
    story.reconciler.unsure(WEB);
    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.said(WEB), well);
    story.reconciler.said(WEB, well);
    story.pass(Duration::from_secs(1));
    assert!(story.reconciler.answers().is_empty());
}

#[test]
fn a_guest_that_is_wanted_again_while_it_shuts_down_was_not_switched_off_from_inside() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.pass(Duration::from_secs(1));
    story.plan_is(2, &[web(1, false)], &[web_manifest()]);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.acts, ["shut down"]);

    story.plan_is(3, &[web(1, true)], &[web_manifest()]);
    story.pass(Duration::from_secs(1));
    story.guests = vec![seen(GuestDoing::Off(HowEnded::PoweredOff), 1)];
    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(1));
    let stalled = story.condition(WEB, "Stalled");
    assert_eq!(stalled, Some((true, "GuestNotRunning".to_owned())));
}

#[test]
fn a_guest_that_did_not_follow_may_be_switched_off_from_inside_later() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.pass(Duration::from_secs(1));
    story.plan_is(2, &[web(1, false)], &[web_manifest()]);
    story.pass(Duration::from_secs(1));
    story.plan_is(3, &[web(1, true)], &[web_manifest()]);
    story.pass(Duration::from_secs(600));
    assert_eq!(story.acts, ["shut down"]);

    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(1));
    story.guests = vec![seen(GuestDoing::Off(HowEnded::PoweredOff), 1)];
    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(1));
    let stalled = story.condition(WEB, "Stalled");
    assert_eq!(stalled, Some((true, "GuestPoweredOff".to_owned())));
}

fn storage(generation: i64) -> Value {
    json!({"object": {"kind": "Network", "name": "sn"}, "objectGeneration": generation, "epoch": 0, "active": true,
           "network": {"device": "bond-sn", "address": "10.10.0.1/16", "nics": ["sn1"]}})
}

fn storage_manifest(generation: i64) -> [Value; 1] {
    [
        json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "Network",
               "metadata": {"name": "sn", "uid": "u", "generation": generation}, "spec": {"subnet": "10.10.0.0/16"}}),
    ]
}

fn storage_seen(on_trial: bool, unheard: bool) -> NetworkSeen {
    serde_json::from_value(json!({
        "owner": {"Ours": "sn"}, "status": {"node": "an1", "state": "Up"}, "as_applied": true, "on_trial": on_trial,
        "unheard": unheard,
    }))
    .expect("what is seen of a network")
}

#[test]
fn a_network_stays_as_it_is_while_other_hosts_have_their_turn() {
    let mut story = Story::new(&[storage(1)], &storage_manifest(1));
    story.networks = vec![storage_seen(false, false)];
    story.pass(Duration::from_secs(1));
    assert_eq!(story.acts, ["apply"]);

    story.plan_is(2, &[storage(1)], &storage_manifest(2));
    story.pass(Duration::from_secs(60));
    assert_eq!(
        story.acts,
        ["apply"],
        "the new manifest is not its turn yet"
    );
    let converged = story.condition("an1.network.sn", "Converged");
    assert_eq!(converged, Some((true, "AsPlanned".to_owned())));

    story.plan_is(3, &[storage(2)], &storage_manifest(2));
    story.pass(Duration::from_secs(1));
    assert_eq!(story.acts, ["apply", "apply"]);
}

#[test]
fn a_network_that_was_never_made_waits_for_the_plan_of_a_corrected_manifest_and_says_so() {
    let mut story = Story::new(&[storage(1)], &storage_manifest(2));
    story.pass(Duration::from_secs(60));
    assert!(story.acts.is_empty(), "{:?}", story.acts);
    let outdated = Some((false, "Outdated".to_owned()));
    assert_eq!(story.condition("an1.network.sn", "Converged"), outdated);

    let mut trial = storage_seen(true, false);
    trial.as_applied = false;
    story.networks = vec![trial];
    story.reconciler.hint(Subsystem::Networks);
    story.pass(Duration::from_secs(1));
    let busy = Some((false, "InProgress".to_owned()));
    assert_eq!(
        story.condition("an1.network.sn", "Converged"),
        busy,
        "what is on trial is under way"
    );
}

#[test]
fn a_network_whose_manifest_is_gone_stays_until_it_is_this_hosts_turn_to_take_it_away() {
    let mut story = Story::new(&[storage(1)], &[]);
    story.networks = vec![storage_seen(false, false)];
    story.pass(Duration::from_secs(60));
    assert!(story.acts.is_empty(), "{:?}", story.acts);
    let converged = story.condition("an1.network.sn", "Converged");
    assert_eq!(converged, Some((true, "AsPlanned".to_owned())));

    let mut gone = storage(1);
    gone["active"] = json!(false);
    story.plan_is(2, &[gone], &[]);
    story.look();
    story.act();
    assert_eq!(story.acts, ["remove"]);
    let mut going = storage_seen(true, false);
    going.going = true;
    story.networks = vec![going];
    story.pass(Duration::from_secs(1));
    story.networks = Vec::new();
    assert_eq!(story.acts[..2], ["remove", "keep"]);
}

#[test]
fn a_change_is_kept_when_the_leader_has_answered_since_and_not_because_the_lease_still_lasts() {
    let mut story = Story::new(&[storage(1)], &storage_manifest(1));
    story.networks = vec![storage_seen(true, false)];
    let before = story.now;
    story.now += Duration::from_secs(1);
    story.reconciler.answered(Some(before));
    story.pass(Duration::from_secs(3));
    assert_eq!(story.acts, ["apply"], "only an answer from before is known");
    assert!(story.reconciler.waits_for_answer());

    story.reconciler.answered(Some(story.now));
    story.look();
    story.act();
    assert_eq!(story.acts, ["apply", "keep"]);
}

#[test]
fn a_daemon_that_is_started_in_the_middle_of_a_trial_waits_for_an_answer_of_its_own() {
    let mut gone = storage(1);
    gone["active"] = json!(false);
    let mut story = Story::new(&[gone], &[]);
    let mut going = storage_seen(true, false);
    going.going = true;
    story.networks = vec![going];
    let before = story.now;
    story.now += Duration::from_secs(1);
    story.reconciler.answered(Some(before));
    story.pass(Duration::from_secs(3));
    assert!(story.acts.is_empty(), "{:?}", story.acts);
    story.reconciler.answered(Some(story.now));
    story.look();
    story.act();
    assert_eq!(story.acts, ["keep"]);
}

#[test]
fn a_change_of_a_network_over_which_nobody_is_heard_any_more_is_not_kept() {
    let mut story = Story::new(&[storage(1)], &storage_manifest(1));
    story.networks = vec![storage_seen(true, true)];
    story.pass(Duration::from_secs(20));
    assert_eq!(
        story.acts,
        ["apply"],
        "the cluster is reached, but not over it"
    );

    story.networks = vec![storage_seen(true, false)];
    story.reconciler.hint(Subsystem::Networks);
    story.look();
    story.act();
    assert_eq!(story.acts, ["apply", "keep"]);
}

#[test]
fn a_change_after_which_large_packets_do_not_pass_is_taken_back_at_once() {
    let mut story = Story::new(&[storage(1)], &storage_manifest(1));
    let mut unfit = storage_seen(true, true);
    unfit.unfit = Some("packets of 9000 bytes do not pass to an2".to_owned());
    story.networks = vec![unfit.clone()];
    story.look();
    story.act();
    story.look();
    story.act();
    assert_eq!(story.acts, ["apply", "take back"]);

    unfit.on_trial = false;
    story.acts.clear();
    story.networks = vec![unfit];
    story.reconciler.hint(Subsystem::Networks);
    story.pass(Duration::from_secs(20));
    assert!(
        story.acts.is_empty(),
        "what is kept stays: {:?}",
        story.acts
    );
}

#[test]
fn a_medium_is_found_on_the_filesystem_for_media_or_waited_for() {
    let mut drive = web_manifest();
    drive["spec"]["disks"] =
        json!([{"name": "cd", "device": "Cdrom", "media": "media://debian.iso"}]);
    let mut story = Story::new(&[web(1, true)], std::slice::from_ref(&drive));
    story.pass(Duration::from_secs(1));
    assert_eq!(story.acts, Vec::<&str>::new());
    let message = story.said(WEB).conditions[0].message.clone();
    assert!(message.contains("debian.iso"), "{message}");

    let shared = json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "SharedFilesystem", "metadata": {"name": "shared"},
        "spec": {"volume": "shared", "mountPoint": "/srv/shared/", "directories": [{"purpose": "Media", "path": "media"}]}});
    story.plan_is(2, &[web(1, true)], &[drive, shared]);
    let job = {
        story.look();
        let wall = Timestamp::UNIX_EPOCH;
        let (right, now) = (&story.right, story.now);
        story.reconciler.next(&story.plan, right, now, wall).pop()
    };
    let Some(Act::Define(target)) = job.map(|job| job.act) else {
        panic!("it is not defined");
    };
    assert_eq!(
        target.disks[0].path.as_str(),
        "/srv/shared/media/debian.iso"
    );
}

#[test]
fn a_guest_whose_file_people_have_yet_to_bring_waits_and_has_not_failed() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    for _ in 0..40 {
        story.fail(Trouble::FileMissing);
    }
    assert_eq!(story.condition(WEB, "Stalled"), None);
    let waits = Some((false, "FileMissing".to_owned()));
    assert_eq!(story.condition(WEB, "Converged"), waits);
    assert!(story.acts.len() > 10, "it is looked for again");

    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    for _ in 0..40 {
        story.fail(Trouble::Refused);
    }
    let stalled = Some((true, "Refused".to_owned()));
    assert_eq!(
        story.condition(WEB, "Stalled"),
        stalled,
        "that is a failure"
    );
}

#[test]
fn a_guest_is_ended_when_it_does_not_stop_in_time() {
    let mut story = Story::new(&[web(2, false)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.pass(Duration::from_secs(1));
    assert_eq!(story.acts, ["shut down"]);
    story.pass(Duration::from_secs(3600));
    assert!(story.acts.contains(&"switch off"), "{:?}", story.acts);

    story.guests.clear();
    story.reconciler.hint(Subsystem::Guests);
    story.pass(Duration::from_secs(120));
    assert_eq!(story.said(WEB).released, Some(true));
}

#[test]
fn a_subsystem_that_cannot_be_looked_at_is_the_reason_of_every_record_that_needs_it() {
    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    let fail = || DriverError::passing(Trouble::TimedOut, "libvirtd does not answer");
    for _ in 0..10 {
        for look in story.reconciler.looks(story.now) {
            let seen = if look.subsystem == Subsystem::Guests {
                Observation::Failed(look.subsystem, fail())
            } else {
                Observation::Replication(Vec::new())
            };
            story.reconciler.looked(seen, story.now);
        }
        story.now += Duration::from_secs(61);
    }
    let wall = Timestamp::UNIX_EPOCH;
    let jobs = story
        .reconciler
        .next(&story.plan, &story.right, story.now, wall);
    assert!(jobs.is_empty());
    let said = story.said(WEB).message.unwrap_or_default();
    assert!(said.contains("libvirtd does not answer"), "{said}");
    let stalled = story.condition(WEB, "Stalled");
    assert_eq!(stalled, Some((true, "TimedOut".to_owned())));
}

/// libvirt is killed: until it is there again nobody sees the guest, which runs on.
#[test]
fn a_guest_that_was_begun_has_not_ended_because_it_cannot_be_looked_at() {
    let blind = |story: &mut Story| {
        story.reconciler.hint(Subsystem::Guests);
        for _ in 0..10 {
            for look in story.reconciler.looks(story.now) {
                let seen = if look.subsystem == Subsystem::Guests {
                    let gone =
                        DriverError::lasting(Trouble::NotInstalled, "libvirt does not listen");
                    Observation::Failed(look.subsystem, gone)
                } else {
                    Observation::Replication(Vec::new())
                };
                story.reconciler.looked(seen, story.now);
            }
            story.act();
            story.now += Duration::from_secs(61);
        }
        let said = story.said(WEB).message.unwrap_or_default();
        assert!(said.contains("libvirt does not listen"), "{said}");
        story.condition(WEB, "Stalled").filter(|(so, _)| *so)
    };

    let mut story = Story::new(&[web(1, true)], &[web_manifest()]);
    story.guests = vec![seen(GuestDoing::Off(HowEnded::NeverStarted), 1)];
    story.look();
    story.act();
    story.guests = vec![seen(GuestDoing::Running, 1)];
    story.pass(Duration::from_secs(1));
    assert_eq!(blind(&mut story), None);
    assert_eq!(story.acts, ["start"]);

    let mut again = Story::new(&[web(1, true)], &[web_manifest()]);
    again.reconciler = Reconciler::new("an1", 2, BTreeMap::from([("web".to_owned(), 1)]));
    again.plan_is(2, &[web(1, true)], &[web_manifest()]);
    assert_eq!(blind(&mut again), None, "the daemon was killed, too");

    let mut elsewhere = Story::new(&[web(1, true)], &[web_manifest()]);
    let stalled = blind(&mut elsewhere);
    assert_eq!(
        stalled,
        Some((true, "NotInstalled".to_owned())),
        "one that was never begun here can run elsewhere"
    );
}

fn data(role: &str, more: &Value) -> Value {
    let mut replica = json!({"minor": 0, "port": 7788, "nodeId": 0, "backingDevice": "/dev/vg/data", "size": "1Gi",
                             "role": role, "allowTwoPrimaries": false, "peers": [{"node": "an2", "nodeId": 1}]});
    for (field, value) in more.as_object().expect("fields") {
        replica[field] = value.clone();
    }
    json!({"object": {"kind": "Volume", "name": "data"}, "objectGeneration": 1, "epoch": 1, "active": true,
           "replica": replica})
}

fn data_manifest() -> Value {
    json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "Volume",
           "metadata": {"name": "data", "uid": "u", "generation": 1}, "spec": {"size": "1Gi", "pool": "local"}})
}

fn replica(role: ReplicaRole, disk: DiskState) -> ReplicaSeen {
    ReplicaSeen {
        owner: Owner::Ours("data".into()),
        device: "/dev/drbd0".into(),
        size: 1 << 30,
        role,
        disk,
        open: false,
        frozen: false,
        two_primaries: false,
        as_adjusted: true,
        paced: true,
        out_of_sync: 0,
        sync: None,
        written: None,
        verify: None,
        peers: vec![PeerSeen {
            node: "an2".into(),
            connection: ConnectionState::Connected,
            role: ReplicaRole::Secondary,
            disk: DiskState::UpToDate,
            split_brain: false,
        }],
    }
}

fn group(volumes: &[&str]) -> VolumeGroupSeen {
    let volume = |name: &&str| LogicalVolumeSeen {
        name: (*name).to_owned(),
        owner: Owner::Ours("data".into()),
        size: 2 << 30,
        active: true,
        open: false,
        snapshot_of: None,
    };
    VolumeGroupSeen {
        name: "vg".into(),
        owner: Owner::Ours("local".into()),
        capacity: 100 << 30,
        free: 90 << 30,
        missing: Vec::new(),
        volumes: volumes.iter().map(volume).collect(),
    }
}

#[test]
fn a_replica_is_closed_without_a_lease_and_before_anything_else() {
    let mut story = Story::new(&[data("Secondary", &json!({}))], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Primary, DiskState::UpToDate)];
    story.right = Right::Denied("no lease".into());
    story.look();
    story.act();
    assert_eq!(story.acts, ["demote"]);
}

#[test]
fn a_replica_that_may_be_old_is_not_opened() {
    let mut story = Story::new(&[data("Primary", &json!({}))], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Secondary, DiskState::Inconsistent)];
    story.pass(Duration::from_secs(600));
    assert!(!story.acts.contains(&"promote"), "{:?}", story.acts);
    let message = story.said(DATA).message.unwrap_or_default();
    assert!(message.contains("only on current data"), "{message}");

    story.replicas = vec![replica(ReplicaRole::Secondary, DiskState::UpToDate)];
    story.reconciler.hint(Subsystem::Replication);
    story.look();
    story.act();
    assert!(story.acts.contains(&"promote"), "{:?}", story.acts);
}

#[test]
fn another_rate_for_resyncs_is_told_to_an_open_replica_and_nothing_else_is_done_to_it() {
    let at = |rate: &str| {
        data(
            "Primary",
            &json!({"resyncRate": rate, "resyncRateShared": true}),
        )
    };
    let mut story = Story::new(&[at("100Mi")], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Primary, DiskState::UpToDate)];
    story.pass(Duration::from_secs(10));
    story.acts.clear();
    story.plan_is(2, &[at("50Mi")], &[data_manifest()]);
    story.pass(Duration::from_secs(10));
    assert_eq!(story.acts, ["adjust"]);
}

#[test]
fn how_fast_a_replica_catches_up_is_told_to_it_after_it_was_opened() {
    let mut story = Story::new(&[data("Primary", &json!({}))], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    let mut seen = replica(ReplicaRole::Secondary, DiskState::UpToDate);
    seen.paced = false;
    story.replicas = vec![seen.clone()];
    for _ in 0..2 {
        story.look();
        story.act();
    }
    assert_eq!(story.acts, ["adjust", "promote"]);

    seen.role = ReplicaRole::Primary;
    story.replicas = vec![seen.clone()];
    story.look();
    story.act();
    assert_eq!(story.acts.last(), Some(&"adjust"));

    seen.paced = true;
    story.replicas = vec![seen];
    story.look();
    story.acts.clear();
    story.pass(Duration::from_secs(10));
    assert!(story.acts.is_empty(), "{:?}", story.acts);
}

#[test]
fn how_a_replica_is_is_said_again_when_it_asks_about_its_peer_no_more() {
    let mut story = Story::new(&[data("Secondary", &json!({}))], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Secondary, DiskState::UpToDate)];
    story.pass(Duration::from_secs(10));
    let well = story.said(DATA);
    story.reconciler.said(DATA, well.clone());
    story.pass(Duration::from_secs(1));
    assert!(story.reconciler.answers().is_empty());

    // The question is put on the record by the member that is asked, and has its answer before this host has said anything.
    let (volume, peer) = (Name::from("data"), Name::from("an2"));
    story.reconciler.asks_about(volume.clone(), peer.clone());
    let doubted = story.reconciler.asks_no_more(&volume, &peer);
    assert_eq!(doubted, [DATA]);
    story.reconciler.hint(Subsystem::Replication);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.said(DATA), well);
}

#[test]
fn a_replica_that_has_met_its_peer_again_is_not_outdated() {
    let order = data("Secondary", &json!({"outdate": true}));
    let mut story = Story::new(&[order], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    let mut met = replica(ReplicaRole::Secondary, DiskState::UpToDate);
    story.replicas = vec![met.clone()];
    story.pass(Duration::from_secs(10));
    assert!(!story.acts.contains(&"outdate"), "{:?}", story.acts);

    met.peers[0].connection = ConnectionState::Connecting;
    story.replicas = vec![met];
    story.reconciler.hint(Subsystem::Replication);
    story.look();
    story.act();
    assert!(story.acts.contains(&"outdate"), "{:?}", story.acts);
}

#[test]
fn a_comparison_is_begun_once_under_its_number() {
    let order = data("Secondary", &json!({"verify": 3}));
    let mut story = Story::new(&[order], &[data_manifest()]);
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Secondary, DiskState::UpToDate)];
    story.pass(Duration::from_secs(10));
    assert_eq!(story.acts.first(), Some(&"adjust"), "{:?}", story.acts);
    assert!(story.acts.contains(&"verify"), "{:?}", story.acts);

    let mut runs = replica(ReplicaRole::Secondary, DiskState::UpToDate);
    runs.verify = Some(VerifySeen {
        number: 3,
        state: VerifyState::Finished,
        message: None,
    });
    runs.out_of_sync = 8192;
    story.replicas = vec![runs];
    story.acts.clear();
    story.reconciler.hint(Subsystem::Replication);
    story.pass(Duration::from_secs(10));
    assert!(!story.acts.contains(&"verify"), "{:?}", story.acts);
    let said = story.said(DATA).replica.and_then(|replica| replica.verify);
    let verify = said.expect("it is said");
    assert_eq!((verify.number, verify.state), (3, VerifyState::Finished));
    assert_eq!(verify.out_of_sync, Some("8192".into()));
}

#[test]
fn the_victim_of_a_split_brain_is_kept_aside_before_it_is_given_up() {
    let mut story = Story::new(
        &[data("Secondary", &json!({"giveUp": 3}))],
        &[data_manifest()],
    );
    story.groups = vec![group(&["data"])];
    let mut split = replica(ReplicaRole::Secondary, DiskState::UpToDate);
    split.peers[0].connection = ConnectionState::StandAlone;
    split.peers[0].split_brain = true;
    story.replicas = vec![split];
    story.look();
    story.act();
    assert_eq!(story.acts, ["snapshot"]);

    story.groups = vec![group(&["data", "data-split-3"])];
    story.look();
    story.act();
    assert_eq!(story.acts, ["snapshot", "discard"]);
}

/// A group above the volume `data`, and a logical volume in it.
fn above(active: bool, storage: &Value) -> [Value; 3] {
    let mut of_web = json!({"volumeGroup": "above", "logicalVolume": "web"});
    for (field, value) in storage.as_object().expect("fields") {
        of_web[field] = value.clone();
    }
    let data_below = json!({"kind": "Volume", "name": "data"});
    [
        data("Primary", &json!({})),
        json!({"object": {"kind": "StoragePool", "name": "above"}, "objectGeneration": 1, "epoch": 0, "active": true,
               "after": [data_below], "storage": {"volumeGroup": "above", "device": "/dev/drbd0"}}),
        json!({"object": {"kind": "Volume", "name": "web"}, "objectGeneration": 1, "epoch": 1, "active": active,
               "after": [data_below, {"kind": "StoragePool", "name": "above"}], "storage": of_web}),
    ]
}

fn above_manifests() -> [Value; 2] {
    let pool = json!({"apiVersion": "quorate.dev/v1alpha1", "kind": "StoragePool",
                      "metadata": {"name": "above", "uid": "u", "generation": 1},
                      "spec": {"type": "Shared", "volume": "data"}});
    [data_manifest(), pool]
}

fn group_above(active: Option<bool>) -> VolumeGroupSeen {
    let volume = |active| LogicalVolumeSeen {
        name: "web".into(),
        owner: Owner::Ours("web".into()),
        size: 1 << 30,
        active,
        open: false,
        snapshot_of: None,
    };
    VolumeGroupSeen {
        name: "above".into(),
        owner: Owner::Ours("above".into()),
        volumes: active.map(volume).into_iter().collect(),
        ..group(&[])
    }
}

const ABOVE: &str = "an1.volume.web";

#[test]
fn a_logical_volume_above_another_waits_for_it_and_is_made_only_where_the_plan_says_so() {
    let mut story = Story::new(&above(true, &json!({})), &above_manifests());
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Secondary, DiskState::Inconsistent)];
    story.pass(Duration::from_secs(1));
    assert!(!story.acts.contains(&"make"), "{:?}", story.acts);
    let said = story.said(ABOVE).message.unwrap_or_default();
    assert!(said.contains("volume data below is not open"), "{said}");

    // It is open, and another host makes it: here it is waited for, whatever the time.
    story.replicas = vec![replica(ReplicaRole::Primary, DiskState::UpToDate)];
    story.groups.push(group_above(None));
    story.reconciler.hint(Subsystem::Replication);
    story.reconciler.hint(Subsystem::Pools);
    story.acts.clear();
    story.pass(Duration::from_secs(60));
    assert!(!story.acts.contains(&"make"), "{:?}", story.acts);
    let said = story.said(ABOVE).message.unwrap_or_default();
    assert!(
        said.contains("/dev/above/web is not seen here yet"),
        "{said}"
    );

    // Seen, it is opened here.
    story.groups[1] = group_above(Some(false));
    story.reconciler.hint(Subsystem::Pools);
    story.look();
    story.act();
    assert_eq!(story.acts, ["activate"]);

    // Told to make it, this host does.
    let told = json!({"make": true, "size": "1Gi"});
    story.groups[1] = group_above(None);
    story.plan_is(2, &above(true, &told), &above_manifests());
    story.acts.clear();
    story.look();
    story.act();
    story.look();
    story.act();
    assert!(story.acts.contains(&"make"), "{:?}", story.acts);
    story.groups[1] = group_above(Some(true));
    story.reconciler.hint(Subsystem::Pools);
    story.pass(Duration::from_secs(60));
    let converged = story.condition(ABOVE, "Converged");
    assert_eq!(converged, Some((true, "AsPlanned".to_owned())));
}

#[test]
fn a_logical_volume_above_another_is_closed_without_a_lease_and_removed_last() {
    let told = json!({"data": "Remove"});
    let mut story = Story::new(&above(false, &told), &above_manifests());
    story.groups = vec![group(&["data"]), group_above(Some(true))];
    story.replicas = vec![replica(ReplicaRole::Primary, DiskState::UpToDate)];
    story.right = Right::Denied("no lease".into());
    story.look();
    assert!(!story.act(), "what is above is looked at when that is open");
    story.look();
    story.act();
    assert_eq!(story.acts, ["activate"], "it is closed");
    assert_ne!(story.said(ABOVE).released, Some(true));

    story.groups[1] = group_above(Some(false));
    story.reconciler.hint(Subsystem::Pools);
    story.right = Right::Granted;
    story.acts.clear();
    story.look();
    story.act();
    assert!(story.acts.contains(&"remove"), "{:?}", story.acts);

    story.groups[1] = group_above(None);
    story.reconciler.hint(Subsystem::Pools);
    story.pass(Duration::from_secs(60));
    assert_eq!(story.said(ABOVE).released, Some(true));
}

#[test]
fn nothing_is_let_go_above_a_device_that_is_open_and_cannot_be_read() {
    let device = AbsolutePath("/dev/drbd0".into());
    let mut story = Story::new(&above(false, &json!({})), &above_manifests());
    story.groups = vec![group(&["data"])];
    story.replicas = vec![replica(ReplicaRole::Primary, DiskState::UpToDate)];
    story.replicas[0].frozen = true;
    story.pass(Duration::from_secs(60));
    assert_eq!(story.read, [], "whoever reads it waits as its writes do");
    assert!(!story.acts.contains(&"activate"), "{:?}", story.acts);
    let said = story.said(ABOVE);
    assert_ne!(said.released, Some(true), "it may be active");
    let words = said.message.unwrap_or_default();
    assert!(
        words.contains("what lies on volume data cannot be read"),
        "{words}"
    );

    // Its writes go on, and LVM fails to look at it.
    story.replicas[0].frozen = false;
    story.unread = vec![device.clone()];
    story.reconciler.hint(Subsystem::Replication);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.read, std::slice::from_ref(&device));
    assert_ne!(story.said(ABOVE).released, Some(true));

    // It is tried again without a word from anybody.
    story.unread.clear();
    story.groups.push(group_above(Some(true)));
    story.right = Right::Denied("no lease".into());
    story.pass(Duration::from_secs(60));
    assert!(
        story.acts.contains(&"activate"),
        "it is closed: {:?}",
        story.acts
    );
    story.groups[1] = group_above(Some(false));
    story.reconciler.hint(Subsystem::Pools);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.said(ABOVE).released, Some(true));

    // Not open here, it is not read any more, and nothing above it can be active.
    story.replicas = vec![replica(ReplicaRole::Secondary, DiskState::UpToDate)];
    story.groups.pop();
    story.reconciler.hint(Subsystem::Replication);
    story.pass(Duration::from_secs(1));
    assert_eq!(story.read, []);
    assert_eq!(story.said(ABOVE).released, Some(true));
}

#[test]
fn a_snapshot_is_taken_once_and_not_again_when_it_is_gone() {
    let before = |make: bool, active: bool| {
        let mut record = json!({"object": {"kind": "VolumeSnapshot", "name": "before"}, "epoch": 0, "active": active,
            "storage": {"volumeGroup": "vg", "logicalVolume": "data-at-before", "snapshotOf": "data", "size": "1Gi"}});
        if make {
            record["storage"]["make"] = json!(true);
        }
        if !active {
            record["storage"]["data"] = json!("Remove");
        }
        record
    };
    const BEFORE: &str = "an1.volumesnapshot.before";
    let taken = || {
        let mut group = group(&["data"]);
        group.volumes.push(LogicalVolumeSeen {
            name: "data-at-before".into(),
            owner: Owner::Ours("before".into()),
            snapshot_of: Some("data".into()),
            ..group.volumes[0].clone()
        });
        group
    };
    let mut story = Story::new(&[before(true, true)], &[]);
    story.groups = vec![group(&["data"])];
    story.look();
    story.act();
    assert_eq!(story.acts, ["snapshot"]);
    story.groups = vec![taken()];
    story.pass(Duration::from_secs(60));
    let converged = story.condition(BEFORE, "Converged");
    assert_eq!(converged, Some((true, "AsPlanned".to_owned())));

    story.plan_is(2, &[before(false, true)], &[]);
    story.groups = vec![group(&["data"])];
    story.reconciler.hint(Subsystem::Pools);
    story.acts.clear();
    story.pass(Duration::from_secs(600));
    assert_eq!(story.acts, [] as [&str; 0]);
    let stalled = story.condition(BEFORE, "Stalled");
    assert_eq!(stalled, Some((true, "DeviceMissing".to_owned())));

    story.plan_is(3, &[before(false, false)], &[]);
    story.groups = vec![taken()];
    story.reconciler.hint(Subsystem::Pools);
    story.look();
    story.act();
    assert_eq!(story.acts, ["remove"]);
    story.groups = vec![group(&["data"])];
    story.pass(Duration::from_secs(60));
    assert_eq!(story.said(BEFORE).released, Some(true));
}
