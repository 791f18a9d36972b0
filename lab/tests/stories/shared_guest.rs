//! A guest whose disk is a file on a shared filesystem: it moves while it runs, nobody else opens its disk meanwhile, and it goes on
//! elsewhere when its host is lost.

use std::path::Path;
use std::time::Instant;

use quorate_lab::Room;
use quorate_lab::cluster;
use quorate_lab::counter;

use crate::stories::counting::{
    assert_proven_off_first, copy_boot_sector, counts_beyond, eventually_is, eventually_up,
    guests_running, home_of, last_run, moves, said, start_it,
};
use crate::stories::shared::{FILES, locks_hold, mounted, room_with_files};

fn image() -> String {
    format!("{FILES}/counter.img")
}

/// QEMU's own lock of the image: whoever opens it on another host as well is refused.
fn assert_locked_for(room: &Room, host: u8) {
    let second = format!("qemu-io -f raw -c 'write -P 7 512 512' {}", image());
    let refused = room
        .host(host)
        .run(&second)
        .map_err(|error| error.to_string());
    assert!(
        refused.as_ref().is_err_and(|said| said.contains("lock")),
        "node{host} opens it too: {refused:?}"
    );
}

pub(crate) fn a_guest_whose_disk_is_a_file_moves_while_it_runs_and_goes_on_when_its_host_is_lost() {
    let room = room_with_files("shared-guest");
    locks_hold(&room);
    copy_boot_sector(&room, 1);
    room.host(1)
        .run(&format!(
            "truncate -s 1M {0} && dd if=/root/boot of={0} conv=notrunc,fsync status=none",
            image()
        ))
        .expect("written");
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("shared/guest.yaml");
    cluster::apply(&room, &[manifests]).expect("applied");
    start_it(&room);
    let home = home_of(&room);
    let peer = 3 - home;
    counts_beyond(&room, home, 5);
    assert_locked_for(&room, peer);
    moves(&room, home, peer);
    assert_locked_for(&room, home);
    moves(&room, peer, home);
    assert_locked_for(&room, peer);
    println!("    it has moved there and back, and its disk was locked all the time");

    let before = counter::acknowledged(&said(&room, home).expect("heard")).expect("a count");
    room.host(home).hold_button().expect("its power is cut");
    let cut = Instant::now();
    eventually_is(&room, peer, "vm/counter", "node", &format!("node{peer}"));
    eventually_is(&room, peer, "vm/counter", "state", "Running");
    counts_beyond(&room, peer, before);
    println!(
        "    it counts on {:.1} s after the power was cut; silence counts as loss after 15 s here",
        cut.elapsed().as_secs_f64()
    );
    assert_proven_off_first(&room, peer);
    let (found, run) = last_run(&said(&room, peer).expect("heard"));
    assert!(
        found.is_some_and(|found| found >= before),
        "it was told that {before} is written, and found {found:?}"
    );
    assert_eq!(counter::unbroken(&run), Ok(()), "nobody else writes");

    eventually_up(&room, home);
    mounted(&room, peer, "2/2");
    assert_eq!(guests_running(&room, home), "0", "the guest is on one host");
    assert_locked_for(&room, home);
    moves(&room, peer, home);
}
