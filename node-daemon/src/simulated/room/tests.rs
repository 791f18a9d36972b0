use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_crds::{DiskState, ReplicaRole};

use super::*;
use crate::drivers::{GuestDoing, HowEnded, LockTable, WhyPaused};

/// Two machines with a board each and a cord in each of two switched outlets, a replicated volume and a guest.
struct Story {
    room: MachineRoom,
}

impl Story {
    fn new() -> Self {
        let machine = |name: &str| MachineLayout {
            disks: BTreeMap::from([("/dev/sda".to_owned(), 100 << 30)]),
            ..MachineLayout::new(name)
        };
        let board = |name: &str| DeviceLayout {
            name: format!("ipmi-{name}"),
            kind: DeviceKind::Board(name.to_owned()),
        };
        let outlets = |name: &str| DeviceLayout {
            name: name.to_owned(),
            kind: DeviceKind::Outlets(BTreeMap::from([
                ("1".to_owned(), "a".to_owned()),
                ("2".to_owned(), "b".to_owned()),
            ])),
        };
        let layout = Layout {
            machines: vec![machine("a"), machine("b")],
            devices: vec![board("a"), board("b"), outlets("pdu1"), outlets("pdu2")],
        };
        let mut story = Self {
            room: MachineRoom::new(layout, Settings::default(), 7),
        };
        for host in ["a", "b"] {
            story.set_up(host);
        }
        story.pass(1);
        assert_eq!(story.disk("b"), Some(DiskState::UpToDate));
        story
    }

    fn set_up(&mut self, host: &str) {
        self.done(
            host,
            HostCall::Pools(PoolCall::EnsureGroup {
                pool: "local".into(),
                name: "vg".into(),
                devices: vec!["/dev/sda".into()],
            }),
        );
        self.done(
            host,
            HostCall::Pools(PoolCall::EnsureVolume {
                group: "vg".into(),
                name: "data".into(),
                owner: "data".into(),
                size: 1 << 30,
                snapshot_of: None,
            }),
        );
        self.done(
            host,
            HostCall::Replication(ReplicationCall::Create {
                volume: "data".into(),
                backing: "/dev/vg/data".into(),
                begins_here: host == "a",
            }),
        );
        self.bring_up(host, false);
    }

    fn bring_up(&mut self, host: &str, two_primaries: bool) {
        let peer = if host == "a" { "b" } else { "a" };
        self.done(
            host,
            HostCall::Replication(ReplicationCall::Adjust {
                volume: "data".into(),
                device: "/dev/drbd0".into(),
                size: 1 << 30,
                peers: BTreeSet::from([peer.to_owned()]),
                two_primaries,
                fencing: true,
            }),
        );
    }

    fn ask(&mut self, host: &str, call: HostCall) -> Result<Reply, Refusal> {
        self.room.ask(Request::Host(host.to_owned(), call)).outcome
    }

    fn done(&mut self, host: &str, call: HostCall) {
        let outcome = self.ask(host, call.clone());
        assert_eq!(outcome, Ok(Reply::Done), "{call:?} on {host}");
    }

    fn promote(&mut self, host: &str) -> Result<Reply, Refusal> {
        self.ask(
            host,
            HostCall::Replication(ReplicationCall::Promote {
                volume: "data".into(),
            }),
        )
    }

    fn answer(&mut self, host: &str, peer: &str, fate: PeerFate) {
        let mut questions = self.questions(host).into_iter();
        let question = questions
            .find(|question| question.peer == peer)
            .expect("an open question");
        self.done(
            host,
            HostCall::Replication(ReplicationCall::Answer { question, fate }),
        );
    }

    fn questions(&mut self, host: &str) -> Vec<LostPeer> {
        let call = HostCall::Replication(ReplicationCall::Questions);
        match self.ask(host, call) {
            Ok(Reply::Questions(questions)) => questions,
            other => panic!("no questions: {other:?}"),
        }
    }

    fn definition() -> Definition {
        Definition {
            epoch: 1,
            generation: 1,
            memory: 1 << 30,
            cpus: 1,
            disks: vec!["/dev/drbd0".into()],
        }
    }

    fn start(&mut self, host: &str) {
        self.done(
            host,
            HostCall::Guests(GuestCall::Define {
                guest: "web".into(),
                definition: Self::definition(),
            }),
        );
        self.done(
            host,
            HostCall::Guests(GuestCall::Start {
                guest: "web".into(),
                paused: false,
            }),
        );
    }

