//! A volume group on a replicated device that both hosts have open: each uses its part, and neither takes any by itself.

use quorate_lab::Room;
use serde_json::{Value, json};

use crate::stories::storage::{Hands, replica};

const MIB: u64 = 1 << 20;
const DEVICE: &str = "/dev/drbd7";

struct Above<'a> {
    room: &'a Room,
    hands: Hands<'a>,
}

impl Above<'_> {
    fn try_to(&self, number: u8, verb: &str, what: &Value) -> Result<String, String> {
        let command = format!("ABOVE={DEVICE} storage-hands {verb} '{what}'");
        let done = self.room.host(number).run(&command);
        done.map_err(|error| error.to_string())
    }

    fn act(&self, number: u8, verb: &str, what: &Value) {
        self.try_to(number, verb, what)
            .unwrap_or_else(|error| panic!("node{number} {verb}: {error}"));
    }

    fn ensure(&self, number: u8, name: &str, size: u64) {
        let logical = json!({"volume": name, "group": "vg0", "name": name, "size": size});
        self.act(number, "ensure-volume", &logical);
    }

    /// `open` or `close`.
    fn turn(&self, number: u8, verb: &str, name: &str) {
        self.act(number, verb, &json!({"group": "vg0", "name": name}));
    }

    /// What is in the group, as that host has it: names, sizes, and whether each is active there.
    fn parts(&self, number: u8) -> Vec<(String, u64, bool)> {
        let said = self.try_to(number, "groups", &json!("")).expect("seen");
        let groups: Value = serde_json::from_str(&said).expect("JSON");
        let group = groups.as_array().into_iter().flatten();
        let group = group.into_iter().find(|group| group["name"] == "vg0");
        let group = group.unwrap_or_else(|| panic!("node{number} sees no group: {said}"));
        assert_eq!(group["owner"], json!({"Ours": "vg0"}), "{said}");
        let parts = group["volumes"].as_array().expect("volumes").iter();
        parts
            .map(|part| {
                let name = part["name"].as_str().expect("a name").to_owned();
                let size = part["size"].as_u64().expect("a size");
                (name, size, part["active"] == true)
            })
            .collect()
    }

    fn run(&self, number: u8, command: &str) -> String {
        let done = self.room.host(number).run(command);
        done.unwrap_or_else(|error| panic!("node{number}: {command}: {error}"))
    }
}

pub(crate) fn a_volume_group_on_a_replicated_device_is_used_by_both_hosts_each_its_part(
    room: &Room,
) {
    let above = Above {
        room,
        hands: Hands::ready(room),
    };
    above.hands.volume();
    let both = || {
        (
            json!({"access": "MultiWriter"}),
            json!({"allowTwoPrimaries": true}),
        )
    };
    for number in [1, 2] {
        let (spec, assigned) = both();
        above
            .hands
            .act(number, "adjust", &replica(number, spec, assigned));
    }
    for number in [1, 2] {
        above.hands.act(number, "promote", &json!("web"));
    }

    // One makes the group, and the other sees it; twice is as good as once.
    let group = json!({"pool": "vg0", "name": "vg0", "devices": [DEVICE], "above": "web"});
    for _ in 0..2 {
        above.act(1, "ensure-group", &group);
    }
    assert_eq!(above.parts(2), []);
    above.ensure(1, "a", 4 * MIB);
    assert_eq!(above.parts(2), [("a".into(), 4 * MIB, false)]);
    above.ensure(2, "b", 4 * MIB);
    let seen = |a, b| [("a".to_owned(), 4 * MIB, a), ("b".to_owned(), 4 * MIB, b)];
    assert_eq!(above.parts(1), seen(true, false));
    assert_eq!(above.parts(2), seen(false, true));
    println!("    each host has made its part, and has that alone open");

    // A part goes from one host to the other with all that is in it.
    above.run(
        1,
        "dd if=/dev/urandom of=/dev/vg0/a bs=1M count=4 oflag=direct status=none",
    );
    let written = above.run(1, "sha256sum </dev/vg0/a");
    above.turn(1, "close", "a");
    above.turn(2, "open", "a");
    assert_eq!(above.run(2, "sha256sum </dev/vg0/a"), written);
    above.ensure(2, "a", 8 * MIB);
    assert_eq!(
        above.run(2, "blockdev --getsize64 /dev/vg0/a"),
        (8 * MIB).to_string()
    );
    assert_eq!(above.parts(1)[0], ("a".into(), 8 * MIB, false));

    // What is active holds the device below open, and nothing becomes active because that is opened.
    let held = room.host(2).run("storage-hands demote web");
    let error = held.expect_err("it is held open").to_string();
    assert!(error.contains("InUse"), "{error}");
    for _ in 0..3 {
        above.run(
            1,
            "storage-hands demote web && storage-hands promote web && udevadm settle",
        );
        assert!(above.parts(1).iter().all(|(_, _, active)| !active));
        assert_eq!(above.run(1, "dmsetup ls | grep -c ^vg0- || true"), "0");
    }
    let hidden = above.run(1, "storage-hands groups");
    assert!(
        !hidden.contains("vg0"),
        "looked into without being told: {hidden}"
    );

    // Each may remove what nobody has open.
    for name in ["a", "b"] {
        above.turn(2, "close", name);
    }
    for (number, name) in [(1, "a"), (2, "b")] {
        let gone = json!({"group": "vg0", "name": name, "wipe": true});
        above.act(number, "remove-volume", &gone);
    }
    assert_eq!(above.parts(1), []);
    above.run(1, &format!("wipefs -qa {DEVICE}"));
    above.hands.tidy();
}
