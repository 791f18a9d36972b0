//! The daemon's driver of guests against real hosts: `guest_hands` carries out one act a call, as the daemon does. The guest counts
//! on DRBD, so that its serial line and its disk tell who ran when.

use std::path::Path;
use std::process::Command;

use quorate_lab::cache::Cache;
use quorate_lab::counter::{self, Said};
use quorate_lab::{Host, Progress, Room};
use serde_json::{Value, json};

use crate::stories::guests::{drbd_down, drbd_up};
use crate::stories::linux::{libvirt_down, libvirt_up};
use crate::stories::{AFTER_A_BOOT, heard_in_time, succeeded};

/// Where the driver lets the guest's console be kept.
const CONSOLE: &str = "/var/log/libvirt/qemu/counter-console.log";

/// The 64 KiB of the counter take the place of a BIOS; it knows nothing of local APICs.
const RAW: &str = "<domain><os><loader type='rom'>/root/counter.rom</loader></os>\
    <cpu><feature policy='disable' name='apic'/></cpu><devices><memballoon model='none'/></devices></domain>";

fn guest(epoch: u64, peer: u8) -> Value {
    json!({
        "name": "counter", "epoch": epoch, "disks": {"data": "/dev/drbd0"},
        "peer": format!("node{peer}"), "address": format!("10.20.0.{peer}"),
        "spec": {
            "memory": "16Mi", "hypervisor": "Qemu", "machine": "pc", "agent": "Never", "display": {"protocol": "None"},
            "disks": [{"name": "data", "volume": "r0", "bus": "Ide", "io": "Threads"}],
            "rawDomain": RAW,
        },
    })
}

/// The program that was built beside this test, without what only a debugger reads.
fn bring_hands(host: &Host<'_>) {
    let own = std::env::current_exe().expect("this program");
    let target = own
        .parent()
        .and_then(Path::parent)
        .expect("Cargo's directory");
    let built = target.join("examples/guest_hands");
    assert!(
        built.exists(),
        "{} is missing: cargo build -p quorate-node-daemon --examples",
        built.display()
    );
    let stripped = tempfile::NamedTempFile::new().expect("a file");
    let status = Command::new("strip")
        .arg("-o")
        .args([stripped.path(), &built])
        .status();
    assert!(status.expect("binutils").success());
    host.copy_in(stripped.path(), "/usr/bin/guest-hands")
        .expect("copied");
    host.run("chmod 755 /usr/bin/guest-hands")
        .expect("executable");
}

struct Hands<'a>(&'a Room);

impl Hands<'_> {
    fn try_to(&self, number: u8, verb: &str, what: &str) -> Result<(), String> {
        let command = format!("guest-hands {verb} '{}'", what.replace('\'', "'\\''"));
        succeeded(self.0.host(number).exec(&command))
    }

    fn act(&self, number: u8, verb: &str, what: &str) {
        if let Err(error) = self.try_to(number, verb, what) {
            panic!("node{number}: {verb}: {error}");
        }
    }

    /// What the driver sees the guest do.
    fn doing(&self, number: u8) -> Result<Value, String> {
        let seen = self.0.host(number).run("guest-hands observe");
        let seen = seen.map_err(|error| error.to_string())?;
        let seen: Value =
            serde_json::from_str(&seen).map_err(|error| format!("{seen}: {error}"))?;
        Ok(seen["doing"].clone())
    }

    fn until(&self, number: u8, wanted: &Value) {
        let what = format!("node{number} sees {wanted}");
        self.0
            .eventually(&what, AFTER_A_BOOT, |_| match self.doing(number)? {
                doing if doing == *wanted => Ok(()),
                other => Err(other.to_string()),
            })
            .expect("it does");
    }

    fn said(&self, number: u8) -> Vec<Said> {
        counter::hear(&self.0.host(number).read_file(CONSOLE).unwrap_or_default())
    }

    /// Another count than those before.
    fn counts(&self, number: u8) -> Vec<Said> {
        let before = self.said(number).len();
        let what = format!("another count on node{number}");
        heard_in_time(
            &what,
            AFTER_A_BOOT,
            || self.said(number),
            |said| said.len() > before && counter::acknowledged(said).is_some(),
        )
    }
}

