//! Bonds on real hosts, taken over as they were: what cables and switches do to them (N1–N6), a ring and the storage network that go
//! (N7's lesser half, N8), a manifest that would cut a host off, what is open to those outside, and
//! that guests still move. Nobody is ever fenced.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use quorate_lab::cluster::{self, quorate};
use quorate_lab::counter::{self, Said};
use quorate_lab::hardware::{NETWORKS, SWITCHES};
use quorate_lab::{Room, request::HostState};
use serde_json::Value;

use crate::stories::counting::{
    PATIENCE, administer_from, counts_beyond, eventually_is, field, guests_running, home_of,
    in_sync, moves, room, said, start_the_guest,
};
use crate::stories::desk;
use crate::stories::ledger::{self, Ledger};
use crate::stories::{reaches, succeeded};

/// How long a card must have its signal back before it is used, in place of two minutes.
const UP_DELAY_MS: u32 = 30_000;

/// A machine outside, on the internet-facing network.
const STRANGER: &str = "10.255.9.9";

/// What a cluster listens on, whether or not it is found listening.
const CLUSTER_PORTS: [u16; 8] = [22, 7443, 7788, 7789, 16509, 16514, 21064, 49152];

fn of_bond(room: &Room, host: u8, network: &str, what: &str) -> String {
    room.host(host)
        .run(&format!(
            "cat /sys/class/net/{network}-bond/bonding/{what} | cut -d' ' -f1"
        ))
        .expect("the bond is there")
}

fn eventually_active(room: &Room, host: u8, network: &str, switch: char) {
    let wanted = format!("{network}-{switch}");
    let what = format!("node{host} uses {wanted}");
    let outcome = room.eventually(&what, PATIENCE, |room| {
        let found = of_bond(room, host, network, "active_slave");
        if found == wanted {
            Ok(())
        } else {
            Err(format!("it uses {found:?}"))
        }
    });
    outcome.expect("the bond fails over");
}

/// An object, as the desk is told of it.
pub(super) fn object(room: &Room, name: &str) -> Result<Value, String> {
    let text = desk::ask(room, &["get", name, "-o", "json"])?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// A condition of an object; null when it has none of that type.
pub(super) fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array();
    let mut all = all.into_iter().flatten();
    all.find(|one| one["type"] == kind)
        .cloned()
        .unwrap_or_default()
}

/// Until a condition is so and its message has these words.
fn eventually_says(room: &Room, name: &str, kind: &str, status: &str, words: &str) {
    let what = format!("{kind} of {name} is {status:?}");
    let outcome = room.eventually(&what, PATIENCE, |room| {
        let found = condition(&object(room, name)?, kind);
        let word = |field: &str| found[field].as_str().unwrap_or_default();
        if word("status") == status && word("message").contains(words) {
            Ok(())
        } else {
            Err(found.to_string())
        }
    });
    if let Err(error) = outcome {
        let words = quorate(room.host(1), &format!("describe {name}"));
        panic!("{error}\n{words:?}");
    }
}

pub(super) fn numbers_of_links(room: &Room, host: u8) -> String {
    room.host(host)
        .run("cd /sys/class/net && grep . *-bond/ifindex *-bond/address */carrier_changes")
        .expect("links")
}

