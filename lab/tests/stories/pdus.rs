//! PDUs under the stock agent.

use quorate_lab::description::Feed;
use quorate_lab::power::PduMood;
use quorate_lab::request::HostState;
use quorate_lab::{COMMUNITY, Output, Room};

use crate::stories::{AFTER_A_BOOT, SOON, succeeded};

fn pdu(room: &Room, feed: Feed, community: &str, action: &str) -> Output {
    let arguments = [
        "-a",
        feed.address(),
        "-c",
        community,
        "-n",
        "1",
        "-o",
        action,
        "--power-timeout=4",
        "--login-timeout=5",
        "--shell-timeout=5",
    ];
    room.at_desk("fence_apc_snmp", &arguments)
        .expect("fence-agents are installed here")
}

pub(crate) fn fence_apc_snmp_takes_the_power_when_both_outlets_are_off(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    succeeded(Ok(pdu(room, Feed::A, COMMUNITY, "off"))).expect("outlet 1 of pdu1 is off");
    assert_eq!(room.host(1).status().expect("known").feeds, [false, true]);
    assert_eq!(
        room.host(1).state().expect("known"),
        HostState::Up,
        "one supply is enough"
    );

    room.host(2)
        .run(&format!(
            "fence_apc_snmp -a pdu2 -c {COMMUNITY} -n 1 -o off 2>&1"
        ))
        .expect("outlet 1 of pdu2 is off");
    assert_eq!(room.host(1).state().expect("known"), HostState::Off);
    for what in [
        "10.20.0.2 switches outlet 1 off",
        "10.20.0.2 asks for outlet 1: off",
    ] {
        room.eventually_logged(seen, "pdu2", what, SOON)
            .expect("it is logged");
    }

    for feed in Feed::BOTH {
        succeeded(Ok(pdu(room, feed, COMMUNITY, "on"))).expect("on");
    }
    room.eventually("node1 starts by itself", AFTER_A_BOOT, |room| {
        let state = room.host(1).state().map_err(|error| error.to_string())?;
        if state == HostState::Up {
            Ok(())
        } else {
            Err(format!("it is {state}"))
        }
    })
    .expect("it starts");
}

pub(crate) fn fence_apc_snmp_fails_as_with_a_real_pdu(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    assert_ne!(
        pdu(room, Feed::A, "public", "off").code,
        0,
        "a wrong community"
    );
    room.eventually_logged(seen, "pdu1", "is not answered", SOON)
        .expect("it is logged");

    room.pdu(Feed::A, PduMood::Unreachable)
        .expect("its network is dead");
    assert_ne!(
        pdu(room, Feed::A, COMMUNITY, "off").code,
        0,
        "an unreachable PDU"
    );
    room.eventually_logged(seen, "pdu1", "is not answered: unreachable", SOON)
        .expect("it was asked");
    assert_eq!(room.host(1).status().expect("known").feeds, [true; 2]);
    room.pdu(Feed::A, PduMood::Honest).expect("repaired");

    succeeded(Ok(pdu(room, Feed::A, COMMUNITY, "status"))).expect("it is on");
    assert_eq!(room.host(1).status().expect("known").feeds, [true; 2]);
}

pub(crate) fn welded_relays_let_the_agent_succeed_while_the_host_runs_on(room: &Room) {
    for feed in Feed::BOTH {
        room.pdu(feed, PduMood::Lying).expect("welded");
        succeeded(Ok(pdu(room, feed, COMMUNITY, "off"))).expect("the agent believes it");
    }
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);
    room.host(1).run("true").expect("the host runs on");

    for feed in Feed::BOTH {
        succeeded(Ok(pdu(room, feed, COMMUNITY, "on"))).expect("on");
        room.pdu(feed, PduMood::Honest).expect("repaired");
    }
}