    fn running_on_a() -> Self {
        let mut story = Self::new();
        story.promote("a").expect("nobody else has it open");
        story.start("a");
        story.pass(5);
        story
    }

    fn happen(&mut self, what: Happening) {
        assert_eq!(
            self.room.ask(Request::Happen(what)).outcome,
            Ok(Reply::Done)
        );
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.room.now() + Duration::from_secs(seconds);
        self.room.advance(until);
    }

    fn fence(&mut self, device: &str, plug: &str, call: FenceCall) -> Result<PowerReply, Refusal> {
        self.room.fence(device, plug, call).0
    }

    fn replica(&self, host: &str) -> Option<ReplicaTruth> {
        self.room.truth().volumes["data"].get(host).cloned()
    }

    fn disk(&self, host: &str) -> Option<DiskState> {
        self.replica(host).map(|replica| replica.disk)
    }

    fn writes(&self) -> u64 {
        self.room.truth().progress["web"].writes
    }

    fn executing(&self) -> Vec<String> {
        let truth = self.room.truth();
        let copies = truth.guests.get("web").into_iter().flatten();
        copies
            .filter(|copy| copy.executes)
            .map(|copy| copy.host.clone())
            .collect()
    }
}

#[test]
fn a_lost_peer_freezes_writes_until_somebody_answers_and_catches_up_afterwards() {
    let mut story = Story::running_on_a();
    assert!(story.writes() >= 8, "the guest writes");

    story.happen(Happening::Mains {
        machine: "b".into(),
        on: false,
    });
    let before = story.writes();
    story.pass(5);
    assert_eq!(story.writes(), before, "writes wait");
    assert!(story.replica("a").is_some_and(|replica| replica.frozen));
    let questions = story.questions("a");
    let about: Vec<_> = questions.iter().map(|question| &question.peer).collect();
    assert_eq!(about, ["b"]);

    story.answer("a", "b", PeerFate::Fenced);
    story.pass(5);
    assert!(story.writes() > before, "writes go on");

    story.happen(Happening::Mains {
        machine: "b".into(),
        on: true,
    });
    story.pass(30);
    story.bring_up("b", false);
    assert_eq!(story.disk("b"), Some(DiskState::Inconsistent));
    story.pass(5);
    assert_eq!(story.disk("b"), Some(DiskState::UpToDate));
    assert_eq!(story.room.truth().lost_writes, []);
}

#[test]
fn a_survivor_opens_the_volume_only_after_the_answer_and_finds_every_acknowledged_write() {
    let mut story = Story::running_on_a();
    story.happen(Happening::Crash("a".into()));
    assert_eq!(
        story.promote("b"),
        Err(Refusal::PeerUnknown(vec!["a".into()]))
    );
    story.answer("b", "a", PeerFate::Fenced);
    assert_eq!(story.promote("b"), Ok(Reply::Done));
    story.start("b");
    story.pass(3);
    assert_eq!(story.executing(), ["b"]);
    assert_eq!(story.room.truth().lost_writes, []);

    // The crashed writer comes back: it follows, and does not lead.
    story.happen(Happening::Reset("a".into()));
    story.pass(30);
    story.bring_up("a", false);
    story.pass(5);
    assert_eq!(story.disk("a"), Some(DiskState::UpToDate));
    assert_eq!(
        story.replica("a").map(|replica| replica.role),
        Some(ReplicaRole::Secondary)
    );
}

/// Found by seed 70582: the two were called split for ever, although only one had written.
#[test]
fn what_a_crashed_writer_left_behind_is_made_good_once_and_does_not_count_when_it_is_lost_again() {
    let mut story = Story::running_on_a();
    let comes_back = |story: &mut Story| {
        story.happen(Happening::Crash("a".into()));
        story.happen(Happening::Reset("a".into()));
        story.pass(30);
        story.bring_up("a", false);
    };
    comes_back(&mut story);
    // The other one is opened while it still takes over what the crashed one had in flight.
    assert_eq!(story.promote("b"), Ok(Reply::Done));
    story.pass(1);
    assert_eq!(story.disk("b"), Some(DiskState::UpToDate));
    story.start("b");
    story.pass(3);
    comes_back(&mut story);
    story.pass(5);
    assert_eq!(story.disk("a"), Some(DiskState::UpToDate));
    assert_eq!(story.executing(), ["b"]);
    assert_eq!(story.room.truth().lost_writes, []);
}

