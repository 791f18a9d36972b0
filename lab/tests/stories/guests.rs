//! The guest that counts, on this machine and in the hosts, and what it proves of DRBD and of a live migration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use quorate_lab::cache::Cache;
use quorate_lab::counter::{self, PROCESSOR, Said};
use quorate_lab::{Progress, Room};
use serde_json::{Value, json};

use crate::stories::{SOON, heard_in_time};

/// A guest in the hands of this test, without a room.
struct Guest {
    machine: Child,
    serial: PathBuf,
}

impl Guest {
    fn start(directory: &Path, name: &str) -> Guest {
        Guest::on_an_ill_disk(directory, name, json!([]))
    }

    /// The ROM; these requests to its disk fail.
    fn on_an_ill_disk(directory: &Path, name: &str, errors: Value) -> Guest {
        let rom = counter::rom(&Cache::from_environment(), &Progress::silent()).expect("assembled");
        let rom = rom.to_string_lossy();
        // Its shape is given, or QEMU would read the disk to guess it.
        let disk = "ide-hd,drive=disk,bus=ide.0,unit=0,cyls=2,heads=16,secs=63";
        let machine = ["-cpu", PROCESSOR, "-bios", &rom, "-device", disk];
        Guest::with(directory, name, &machine, errors)
    }

    /// A BIOS that starts what is on the disk.
    fn boot(directory: &Path, name: &str, errors: Value) -> Guest {
        let machine = ["-device", "virtio-blk-pci,drive=disk"];
        Guest::with(directory, name, &machine, errors)
    }

    fn with(directory: &Path, name: &str, machine: &[&str], errors: Value) -> Guest {
        let serial = directory.join(name);
        let mut disk =
            json!({ "driver": "file", "filename": directory.join("disk"), "locking": "off" });
        if errors != json!([]) {
            disk = json!({ "driver": "blkdebug", "image": disk, "inject-error": errors });
        }
        disk["node-name"] = json!("disk");
        let machine = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-M", "pc", "-m", "16"])
            .args(["-nodefaults", "-display", "none"])
            .args(["-blockdev", &disk.to_string()])
            .args(machine)
            .args(["-serial", &format!("file:{}", serial.display())])
            .stdin(Stdio::null())
            .spawn()
            .expect("QEMU starts");
        Guest { machine, serial }
    }

    fn said(&self) -> Vec<Said> {
        counter::hear(&fs::read(&self.serial).unwrap_or_default())
    }

