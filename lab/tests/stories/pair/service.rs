//! What a pair goes through in service: no host is lost, so nobody is shot, and the guest counts on wherever that can be.

use std::fmt::Write as _;

use quorate_lab::Room;
use quorate_lab::cluster::quorate;

use super::whole::{Before, eventually_whole, other};
use crate::stories::counting::{
    PATIENCE, counts_beyond, eventually_is, field, guests_running, moves,
};
use crate::stories::ledger::Ledger;

/// The disk of each host's part of the pool.
const POOL_DISK: usize = 0;

/// Ours, and libvirt's, each of which may die at any time.
const DAEMONS: [&str; 4] = ["quorated", "quorate-node", "quorate-lease", "libvirtd"];

/// Long enough that nothing a slow host does is forgotten before it is over.
const LONG_WINDOW: &str = "1h";

/// Tells the story of a whole pair that is written to, and looks afterwards: it is whole, and nobody was shot meanwhile.
fn in_service(room: &Room, story: impl FnOnce(&Before)) {
    let before = Before::of(room);
    Ledger::kept(room, |_| {
        story(&before);
        eventually_whole(room);
    });
    let proofs = before.proofs_since(room, before.home).expect("listed");
    assert!(proofs.is_empty(), "nobody was fenced: {proofs:?}");
    let entries = room.timeline(before.seen).expect("a timeline");
    let shots: Vec<_> = entries
        .iter()
        .filter(|entry| entry.source.ends_with("bmc") && entry.text.starts_with("power off"))
        .collect();
    assert!(shots.is_empty(), "nobody shoots: {shots:?}");
}

/// What a host's replica of the guest's volume is, as the member on another one knows it.
fn disk_of(room: &Room, from: u8, host: u8) -> Result<String, String> {
    let path = format!("replicas[?(@.node==\"node{host}\")].disk");
    field(room, from, "volume/counter", &path)
}

fn eventually_disk_is(room: &Room, from: u8, host: u8, wanted: &[&str]) {
    let what = format!("the replica of node{host} is {}", wanted.join(" or "));
    let found = room.eventually(&what, PATIENCE, |room| {
        let found = disk_of(room, from, host)?;
        if wanted.contains(&found.as_str()) {
            Ok(())
        } else {
            Err(format!("it is {found:?}"))
        }
    });
    found.expect("it is");
}

/// D1: the disk below the guest fails. It goes on over the network, with the other host's disk, and is told nothing of it.
pub(crate) fn a_guest_goes_on_over_the_network_when_the_disk_below_it_fails(room: &Room) {
    in_service(room, |before| {
        let (home, peer) = (before.home, other(before.home));
        room.host(home).fail_disk(POOL_DISK).expect("ill");
        eventually_disk_is(room, peer, home, &["Diskless", "Failed"]);
        eventually_is(room, peer, "volume/counter", "state", "Degraded");
        before.assert_goes_on(room, home);
        assert_eq!(
            field(room, peer, "vm/counter", "node"),
            Ok(format!("node{home}")),
            "a guest that runs is left where it is"
        );
        room.host(home).heal_disk(POOL_DISK).expect("healed");
        assert_eq!(eventually_whole(room), home);
        before.assert_goes_on(room, home);
    });
}