#[test]
fn two_that_wrote_alone_stay_apart_until_one_gives_up_its_data() {
    let mut story = Story::running_on_a();
    story.happen(Happening::StorageLink {
        one: "a".into(),
        other: "b".into(),
        up: false,
    });
    // A lie: neither is off.
    story.answer("a", "b", PeerFate::Fenced);
    story.pass(2);
    story.promote("b").expect_err("the question comes first");
    story.answer("b", "a", PeerFate::Fenced);
    story.promote("b").expect("the lie was believed");
    story.start("b");
    let doubled: Vec<String> = story
        .room
        .truth()
        .doubled_guests()
        .map(str::to_owned)
        .collect();
    assert_eq!(doubled, ["web"]);
    assert_eq!(story.room.truth().writers["data"].len(), 2);
    story.pass(2);
    story.done("b", destroy());
    story.done(
        "b",
        HostCall::Replication(ReplicationCall::Demote {
            volume: "data".into(),
        }),
    );
    story.happen(Happening::StorageLink {
        one: "a".into(),
        other: "b".into(),
        up: true,
    });
    story.pass(2);
    let Ok(Reply::Replicas(seen)) = story.ask("a", HostCall::Replication(ReplicationCall::Observe))
    else {
        panic!("a observes its replicas");
    };
    assert!(seen[0].peers[0].split_brain, "{seen:?}");

    story.done(
        "b",
        HostCall::Replication(ReplicationCall::Discard {
            volume: "data".into(),
        }),
    );
    story.pass(10);
    assert_eq!(story.disk("b"), Some(DiskState::UpToDate));
    assert_eq!(story.executing(), ["a"]);
}

fn destroy() -> HostCall {
    HostCall::Guests(GuestCall::Destroy {
        guest: "web".into(),
    })
}

#[test]
fn a_guest_that_is_not_there_is_off() {
    let mut room = Story::new();
    room.done("a", destroy());
    let guest = "web".to_owned();
    for call in [
        GuestCall::ShutDown {
            guest: guest.clone(),
        },
        GuestCall::CancelSend {
            guest: guest.clone(),
        },
        GuestCall::Forget {
            guest: guest.clone(),
        },
    ] {
        room.done("a", HostCall::Guests(call));
    }
    let resume = room.ask("a", HostCall::Guests(GuestCall::Resume { guest }));
    assert!(matches!(resume, Err(Refusal::NotThere(_))), "{resume:?}");
    assert!(room.executing().is_empty());
}

#[test]
fn a_machine_without_mains_has_a_dead_board_and_two_outlets_that_prove_it() {
    let mut story = Story::running_on_a();
    story.happen(Happening::Mains {
        machine: "a".into(),
        on: false,
    });
    assert_eq!(story.executing(), [""; 0]);
    assert!(matches!(
        story.fence("ipmi-a", "", FenceCall::Off),
        Err(Refusal::Unreachable(_))
    ));
    for pdu in ["pdu1", "pdu2"] {
        assert_eq!(story.fence(pdu, "1", FenceCall::Off), Ok(PowerReply::Off));
        assert_eq!(
            story.fence(pdu, "1", FenceCall::Status),
            Ok(PowerReply::Off)
        );
    }
    // The cords are back in, but the outlets are off.
    story.happen(Happening::Mains {
        machine: "a".into(),
        on: true,
    });
    story.pass(60);
    assert_eq!(story.room.truth().machines["a"].kernel, Kernel::Off);
    let before = story.room.boot_id("a");
    story
        .fence("pdu2", "1", FenceCall::On)
        .expect("the outlet works");
    story.pass(60);
    assert_eq!(story.room.truth().machines["a"].kernel, Kernel::Running);
    assert_ne!(story.room.boot_id("a"), before);
}

#[test]
fn a_hung_machine_goes_on_writing_until_its_power_is_really_off() {
    let mut story = Story::running_on_a();
    story.happen(Happening::Hang("a".into()));
    let observe = Request::Host("a".into(), HostCall::Guests(GuestCall::Observe));
    assert_eq!(story.room.ask(observe).after, None, "no process answers");
    let before = story.writes();
    story.pass(2);
    assert!(story.writes() > before);

    story.happen(Happening::Device {
        device: "ipmi-a".into(),
        behaviour: DeviceBehaviour::Lies,
    });
    assert_eq!(
        story.fence("ipmi-a", "", FenceCall::Off),
        Ok(PowerReply::Off)
    );
    assert_eq!(story.executing(), ["a"], "the board lied");
    story
        .fence("pdu1", "1", FenceCall::Off)
        .expect("the outlet works");
    assert_eq!(story.executing(), ["a"], "the second cord still feeds it");
    story
        .fence("pdu2", "1", FenceCall::Off)
        .expect("the outlet works");
    assert_eq!(story.executing(), [""; 0]);
}

