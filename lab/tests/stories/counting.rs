//! A cluster whose guest counts on a replicated disk, as its commands and its guest tell of it.

use std::path::Path;
use std::time::Duration;

use quorate_lab::cache::Cache;
use quorate_lab::cluster::{self, quorate};
use quorate_lab::counter::{self, Said};
use quorate_lab::description::Description;
use quorate_lab::request::HostState;
use quorate_lab::{Progress, Room};
use serde_json::Value;

use crate::stories::AFTER_A_BOOT;
use crate::stories::desk;
use crate::stories::packages::packages;

/// How long the daemons may take for anything, on processors that are translated.
pub(super) const PATIENCE: Duration = Duration::from_secs(900);

/// What libvirt keeps of what the guest says on its serial port. After a loss of power zeros stand where the last of it had not reached
/// the disk.
const SERIAL: &str = "tr '\\000' '\\n' </var/log/libvirt/qemu/counter-console.log";

/// A cluster of so many members with these manifests of the lab; its first two hosts carry guests.
pub(super) fn room(name: &str, hosts: u8, manifests: &str) -> Room {
    let description = Description {
        data_disks_mib: vec![512, 64],
        ..Description::named(&format!("{name}-{}", std::process::id())).hosts(hosts)
    };
    let progress = Progress::aloud();
    let room = Room::start(&description, &progress).expect("a room");
    cluster::found(&room, &packages(), &progress).expect("a cluster");
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifests);
    cluster::apply(&room, &[manifests]).expect("applied");
    cluster::enlist(&room, &progress).expect("two hosts");
    for number in [1, 2] {
        cluster::carry_guests(room.host(number)).expect("libvirt");
    }
    room
}

/// The guest's disk is written below both replicas, and it is started.
pub(super) fn start_the_guest(room: &Room) {
    room.eventually("both replicas are in sync", PATIENCE, |room| {
        in_sync(room, 1)
    })
    .expect("a replicated volume");
    put_on_disk(room);
    start_it(room);
}

pub(super) fn start_it(room: &Room) {
    let start = r#"patch vm counter -p '{"spec":{"desiredState":"Running"}}'"#;
    quorate(room.host(1), start).expect("patched");
    eventually_is(room, 1, "vm/counter", "state", "Running");
}

/// Writes the boot sector below both replicas, as whoever restores an image to a new volume does.
fn put_on_disk(room: &Room) {
    for number in [1, 2] {
        copy_boot_sector(room, number);
        let host = room.host(number);
        host.run(
            "volume=$(lvs --noheadings -o lv_path -S lv_name=counter | tr -d ' ') && test -n \"$volume\" &&
             dd if=/root/boot of=$volume conv=notrunc,fsync status=none",
        )
        .expect("written");
    }
}

/// Writes the boot sector to a logical volume above the replicated one, which nobody uses yet.
pub(super) fn put_on_part(room: &Room, part: &str) {
    copy_boot_sector(room, 1);
    let there = r#"--config 'devices{global_filter=["a|^/dev/drbd|","r|.*|"]}'"#;
    let write = format!(
        "lvchange {there} --activate y {part} && dd if=/root/boot of=/dev/{part} conv=notrunc,fsync status=none &&
         lvchange {there} --activate n {part}"
    );
    room.host(1).run(&write).expect("written");
}

pub(super) fn copy_boot_sector(room: &Room, host: u8) {
    let sector = counter::boot_sector(&Cache::from_environment(), &Progress::silent());
    let sector = sector.expect("assembled");
    room.host(host)
        .copy_in(&sector, "/root/boot")
        .expect("copied");
}

/// The administrator works on this host, too.
pub(super) fn administer_from(room: &Room, host: u8) {
    let context = room.place().join("context.yaml");
    room.host(host)
        .copy_in(&context, "/root/.config/quorate/config.yaml")
        .expect("copied");
}

/// A field of an object's status, asked of the member on this host.
pub(super) fn field(room: &Room, from: u8, object: &str, path: &str) -> Result<String, String> {
    let path = format!("jsonpath={{.status.{path}}}");
    desk::ask_member(room, from, &["get", object, "-o", &path])
}

/// Which of the two hosts has the guest, as the first one's member knows it.
pub(super) fn home_of(room: &Room) -> u8 {
    let known = room.eventually("the guest's host is known", PATIENCE, |room| {
        match field(room, 1, "vm/counter", "node")?.as_str() {
            "node1" => Ok(1),
            "node2" => Ok(2),
            other => Err(format!("it is on {other:?}")),
        }
    });
    known.expect("it has one")
}

