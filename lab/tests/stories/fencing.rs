//! A cluster from Quorate's own packages on hosts with real BMCs: who is lost is shot, and comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_lab::cluster::{self, quorate};
use quorate_lab::description::{Description, Feed};
use quorate_lab::request::HostState;
use quorate_lab::{Progress, Room, USER};

use crate::stories::AFTER_A_BOOT;
use crate::stories::packages::packages;

/// From the silence of a host to the evidence that it is off, on a machine that is busy.
const AFTER_A_LOSS: Duration = Duration::from_secs(600);

/// On a machine that is busy, every host is silent for a while now and then.
const PATIENT: &str = r#"patch cluster an-anvil-01 -p '{"spec":{"detection":{"timeout":"15s"}}}'"#;

/// An agent that takes a second elsewhere takes half a minute there.
const DEVICES: [&str; 4] = ["ipmi-an-a01n01", "ipmi-an-a01n02", "an-p01", "an-p02"];
const SLOW: &str = r#"-p '{"spec":{"timeout":"2m"}}'"#;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn anvil() -> Room {
    let text = std::fs::read_to_string(repository().join("lab/anvil/room.yaml")).expect("there");
    let description = Description::from_yaml(&text).expect("valid");
    let description = Description {
        name: format!("anvil-{}", std::process::id()),
        data_disks_mib: vec![64, 64],
        ..description
    };
    let progress = Progress::aloud();
    let room = Room::start(&description, &progress).expect("a room");
    cluster::found(&room, &packages(), &progress).expect("a cluster of three");
    let manifests = ["deploy/examples/anvil", "lab/anvil/20-secrets.yaml"];
    cluster::apply(&room, &manifests.map(|path| repository().join(path))).expect("applied");
    quorate(room.host(1), PATIENT).expect("patched");
    for device in DEVICES {
        quorate(room.host(1), &format!("patch fencedevice {device} {SLOW}")).expect("patched");
    }
    cluster::enlist(&room, &progress).expect("two hosts");
    room
}

fn of_node(room: &Room, field: &str) -> Result<String, String> {
    quorate(
        room.host(1),
        &format!("get node an-a01n02 -o 'jsonpath={{.status.{field}}}'"),
    )
    .map_err(|error| error.to_string())
}

/// The levels by which hosts were confirmed off, as the cluster has stored them.
fn proven_by(room: &Room) -> Result<Vec<String>, String> {
    let levels = quorate(
        room.host(1),
        "get fenceoperations -o 'jsonpath={.items[*].status.evidence.level}'",
    )
    .map_err(|error| error.to_string())?;
    Ok(levels.split_whitespace().map(str::to_owned).collect())
}

fn eventually_proven_by(room: &Room, level: &str) {
    room.eventually(
        &format!("level {level} is the evidence"),
        AFTER_A_LOSS,
        |room| {
            let levels = proven_by(room)?;
            if levels.iter().any(|found| found == level) {
                Ok(())
            } else {
                Err(format!("so far: {levels:?}"))
            }
        },
    )
    .expect("confirmed off");
}

/// Node2 is a host of the cluster once more, in a later incarnation than this one.
fn eventually_back(room: &Room, before: &str) -> String {
    room.eventually(
        "power returns, and the host boots",
        AFTER_A_BOOT,
        |room| match room.host(2).state().map_err(|error| error.to_string())? {
            HostState::Up => Ok(()),
            other => Err(format!("it is {other}")),
        },
    )
    .expect("up");
    room.eventually("it is a host again", AFTER_A_LOSS, |room| {
        let (state, now) = (of_node(room, "state")?, of_node(room, "incarnation")?);
        if state == "Online" && now != before {
            Ok(now)
        } else {
            Err(format!("{state}, incarnation {now}"))
        }
    })
    .expect("online")
}

pub(crate) fn a_lost_host_is_shot_by_its_cluster_with_the_first_device_that_proves_it() {
    let room = anvil();
    let first = of_node(&room, "incarnation").expect("it has registered");
    let cables = ["bcn-a", "bcn-b", "sn-a", "sn-b"];

    // Silent, but alive: its BMC has a cable of its own, and switches it off.
    let seen = room.timeline(0).expect("a timeline").len();
    for cable in cables {
        room.host(2).cut(cable).expect("cut");
    }
    let login = format!("logs in as \"{USER}\"");
    room.eventually_logged(seen, "node2 bmc", &login, AFTER_A_LOSS)
        .expect("a member turns to its BMC");
    room.eventually_logged(seen, "node2 bmc", "power off", AFTER_A_LOSS)
        .expect("it is shot");
    for cable in cables {
        room.host(2).plug(cable).expect("plugged");
    }
    eventually_proven_by(&room, "ipmi");
    let second = eventually_back(&room, &first);
    assert!(
        !proven_by(&room).expect("known").contains(&"pdu".to_owned()),
        "one level was enough"
    );

    // Its processors are stopped, so that it does not obey its BMC: only both outlets together are proof.
    let seen = room.timeline(0).expect("a timeline").len();
    room.host(2).freeze().expect("frozen");
    room.eventually_logged(seen, "node2 bmc", "power off", AFTER_A_LOSS)
        .expect("its BMC is asked first");
    for pdu in Feed::BOTH.map(Feed::pdu_name) {
        room.eventually_logged(seen, pdu, "switches outlet 2 off", AFTER_A_LOSS)
            .expect("then its power is taken");
    }
    eventually_proven_by(&room, "pdu");
    eventually_back(&room, &second);

    let shot = room.timeline(0).expect("a timeline");
    assert!(
        !shot
            .iter()
            .any(|entry| entry.source == "node1 bmc" && entry.text.starts_with("power off")),
        "nobody has shot the other"
    );
}