#[test]
fn swapped_cords_switch_the_wrong_machine_off() {
    let mut story = Story::running_on_a();
    for device in ["pdu1", "pdu2"] {
        story.happen(Happening::SwapCords {
            device: device.into(),
            one: "1".into(),
            other: "2".into(),
        });
        story
            .fence(device, "2", FenceCall::Off)
            .expect("the outlet works");
    }
    assert_eq!(story.room.truth().machines["a"].kernel, Kernel::Off);
    assert_eq!(story.room.truth().machines["b"].kernel, Kernel::Running);
}

#[test]
fn a_migrated_guest_stands_still_at_its_target_even_when_the_source_never_hears() {
    for (fault, at_source) in [
        (None, None),
        (
            Some(MigrationFault::ReplyLost),
            Some(GuestDoing::Paused(WhyPaused::Sent)),
        ),
        (
            Some(MigrationFault::ReplyLostSourceResumes),
            Some(GuestDoing::Running),
        ),
    ] {
        let mut story = Story::running_on_a();
        let run = story.room.truth().progress["web"].run;
        story.bring_up("a", true);
        story.bring_up("b", true);
        story.promote("b").expect("two may be open");
        let receive = GuestCall::Receive {
            guest: "web".into(),
            from: "a".into(),
            definition: Story::definition(),
        };
        story.done("b", HostCall::Guests(receive));
        if let Some(fault) = fault {
            story.happen(Happening::Migration {
                guest: "web".into(),
                fault,
            });
        }
        let send = |first| {
            HostCall::Guests(GuestCall::Send {
                guest: "web".into(),
                to: "b".into(),
                first,
            })
        };
        assert_eq!(story.ask("a", send(true)), Ok(Reply::Waiting));
        story.pass(5);
        let truth = story.room.truth();
        let at = |host: &str| {
            let mut copies = truth.guests["web"].iter();
            copies.find(|copy| copy.host == host).cloned()
        };
        assert_eq!(at("a").map(|copy| copy.doing), at_source, "{fault:?}");
        let target = at("b").expect("it has arrived");
        assert_eq!(target.doing, GuestDoing::Paused(WhyPaused::Received));
        assert_eq!(target.run, run, "it is the same run");
        assert!(truth.doubled_guests().next().is_none());
    }
}

#[test]
fn a_watchdog_that_is_not_fed_resets_its_machine_even_when_the_kernel_hangs() {
    let mut story = Story::running_on_a();
    let arm = WatchdogCall::Arm(Duration::from_secs(10));
    story.done("a", HostCall::Watchdog(arm));
    story.pass(8);
    story.done("a", HostCall::Watchdog(WatchdogCall::Feed));
    story.pass(8);
    assert_eq!(story.executing(), ["a"]);
    story.happen(Happening::Hang("a".into()));
    story.pass(3);
    assert_eq!(story.executing(), [""; 0]);
    assert_eq!(story.room.truth().watchdogs_fired, 1);
}

#[test]
fn a_question_is_over_when_the_two_meet_and_an_answer_to_it_says_nothing_later() {
    let mut story = Story::running_on_a();
    let storage = |up| Happening::StorageLink {
        one: "a".into(),
        other: "b".into(),
        up,
    };
    story.happen(storage(false));
    story.pass(1);
    let first = story.questions("a");
    assert_eq!(first.len(), 1);
    story.happen(storage(true));
    story.pass(1);
    assert_eq!(story.questions("a"), []);

    // The answer that the cluster has found meanwhile was about a silence that is over.
    story.happen(storage(false));
    story.pass(1);
    let late = HostCall::Replication(ReplicationCall::Answer {
        question: first[0].clone(),
        fate: PeerFate::Fenced,
    });
    story.done("a", late);
    let before = story.writes();
    story.pass(5);
    assert_eq!(
        story.writes(),
        before,
        "writes wait for an answer of their own"
    );
    story.answer("a", "b", PeerFate::Fenced);
    story.pass(5);
    assert!(story.writes() > before, "writes go on");
}

