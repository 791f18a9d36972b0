//! Daemons that die in the middle of something that spans hosts.

use std::{collections::BTreeMap, path::Path, time::Duration};

use quorate_node_daemon::{
    drivers::GuestDoing,
    simulated::room::{Happening, MigrationFault, Truth},
};

use crate::cluster::Cluster;

/// How long a guest is on its way: longer than anybody needs to find out and to die.
const SENDING: Duration = Duration::from_secs(15);

fn platform() -> Cluster {
    let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulated/platform");
    let cluster = Cluster::of(&platform);
    let all = ["web", "mail", "lift", "crane"];
    cluster.until("every guest runs", || {
        let truth = cluster.truth();
        all.iter().all(|guest| places(&truth, guest).len() == 1)
    });
    cluster.until("every replica holds every write", || {
        let volumes = cluster.list("volumes");
        let mut volumes = volumes.iter();
        volumes.all(|volume| {
            let in_sync = volume["status"]["inSync"].as_array();
            in_sync.is_some_and(|replicas| replicas.len() == 2)
        })
    });
    cluster
}

/// Where the guest executes. Never on two hosts.
fn places(truth: &Truth, guest: &str) -> Vec<String> {
    assert_eq!(truth.doubled_guests().count(), 0, "{truth:?}");
    let copies = truth.guests.get(guest).into_iter().flatten();
    copies
        .filter(|copy| copy.doing == GuestDoing::Running && copy.executes)
        .map(|copy| copy.host.clone())
        .collect()
}

fn starts(truth: &Truth) -> BTreeMap<String, usize> {
    let runs = truth.runs.iter();
    runs.map(|(guest, runs)| (guest.clone(), runs.len()))
        .collect()
}

/// Moves a guest to the other host and back until it is caught while its memory is on its way. Returns the migration,
/// where the guest comes from and where it goes to.
fn caught_on_its_way(cluster: &Cluster, guest: &str) -> (String, String, String) {
    loop {
        let from = places(&cluster.truth(), guest).remove(0);
        let to = match from.as_str() {
            "alpha" => "beta",
            _ => "alpha",
        };
        cluster.happen(Happening::Migration {
            guest: guest.to_owned(),
            fault: MigrationFault::Slow(SENDING),
        });
        let known = names(cluster);
        cluster.quorate(&["vm", "migrate", guest, "--to", to, "--no-wait"]);
        let made = names(cluster).into_iter().find(|it| !known.contains(it));
        let migration = made.expect("it was made just now");
        let phase = || cluster.text("virtualmachinemigrations", &migration, "phase");
        cluster.until("it is on its way, or there", || {
            ["Running", "Switching", "Succeeded"].contains(&phase().as_str())
        });
        let truth = cluster.truth();
        let copies = truth.guests.get(guest).into_iter().flatten();
        let waits = copies
            .filter(|copy| copy.host == to && matches!(copy.doing, GuestDoing::Paused(_)))
            .count();
        if waits == 1 && places(&truth, guest) == [from.clone()] {
            return (migration, from, to.to_owned());
        }
        println!("{guest} was there before anybody could die; it is moved once more");
        cluster.until("it has come to its end", || phase() == "Succeeded");
    }
}