    fn until(&self, what: &str, seen: impl Fn(&[Said]) -> bool) -> Vec<Said> {
        heard_in_time(what, SOON, || self.said(), seen)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

fn blank_disk() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = fs::File::create(directory.path().join("disk")).expect("a disk");
    disk.set_len(1 << 20).expect("1 MiB");
    directory
}

/// Puts the counter on a disk for a BIOS; its record comes after so many bytes.
fn make_bootable(disk: &Path) -> usize {
    let sector = counter::boot_sector(&Cache::from_environment(), &Progress::silent());
    let sector = fs::read(sector.expect("assembled")).expect("a sector");
    let mut content = fs::read(disk).expect("blank");
    content[..sector.len()].copy_from_slice(&sector);
    fs::write(disk, content).expect("written");
    sector.len()
}

/// Requests of this kind fail: all of them, or one.
fn fails(kind: &str, once: bool) -> Value {
    json!([{ "event": "none", "iotype": kind, "errno": 5, "once": once, "immediately": true }])
}

/// It has said so often that its disk fails that it must have tried to count meanwhile.
fn complains(said: &[Said]) -> bool {
    said.iter().filter(|said| **said == Said::DiskError).count() > 20
}

pub(crate) fn a_counter_does_not_say_what_its_disk_has_refused() {
    for kind in ["write", "flush"] {
        let directory = blank_disk();
        let guest = Guest::on_an_ill_disk(directory.path(), kind, fails(kind, false));
        let said = guest.until("its disk error", complains);
        assert_eq!(counter::acknowledged(&said), None, "{kind}: {said:?}");
        drop(guest);

        make_bootable(&directory.path().join("disk"));
        let guest = Guest::boot(directory.path(), "booted", fails(kind, false));
        let said = guest.until("its disk error", complains);
        assert_eq!(counter::acknowledged(&said), None, "{kind}: {said:?}");
    }
}

pub(crate) fn a_counter_goes_on_from_its_disk_when_one_request_has_failed() {
    let directory = blank_disk();
    let guest = Guest::on_an_ill_disk(directory.path(), "write", fails("write", true));
    let said = guest.until("the third count", |said| {
        counter::acknowledged(said) >= Some(3)
    });
    assert!(said.contains(&Said::DiskError), "{said:?}");
    drop(guest);
    let kept = counter::on_disk(&fs::read(directory.path().join("disk")).expect("a disk"));

    let guest = Guest::on_an_ill_disk(directory.path(), "read", fails("read", true));
    let said = guest.until("a count", |said| counter::acknowledged(said).is_some());
    assert_eq!(said[0], Said::DiskError, "{said:?}");
    let Said::Start(start) = said[1] else {
        panic!("{said:?}")
    };
    assert_eq!(
        Some(start.count),
        kept.map(|kept| kept.count),
        "its record was not taken for none"
    );
    assert!(
        !said.iter().any(|said| matches!(said, Said::Foreign(_))),
        "{said:?}"
    );
}

pub(crate) fn a_counter_goes_on_from_its_disk_when_it_is_started_again() {
    let directory = blank_disk();
    let guest = Guest::start(directory.path(), "first");
    let said = guest.until("the third count", |said| {
        counter::acknowledged(said) >= Some(3)
    });
    assert_eq!(counter::unbroken(&said), Ok(()));
    drop(guest);
    let acknowledged = counter::acknowledged(&counter::hear(
        &fs::read(directory.path().join("first")).expect("kept"),
    ));
    let disk = counter::on_disk(&fs::read(directory.path().join("disk")).expect("a disk"))
        .expect("a record");
    assert!(
        Some(disk.count) >= acknowledged,
        "{disk:?} is behind {acknowledged:?}"
    );

    let again = Guest::start(directory.path(), "second");
    let said = again.until("a start", |said| !said.is_empty());
    let Said::Start(start) = said[0] else {
        panic!("{said:?}")
    };
    assert_eq!(start.count, disk.count);
    assert_ne!(start.run, disk.run);
}

pub(crate) fn a_counter_boots_from_a_virtio_disk_and_goes_on_from_it() {
    let directory = blank_disk();
    let disk = directory.path().join("disk");
    let sector = make_bootable(&disk);

    let guest = Guest::boot(directory.path(), "first", json!([]));
    let said = guest.until("the third count", |said| {
        counter::acknowledged(said) >= Some(3)
    });
    assert_eq!(counter::unbroken(&said), Ok(()));
    drop(guest);
    let kept = fs::read(&disk).expect("a disk");
    let kept = counter::on_disk(&kept[sector..]).expect("a record");
    assert!(Some(kept.count) >= counter::acknowledged(&said), "{kept:?}");

    let again = Guest::boot(directory.path(), "second", json!([]));
    let said = again.until("a start", |said| !said.is_empty());
    let Said::Start(start) = said[0] else {
        panic!("{said:?}")
    };
    assert_eq!(start.count, kept.count);
    assert_ne!(start.run, kept.run);

    let stranger = Guest::boot(directory.path(), "third", json!([]));
    again.until("a stranger", |said| {
        said.iter().any(|said| matches!(said, Said::Foreign(_)))
    });
    drop(stranger);
}

pub(crate) fn two_counters_on_one_disk_are_found_out() {
    let directory = blank_disk();
    let first = Guest::start(directory.path(), "first");
    first.until("a count", |said| counter::acknowledged(said).is_some());

    let second = Guest::start(directory.path(), "second");

    first.until("a stranger", |said| {
        said.iter().any(|said| matches!(said, Said::Foreign(_)))
    });
    drop(second);
}

const RESOURCE: &str = "resource r0 {
  net { allow-two-primaries yes; protocol C; }
  device /dev/drbd0; disk /dev/vdc; meta-disk internal;
  on node1 { address 10.10.0.1:7788; }
  on node2 { address 10.10.0.2:7788; }
}
";