#[test]
fn a_replica_that_leaves_in_order_needs_no_question() {
    let mut story = Story::running_on_a();
    story.done(
        "b",
        HostCall::Replication(ReplicationCall::TakeDown {
            volume: "data".into(),
        }),
    );
    let before = story.writes();
    story.pass(3);
    assert!(story.writes() > before);
    story.bring_up("b", false);
    story.pass(5);
    assert_eq!(story.disk("b"), Some(DiskState::UpToDate));
}

#[test]
fn driver_calls_fail_hang_or_act_without_saying_so() {
    let mut story = Story::running_on_a();
    for (fault, acts) in [
        (CallFault::Fails, false),
        (CallFault::Hangs, false),
        (CallFault::ActsAndFails, true),
        (CallFault::ActsAndHangs, true),
        (CallFault::Late(Duration::from_secs(9)), true),
    ] {
        story.happen(Happening::Calls {
            host: "a".into(),
            subsystem: Subsystem::Guests,
            fault,
            times: 1,
        });
        let answer = story.room.ask(Request::Host("a".into(), destroy()));
        assert_eq!(story.executing().is_empty(), acts, "{fault:?}");
        let hangs = matches!(fault, CallFault::Hangs | CallFault::ActsAndHangs);
        assert_eq!(answer.after.is_none(), hangs, "{fault:?}");
        story.start("a");
    }
}

#[test]
fn the_same_questions_at_the_same_times_make_the_same_room() {
    let story = || {
        let mut story = Story::running_on_a();
        story.happen(Happening::Mains {
            machine: "b".into(),
            on: false,
        });
        story.pass(3);
        story.happen(Happening::GuestCrashes("web".into()));
        let Ok(Reply::Guests(seen)) = story.ask("a", HostCall::Guests(GuestCall::Observe)) else {
            panic!("a observes its guests");
        };
        assert_eq!(seen[0].doing, GuestDoing::Off(HowEnded::Crashed));
        (story.room.truth(), story.room.ask(Request::Log(0)))
    };
    assert_eq!(story(), story());
}

#[test]
fn a_group_on_a_replicated_volume_is_seen_where_that_is_open_and_its_volume_is_written_through_it()
{
    let mut story = Story::new();
    for host in ["a", "b"] {
        story.bring_up(host, true);
    }
    story.pass(1);
    let above = |devices: &[&str]| {
        HostCall::Pools(PoolCall::EnsureGroup {
            pool: "above".into(),
            name: "above".into(),
            devices: devices.iter().map(|device| (*device).to_owned()).collect(),
        })
    };
    let refused = story.ask("a", above(&["/dev/drbd0"]));
    assert!(matches!(refused, Err(Refusal::NoData(_))), "{refused:?}");
    story.promote("a").expect("nobody else has it open");
    story.done("a", above(&["/dev/drbd0"]));
    story.done(
        "a",
        HostCall::Pools(PoolCall::EnsureVolume {
            group: "above".into(),
            name: "web".into(),
            owner: "web".into(),
            size: 1 << 29,
            snapshot_of: None,
        }),
    );
    let seen = |story: &mut Story, host: &str| {
        let Ok(Reply::Groups(groups)) = story.ask(host, HostCall::Pools(PoolCall::Observe)) else {
            panic!("{host} observes its groups");
        };
        let group = groups.into_iter().find(|group| group.name == "above")?;
        Some(group.volumes.iter().any(|volume| volume.active))
    };
    assert_eq!(seen(&mut story, "a"), Some(true));
    assert_eq!(seen(&mut story, "b"), None, "closed there");
    story.promote("b").expect("two may");
    assert_eq!(seen(&mut story, "b"), Some(false), "seen, and not active");

    let definition = Definition {
        disks: vec!["/dev/above/web".into()],
        ..Story::definition()
    };
    for host in ["a", "b"] {
        story.done(
            host,
            HostCall::Guests(GuestCall::Define {
                guest: "web".into(),
                definition: definition.clone(),
            }),
        );
    }
    let start = HostCall::Guests(GuestCall::Start {
        guest: "web".into(),
        paused: false,
    });
    let refused = story.ask("b", start.clone());
    assert!(matches!(refused, Err(Refusal::Guest(_))), "{refused:?}");
    story.done("a", start.clone());
    story.pass(5);
    assert!(story.writes() > 0);
    let close = |active| {
        HostCall::Pools(PoolCall::Activate {
            group: "above".into(),
            name: "web".into(),
            active,
        })
    };
    let refused = story.ask("a", close(false));
    assert!(matches!(refused, Err(Refusal::Busy(_))), "{refused:?}");

    // What was written is there for whoever opens it next.
    story.happen(Happening::Mains {
        machine: "a".into(),
        on: false,
    });
    story.answer("b", "a", PeerFate::Fenced);
    story.done("b", close(true));
    story.done("b", start);
    story.pass(2);
    assert!(story.room.truth().lost_writes.is_empty());
    assert_eq!(story.executing(), ["b"]);
}

