//! BMCs under the stock agents.

use quorate_lab::request::{BmcMood, HostState};
use quorate_lab::{Output, PASSWORD, Room, USER};

use crate::stories::{AFTER_A_BOOT, SOON, succeeded};

fn ipmilan(room: &Room, action: &str, password: &str) -> Output {
    let arguments = [
        "--lanplus",
        "--cipher=3",
        "-a",
        "10.20.1.1",
        "-l",
        USER,
        "-p",
        password,
        "-o",
        action,
        "--power-timeout=4",
        "--login-timeout=5",
        "--shell-timeout=5",
    ];
    room.at_desk("fence_ipmilan", &arguments)
        .expect("fence-agents are installed here")
}

fn redfish(room: &Room, action: &str, password: &str) -> Output {
    let arguments = [
        "-a",
        "10.20.1.1",
        "-l",
        USER,
        "-p",
        password,
        "--ssl-insecure",
        "-o",
        action,
        "--power-timeout=10",
    ];
    room.at_desk("fence_redfish", &arguments)
        .expect("fence-agents are installed here")
}

fn eventually(room: &Room, wanted: HostState) {
    room.eventually(&format!("node1 is {wanted}"), AFTER_A_BOOT, |room| {
        let found = room.host(1).state().map_err(|error| error.to_string())?;
        if found == wanted {
            Ok(())
        } else {
            Err(format!("it is {found}"))
        }
    })
    .expect("its state");
}

pub(crate) fn fence_ipmilan_switches_a_host_from_its_peer(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    let fence = |action: &str| {
        room.host(2).run(&format!(
            "fence_ipmilan --lanplus --cipher=3 -a node1.ipmi -l {USER} -p {PASSWORD} -o {action} 2>&1"
        ))
    };

    fence("off").expect("the agent succeeds");
    assert_eq!(room.host(1).state().expect("known"), HostState::Off);
    let who = format!("10.20.0.2 logs in as \"{USER}\"");
    room.eventually_logged(seen, "node1 bmc", &who, SOON)
        .expect("who");
    let what = format!("power off, during a session of 10.20.0.2 as \"{USER}\"");
    room.eventually_logged(seen, "node1 bmc", &what, SOON)
        .expect("what, and whose");

    fence("on").expect("the agent succeeds");
    eventually(room, HostState::Up);
}

pub(crate) fn fence_ipmilan_fails_as_with_a_real_bmc(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    assert_ne!(ipmilan(room, "off", "wrong").code, 0, "a wrong password");
    room.eventually_logged(seen, "node1 bmc", "asks for a session as", SOON)
        .expect("it is asked");
    room.eventually_logged(seen, "node1 bmc", "does not log in as", SOON)
        .expect("it was the password");
    let so_far = room.timeline(seen).expect("a timeline");
    assert!(
        !so_far.iter().any(|entry| entry.text.contains("logs in")),
        "nobody has logged in: {so_far:?}"
    );

    room.host(1)
        .bmc(BmcMood::Unreachable)
        .expect("its network is dead");
    assert_ne!(ipmilan(room, "off", PASSWORD).code, 0, "an unreachable BMC");
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);
    room.host(1).bmc(BmcMood::Honest).expect("repaired");

    let seen = room.timeline(0).expect("a timeline").len();
    room.host(1).bmc(BmcMood::Deaf).expect("it does nothing");
    assert_ne!(
        ipmilan(room, "off", PASSWORD).code,
        0,
        "a BMC that acknowledges and says that the host is on"
    );
    room.eventually_logged(seen, "node1 bmc", "logs in as", SOON)
        .expect("it was asked");
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);
    room.host(1).bmc(BmcMood::Honest).expect("repaired");

    assert_eq!(room.host(1).state().expect("known"), HostState::Up);
    room.host(1).run("true").expect("it runs on");
    succeeded(Ok(ipmilan(room, "status", PASSWORD))).expect("all is well");
}

pub(crate) fn a_lying_bmc_lets_the_agents_succeed_while_the_host_runs_on(room: &Room) {
    room.host(1).bmc(BmcMood::Lying).expect("it lies");

    succeeded(Ok(ipmilan(room, "off", PASSWORD))).expect("the agent believes it");
    assert_eq!(
        ipmilan(room, "status", PASSWORD).code,
        2,
        "the BMC says off"
    );
    succeeded(Ok(redfish(room, "off", PASSWORD))).expect("its other face lies too");
    assert_eq!(redfish(room, "status", PASSWORD).code, 2, "off, it says");
    room.host(1).run("true").expect("the host runs on");

    room.host(1).bmc(BmcMood::Honest).expect("repaired");
    succeeded(Ok(ipmilan(room, "on", PASSWORD))).expect("the BMC finds it running");
    succeeded(Ok(ipmilan(room, "status", PASSWORD))).expect("and says so");
    succeeded(Ok(ipmilan(room, "off", PASSWORD))).expect("off is off now");
    eventually(room, HostState::Off);
    succeeded(Ok(ipmilan(room, "on", PASSWORD))).expect("on");
    eventually(room, HostState::Up);
}

pub(crate) fn fence_redfish_switches_a_host_and_fails_as_with_a_real_bmc(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    assert_ne!(redfish(room, "off", "wrong").code, 0, "a wrong password");
    room.eventually_logged(seen, "node1 bmc", "wrong user or password", SOON)
        .expect("it is logged");
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);

    room.host(1).bmc(BmcMood::Deaf).expect("it does nothing");
    assert_ne!(
        redfish(room, "off", PASSWORD).code,
        0,
        "a BMC that acknowledges and says that the host is on"
    );
    room.host(1).bmc(BmcMood::Honest).expect("repaired");
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);

    let fence = format!("fence_redfish -a node1.ipmi -l {USER} -p {PASSWORD} --ssl-insecure");
    room.host(2)
        .run(&format!("{fence} -o off --power-timeout=60 2>&1"))
        .expect("the agent succeeds");
    eventually(room, HostState::Off);
    assert_eq!(redfish(room, "status", PASSWORD).code, 2, "off");
    room.eventually_logged(seen, "node1 bmc", "asks for its state over Redfish", SOON)
        .expect("that somebody looks");
    room.eventually_logged(
        seen,
        "node1 bmc",
        "10.20.0.2 asks for \"ForceOff\" over Redfish",
        SOON,
    )
    .expect("who and what");

    succeeded(Ok(redfish(room, "on", PASSWORD))).expect("the agent succeeds");
    eventually(room, HostState::Up);
}

pub(crate) fn fence_redfish_does_not_succeed_on_an_unreachable_bmc(room: &Room) {
    room.host(1)
        .bmc(BmcMood::Unreachable)
        .expect("its network is dead");

    // The stock agent itself has no limit for a connection that nobody answers; whoever calls it must set one. It is still asking then.
    let attempt = room.host(2).exec(&format!(
        "timeout 15 fence_redfish -a node1.ipmi -l {USER} -p {PASSWORD} --ssl-insecure -o off"
    ));
    const TIMED_OUT: u32 = 124;
    assert_eq!(attempt.expect("the host answers").code, TIMED_OUT);
    assert_eq!(room.host(1).state().expect("known"), HostState::Up);
    room.host(1).run("true").expect("the host runs on");

    room.host(1).bmc(BmcMood::Honest).expect("repaired");
    assert_eq!(
        redfish(room, "status", PASSWORD).code,
        0,
        "on, and it says so"
    );
}
