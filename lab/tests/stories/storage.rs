//! The daemon's storage drivers against the real LVM and DRBD: `storage_hands` carries out one act a call, as the daemon
//! does, and stays on each host to answer what DRBD asks.

use std::path::PathBuf;

use quorate_lab::{Host, Room};
use serde_json::{Value, json};

use crate::stories::SOON;

const MIB: u64 = 1 << 20;
/// A little more than the volume: DRBD's own data lie behind it.
const BACKING: u64 = 18 * MIB;

/// A program that was built beside this test.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program");
    let target = own.parent().and_then(|deps| deps.parent());
    let path = target.expect("Cargo's directory").join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build -p quorate-node-daemon --bins --examples",
        path.display()
    );
    path
}

pub(super) struct Hands<'a> {
    room: &'a Room,
}

impl<'a> Hands<'a> {
    /// The hosts have the programs, and something that stays.
    pub(super) fn ready(room: &'a Room) -> Self {
        let hands = Self { room };
        for number in [1, 2] {
            let host = room.host(number);
            host.run("mkdir -p /usr/lib/quorate /run/quorate-node /run/hands; wipefs -qa /dev/vdc")
                .expect("made");
            let stripped = tempfile::NamedTempFile::new().expect("a file");
            for (from, to) in [
                (
                    "quorate-drbd-handler",
                    "/usr/lib/quorate/quorate-drbd-handler",
                ),
                ("examples/storage_hands", "/usr/bin/storage-hands"),
            ] {
                let status = std::process::Command::new("strip")
                    .arg("-o")
                    .args([stripped.path(), &built(from)])
                    .status();
                assert!(status.expect("binutils").success());
                host.copy_in(stripped.path(), to).expect("copied");
                host.run(&format!("chmod 755 {to}")).expect("executable");
            }
            hands.stay(number);
        }
        hands
    }

