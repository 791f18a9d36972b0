//! Feeds, cords and buttons.

use quorate_lab::Room;
use quorate_lab::description::Feed;
use quorate_lab::request::HostState;

use crate::stories::{AFTER_A_BOOT, SOON, does_not_reach, reaches};

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

pub(crate) fn a_host_lives_on_one_feed_and_dies_without_both(room: &Room) {
    let starts = room.host(1).status().expect("known").starts;
    room.host(1)
        .write_file(&b"kept"[..], "/root/note", 0o644)
        .expect("written, and on the disk when this returns");

    room.feed(Feed::A, false).expect("feed a dies");
    assert_eq!(room.status().expect("known").pdus, [false, true]);
    reaches(room, 2, "node1").expect("it lives on feed b");

    room.host(1)
        .cord(Feed::B, false)
        .expect("its other cord is pulled");
    assert_eq!(room.host(1).state().expect("known"), HostState::Off);
    does_not_reach(room, 2, "node1").expect("it is dark");
    assert_eq!(
        room.host(2).state().expect("known"),
        HostState::Up,
        "the other host has its feed b"
    );
    assert!(room.host(1).exec("true").is_err());

    room.feed(Feed::A, true).expect("feed a is back");
    eventually(room, HostState::Up);
    assert_eq!(room.host(1).status().expect("known").starts, starts + 1);
    assert_eq!(
        room.host(1)
            .run("cat /root/note; rm /root/note")
            .expect("kept"),
        "kept"
    );
    room.host(1).cord(Feed::B, true).expect("plugged");
}

pub(crate) fn the_power_button_shuts_down_and_starts_and_cuts_when_held(room: &Room) {
    let seen = room.timeline(0).expect("a timeline").len();
    room.host(1).press_button().expect("pressed");
    room.eventually_logged(seen, "node1 console", "power button pressed", SOON)
        .expect("the host hears it");
    eventually(room, HostState::Off);

    room.host(1).press_button().expect("pressed");
    eventually(room, HostState::Up);

    room.host(1).hold_button().expect("held");
    assert_eq!(room.host(1).state().expect("known"), HostState::Off);

    room.eventually("the BMC has seen it and starts the host", SOON, |room| {
        room.host(1).press_button()
    })
    .expect("pressed");
    eventually(room, HostState::Up);
}
