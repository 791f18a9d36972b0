//! Data disks, as the host's kernel sees them.

use std::time::{Duration, Instant};

use quorate_lab::Room;

pub(crate) fn a_failing_disk_returns_errors_until_it_is_healed(room: &Room) {
    let host = room.host(1);
    let write = "dd if=/dev/zero of=/dev/vdc bs=4k count=1 oflag=direct";
    host.run(write).expect("a good disk");

    host.fail_disk(0).expect("ill");
    let error = host.run(write).expect_err("an ill disk").to_string();
    assert!(error.contains("Input/output error"), "{error}");
    host.run(&write.replace("vdc", "vdd"))
        .expect("the other disk is well");

    host.heal_disk(0).expect("well");
    host.run(write).expect("a good disk again");
}

pub(crate) fn a_slow_disk_is_slow_until_it_is_healed(room: &Room) {
    let host = room.host(1);
    let timed = || {
        let begun = Instant::now();
        host.run("dd if=/dev/zero of=/dev/vdc bs=64k count=16 oflag=direct")
            .expect("written");
        begun.elapsed()
    };
    // 1 MiB at 128 KiB/s: eight seconds, less what the throttle lets through at first.
    host.slow_disk(0, 128 << 10).expect("slow");
    let slow = timed();
    assert!(slow > Duration::from_secs(5), "{slow:?}");

    host.heal_disk(0).expect("well");
    let well = timed();
    // What is left is the disk itself, on a machine that may be busy.
    assert!(well * 3 < slow, "{well:?} after {slow:?}");
}

pub(crate) fn a_full_file_system_refuses_to_write_until_there_is_room(room: &Room) {
    let host = room.host(1);
    host.run("mkfs.ext4 -q -F /dev/vdd && mkdir -p /run/full && mount /dev/vdd /run/full")
        .expect("mounted");

    host.fill("/run/full").expect("full");
    let error = host
        .run("dd if=/dev/zero of=/run/full/more bs=64k count=1")
        .expect_err("full")
        .to_string();
    assert!(error.contains("No space left"), "{error}");

    let left = host.not_undone().expect("looked");
    assert_eq!(left, ["/run/full is full"]);

    host.unfill("/run/full").expect("room");
    host.run("dd if=/dev/zero of=/run/full/more bs=64k count=1")
        .expect("there is room");
    host.run("umount /run/full && rmdir /run/full && wipefs -qa /dev/vdd")
        .expect("tidied up");
}

pub(crate) fn logical_volumes_come_and_go_with_their_names(room: &Room) {
    let host = room.host(1);

    host.run("vgcreate -q lab /dev/vdc && lvcreate -qy -n thick -L 8M lab && lvcreate -qy --type thin-pool -n pool -L 16M lab && lvcreate -qy -n thin -V 64M --thinpool pool lab")
        .expect("made");
    host.run("mkfs.ext4 -q /dev/lab/thick && dd if=/dev/zero of=/dev/lab/thin bs=4k count=1 conv=fsync status=none")
        .expect("both are there under their names");

    host.run("vgremove -qy lab && pvremove -q /dev/vdc")
        .expect("removed");
    host.run("test ! -e /dev/lab/thick").expect("gone");
}
