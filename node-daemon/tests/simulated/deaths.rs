use std::{collections::BTreeMap, path::Path};

use quorate_node_daemon::{drivers::GuestDoing, simulated::room::Truth};

use crate::cluster::Cluster;

/// Where each of these guests runs, and which run of it that is.
fn running(truth: &Truth, guests: &[&str]) -> BTreeMap<String, Vec<(String, u64)>> {
    let of = |guest: &str| {
        let copies = truth.guests.get(guest).into_iter().flatten();
        copies
            .filter(|copy| copy.doing == GuestDoing::Running && copy.executes)
            .map(|copy| (copy.host.clone(), copy.run))
            .collect()
    };
    guests
        .iter()
        .map(|guest| ((*guest).to_owned(), of(guest)))
        .collect()
}

fn writes(truth: &Truth, guest: &str) -> u64 {
    truth.progress.get(guest).map_or(0, |done| done.writes)
}

/// Whichever daemon dies, and while it has work to do: what runs runs on, and what was under way is finished once.
#[test]
fn no_guest_notices_the_death_of_any_daemon() {
    let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated/platform");
    let cluster = Cluster::of(&platform);
    let all = ["web", "mail", "lift", "crane"];
    cluster.until("every guest runs", || {
        running(&cluster.truth(), &all)
            .values()
            .all(|copies| copies.len() == 1)
    });
    let peaceful = ["web", "mail"];
    let began = cluster.truth();
    let before = running(&began, &peaceful);
    let runs_before = began.runs.clone();

    let mut on = true;
    let mut starts = 0;
    let mut flip_while = |kill: &dyn Fn()| {
        on = !on;
        starts += usize::from(on);
        for guest in ["lift", "crane"] {
            cluster.want(guest, if on { "Running" } else { "Stopped" });
        }
        kill();
        cluster.until("what was wanted while a daemon died is done", || {
            let truth = cluster.truth();
            let lifted = running(&truth, &["lift", "crane"]);
            lifted
                .values()
                .all(|copies| copies.len() == usize::from(on))
                && (on || !truth.guests.contains_key("lift") && !truth.guests.contains_key("crane"))
        });
        let truth = cluster.truth();
        assert_eq!(running(&truth, &peaceful), before);
        assert_eq!(truth.doubled_guests().count(), 0);
    };
    for pid_file in [
        "hosts/alpha/node.pid",
        "hosts/alpha/lease.pid",
        "hosts/beta/node.pid",
        "hosts/beta/lease.pid",
    ] {
        flip_while(&|| cluster.kill(pid_file));
    }
    flip_while(&|| cluster.kill(&format!("{}/pid", cluster.members().0)));
    flip_while(&|| cluster.kill(&format!("{}/pid", cluster.members().1)));
    flip_while(&|| {
        let (leader, _) = cluster.members();
        for pid_file in [
            "hosts/alpha/node.pid",
            "hosts/alpha/lease.pid",
            "hosts/beta/node.pid",
            &format!("{leader}/pid"),
        ] {
            cluster.kill(pid_file);
        }
    });
    flip_while(&|| {});

    let ended = cluster.truth();
    for guest in peaceful {
        assert_eq!(
            ended.runs[guest], runs_before[guest],
            "{guest} was restarted"
        );
        assert!(
            writes(&ended, guest) > writes(&began, guest),
            "{guest} stood still"
        );
    }
    for guest in ["lift", "crane"] {
        let more = ended.runs[guest].len() - runs_before[guest].len();
        assert_eq!(more, starts, "{guest} was started more often than wanted");
    }
    assert_eq!(ended.lost_writes, []);
    assert_eq!(ended.watchdogs_fired, 0);
    let fenced = cluster.quorate(&["get", "fenceoperations", "-o", "name"]);
    assert_eq!(fenced, "", "nobody was fenced");
}
