//! What the loss of one more voter would do, for people.

use quorate_crds::{EvenSplit, FenceDeviceType};
use quorate_store::{MemberStatus, Role, StoreStatus, View};

use crate::fencing::Room;

/// What happens when one more voter is lost than now. `reachable` says who counts as present.
#[must_use]
pub fn next_loss(
    status: &StoreStatus,
    view: &View,
    reachable: impl Fn(&MemberStatus) -> bool,
) -> String {
    let voters = || {
        status
            .members
            .iter()
            .filter(|member| member.role == Role::Voter)
    };
    let all = voters().count();
    let present = voters().filter(|voter| reachable(voter)).count();
    let needed = all / 2 + 1;
    if present > needed {
        return "the cluster goes on".to_owned();
    }
    if all == 1 {
        return "the cluster stops: there is one voter only".to_owned();
    }
    let half = all % 2 == 0 && present == needed;
    if !half {
        return "the cluster stops: nothing is started or recovered until a majority is back"
            .to_owned();
    }
    let room = Room::of(view);
    if room.cluster.quorum.even_split == EvenSplit::Freeze {
        return "the cluster stops until a majority is back: quorum.evenSplit is Freeze".to_owned();
    }
    let unproven: Vec<&str> = voters()
        .map(|voter| room.machine_of(&voter.name))
        .filter(|host| !can_be_proven_off(&room, host))
        .collect();
    if unproven.is_empty() {
        return "the cluster stands still until fencing has proven the lost ones off, then goes on"
            .to_owned();
    }
    format!(
        "the cluster stands still until fencing has proven the lost ones off, then goes on; but nothing can prove {} \
         off: give it a fence level with a device, or add a witness",
        unproven.join(", ")
    )
}

/// Whether a host has a level of devices that can be asked.
fn can_be_proven_off(room: &Room, host: &str) -> bool {
    room.node(host).is_some_and(|node| {
        node.spec.fencing.levels.iter().any(|level| {
            !level.devices.is_empty()
                && level.devices.iter().all(|target| {
                    room.device(target.device.as_str()).is_some_and(|device| {
                        matches!(
                            device.spec.type_,
                            FenceDeviceType::Agent | FenceDeviceType::Dummy
                        )
                    })
                })
        })
    })
}