pub(crate) fn a_guest_moves_there_and_back_and_its_libvirts_die_and_it_is_never_two(room: &Room) {
    let rom = counter::rom(&Cache::from_environment(), &Progress::silent()).expect("assembled");
    for number in [1, 2] {
        let host = room.host(number);
        host.copy_in(&rom, "/root/counter.rom").expect("copied");
        bring_hands(&host);
    }
    drbd_up(room);
    libvirt_up(room);
    let hands = Hands(room);
    let running = json!("Running");

    hands.act(1, "define", &guest(1, 2).to_string());
    hands.until(1, &json!({"Off": "NeverStarted"}));
    hands.act(1, "start", "counter");
    hands.counts(1);

    // It moves, and does not run at the other side before it may (rule R1).
    hands.act(2, "receive", &guest(2, 1).to_string());
    hands.act(1, "send", &guest(2, 2).to_string());
    hands.until(1, &json!({"Off": "Migrated"}));
    hands.until(2, &json!({"Paused": "Received"}));
    assert_eq!(hands.said(2), [], "it waits");
    hands.act(2, "resume", "counter");
    let mut all = hands.said(1);
    all.extend(hands.counts(2));
    assert_eq!(counter::unbroken(&all), Ok(()));

    // On its way back the libvirt that it comes to dies, and then the one that it leaves. It runs on where it was.
    for (epoch, victim) in [(3, 1), (4, 2)] {
        hands.act(1, "receive", &guest(epoch, 2).to_string());
        room.host(victim)
            .run("(sleep 2; pkill -9 -x libvirtd) >/dev/null 2>&1 </dev/null &")
            .expect("it will die");
        let sent = hands.try_to(2, "send", &guest(epoch, 1).to_string());
        room.eventually("its successor answers", AFTER_A_BOOT, |room| {
            let host = room.host(victim);
            succeeded(host.exec(
                "pgrep -x libvirtd || libvirtd --config /run/libvirtd.conf --listen -d; virsh list",
            ))
        })
        .expect("it answers");
        room.eventually("nothing moves any more", AFTER_A_BOOT, |_| {
            match (hands.doing(1)?, hands.doing(2)?) {
                (here, there) if here == running && there == running => panic!("two run"),
                (here, there) if here == json!({"Paused": "Incoming"}) => {
                    Err(format!("{here}, {there}"))
                }
                _ => Ok(()),
            }
        })
        .expect("it ends");
        let (target, source) = (hands.doing(1).expect("seen"), hands.doing(2).expect("seen"));
        println!("node{victim}'s libvirt died, {sent:?}: source {source}, target {target}");
        assert_ne!(target, running, "nobody has let it run there");
        if source == running {
            hands.act(1, "destroy", "counter");
        } else {
            // It had gone by then: it comes back in order, for the next round.
            assert_eq!(target, json!({"Paused": "Received"}), "source {source}");
            hands.act(2, "destroy", "counter");
            hands.act(2, "receive", &guest(epoch + 10, 1).to_string());
            hands.act(1, "resume", "counter");
            hands.act(1, "send", &guest(epoch + 10, 2).to_string());
            hands.act(2, "resume", "counter");
        }
        hands.counts(2);
    }

    // Its process dies: that is seen, and nothing starts it again.
    room.host(2)
        // The brackets, or it would find itself.
        .run("pkill -9 -f guest=[c]ounter,")
        .expect("it ran");
    hands.until(2, &json!({"Off": "Crashed"}));
    for number in [1, 2] {
        hands.act(number, "destroy", "counter");
        hands.act(number, "forget", "counter");
        room.host(number)
            .run(&format!("rm -rf /root/counter.rom /usr/bin/guest-hands {CONSOLE} /var/lib/quorate-node/definitions"))
            .expect("as it was");
    }
    libvirt_down(room);
    drbd_down(room);
}
