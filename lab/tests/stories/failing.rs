//! What fails, for the story of what is kept then; never told otherwise.

use quorate_lab::Room;

pub(crate) fn one_fails_after_a_hand(room: &Room) {
    room.host(1).step_clock(60).expect("stepped");
    panic!("this story fails");
}

pub(crate) fn another_fails_after_a_hand(room: &Room) {
    room.host(1).fill("/var").expect("filled");
    panic!("this story fails too");
}