    fn host(&self, number: u8) -> Host<'a> {
        self.room.host(number)
    }

    fn stay(&self, number: u8) {
        self.host(number)
            .run(
                "setsid storage-hands serve /run/hands >>/run/hands/log 2>&1 </dev/null &
                 until ss -xlH | grep -q questions.sock; do kill -0 $! && sleep 0.1 || { cat /run/hands/log; exit 1; }; done",
            )
            .expect("started");
    }

    fn leave(&self, number: u8) {
        self.host(number)
            .run("pkill -9 -x storage-hands")
            .expect("it was there");
    }

    fn verdict(&self, number: u8, word: &str) {
        self.host(number)
            .run(&format!("echo {word} >/run/hands/verdict"))
            .expect("written");
    }

    pub(super) fn act(&self, number: u8, verb: &str, what: &Value) {
        let what = what
            .as_str()
            .map_or_else(|| what.to_string(), str::to_owned);
        self.host(number)
            .run(&format!("storage-hands {verb} '{what}'"))
            .unwrap_or_else(|error| panic!("node{number} {verb}: {error}"));
    }

    fn refused(&self, number: u8, verb: &str, what: &str, trouble: &str) {
        let error = self
            .host(number)
            .run(&format!("storage-hands {verb} '{what}'"))
            .expect_err("refused")
            .to_string();
        assert!(error.contains(trouble), "{error}");
    }

    fn seen(&self, number: u8, what: &str) -> Result<Value, String> {
        let said = self
            .host(number)
            .run(&format!("storage-hands {what}"))
            .map_err(|error| error.to_string())?;
        serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))
    }

    /// What the one that stays sees of its one replica: each pointer and value must be there.
    fn eventually(&self, number: u8, wanted: &[(&str, Value)]) {
        let what = format!("node{number} sees {wanted:?}");
        self.room
            .eventually(&what, SOON, |room| {
                let said = room
                    .host(number)
                    .run("cat /run/hands/replicas")
                    .map_err(|error| error.to_string())?;
                let seen: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
                let right = wanted
                    .iter()
                    .all(|(pointer, value)| seen.pointer(&format!("/0{pointer}")) == Some(value));
                if right { Ok(()) } else { Err(said) }
            })
            .expect("seen");
    }

    fn in_sync(&self) {
        for number in [1, 2] {
            self.eventually(
                number,
                &[
                    ("/disk", json!("UpToDate")),
                    ("/peers/0/disk", json!("UpToDate")),
                    ("/peers/0/connection", json!("Connected")),
                ],
            );
        }
    }

    /// A pool and a volume on both hosts, in sync, with nothing copied.
    pub(super) fn volume(&self) {
        for number in [1, 2] {
            let pool = json!({"pool": "fast", "name": "fast", "devices": ["/dev/vdc"]});
            self.act(number, "ensure-group", &pool);
            self.act(number, "ensure-group", &pool);
            self.grow_below(number, BACKING);
            self.act(number, "create", &replica(number, json!({}), json!({})));
        }
        // The one that follows comes first here: the other declares its data current when both have met.
        self.act(2, "adjust", &replica(2, json!({}), json!({})));
        self.act(1, "adjust", &replica(1, json!({}), json!({})));
        self.in_sync();
        let received = self
            .host(2)
            .run("drbdsetup events2 --now --statistics all | grep -o received:.*")
            .expect("figures");
        assert!(received.starts_with("received:0 "), "{received}");
    }

    fn grow_below(&self, number: u8, size: u64) {
        let logical = json!({"volume": "web", "group": "fast", "name": "web", "size": size});
        self.act(number, "ensure-volume", &logical);
    }

    fn write(&self, number: u8, at: u32) -> Result<(), String> {
        let command = format!(
            "timeout 60 dd if=/dev/urandom of=/dev/drbd7 bs=64k count=4 seek={at} oflag=direct,sync status=none"
        );
        self.host(number)
            .run(&command)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn digest(&self, number: u8) -> String {
        self.host(number)
            .run("sha256sum </dev/drbd7")
            .expect("it can be read where it is Primary")
    }

    /// Everything is as it was.
    pub(super) fn tidy(&self) {
        for number in [1, 2] {
            self.act(number, "demote", &json!("web"));
            self.act(number, "take-down", &json!("web"));
        }
        for number in [1, 2] {
            let gone = json!({"group": "fast", "name": "web", "wipe": true});
            self.act(number, "remove-volume", &gone);
            let groups = self.seen(number, "groups").expect("they can be seen");
            assert_eq!(groups[0]["volumes"], json!([]), "{groups}");
            assert_eq!(groups[0]["free"], groups[0]["capacity"]);
            self.leave(number);
            self.host(number)
                .run("vgremove -qqy fast && pvremove -qq /dev/vdc && rm -rf /run/hands /run/quorate-node /usr/lib/quorate /usr/bin/storage-hands /var/lib/drbd/*")
                .expect("tidied up");
        }
    }
}

pub(super) fn replica(number: u8, spec: Value, assigned: Value) -> Value {
    let other = 3 - number;
    let mut target = json!({
        "name": "web", "node": format!("node{number}"), "secret": "a secret of the \"lab\"",
        "spec": {"size": "16Mi", "pool": "fast", "verify": {"algorithm": "Sha256"}},
        "assignment": {
            "minor": 7, "port": 7790, "nodeId": number - 1, "backingDevice": "/dev/fast/web", "size": "16Mi",
            "role": "Secondary", "allowTwoPrimaries": false, "beginsHere": number == 1,
            "peers": [{"node": format!("node{other}"), "nodeId": other - 1, "addresses": [format!("10.10.0.{other}")]}],
        },
    });
    for (part, more) in [("spec", spec), ("assignment", assigned)] {
        for (key, value) in more.as_object().into_iter().flatten() {
            target[part][key] = value.clone();
        }
    }
    target
}