/// Manifests may name the host's cards: the room's, and more of them.
fn known_cards(room: &Room, host: u8, more: &[&str]) {
    let nics: Vec<String> = NETWORKS
        .iter()
        .flat_map(|network| SWITCHES.map(|switch| format!("{}-{switch}", network.name)))
        .chain(more.iter().map(ToString::to_string))
        .map(|nic| format!(r#"{{"name":"{nic}","device":"{nic}"}}"#))
        .collect();
    let patch = format!(r#"{{"spec":{{"nics":[{}]}}}}"#, nics.join(","));
    quorate(room.host(1), &format!("patch node node{host} -p '{patch}'")).expect("patched");
}

/// Quorate has the room's bonds from now on, and nothing about them has changed.
pub(super) fn taken_over_as_they_are(room: &Room) {
    let before = [1, 2].map(|host| numbers_of_links(room, host));
    for host in [1, 2] {
        known_cards(room, host, &[]);
    }
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("links/manifests.yaml");
    cluster::apply(room, &[manifests]).expect("applied");
    for network in NETWORKS {
        let object = format!("network/{}", network.name);
        eventually_says(room, &object, "Ready", "True", "");
        eventually_says(room, &object, "Redundant", "True", "");
        for host in [1, 2] {
            let what = format!("node{host} marks its {}", network.name);
            let path = format!("/sys/class/net/{}-bond/ifalias", network.name);
            let wanted = format!("quorate:{}", network.name);
            room.eventually(&what, PATIENCE, |room| {
                let found = room.host(host).run(&format!("cat {path}"));
                let found = found.map_err(|error| error.to_string())?;
                if found == wanted {
                    Ok(())
                } else {
                    Err(format!("its alias is {found:?}"))
                }
            })
            .expect("taken over");
        }
    }
    let after = [1, 2].map(|host| numbers_of_links(room, host));
    assert_eq!(before, after, "nothing else was done to them");
}

/// An option of the bonds is changed on one host after the other, under load.
fn patient_with_signals(room: &Room) {
    for network in ["bcn", "sn"] {
        let patch = format!(r#"{{"spec":{{"bond":{{"upDelay":"{UP_DELAY_MS}ms"}}}}}}"#);
        quorate(
            room.host(1),
            &format!("patch network {network} -p '{patch}'"),
        )
        .expect("patched");
    }
    for (network, host) in [("bcn", 1), ("bcn", 2), ("sn", 1), ("sn", 2)] {
        let what = format!("{network} of node{host} waits {UP_DELAY_MS} ms");
        room.eventually(&what, PATIENCE, |room| {
            let found = of_bond(room, host, network, "updelay");
            if found == UP_DELAY_MS.to_string() {
                Ok(())
            } else {
                Err(found)
            }
        })
        .expect("changed");
    }
}

/// N1: the active card's cable is cut; the other card takes over, and the first one comes back when it was well for long enough.
fn a_cable_is_cut(room: &Room, host: u8, network: &str) {
    let (first, object) = (format!("{network}-a"), format!("network/{network}"));
    eventually_active(room, host, network, 'a');
    room.host(host).cut(&first).expect("cut");
    let cut = Instant::now();
    eventually_says(room, &object, "Redundant", "False", &format!("node{host}"));
    let said = cut.elapsed();
    eventually_active(room, host, network, 'b');
    let plugged = Instant::now();
    room.host(host).plug(&first).expect("plugged");
    eventually_active(room, host, network, 'a');
    let back = plugged.elapsed();
    assert!(
        back.as_millis() >= u128::from(UP_DELAY_MS),
        "it was trusted again after {back:?}"
    );
    eventually_says(room, &object, "Redundant", "True", "");
    println!(
        "    {first} of node{host}: known after {:.1} s, back after {:.1} s",
        said.as_secs_f64(),
        back.as_secs_f64()
    );
}

/// N2: the second card is lost while the first one is not trusted yet: it is used at once.
fn the_other_one_is_cut_too_soon(room: &Room, host: u8, network: &str) {
    let (first, second) = (format!("{network}-a"), format!("{network}-b"));
    room.host(host).cut(&first).expect("cut");
    eventually_active(room, host, network, 'b');
    room.host(host).run("dmesg -C").expect("cleared");
    room.host(host).plug(&first).expect("plugged");
    room.eventually("the kernel sees its signal", PATIENCE, |room| {
        succeeded(
            room.host(host)
                .exec(&format!("dmesg | grep -q '{first}.*enabling it in'")),
        )
    })
    .expect("seen");
    room.host(host).cut(&second).expect("cut");
    eventually_active(room, host, network, 'a');
    room.host(host)
        .run(&format!(
            "dmesg | grep '{first}.*making interface the new active one .* ms earlier'"
        ))
        .expect("nothing else was left, and so the kernel did not wait any longer");
    room.host(host).plug(&second).expect("plugged");
    eventually_says(room, &format!("network/{network}"), "Redundant", "True", "");
}

/// N3–N6: a switch goes, and comes back bouncing.
fn a_switch_goes_and_comes_back(room: &Room, home: u8, switch: char) {
    let other = if switch == 'a' { 'b' } else { 'a' };
    room.switch(switch, false).expect("off");
    for host in [1, 2] {
        for network in NETWORKS {
            eventually_active(room, host, network.name, other);
        }
    }
    counts_on(room, home);
    room.bounce_switch(switch, 3).expect("on at last");
    for network in NETWORKS {
        let object = format!("network/{}", network.name);
        eventually_says(room, &object, "Redundant", "True", "");
        for host in [1, 2] {
            eventually_active(room, host, network.name, 'a');
        }
    }
    counts_on(room, home);
}

/// One whole ring of a host goes: it is heard on the other.
fn a_ring_goes(room: &Room, home: u8) {
    let host = 3 - home;
    let node = format!("node/node{host}");
    for switch in SWITCHES {
        room.host(host).cut(&format!("sn-{switch}")).expect("cut");
    }
    eventually_says(room, &node, "RingDegraded", "True", "");
    counts_on(room, home);
    for switch in SWITCHES {
        room.host(host)
            .plug(&format!("sn-{switch}"))
            .expect("plugged");
    }
    eventually_says(room, &node, "RingDegraded", "", "");
}

/// N8: replication is cut off, heartbeats are not; the other replica counts as outdated, and writes go on.
fn the_storage_network_goes(room: &Room, home: u8) {
    let peer = format!("node{}", 3 - home);
    for switch in SWITCHES {
        room.host(home).cut(&format!("sn-{switch}")).expect("cut");
    }
    let cut = Instant::now();
    room.eventually("the other replica does not count", PATIENCE, |room| {
        let members = field(room, home, "volume/counter", "inSync")?;
        if members.contains(&peer) {
            Err(members)
        } else {
            Ok(())
        }
    })
    .expect("outdated");
    counts_on(room, home);
    println!(
        "    the guest counts on {:.1} s after the storage network was cut",
        cut.elapsed().as_secs_f64()
    );
    for switch in SWITCHES {
        room.host(home)
            .plug(&format!("sn-{switch}"))
            .expect("plugged");
    }
    room.eventually("it has caught up", PATIENCE, |room| in_sync(room, home))
        .expect("in sync");
}

/// A manifest of the storage network that would cut hosts off.
struct Mistake {
    what: &'static str,
    wrong: &'static str,
    right: &'static str,
    /// What the log of a host says that has tried it.
    trace: &'static str,
}

const WRONG_VLAN: Mistake = Mistake {
    what: "the wrong VLAN",
    wrong: r#"{"spec":{"vlan":77}}"#,
    right: r#"{"spec":{"vlan":null}}"#,
    trace: r"sn\.77",
};

/// Cards that have a signal, and lead nowhere.
const WRONG_CARDS: Mistake = Mistake {
    what: "cards that lead nowhere",
    wrong: r#"{"spec":{"nics":["idle-a","idle-b"],"bond":{"primary":"idle-a"}}}"#,
    right: r#"{"spec":{"nics":["sn-a","sn-b"],"bond":{"primary":"sn-a"}}}"#,
    trace: "idle-a",
};

/// The host that tries it first goes back by itself, and nobody else tries it.
fn a_mistake_is_taken_back(room: &Room, home: u8, mistake: &Mistake) {
    let patch = |words: &str| {
        let patch = format!("patch network sn -p '{words}'");
        quorate(room.host(1), &patch).expect("patched");
    };
    patch(mistake.wrong);
    let begun = Instant::now();
    eventually_says(room, "network/sn", "RolledBack", "True", "node");
    println!(
        "    {}: taken back, and that was known, after {:.1} s",
        mistake.what,
        begun.elapsed().as_secs_f64()
    );
    let tried = [1, 2].into_iter().filter(|host| {
        let count = format!(
            "grep -ac '{}' /var/log/quorate-network.log || true",
            mistake.trace
        );
        room.host(*host).run(&count).expect("its log") != "0"
    });
    assert_eq!(tried.count(), 1, "one host tried it");
    for host in [1, 2] {
        let found = room.host(host).run(
            "ip -o -4 address show dev sn-bond | grep -c 10.10.0
             ls /sys/class/net | grep -c 'sn.77' || true
             tr ' ' '\\n' </sys/class/net/sn-bond/bonding/slaves | sort | xargs",
        );
        let found = found.expect("looked");
        assert_eq!(found, "1\n0\nsn-a sn-b", "node{host} is as it was");
    }
    patch(mistake.right);
    eventually_says(room, "network/sn", "RolledBack", "", "");
    eventually_says(room, "network/sn", "Ready", "True", "");
    room.eventually("it has caught up", PATIENCE, |room| in_sync(room, home))
        .expect("in sync");
}

/// Two more cards on each host, which somebody has plugged in somewhere else.
fn idle_cards(room: &Room) {
    for host in [1, 2] {
        room.host(host)
            .run(
                "modprobe veth
                 for card in a b; do
                     ip link add idle-$card type veth peer name other-$card
                     ip link set other-$card up
                 done",
            )
            .expect("there");
        known_cards(room, host, &["idle-a", "idle-b"]);
    }
}

/// Packets that the switches do not let pass: the first host cannot know, for nobody else sends any yet. The second one finds out, and
/// goes back by itself.
fn packets_that_are_too_large_are_taken_back(room: &Room, home: u8) {
    let large = r#"patch network sn -p '{"spec":{"mtu":9000}}'"#;
    quorate(room.host(1), large).expect("patched");
    let begun = Instant::now();
    let words = "packets of 9000 bytes do not pass to node";
    eventually_says(room, "network/sn", "RolledBack", "True", words);
    println!(
        "    packets that the switches do not pass were taken back, and that was known, after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let mut sizes = [1, 2].map(|host| {
        let found = room.host(host).run("cat /sys/class/net/sn-bond/mtu");
        found.expect("looked")
    });
    sizes.sort();
    assert_eq!(sizes, ["1500", "9000"]);
    counts_on(room, home);
    in_sync(room, home)
        .expect("replication goes on between a host with large packets and one with small ones");
    let right = r#"patch network sn -p '{"spec":{"mtu":1500}}'"#;
    quorate(room.host(1), right).expect("patched");
    eventually_says(room, "network/sn", "RolledBack", "", "");
    eventually_says(room, "network/sn", "MtuConsistent", "True", "");
    for host in [1, 2] {
        let what = format!("node{host} has small packets again");
        room.eventually(&what, PATIENCE, |room| {
            succeeded(
                room.host(host)
                    .exec("grep -qx 1500 /sys/class/net/sn-bond/mtu"),
            )
        })
        .expect("corrected");
    }
    eventually_says(room, "network/sn", "Ready", "True", "");
}

/// From now on all that passes on the internet-facing network is kept, as each host's card sees it.
fn overhear_the_outside(room: &Room) {
    for host in [1, 2] {
        room.host(host)
            .run("setsid tcpdump -i ifn-bond -nn -U -w /run/outside.pcap 'tcp or udp' </dev/null >/run/outside.log 2>&1 &")
            .expect("started");
        let listens = room.eventually("it listens", PATIENCE, |room| {
            succeeded(
                room.host(host)
                    .exec("grep -q 'listening on' /run/outside.log"),
            )
        });
        listens.expect("it does");
    }
}

/// The stranger's questions were heard, and not one answer, nor anything else that a host would have said there.
fn nothing_was_said_outside(room: &Room) {
    for host in [1, 2] {
        let heard = |filter: &str| {
            let count = format!("tcpdump -nn -r /run/outside.pcap '{filter}' 2>/dev/null | wc -l");
            let count = room.host(host).run(&count).expect("read");
            count.parse::<u32>().expect("a number")
        };
        room.host(host).run("pkill -x tcpdump").expect("ended");
        assert!(
            heard(&format!("src host {STRANGER}")) > 0,
            "node{host} was asked"
        );
        let said = heard(&format!("not src host {STRANGER}"));
        assert_eq!(said, 0, "packets of hosts on the outside of node{host}");
    }
}

/// Which of these ports of an address let the desk in; all are tried at once.
fn let_in(room: &Room, address: &str, ports: &BTreeSet<u16>) -> BTreeSet<u16> {
    let script = format!(
        "for port in {}; do
             timeout 5 bash -c \"exec 3<>/dev/tcp/{address}/$port\" 2>/dev/null && echo $port &
         done
         wait",
        ports
            .iter()
            .map(u16::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    );
    let tried = room.at_desk("bash", &["-c", &script]).expect("tried");
    String::from_utf8_lossy(&tried.stdout)
        .lines()
        .map(|port| port.parse().expect("a port"))
        .collect()
}

/// Somebody outside finds nothing open, whatever listens.
fn nothing_is_open_to_strangers(room: &Room) {
    let member = BTreeSet::from([7443]);
    assert_eq!(
        let_in(room, "10.20.0.1", &member),
        member,
        "a member is reached from where it may be"
    );
    let address = format!("{STRANGER}/16");
    let outside = room.at_desk("ip", &["address", "add", &address, "dev", "ifn-a"]);
    succeeded(outside).expect("a stranger");
    for host in [1, 2] {
        reaches(room, host, STRANGER).expect("it is on the cable");
        let listening = room
            .host(host)
            .run("ss -Hltn | awk '{print $4}' | grep -v '^127\\.' | sed 's/.*://' | sort -un")
            .expect("listed");
        let mut ports: BTreeSet<u16> = listening
            .lines()
            .map(|port| port.parse().expect("a port"))
            .collect();
        assert!(ports.contains(&7443), "{ports:?}");
        ports.extend(CLUSTER_PORTS);
        let open = let_in(room, &format!("10.255.0.{host}"), &ports);
        assert!(open.is_empty(), "node{host} lets strangers in at {open:?}");
    }
}

/// The guest counts. Where it runs is not asked: without a switch its cluster cannot be reached from the desk.
fn counts_on(room: &Room, home: u8) {
    let now = counts_beyond(room, home, 0);
    counts_beyond(room, home, now + 2);
}

pub(crate) fn cables_switches_and_wrong_manifests_fence_nobody_and_leave_no_host_cut_off() {
    let room = room("links", 2, "pair/manifests.yaml");
    ledger::open(&room);
    start_the_guest(&room);
    administer_from(&room, 2);
    let home = home_of(&room);
    let seen = room.timeline(0).expect("a timeline").len();

    Ledger::kept(&room, |_| {
        taken_over_as_they_are(&room);
        patient_with_signals(&room);
        overhear_the_outside(&room);
        println!("    the bonds are Quorate's");
        for host in [1, 2] {
            for network in ["bcn", "sn"] {
                a_cable_is_cut(&room, host, network);
            }
        }
        the_other_one_is_cut_too_soon(&room, home, "bcn");
        for switch in SWITCHES {
            a_switch_goes_and_comes_back(&room, home, switch);
            println!("    switch {switch} has been away");
        }
        a_ring_goes(&room, home);
        the_storage_network_goes(&room, home);
        a_mistake_is_taken_back(&room, home, &WRONG_VLAN);
        idle_cards(&room);
        a_mistake_is_taken_back(&room, home, &WRONG_CARDS);
        packets_that_are_too_large_are_taken_back(&room, home);
        nothing_is_open_to_strangers(&room);
        nothing_was_said_outside(&room);
    });

    eventually_is(&room, 1, "vm/counter", "state", "Running");
    assert_eq!(home_of(&room), home, "the guest has stayed");
    assert_eq!(guests_running(&room, home), "1");
    let told = said(&room, home).expect("heard");
    let starts = told.iter().filter(|said| matches!(said, Said::Start(_)));
    assert_eq!(starts.count(), 1, "it was never restarted");
    assert_eq!(counter::unbroken(&told), Ok(()), "no count is missing");
    // What guests move by is open to the other host, behind the same firewall.
    moves(&room, home, 3 - home);
    for host in [1, 2] {
        assert_eq!(room.host(host).state().expect("known"), HostState::Up);
    }
    let operations = quorate(
        room.host(1),
        "get fenceoperations -o 'jsonpath={.items[*].spec.node}'",
    );
    assert_eq!(operations.expect("listed"), "", "nobody was fenced");
    let shots: Vec<_> = room
        .timeline(seen)
        .expect("a timeline")
        .into_iter()
        .filter(|entry| entry.source.ends_with("bmc") && entry.text.starts_with("power off"))
        .collect();
    assert!(shots.is_empty(), "{shots:?}");
}