/// Seen in a demo that never ended: host and planner waited for a mount that nobody would ever let in.
#[test]
fn a_mount_that_is_turned_away_at_the_door_fails_and_can_be_tried_again() {
    let mut story = Story::new();
    story.promote("a").expect("nobody else has it open");
    let device = || "/dev/drbd0".to_owned();
    let table = LockTable {
        cluster: "anvil".into(),
        filesystem: "shared".into(),
    };
    story.done(
        "a",
        HostCall::Filesystems(FilesystemCall::Make {
            device: device(),
            filesystem: "gfs2".into(),
            lock_table: Some(table.clone()),
        }),
    );
    let read = HostCall::Filesystems(FilesystemCall::Read { device: device() });
    let seen = match story.ask("a", read) {
        Ok(Reply::Filesystem(Some(seen))) => seen,
        other => panic!("a reads what was made: {other:?}"),
    };
    // Or the host that tries again takes it for somebody else's.
    assert_eq!(seen.lock_table, Some(table));
    let mount = HostCall::Filesystems(FilesystemCall::Mount {
        owner: "shared".into(),
        device: device(),
        filesystem: "gfs2".into(),
        point: "/srv/shared".into(),
    });
    let mounts =
        |story: &mut Story| match story.ask("a", HostCall::Filesystems(FilesystemCall::Observe)) {
            Ok(Reply::Mounts(seen)) => seen.len(),
            other => panic!("a observes its mounts: {other:?}"),
        };
    assert_eq!(story.ask("a", mount.clone()), Ok(Reply::Waiting));
    assert_eq!(mounts(&mut story), 1);

    let name = || "shared".to_owned();
    story.done(
        "a",
        HostCall::Lockspaces(LockspaceCall::Leave { name: name() }),
    );
    assert_eq!(mounts(&mut story), 0, "the kernel has nothing left of it");
    let failed = story.ask("a", mount.clone());
    assert!(matches!(failed, Err(Refusal::NotThere(_))), "{failed:?}");

    assert_eq!(story.ask("a", mount.clone()), Ok(Reply::Waiting));
    story.done(
        "a",
        HostCall::Lockspaces(LockspaceCall::Start {
            name: name(),
            generation: 1,
            members: vec!["a".into()],
        }),
    );
    assert_eq!(story.ask("a", mount), Ok(Reply::Done));
}

#[test]
fn members_change_only_when_locks_are_stopped() {
    let mut story = Story::new();
    story.promote("a").expect("nobody else has it open");
    let device = || "/dev/drbd0".to_owned();
    story.done(
        "a",
        HostCall::Filesystems(FilesystemCall::Make {
            device: device(),
            filesystem: "gfs2".into(),
            lock_table: None,
        }),
    );
    let mount = HostCall::Filesystems(FilesystemCall::Mount {
        owner: "shared".into(),
        device: device(),
        filesystem: "gfs2".into(),
        point: "/srv/shared".into(),
    });
    assert_eq!(story.ask("a", mount), Ok(Reply::Waiting));
    let start = |generation, members: &[&str]| {
        HostCall::Lockspaces(LockspaceCall::Start {
            name: "shared".into(),
            generation,
            members: members.iter().map(|name| (*name).into()).collect(),
        })
    };
    story.done("a", start(1, &["a"]));
    let refused = story.ask("a", start(2, &["a", "b"]));
    assert!(matches!(refused, Err(Refusal::Busy(_))), "{refused:?}");
    let stop = HostCall::Lockspaces(LockspaceCall::Stop {
        name: "shared".into(),
        generation: 2,
    });
    story.done("a", stop);
    story.done("a", start(2, &["a", "b"]));
    let truth = story.room.truth();
    let own = &truth.lockspaces["shared"]["a"];
    assert!(own.running && own.writes, "{own:?}");
    assert_eq!(own.members.len(), 2);
}
