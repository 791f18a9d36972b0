//! What the loss of voters does, for people. It must say what [`quorate_store::takeover`] will do.

use quorate_crds::{EvenSplit, FenceDeviceType, NodeMode};
use quorate_schema::duration;
use quorate_store::{MemberId, MemberStatus, Role, StoreStatus, View};

use super::claim::HeadStartLength;
use crate::fencing::Room;

/// What becomes of a cluster whose voters are lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outlook {
    /// A majority is left, and so many more.
    GoesOn(usize),
    /// A half is left, and goes on when the other half is proven off.
    AfterFencing,
    /// A half is left, and these cannot be proven off, for these reasons.
    NotProven(Vec<String>),
    /// A half is left, and is told to wait.
    Frozen(&'static str),
    /// Less than a half is left.
    Stops,
}

/// The voters, the machines that they are on, and what is known of these.
pub(crate) struct Voters<'a> {
    room: Room,
    all: Vec<&'a MemberStatus>,
}

impl<'a> Voters<'a> {
    pub(crate) fn of(status: &'a StoreStatus, view: &View) -> Self {
        let votes = |member: &&MemberStatus| member.role == Role::Voter;
        Self {
            room: Room::of(view),
            all: status.members.iter().filter(votes).collect(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn needed(&self) -> usize {
        self.all.len() / 2 + 1
    }

    /// Whether a member on that machine has a vote.
    pub(crate) fn are_on(&self, host: &str) -> bool {
        self.all.iter().any(|voter| self.machine(voter) == host)
    }

    /// Those that `reachable` says are there, without those on a machine.
    pub(crate) fn without(
        &self,
        host: &str,
        reachable: impl Fn(&MemberStatus) -> bool,
    ) -> Vec<MemberId> {
        let left = self.all.iter().filter(|voter| reachable(voter));
        left.filter(|voter| self.machine(voter) != host)
            .map(|voter| voter.id)
            .collect()
    }

    /// What becomes of it when these are left.
    pub(crate) fn outlook(&self, left: &[MemberId]) -> Outlook {
        let cluster = &self.room.cluster;
        if left.len() >= self.needed() {
            return Outlook::GoesOn(left.len() - self.needed());
        }
        if left.is_empty() || left.len() * 2 != self.all.len() {
            return Outlook::Stops;
        }
        if cluster.quorum.even_split == EvenSplit::Freeze {
            return Outlook::Frozen("quorum.evenSplit is Freeze");
        }
        if cluster.maintenance {
            return Outlook::Frozen("the whole cluster is in maintenance, and nothing is fenced");
        }
        let lost = self.all.iter().filter(|voter| !left.contains(&voter.id));
        let unproven: Vec<String> = lost
            .filter_map(|voter| {
                let host = self.machine(voter);
                obstacle(&self.room, host).map(|why| format!("{host} ({why})"))
            })
            .collect();
        if unproven.is_empty() {
            Outlook::AfterFencing
        } else {
            Outlook::NotProven(unproven)
        }
    }

    /// How long these wait for the others' shots first, when the others have the head start.
    fn head_start(&self, left: &[MemberId]) -> HeadStartLength {
        let left = self.all.iter().filter(|voter| left.contains(&voter.id));
        HeadStartLength::of(&self.room, left.map(|voter| self.machine(voter)))
    }

    fn machine(&'a self, voter: &'a MemberStatus) -> &'a str {
        self.room.machine_of(&voter.name)
    }
}

/// What happens when one more voter is lost than now, in the worst case. `reachable` says who counts as present.
#[must_use]
pub fn next_loss(
    status: &StoreStatus,
    view: &View,
    reachable: impl Fn(&MemberStatus) -> bool,
) -> String {
    let voters = Voters::of(status, view);
    if voters.count() == 1 {
        return "the cluster stops: there is one voter only".to_owned();
    }
    let present = voters.all.iter().filter(|voter| reachable(voter));
    let present: Vec<MemberId> = present.map(|voter| voter.id).collect();
    let without = |lost: &MemberId| -> Vec<MemberId> {
        let left = present.iter().filter(|id| *id != lost);
        left.copied().collect()
    };
    let lefts: Vec<Vec<MemberId>> = present.iter().map(without).collect();
    let outlooks: Vec<Outlook> = lefts.iter().map(|left| voters.outlook(left)).collect();
    let mut unproven: Vec<&str> = outlooks
        .iter()
        .filter_map(|outlook| match outlook {
            Outlook::NotProven(hosts) => Some(hosts),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    unproven.sort_unstable();
    unproven.dedup();
    match outlooks.iter().max() {
        Some(Outlook::GoesOn(_)) => "the cluster goes on".to_owned(),
        Some(Outlook::AfterFencing) => format!(
            "the cluster stands still until fencing has proven the lost ones off, then goes on{}",
            of_head_starts(lefts.iter().map(|left| voters.head_start(left)))
        ),
        Some(Outlook::NotProven(_)) => format!(
            "the cluster stands still until fencing has proven the lost ones off, then goes on; but nothing can prove off: \
             {}",
            unproven.join(", ")
        ),
        Some(Outlook::Frozen(why)) => {
            format!("the cluster stops until a majority is back: {why}")
        }
        Some(Outlook::Stops) | None => {
            "the cluster stops: nothing is started or recovered until a majority is back".to_owned()
        }
    }
}

/// What the head start costs, and whether it is too short for what it is there for.
fn of_head_starts(of_halves: impl Iterator<Item = HeadStartLength>) -> String {
    let Some(longest) = of_halves.max_by_key(|it| (it.is_short(), it.length)) else {
        return String::new();
    };
    let length = duration::format(longest.length);
    let short = if longest.is_short() {
        let level = duration::format(longest.level);
        format!(
            "; a fence level may take {level}, so two that are cut apart may shoot each other (quorum.headStart.duration)"
        )
    } else {
        String::new()
    };
    format!("; it waits {length} longer when the lost ones have the head start{short}")
}

/// Why a host cannot be proven off, as far as it is known before it is tried.
fn obstacle(room: &Room, host: &str) -> Option<&'static str> {
    let Some(node) = room.node(host) else {
        return Some("there is no Node of that name: name its Node in Cluster.spec.members");
    };
    if node.spec.mode == NodeMode::Maintenance {
        return Some("it is in maintenance, and is not fenced");
    }
    let status = node.status.as_ref();
    let mut asked = node.spec.fencing.levels.iter().filter(|level| {
        !level.devices.is_empty()
            && level.devices.iter().all(|target| {
                room.device(target.device.as_str()).is_some_and(|device| {
                    matches!(
                        device.spec.type_,
                        FenceDeviceType::Agent | FenceDeviceType::Dummy
                    )
                })
            })
    });
    let works = |level: &&quorate_crds::FenceLevel| {
        let known = status.and_then(|status| {
            let of_level = |known: &&quorate_crds::FenceLevelStatus| known.name == level.name;
            status.fence_levels.iter().find(of_level)?.ready
        });
        known != Some(false)
    };
    let mut some = asked.by_ref().peekable();
    if some.peek().is_none() {
        return Some("give it a fence level with a device that can be asked, or add a witness");
    }
    if some.any(|level| works(&level)) {
        return None;
    }
    Some("no fence level of it works: look at its condition FencingReady")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use quorate_store::takeover::{Action, Configuration, Facts, Phase, Position, Takeover};
    use serde_json::{Value, json};

    use super::*;

    fn voter(id: MemberId) -> MemberStatus {
        MemberStatus {
            id,
            name: format!("m{id}"),
            addresses: Vec::new(),
            role: Role::Voter,
            witness: false,
            reachable: Some(true),
            lag: None,
            feature_level: 1,
        }
    }

    /// Members `m1`, … on hosts `an1`, …, of which some have a device that can be asked.
    fn room(count: u64, with_device: &BTreeSet<MemberId>) -> Room {
        let mut room = Room::default();
        let mut put = |bucket: &str, name: &str, object: Value| {
            room.put(bucket, name, object.to_string().as_bytes(), 1);
        };
        let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "quorate.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let members: Vec<Value> = (1..=count)
            .map(|id| json!({"name": format!("m{id}"), "node": format!("an{id}")}))
            .collect();
        let cluster = object("Cluster", "test", json!({"members": members}));
        put("clusters", "test", cluster);
        let device = json!({"agent": "fence_ipmilan", "parameters": {"ip": "bmc"}});
        put("fencedevices", "bmc", object("FenceDevice", "bmc", device));
        let watchdog = json!({"type": "Watchdog"});
        put("fencedevices", "wd", object("FenceDevice", "wd", watchdog));
        for id in 1..=count {
            let device = if with_device.contains(&id) {
                "bmc"
            } else {
                "wd"
            };
            let levels = json!([{"name": "first", "devices": [{"device": device}]}]);
            let name = format!("an{id}");
            let spec = json!({"number": id, "fencing": {"levels": levels}});
            put("nodes", &name, object("Node", &name, spec));
        }
        room
    }

    /// What the members that are left really do, when nobody else is heard.
    fn does(count: u64, left: &BTreeSet<MemberId>, with_device: &BTreeSet<MemberId>) -> Outlook {
        let all: BTreeSet<MemberId> = (1..=count).collect();
        if left.len() * 2 > all.len() {
            return Outlook::GoesOn(left.len() - (all.len() / 2 + 1));
        }
        let Some(me) = left.first().copied() else {
            return Outlook::Stops;
        };
        let facts = Facts {
            configuration: Configuration {
                at: Position::default(),
                steps: vec![all.clone()],
            },
            committed_voters: all.clone(),
            last: Position::default(),
            hears: left.iter().copied().filter(|id| *id != me).collect(),
            quorum: false,
            in_quorum_since_boot: true,
            taken_out: Some(false),
        };
        let mut takeover = Takeover::new(me, 1);
        if takeover.begin(&facts).is_err() {
            return Outlook::Stops;
        }
        let round = takeover.round().expect("it has begun");
        for member in left.iter().filter(|id| **id != me) {
            let promise = quorate_store::takeover::Message::Promise { round };
            takeover.hear(*member, 1, promise, &facts);
        }
        let mut acts = Vec::new();
        for lost in all.difference(left).filter(|id| with_device.contains(id)) {
            acts = takeover.fenced(round, *lost);
        }
        if matches!(takeover.phase(), Phase::Certified(..)) {
            assert_eq!(acts, [Action::Elect]);
            Outlook::AfterFencing
        } else {
            Outlook::NotProven(Vec::new())
        }
    }

    proptest! {
        /// For two voters, three, four and a pair with a witness, whoever is left and whoever can be switched off.
        #[test]
        fn it_says_what_the_members_will_do(
            count in 1u64..=5,
            left in proptest::collection::btree_set(1u64..=5, 0..=5),
            with_device in proptest::collection::btree_set(1u64..=5, 0..=5),
        ) {
            let left: BTreeSet<MemberId> = left.into_iter().filter(|id| *id <= count).collect();
            let members: Vec<MemberStatus> = (1..=count).map(voter).collect();
            let voters = Voters {
                room: room(count, &with_device),
                all: members.iter().collect(),
            };
            let ids: Vec<MemberId> = left.iter().copied().collect();
            let said = match voters.outlook(&ids) {
                Outlook::NotProven(hosts) => {
                    prop_assert!(!hosts.is_empty());
                    Outlook::NotProven(Vec::new())
                }
                said => said,
            };
            prop_assert_eq!(said, does(count, &left, &with_device));
        }
    }

    #[test]
    fn whoever_nothing_can_prove_off_is_named_with_the_reason() {
        let mut members: Vec<MemberStatus> = (1..=2).map(voter).collect();
        let mut room = room(2, &[1, 2].into());
        let outlook = |room: &Room, left: MemberId| {
            let voters = Voters {
                room: room.clone(),
                all: members.iter().collect(),
            };
            voters.outlook(&[left])
        };
        assert_eq!(outlook(&room, 1), Outlook::AfterFencing);

        let mut broken = room.nodes["an2"].object.clone();
        let status = json!({"fenceLevels": [{"name": "first", "ready": false}]});
        broken.status = serde_json::from_value(status).expect("a status");
        room.nodes.get_mut("an2").expect("there").object = broken;
        let Outlook::NotProven(hosts) = outlook(&room, 1) else {
            panic!("its only level fails");
        };
        assert!(
            hosts[0].starts_with("an2 (no fence level of it works"),
            "{hosts:?}"
        );
        assert_eq!(
            outlook(&room, 2),
            Outlook::AfterFencing,
            "an1 is not concerned"
        );

        room.nodes.get_mut("an1").expect("there").object.spec.mode = NodeMode::Maintenance;
        let Outlook::NotProven(hosts) = outlook(&room, 2) else {
            panic!("somebody is at work on it");
        };
        assert!(hosts[0].contains("maintenance"), "{hosts:?}");

        room.cluster.maintenance = true;
        assert!(matches!(outlook(&room, 2), Outlook::Frozen(_)));
        room.cluster.quorum.even_split = EvenSplit::Freeze;
        assert_eq!(
            outlook(&room, 2),
            Outlook::Frozen("quorum.evenSplit is Freeze")
        );

        // A third vote, and none of this matters.
        members.push(voter(3));
        let voters = Voters {
            room,
            all: members.iter().collect(),
        };
        assert_eq!(voters.outlook(&[2, 3]), Outlook::GoesOn(0));
        assert_eq!(voters.outlook(&[3]), Outlook::Stops);
    }
}