/// V1–V4: a guest that dies is started again where it was, twice; the third time it goes elsewhere. Later that is forgotten.
pub(crate) fn a_guest_that_dies_is_started_again_twice_and_then_elsewhere(room: &Room) {
    let window = |of: &str| {
        let patch = format!(r#"{{"spec":{{"recovery":{{"restartWindow":"{of}"}}}}}}"#);
        quorate(room.host(1), &format!("patch vm counter -p '{patch}'")).expect("patched");
    };
    in_service(room, |before| {
        let (home, peer) = (before.home, other(before.home));
        window(LONG_WINDOW);
        for (deaths, next) in [(1, home), (2, home), (3, peer)] {
            let alive = Before::of(room);
            room.host(home)
                .run("pkill -9 -f 'guest=[c]ounter,'")
                .expect("killed");
            if next == home {
                eventually_is(
                    room,
                    peer,
                    "vm/counter",
                    "restartCount",
                    &deaths.to_string(),
                );
            }
            eventually_is(room, peer, "vm/counter", "node", &format!("node{next}"));
            eventually_is(room, peer, "vm/counter", "state", "Running");
            alive.assert_began_anew(room, next);
            println!("    killed {deaths} times: it runs on node{next}");
        }
        assert_eq!(guests_running(room, home), "0", "it is on one host");
        window("1s");
        room.eventually("it is forgotten", PATIENCE, |room| {
            match field(room, peer, "vm/counter", "restartCount")?.as_str() {
                "" | "0" => Ok(()),
                count => Err(format!("it was restarted {count} times")),
            }
        })
        .expect("forgotten");
        window(LONG_WINDOW);
    });
}

/// M1–M4: everything is moved off one host, it is taken out, comes back and catches up, and takes the guest again. The guest is never restarted.
pub(crate) fn a_host_is_emptied_and_taken_out_and_comes_back_and_no_guest_restarts(room: &Room) {
    in_service(room, |before| {
        for host in [before.home, other(before.home)] {
            let (node, stays) = (format!("node{host}"), other(host));
            quorate(room.host(stays), &format!("node withdraw {node}")).expect("taken out");
            assert_eq!(
                field(room, stays, "vm/counter", "node"),
                Ok(format!("node{stays}"))
            );
            assert_eq!(guests_running(room, host), "0", "{node} is empty");
            let told = counts_beyond(room, stays, before.told);
            counts_beyond(room, stays, told + 2);
            quorate(room.host(stays), &format!("node uncordon {node}")).expect("back");
            assert_eq!(eventually_whole(room), stays);
            println!("    {node} was taken out and is back");
        }
        let stays = eventually_whole(room);
        moves(room, stays, other(stays));
    });
}

/// S1: a host's storage is stopped behind everybody's back, and started again. It has missed writes and counts for nothing until it
/// has caught up.
pub(crate) fn storage_that_was_stopped_counts_for_nothing_until_it_has_caught_up(room: &Room) {
    in_service(room, |before| {
        let (home, peer) = (before.home, other(before.home));
        // Its daemon would start it again at once.
        room.host(peer)
            .run("pkill -STOP -x quorate-node && drbdsetup down counter")
            .expect("stopped");
        room.eventually("its replica does not count", PATIENCE, |room| {
            let members = field(room, home, "volume/counter", "inSync")?;
            if members.contains(&format!("node{peer}")) {
                Err(members)
            } else {
                Ok(())
            }
        })
        .expect("outdated");
        before.assert_goes_on(room, home);
        let told = counts_beyond(room, home, before.told);
        counts_beyond(room, home, told + 2);
        room.host(peer)
            .run("pkill -CONT -x quorate-node")
            .expect("it goes on");
        assert_eq!(eventually_whole(room), home);
        before.assert_goes_on(room, home);
    });
}

/// X1: our daemons and libvirt's are killed, in every combination, on one host and on both. The guest notices nothing.
pub(crate) fn no_guest_notices_which_daemons_are_killed(room: &Room) {
    in_service(room, |before| {
        let both = [before.home, other(before.home)];
        let some = 1..1_u32 << DAEMONS.len();
        let on_one = some.map(|chosen| (chosen, &both[..1]));
        let all = (1 << DAEMONS.len()) - 1;
        for (chosen, hosts) in on_one.chain([(all, &both[1..]), (all, &both[..])]) {
            let mut kill = String::new();
            let named = DAEMONS.iter().enumerate();
            for (_, daemon) in named.filter(|(bit, _)| chosen & (1 << bit) != 0) {
                write!(kill, "pkill -9 -x {daemon}; ").expect("a string");
            }
            for host in hosts {
                room.host(*host)
                    .run(&format!("{kill} true"))
                    .expect("killed");
            }
            // Each is there again, and does its work: what is whole is asked of them.
            for host in hosts {
                eventually_all_run(room, *host);
            }
            assert_eq!(eventually_whole(room), before.home, "after {kill}");
        }
        before.assert_goes_on(room, before.home);
        moves(room, before.home, other(before.home));
    });
}

/// Every daemon of a host runs.
fn eventually_all_run(room: &Room, host: u8) {
    let all = DAEMONS
        .map(|daemon| format!("pgrep -x {daemon} >/dev/null"))
        .join(" && ");
    room.eventually("its daemons run", PATIENCE, |room| {
        room.host(host).run(&all)
    })
    .expect("they do");
}

/// What somebody writes by force lies far behind the guest's own count.
const FORCED: &str = "bs=1M seek=32 count=1 oflag=direct conv=notrunc status=none";

/// B1: by force, behind everybody's back, the other replica is written to as well. That is found when they meet again; nothing is given
/// up before a person says what, and what was given up can still be read.
pub(crate) fn when_both_halves_have_written_a_person_says_which_data_is_given_up(room: &Room) {
    in_service(room, |before| {
        let (home, peer) = (before.home, other(before.home));
        let victim = room.host(peer);
        let written = victim
            .run(&format!(
                "pkill -STOP -x quorate-node
                 drbd='drbdadm -c /run/quorate-node/drbd/drbd.conf'
                 $drbd disconnect counter && drbdsetup disk-options 0 --fencing=dont-care && $drbd primary --force counter || exit
                 dd if=/dev/urandom of=/run/forced bs=1M count=1 status=none && dd if=/run/forced of=/dev/drbd0 {FORCED} || exit
                 $drbd secondary counter && sha256sum </run/forced"
            ))
            .expect("somebody uses force");
        let told = counts_beyond(room, home, before.told);
        counts_beyond(room, home, told + 2);
        victim
            .run("pkill -CONT -x quorate-node")
            .expect("it goes on");
        eventually_is(room, home, "volume/counter", "state", "SplitBrain");
        before.assert_goes_on(room, home);

        let sides = quorate(room.host(home), "volume resolve counter").expect("shown");
        println!("{sides}");
        quorate(
            room.host(home),
            &format!("volume resolve counter --discard node{peer} --yes"),
        )
        .expect("resolved");
        assert_eq!(eventually_whole(room), home);
        before.assert_goes_on(room, home);
        let kept = victim
            .run(
                "name=$(lvs --noheadings -o lv_name -S 'lv_name=~^counter-split-' local | tr -d ' ')
                 lvchange -y -K -ay local/$name && dd if=/dev/local/$name bs=1M skip=32 count=1 status=none | sha256sum &&
                 lvremove -qqy local/$name",
            )
            .expect("what was given up is there");
        assert_eq!(kept, written, "and is what was written");
    });
}