pub(crate) fn a_volume_is_made_written_cut_off_caught_up_grown_and_removed(room: &Room) {
    let hands = Hands::ready(room);
    hands.volume();
    let secret = room
        .host(1)
        .run("stat -c %a /run/quorate-node/drbd /run/quorate-node/drbd/resources/web.res")
        .expect("they are there");
    assert_eq!(secret, "700\n600");

    hands.act(1, "promote", &json!("web"));
    hands.write(1, 0).expect("written");
    hands.refused(2, "promote", "web", "InUse");

    // The peer is lost, and the cluster decides nothing: writes wait. They wait on without a daemon.
    room.host(2).run("ip link set sn-bond down").expect("cut");
    let frozen = [
        ("/frozen", json!(true)),
        ("/peers/0/connection", json!("Connecting")),
    ];
    hands.eventually(1, &frozen);
    room.eventually("DRBD asks", SOON, |room| {
        room.host(1)
            .run("grep 'web asks about node2' /run/hands/questions")
    })
    .expect("asked");
    hands.leave(1);
    room.host(1)
        .run("(timeout 600 dd if=/dev/urandom of=/dev/drbd7 bs=64k count=4 seek=100 oflag=direct,sync status=none; echo $? >/run/hands/written) >/dev/null 2>&1 </dev/null &")
        .expect("started");
    room.host(1)
        .run("sleep 5; test ! -e /run/hands/written && drbdsetup status web --verbose | grep suspended:fencing")
        .expect("writes wait without a daemon");
    // The daemon is back, and the peer was outdated: they go on.
    hands.act(2, "outdate", &json!("web"));
    hands.verdict(1, "outdated");
    hands.stay(1);
    room.eventually("the write is done", SOON, |room| {
        room.host(1).run("grep -x 0 /run/hands/written")
    })
    .expect("written");
    hands.eventually(
        1,
        &[
            ("/frozen", json!(false)),
            ("/peers/0/disk", json!("Outdated")),
        ],
    );
    hands.refused(2, "promote", "web", "NotCurrent");

    // What was missed is copied, and what is there is the same.
    room.host(2).run("ip link set sn-bond up").expect("plugged");
    hands.in_sync();
    let written = hands.digest(1);
    hands.act(1, "demote", &json!("web"));
    hands.act(2, "promote", &json!("web"));
    assert_eq!(hands.digest(2), written);

    // It grows while it is open.
    for number in [1, 2] {
        hands.grow_below(number, 2 * BACKING);
    }
    hands.act(2, "resize", &json!("web"));
    hands.in_sync();
    let size = room
        .host(2)
        .run("blockdev --getsize64 /dev/drbd7")
        .expect("asked");
    assert!(size.parse::<u64>().expect("bytes") >= 32 * MIB, "{size}");

    // Every block is compared; one that a disk has changed behind DRBD's back is found, and its replica made anew.
    let same = json!({"state": "Finished", "outOfSync": 0, "message": null});
    assert_eq!(hands.seen(2, "compare web"), Ok(same.clone()));
    room.host(1)
        .run("dd if=/dev/urandom of=/dev/fast/web bs=4k count=1 seek=300 conv=notrunc oflag=direct status=none")
        .expect("a disk that lies");
    let other = json!({"state": "Finished", "outOfSync": 4096, "message": null});
    assert_eq!(hands.seen(2, "compare web"), Ok(other));
    room.host(1)
        .run("drbdadm -c /run/quorate-node/drbd/drbd.conf invalidate web")
        .expect("it copies everything anew");
    hands.in_sync();
    room.eventually("nothing differs any more", SOON, |_| {
        match hands.seen(2, "compare web")? {
            it if it == same => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .expect("the same again");

    // Everything is as planned: looking at it starts no program.
    let looks = room
        .host(2)
        .run("before=$(awk '/^processes/{print $2}' /proc/stat); storage-hands watch 100; after=$(awk '/^processes/{print $2}' /proc/stat); echo $((after-before)) processes")
        .expect("watched");
    println!("    a steady host: {}", looks.replace('\n', ", "));
    let processes = looks.lines().last().and_then(|line| line.split(' ').next());
    let processes: u32 = processes
        .and_then(|count| count.parse().ok())
        .expect("a count");
    assert!(processes < 40, "{processes} processes for 100 looks");
    hands.tidy();
}

pub(crate) fn when_both_sides_have_written_one_is_kept_aside_and_given_up(room: &Room) {
    let hands = Hands::ready(room);
    hands.volume();
    let careless = json!({"replication": {"fencing": "DontCare"}});
    for number in [1, 2] {
        hands.act(
            number,
            "adjust",
            &replica(number, careless.clone(), json!({})),
        );
    }
    room.host(2).run("ip link set sn-bond down").expect("cut");
    let alone = [("/peers/0/connection", json!("Connecting"))];
    for number in [1, 2] {
        hands.eventually(number, &alone);
        hands.act(number, "promote", &json!("web"));
        hands
            .write(number, 10 * u32::from(number))
            .expect("written");
    }
    let (kept, lost) = (hands.digest(1), hands.digest(2));
    assert_ne!(kept, lost);
    hands.act(2, "demote", &json!("web"));

    room.host(2).run("ip link set sn-bond up").expect("plugged");
    for number in [1, 2] {
        hands.eventually(number, &[("/peers/0/split_brain", json!(true))]);
    }
    assert_eq!(hands.digest(1), kept, "nobody has resolved it");

    // A person has chosen: what node2 wrote is kept aside first.
    let aside = json!({"owner": "web", "group": "fast", "of": "web", "name": "web-split-1", "reserve": BACKING});
    hands.act(2, "snapshot", &aside);
    hands.act(2, "discard", &json!("web"));
    // The other side tries again as well, as it does by itself after a while.
    hands.act(1, "adjust", &replica(1, careless, json!({})));
    hands.in_sync();
    hands.eventually(1, &[("/peers/0/split_brain", json!(false))]);
    hands.act(1, "demote", &json!("web"));
    hands.act(2, "promote", &json!("web"));
    assert_eq!(hands.digest(2), kept);
    let aside = room
        .host(2)
        .run("head -c $(blockdev --getsize64 /dev/drbd7) /dev/fast/web-split-1 | sha256sum")
        .expect("it is there");
    assert_eq!(aside, lost, "what was given up can still be read");

    room.host(2)
        .run("storage-hands demote web && lvremove -qqy fast/web-split-1")
        .expect("removed");
    hands.tidy();
}

pub(crate) fn a_volume_made_from_a_snapshot_holds_what_that_holds(room: &Room) {
    let hands = Hands::ready(room);
    hands.volume();
    hands.act(1, "promote", &json!("web"));
    hands.write(1, 3).expect("written");
    let then = hands.digest(1);
    let taken = json!({"owner": "monday", "group": "fast", "of": "web", "name": "web-at-monday", "reserve": BACKING});
    hands.act(1, "snapshot", &taken);
    hands.write(1, 3).expect("written over");
    assert_ne!(hands.digest(1), then);

    let copy = |number: u8, assigned: Value| {
        let source = json!({"source": {"snapshot": "monday"}});
        let mut copy = replica(
            number,
            source,
            json!({"minor": 8, "port": 7791, "backingDevice": "/dev/fast/copy"}),
        );
        copy["name"] = json!("copy");
        for (key, value) in assigned.as_object().into_iter().flatten() {
            copy["assignment"][key] = value.clone();
        }
        copy
    };
    for number in [1, 2] {
        let logical = json!({"volume": "copy", "group": "fast", "name": "copy", "size": BACKING});
        hands.act(number, "ensure-volume", &logical);
    }
    // Nobody has said where the snapshot is: it does not begin.
    hands.refused(
        1,
        "create",
        &copy(1, json!({})).to_string(),
        "DeviceMissing",
    );
    let copy_of = json!({"copyOf": {"device": "/dev/fast/web-at-monday", "size": "16Mi"}});
    for number in [2, 1] {
        let target = copy(number, copy_of.clone());
        hands.act(number, "create", &target);
        hands.act(number, "adjust", &target);
    }
    // By name it is the first that each of them sees.
    hands.in_sync();
    hands.act(2, "promote", &json!("copy"));
    let held = room
        .host(2)
        .run("sha256sum </dev/drbd8")
        .expect("it is open");
    assert_eq!(held, then, "the other replica has copied it");
    assert_ne!(hands.digest(1), then, "the volume itself is as it was");

    for number in [1, 2] {
        hands.act(number, "demote", &json!("copy"));
        hands.act(number, "take-down", &json!("copy"));
    }
    for number in [1, 2] {
        let gone = json!({"group": "fast", "name": "copy", "wipe": true});
        hands.act(number, "remove-volume", &gone);
    }
    room.host(1)
        .run("lvremove -qqy fast/web-at-monday")
        .expect("removed");
    hands.tidy();
}