fn names(cluster: &Cluster) -> Vec<String> {
    let migrations = cluster.list("virtualmachinemigrations");
    let names = migrations.iter().map(|one| &one["metadata"]["name"]);
    names
        .filter_map(|name| name.as_str())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_migration_goes_on_whichever_daemon_dies_in_the_middle_of_it() {
    let cluster = platform();
    let began = starts(&cluster.truth());
    type Deaths = fn(&Cluster, &str, &str);
    let deaths: [(&str, Deaths); 4] = [
        ("the source's daemon", |cluster, from, _| {
            cluster.kill(&format!("hosts/{from}/node.pid"));
        }),
        ("the target's daemon", |cluster, _, to| {
            cluster.kill(&format!("hosts/{to}/node.pid"));
        }),
        (
            "both daemons and both lease processes",
            |cluster, from, to| {
                for host in [from, to] {
                    cluster.kill(&format!("hosts/{host}/node.pid"));
                    cluster.kill(&format!("hosts/{host}/lease.pid"));
                }
            },
        ),
        ("the leader", |cluster, _, _| {
            cluster.kill(&format!("{}/pid", cluster.members().0));
        }),
    ];
    for (whose, kill) in deaths {
        let (migration, from, to) = caught_on_its_way(&cluster, "web");
        kill(&cluster, &from, &to);
        cluster.until("the migration has come to its end", || {
            places(&cluster.truth(), "web");
            let phase = cluster.text("virtualmachinemigrations", &migration, "phase");
            ["Succeeded", "Failed", "Cancelled"].contains(&phase.as_str())
        });
        let phase = cluster.text("virtualmachinemigrations", &migration, "phase");
        let there = match phase.as_str() {
            "Succeeded" => &to,
            _ => &from,
        };
        println!("{whose} died: {phase}, the guest runs on {there}");
        cluster.until("the guest runs, and on one host alone is it known", || {
            let truth = cluster.truth();
            let copies = truth.guests.get("web").map_or(0, Vec::len);
            copies == 1 && places(&truth, "web") == [there.clone()]
        });
        cluster.until("that is what the cluster says of it", || {
            cluster.text("virtualmachines", "web", "node") == *there
        });
    }
    let ended = cluster.truth();
    assert_eq!(starts(&ended), began, "no guest was started again");
    assert_eq!(ended.lost_writes, []);
    let fenced = cluster.quorate(&["get", "fenceoperations", "-o", "name"]);
    assert_eq!(fenced, "", "nobody was fenced");
}

#[test]
fn a_fence_goes_on_whichever_member_dies_in_the_middle_of_it() {
    let cluster = platform();
    let sooner = r#"{"spec":{"detection":{"timeout":"20s","lease":"40s"}}}"#;
    cluster.quorate(&["patch", "cluster", "simulated", "-p", sooner]);
    let mut fenced = Vec::new();
    for (lost, survivor, leader_dies) in [("alpha", "beta", true), ("beta", "alpha", false)] {
        let before = cluster.truth();
        let others: Vec<&str> = ["web", "mail", "lift", "crane"]
            .into_iter()
            .filter(|guest| places(&before, guest) == [survivor])
            .collect();
        // Its board has no mains either: the first level gives up only after its time-out.
        let mains = |on: bool| Happening::Mains {
            machine: lost.to_owned(),
            on,
        };
        cluster.happen(mains(false));
        let mut operation = String::new();
        cluster.until("the host is being fenced", || {
            let running = cluster
                .list("fenceoperations")
                .iter()
                .find(|one| one["spec"]["node"] == lost && one["status"]["phase"] == "Running")
                .and_then(|one| one["metadata"]["name"].as_str().map(str::to_owned));
            operation = running.unwrap_or_default();
            !operation.is_empty()
        });
        let (leader, follower) = cluster.members();
        let dies = if leader_dies { leader } else { follower };
        cluster.kill(&format!("{dies}/pid"));

        cluster.until("the host is confirmed off", || {
            places(&cluster.truth(), "web");
            cluster.text("fenceoperations", &operation, "phase") == "Succeeded"
        });
        let operations = cluster.list("fenceoperations");
        let mut operations = operations.iter();
        let done = operations.find(|one| one["metadata"]["name"] == operation.as_str());
        let evidence = &done.expect("it is kept")["status"]["evidence"];
        println!("{dies} died while {lost} was being fenced: {evidence}");
        assert_eq!(evidence["kind"], "Devices", "{evidence}");
        cluster.until("every guest runs on the survivor", || {
            let truth = cluster.truth();
            let all = ["web", "mail", "lift", "crane"];
            all.iter().all(|guest| places(&truth, guest) == [survivor])
        });
        let after = cluster.truth();
        for guest in others {
            let runs = (&after.runs[guest], &before.runs[guest]);
            assert_eq!(runs.0, runs.1, "{guest} was not touched");
        }
        for guest in ["web", "mail", "lift", "crane"] {
            let more = after.runs[guest].len() - before.runs[guest].len();
            assert!(more <= 1, "{guest} was started {more} times");
        }
        fenced.push(operation);

        cluster.happen(mains(true));
        cluster.until("the host is back", || {
            cluster.text("nodes", lost, "state") == "Online"
        });
        cluster.until("its replicas hold every write again", || {
            let volumes = cluster.list("volumes");
            let mut volumes = volumes.iter();
            volumes.all(|volume| {
                let in_sync = volume["status"]["inSync"].as_array();
                in_sync.is_some_and(|replicas| replicas.len() == 2)
            })
        });
    }
    let ended = cluster.truth();
    assert_eq!(ended.lost_writes, []);
    let began: Vec<String> = cluster
        .list("fenceoperations")
        .iter()
        .filter_map(|one| one["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    assert!(
        began.iter().all(|name| fenced.contains(name)),
        "only {fenced:?} were lost, and {began:?} were made"
    );
}
