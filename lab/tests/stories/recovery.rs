//! A guest on real storage under a real hypervisor, from a manifest: what becomes of it when its host is lost.

use std::path::Path;
use std::time::Instant;

use quorate_lab::Room;
use quorate_lab::cluster::{self, quorate};
use quorate_lab::counter::{self, Record, Said};

use crate::stories::counting::{
    PATIENCE, administer_from, counts_beyond, eventually_is, eventually_up, field, guests_running,
    in_sync, moves, put_on_part, room, said, start_it, start_the_guest,
};

pub(crate) fn a_guest_goes_on_elsewhere_with_all_it_was_told_is_written_when_its_host_loses_power()
{
    let room = room("recovery", 3, "recovery");
    start_the_guest(&room);
    its_host_loses_power(&room);
}

pub(crate) fn a_guest_on_a_part_of_a_replicated_volume_goes_on_elsewhere_with_all_it_was_told_is_written()
 {
    let room = room("above", 3, "recovery/hosts.yaml");
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("above/guest.yaml");
    cluster::apply(&room, &[manifests]).expect("applied");
    eventually_is(&room, 1, "volume/inside", "state", "Ready");
    println!("    its part of the volume is made");
    put_on_part(&room, "vg0/inside");
    start_it(&room);
    its_host_loses_power(&room);
}

fn its_host_loses_power(room: &Room) {
    let name = field(room, 1, "vm/counter", "node").expect("known");
    let (home, peer): (u8, u8) = if name == "node1" { (1, 2) } else { (2, 1) };
    // The administrator goes where power is.
    administer_from(room, peer);
    counts_beyond(room, home, 5);

    let before = counter::acknowledged(&said(room, home).expect("heard")).expect("a count");
    room.host(home).hold_button().expect("its power is cut");
    let cut = Instant::now();
    let peer_name = format!("node{peer}");
    eventually_is(room, peer, "vm/counter", "node", &peer_name);
    eventually_is(room, peer, "vm/counter", "state", "Running");
    counts_beyond(room, peer, before);
    let seconds = cut.elapsed().as_secs_f64();
    println!(
        "    it counts on {seconds:.1} s after the power was cut; silence counts as loss after 15 s here"
    );

    let after = said(room, peer).expect("heard");
    let Some(Said::Start(Record { count, .. })) = after.first().copied() else {
        panic!("it begins with {after:?}")
    };
    assert!(
        count >= before,
        "it was told that {before} is written, and found {count}"
    );
    assert_eq!(counter::unbroken(&after), Ok(()), "nobody else writes");
    let proof = quorate(
        room.host(peer),
        "get fenceoperations -o 'jsonpath={.items[*].status.evidence.kind}'",
    )
    .expect("known");
    assert_eq!(proof, "Devices", "its board says that it was off by then");

    // The cluster switches it on again.
    eventually_up(room, home);
    let home_name = format!("node/node{home}");
    eventually_is(room, peer, &home_name, "state", "Online");
    room.eventually("its replica has caught up", PATIENCE, |room| {
        in_sync(room, peer)
    })
    .expect("in sync");
    assert_eq!(guests_running(room, home), "0", "the guest is on one host");
    let end = said(room, peer).expect("heard");
    assert_eq!(counter::unbroken(&end), Ok(()), "it has run on meanwhile");

    moves(room, peer, home);
}