/// DRBD between the first data disks of both hosts, primary on both.
pub(super) fn drbd_up(room: &Room) {
    for number in [1, 2] {
        let host = room.host(number);
        host.write_file(RESOURCE.as_bytes(), "/etc/drbd.d/r0.res", 0o644)
            .expect("written");
        host.run("drbdadm create-md --force r0 && drbdadm up r0")
            .expect("up");
    }
    let all = |wanted: &'static str| {
        move |room: &Room| {
            let status = room
                .host(1)
                .run("cat /proc/drbd")
                .map_err(|error| error.to_string())?;
            if status.contains(wanted) {
                Ok(())
            } else {
                Err(status)
            }
        }
    };
    room.eventually("DRBD is connected", SOON, all("cs:Connected"))
        .expect("connected");
    room.host(1)
        .run("drbdadm -- --clear-bitmap new-current-uuid r0")
        .expect("nothing to copy");
    room.eventually(
        "both sides are up to date",
        SOON,
        all("ds:UpToDate/UpToDate"),
    )
    .expect("up to date");
    for number in [1, 2] {
        room.host(number)
            .run("drbdadm primary r0")
            .expect("primary");
    }
    room.eventually("both sides are primary", SOON, all("ro:Primary/Primary"))
        .expect("primary");
}

/// The data disks are blank again.
pub(super) fn drbd_down(room: &Room) {
    for number in [1, 2] {
        room.host(number)
            .run("drbdadm down r0; rm /etc/drbd.d/r0.res; wipefs -qa /dev/vdc")
            .expect("down");
    }
}

/// QEMU in a host, with the counter on the replicated disk.
fn guest_command(serial: &str, more: &str) -> String {
    format!(
        "qemu-system-x86_64 -daemonize -accel tcg -cpu {PROCESSOR} -M pc -m 16 -nodefaults -display none \
         -bios /root/counter.rom -drive file=/dev/drbd0,if=ide,format=raw,cache=none,file.locking=off \
         -serial file:{serial} -qmp unix:/run/guest.sock,server=on,wait=off -pidfile /run/guest.pid {more}"
    )
}

fn monitor(room: &Room, host: u8, command: &str) -> String {
    // Both commands are answered before the line is closed.
    let script = format!(
        "rm -f /run/said; {{ echo '{{\"execute\":\"qmp_capabilities\"}}'; echo '{command}'; \
         until [ $(grep -cEs 'return|error' /run/said) = 2 ]; do sleep 0.1; done; }} | nc -U -q1 /run/guest.sock >/run/said; cat /run/said"
    );
    room.host(host).run(&script).expect("the monitor answers")
}

pub(crate) fn a_counter_migrates_over_dual_primary_drbd_without_missing_a_count(room: &Room) {
    let rom = counter::rom(&Cache::from_environment(), &Progress::silent()).expect("assembled");
    for number in [1, 2] {
        room.host(number)
            .copy_in(&rom, "/root/counter.rom")
            .expect("copied");
    }
    drbd_up(room);
    let said = |room: &Room, host: u8| {
        room.host(host)
            .read_file("/run/guest.serial")
            .map(|bytes| counter::hear(&bytes))
            .map_err(|error| error.to_string())
    };
    let counts = |host: u8| {
        move |room: &Room| {
            let said = said(room, host)?;
            if counter::acknowledged(&said).is_some() {
                Ok(said)
            } else {
                Err("no count yet".to_owned())
            }
        }
    };

    room.host(1)
        .run(&guest_command("/run/guest.serial", ""))
        .expect("the guest starts");
    room.eventually("it counts on node1", SOON, counts(1))
        .expect("it counts");
    room.host(2)
        .run(&guest_command(
            "/run/guest.serial",
            "-incoming tcp:10.20.0.2:4444",
        ))
        .expect("the target waits");
    monitor(
        room,
        1,
        "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:10.20.0.2:4444\"}}",
    );
    let there = room
        .eventually("it counts on node2", SOON, counts(2))
        .expect("it counts there");

    // One run on both sides of the move, no count missing, none said twice.
    let mut all = said(room, 1).expect("kept");
    all.extend(there);
    assert_eq!(counter::unbroken(&all), Ok(()));
    for number in [2, 1] {
        room.host(number)
            .run("kill $(cat /run/guest.pid)")
            .expect("ended");
    }
    let sector = room
        .host(1)
        .run("dd if=/dev/drbd0 iflag=direct bs=512 count=1 status=none | base64 -w0")
        .expect("a sector");
    let sector =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, sector).expect("base64");
    let disk = counter::on_disk(&sector).expect("a record");
    assert!(
        Some(disk.count) >= counter::acknowledged(&all),
        "node1's disk has {disk:?}, which is behind what was said"
    );
    drbd_down(room);
}
