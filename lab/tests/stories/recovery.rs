//! A guest on real storage under a real hypervisor, from a manifest: what becomes of it when its host is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use quorate_lab::cache::Cache;
use quorate_lab::cluster::{self, quorate};
use quorate_lab::counter::{self, Record, Said};
use quorate_lab::description::Description;
use quorate_lab::request::HostState;
use quorate_lab::{Progress, Room};

use crate::stories::AFTER_A_BOOT;
use crate::stories::packages::packages;

/// How long the daemons may take for anything, on processors that are translated.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where libvirt keeps what the guest says on its serial port.
const SERIAL: &str = "cat /var/log/libvirt/qemu/counter-console.log";

fn room() -> Room {
    let description = Description {
        data_disks_mib: vec![512, 64],
        ..Description::named(&format!("recovery-{}", std::process::id())).hosts(3)
    };
    let progress = Progress::aloud();
    let room = Room::start(&description, &progress).expect("a room");
    cluster::found(&room, &packages(), &progress).expect("a cluster of three");
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("recovery/manifests.yaml");
    cluster::apply(&room, &[manifests]).expect("applied");
    cluster::enlist(&room, &progress).expect("two hosts");
    for number in [1, 2] {
        cluster::carry_guests(room.host(number)).expect("libvirt");
    }
    room
}

fn field(room: &Room, from: u8, object: &str, path: &str) -> Result<String, String> {
    quorate(
        room.host(from),
        &format!("get {object} -o 'jsonpath={{.status.{path}}}'"),
    )
    .map_err(|error| error.to_string())
}

/// Until a field of an object's status is as wanted, asked of the member on this host.
fn eventually_is(room: &Room, from: u8, object: &str, path: &str, wanted: &str) {
    let outcome = room.eventually(
        &format!("{path} of {object} is {wanted}"),
        PATIENCE,
        |room| {
            let found = field(room, from, object, path)?;
            if found == wanted {
                Ok(())
            } else {
                Err(format!("it is {found:?}"))
            }
        },
    );
    if let Err(error) = outcome {
        let why = quorate(room.host(from), &format!("why {object}"));
        panic!("{error}\n{why:?}");
    }
}

fn said(room: &Room, host: u8) -> Result<Vec<Said>, String> {
    let text = room
        .host(host)
        .run(SERIAL)
        .map_err(|error| error.to_string())?;
    Ok(counter::hear(format!("{text}\n").as_bytes()))
}

fn counts_beyond(room: &Room, host: u8, count: u32) -> u32 {
    room.eventually(
        &format!("the guest counts beyond {count} on node{host}"),
        PATIENCE,
        |room| {
            let said = said(room, host)?;
            match counter::acknowledged(&said) {
                Some(now) if now > count => Ok(now),
                now => Err(format!("it is at {now:?}")),
            }
        },
    )
    .expect("it counts")
}

/// Writes the boot sector below both replicas, as whoever restores an image to a new volume does.
fn put_on_disk(room: &Room) {
    let sector = counter::boot_sector(&Cache::from_environment(), &Progress::silent());
    let sector = sector.expect("assembled");
    for number in [1, 2] {
        let host = room.host(number);
        host.copy_in(&sector, "/root/boot").expect("copied");
        host.run(
            "volume=$(lvs --noheadings -o lv_path -S lv_name=counter | tr -d ' ') && test -n \"$volume\" &&
             dd if=/root/boot of=$volume conv=notrunc,fsync status=none",
        )
        .expect("written");
    }
}

fn in_sync(room: &Room, from: u8) -> Result<(), String> {
    let members = field(room, from, "volume/counter", "inSync")?;
    if members.contains("node1") && members.contains("node2") {
        Ok(())
    } else {
        Err(format!("in sync: {members}"))
    }
}

pub(crate) fn a_guest_goes_on_elsewhere_with_all_it_was_told_is_written_when_its_host_loses_power()
{
    let room = room();
    room.eventually("both replicas are in sync", PATIENCE, |room| {
        in_sync(room, 1)
    })
    .expect("a replicated volume");
    put_on_disk(&room);
    let start = r#"patch vm counter -p '{"spec":{"desiredState":"Running"}}'"#;
    quorate(room.host(1), start).expect("patched");
    eventually_is(&room, 1, "vm/counter", "state", "Running");

    let name = field(&room, 1, "vm/counter", "node").expect("known");
    let (home, peer): (u8, u8) = if name == "node1" { (1, 2) } else { (2, 1) };
    // The administrator goes where power is.
    let context = room.place().join("context.yaml");
    room.host(peer)
        .copy_in(&context, "/root/.config/quorate/config.yaml")
        .expect("copied");
    counts_beyond(&room, home, 5);

    let before = counter::acknowledged(&said(&room, home).expect("heard")).expect("a count");
    room.host(home).hold_button().expect("its power is cut");
    let cut = Instant::now();
    let peer_name = format!("node{peer}");
    eventually_is(&room, peer, "vm/counter", "node", &peer_name);
    eventually_is(&room, peer, "vm/counter", "state", "Running");
    counts_beyond(&room, peer, before);
    let seconds = cut.elapsed().as_secs_f64();
    println!(
        "    it counts on {seconds:.1} s after the power was cut; silence counts as loss after 15 s here"
    );

    let after = said(&room, peer).expect("heard");
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
    room.eventually("its host boots", AFTER_A_BOOT, |room| {
        match room.host(home).state().map_err(|error| error.to_string())? {
            HostState::Up => Ok(()),
            other => Err(format!("it is {other}")),
        }
    })
    .expect("up");
    let home_name = format!("node/node{home}");
    eventually_is(&room, peer, &home_name, "state", "Online");
    room.eventually("its replica has caught up", PATIENCE, |room| {
        in_sync(room, peer)
    })
    .expect("in sync");
    assert_eq!(
        room.host(home)
            .run("virsh -q list --name | grep -c . || true")
            .expect("libvirt answers"),
        "0",
        "the guest is on one host"
    );
    let end = said(&room, peer).expect("heard");
    assert_eq!(counter::unbroken(&end), Ok(()), "it has run on meanwhile");

    quorate(
        room.host(peer),
        &format!("vm migrate counter --to node{home}"),
    )
    .expect("moved");
    let home_only = format!("node{home}");
    eventually_is(&room, peer, "vm/counter", "node", &home_only);
    let there = counts_beyond(&room, home, counter::acknowledged(&end).unwrap_or(0));
    let mut all = said(&room, peer).expect("heard");
    let moved = said(&room, home).expect("heard");
    let run = all.last().copied();
    all.extend(moved.into_iter().filter(|said| same_run(run, *said)));
    assert_eq!(
        counter::unbroken(&all),
        Ok(()),
        "no count is missing up to {there}"
    );
}

fn same_run(one: Option<Said>, other: Said) -> bool {
    let run = |said| match said {
        Said::Start(record) | Said::Count(record) | Said::Foreign(record) | Said::End(record) => {
            Some(record.run)
        }
        Said::DiskError => None,
    };
    one.and_then(run) == run(other)
}
