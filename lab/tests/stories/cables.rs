//! Cables and switches, as the kernels at their ends see them.

use quorate_lab::Room;
use quorate_lab::request::HostState;

use crate::stories::{AFTER_A_BOOT, SOON, does_not_reach, reaches};

fn carrier(room: &Room, nic: &str) -> String {
    room.host(1)
        .run(&format!("cat /sys/class/net/{nic}/carrier"))
        .expect("the NIC is there")
}

fn active(room: &Room, bond: &str) -> String {
    room.host(1)
        .run(&format!("cat /sys/class/net/{bond}/bonding/active_slave"))
        .expect("the bond is there")
}

fn eventually_active(room: &Room, bond: &str, nic: &str) {
    room.eventually(&format!("{bond} uses {nic}"), SOON, |room| {
        let found = active(room, bond);
        if found == nic {
            Ok(())
        } else {
            Err(format!("it uses {found:?}"))
        }
    })
    .expect("the bond fails over");
}

pub(crate) fn a_cut_cable_loses_its_carrier_and_the_bond_fails_over(room: &Room) {
    reaches(room, 1, "node2").expect("all is well");
    assert_eq!(active(room, "bcn-bond"), "bcn-a");

    room.host(1).cut("bcn-a").expect("cut");
    eventually_active(room, "bcn-bond", "bcn-b");
    assert_eq!(carrier(room, "bcn-a"), "0");
    room.eventually("node2 is reached over the other switch", SOON, |room| {
        reaches(room, 1, "node2")
    })
    .expect("reached");

    room.host(1).plug("bcn-a").expect("plugged");
    eventually_active(room, "bcn-bond", "bcn-a");
    room.eventually("node2 is reached again", SOON, |room| {
        reaches(room, 1, "node2")
    })
    .expect("reached");
}

pub(crate) fn a_black_hole_keeps_its_carrier_and_swallows_everything(room: &Room) {
    room.host(1).black_hole("sn-a").expect("a black hole");

    room.eventually("nothing comes through", SOON, |room| {
        does_not_reach(room, 1, "node2.sn")
    })
    .expect("a hole");
    assert_eq!(carrier(room, "sn-a"), "1");
    assert_eq!(
        active(room, "sn-bond"),
        "sn-a",
        "a bond that looks only at the carrier is fooled"
    );

    room.host(1).plug("sn-a").expect("plugged");
    room.eventually("node2 is reached again", SOON, |room| {
        reaches(room, 1, "node2.sn")
    })
    .expect("reached");
}

pub(crate) fn a_dead_switch_takes_all_its_cables_and_comes_back_bouncing(room: &Room) {
    room.switch('a', false).expect("off");
    for (bond, nic) in [
        ("bcn-bond", "bcn-b"),
        ("sn-bond", "sn-b"),
        ("ifn-bond", "ifn-b"),
    ] {
        eventually_active(room, bond, nic);
    }
    room.eventually("the hosts meet on the other switch", SOON, |room| {
        reaches(room, 1, "node2.ifn")
    })
    .expect("met");
    room.eventually("node1's BMC hangs on the dead one", SOON, |room| {
        does_not_reach(room, 2, "node1.ipmi")
    })
    .expect("dead");
    room.eventually("node2's BMC does not", SOON, |room| {
        reaches(room, 1, "node2.ipmi")
    })
    .expect("alive");

    let changes = |room: &Room| -> u32 {
        room.host(1)
            .run("cat /sys/class/net/sn-a/carrier_changes")
            .expect("the NIC is there")
            .parse()
            .expect("a number")
    };
    let before = changes(room);
    room.bounce_switch('a', 3).expect("on at last");
    for (bond, nic) in [
        ("bcn-bond", "bcn-a"),
        ("sn-bond", "sn-a"),
        ("ifn-bond", "ifn-a"),
    ] {
        eventually_active(room, bond, nic);
    }
    // A switch that comes on and stays on is one change; a kernel that is busy may miss some of the others.
    let seen = changes(room) - before;
    assert!(seen >= 3, "the carrier has changed {seen} times");
    room.eventually("node1's BMC is back", SOON, |room| {
        reaches(room, 2, "node1.ipmi")
    })
    .expect("back");
}

pub(crate) fn a_disturbed_cable_is_late_and_loses(room: &Room) {
    let round_trip = |room: &Room| -> f64 {
        let text = room
            .host(1)
            .run("ping -q -c3 -W5 node2 | tail -1")
            .expect("node2 answers");
        text.split("= ")
            .nth(1)
            .and_then(|times| times.split('/').next()?.parse::<f64>().ok())
            .expect("ping tells the least time")
    };
    // The kernel accepts the queue only on the NIC itself, below the bond.
    room.host(1).disturb("bcn-a", 700, 0).expect("late");
    assert!(round_trip(room) >= 700.0, "{}", round_trip(room));
    room.host(1).disturb("bcn-a", 0, 50).expect("lossy");
    // Of forty, some arrive and some do not.
    let text = room
        .host(1)
        .run("ping -q -c40 -i0.05 -W1 node2 | grep -o '[0-9]* received'")
        .expect("some arrive");
    let arrived: u32 = text
        .trim_end_matches(" received")
        .parse()
        .expect("a number");
    assert!((1..40).contains(&arrived), "{arrived} of 40");
    room.host(1).disturb("bcn-a", 0, 100).expect("lossier");
    does_not_reach(room, 1, "node2").expect("all is lost");
    assert_eq!(carrier(room, "bcn-a"), "1", "the cable looks good");
    let left = room.host(1).not_undone().expect("looked");
    assert_eq!(left, ["bcn-a is disturbed"]);

    room.host(1).calm("bcn-a").expect("calm");
    room.eventually("node2 answers at once", SOON, |room| {
        let found = round_trip(room);
        if found < 700.0 {
            Ok(())
        } else {
            Err(format!("{found} ms"))
        }
    })
    .expect("calm");
}

pub(crate) fn what_is_broken_stays_so_over_a_power_cycle(room: &Room) {
    let host = room.host(1);
    let write = "dd if=/dev/zero of=/dev/vdc bs=4k count=1 oflag=direct";
    host.cut("sn-a").expect("cut");
    host.fail_disk(0).expect("ill");

    host.lose_mains().expect("dark");
    host.restore_mains().expect("power");
    room.eventually("node1 is up", AFTER_A_BOOT, |room| {
        match room.host(1).state().map_err(|error| error.to_string())? {
            HostState::Up => Ok(()),
            other => Err(format!("it is {other}")),
        }
    })
    .expect("up");
    room.eventually("the cable is still cut", SOON, |room| {
        match carrier(room, "sn-a").as_str() {
            "0" => Ok(()),
            other => Err(format!("carrier {other}")),
        }
    })
    .expect("cut");
    let error = host.run(write).expect_err("still ill").to_string();
    assert!(error.contains("Input/output error"), "{error}");

    host.plug("sn-a").expect("plugged");
    host.heal_disk(0).expect("well");
    host.run(write).expect("a good disk again");
    eventually_active(room, "sn-bond", "sn-a");
}