/// Some host was proven off by its devices, as the member on this host knows it.
pub(super) fn assert_proven_off_first(room: &Room, from: u8) {
    let proof = quorate(
        room.host(from),
        "get fenceoperations -o 'jsonpath={.items[*].status.evidence.kind}'",
    );
    assert!(
        proof.expect("known").contains("Devices"),
        "proven off first"
    );
}

/// The cluster, as the member on this host tells of it.
pub(super) fn cluster_status(room: &Room, from: u8) -> Result<Value, String> {
    let text = desk::ask_member(room, from, &["cluster", "status", "-o", "json"])?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// Until so many of so many members answer, and vote.
pub(super) fn eventually_answer(room: &Room, from: u8, wanted: usize, of: usize) {
    let what = format!("{wanted} of {of} members answer");
    let outcome = room.eventually(&what, PATIENCE, |room| {
        let status = cluster_status(room, from)?;
        let members = status["members"].as_array().cloned().unwrap_or_default();
        // The witness is a "voter, witness".
        let votes = |member: &&Value| {
            let role = member["role"].as_str().unwrap_or_default();
            member["reachable"] == true && (role.starts_with("voter") || role == "leader")
        };
        let answering = members.iter().filter(votes).count();
        if (answering, members.len()) == (wanted, of) {
            Ok(())
        } else {
            Err(status["members"].to_string())
        }
    });
    outcome.expect("they do");
}

/// How many guests libvirt runs on this host.
pub(super) fn guests_running(room: &Room, host: u8) -> String {
    room.host(host)
        .run("virsh -q list --name | grep -c . || true")
        .expect("libvirt answers")
}

/// Until a field of an object's status is as wanted, asked of the member on this host.
pub(super) fn eventually_is(room: &Room, from: u8, object: &str, path: &str, wanted: &str) {
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

/// Until a host has booted.
pub(super) fn eventually_up(room: &Room, host: u8) {
    room.eventually("it boots", AFTER_A_BOOT, |room| {
        match room.host(host).state().map_err(|error| error.to_string())? {
            HostState::Up => Ok(()),
            other => Err(format!("it is {other}")),
        }
    })
    .expect("up");
}

/// Both hosts are in the set of replicas that have every write.
pub(super) fn in_sync(room: &Room, from: u8) -> Result<(), String> {
    let members = field(room, from, "volume/counter", "inSync")?;
    if members.contains("node1") && members.contains("node2") {
        Ok(())
    } else {
        Err(format!("in sync: {members}"))
    }
}

/// What the guest has said on this host since the host booted.
pub(super) fn said(room: &Room, host: u8) -> Result<Vec<Said>, String> {
    let text = room
        .host(host)
        .run(SERIAL)
        .map_err(|error| error.to_string())?;
    Ok(counter::hear(format!("{text}\n").as_bytes()))
}

/// What the guest has said since its last start, and the count that it found then.
pub(super) fn last_run(said: &[Said]) -> (Option<u32>, Vec<Said>) {
    let start = said.iter().rposition(|said| matches!(said, Said::Start(_)));
    let run = &said[start.unwrap_or(0)..];
    let found = match run.first() {
        Some(Said::Start(record)) => Some(record.count),
        _ => None,
    };
    (found, run.to_vec())
}

/// Until it has said a higher count on this host.
pub(super) fn counts_beyond(room: &Room, host: u8, count: u32) -> u32 {
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

/// It is moved from one of the hosts to the other while it counts, and misses no count.
pub(super) fn moves(room: &Room, from: u8, to: u8) {
    let before = said(room, from).expect("heard");
    let count = counter::acknowledged(&before).unwrap_or(0);
    let there = format!("node{to}");
    quorate(room.host(from), &format!("vm migrate counter --to {there}")).expect("asked for");
    eventually_is(room, from, "vm/counter", "node", &there);
    let now = counts_beyond(room, to, count);
    let mut all = said(room, from).expect("heard");
    let run = all.last().and_then(Said::run);
    all.extend(said(room, to).expect("heard"));
    all.retain(|said| said.run() == run || matches!(said, Said::Foreign(_) | Said::DiskError));
    // It may have been here and there before, in the same run. What two copies have said is in there twice.
    all.sort_by_key(|said| said.record().map(|record| record.count));
    assert_eq!(
        counter::unbroken(&all),
        Ok(()),
        "no count is missing up to {now}"
    );
}
