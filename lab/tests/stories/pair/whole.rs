//! The pair as it is before a fault, and as it has to be again afterwards.

use std::collections::BTreeSet;

use quorate_lab::Room;
use quorate_lab::cluster::quorate;
use quorate_lab::counter::{self, Said};
use quorate_lab::request::HostState;
use serde_json::Value;

use crate::stories::counting::{
    PATIENCE, cluster_status, counts_beyond, field, in_sync, last_run, said,
};
use crate::stories::desk;

/// The other half.
pub(super) fn other(host: u8) -> u8 {
    3 - host
}

/// Both vote, both are online with a replica that has everything, and the guest runs on this one.
pub(super) fn eventually_whole(room: &Room) -> u8 {
    room.eventually("the pair is whole", PATIENCE, |room| {
        for number in [1, 2] {
            match room
                .host(number)
                .state()
                .map_err(|error| error.to_string())?
            {
                HostState::Up => {}
                state => return Err(format!("node{number} is {state}")),
            }
        }
        let status = cluster_status(room, 1)?;
        let members = status["members"].as_array().cloned().unwrap_or_default();
        let vote = |member: &Value| {
            member["reachable"] == true && (member["role"] == "voter" || member["role"] == "leader")
        };
        if members.len() != 2 || !members.iter().all(vote) {
            return Err(format!("the members are {}", status["members"]));
        }
        for number in [1, 2] {
            let state = field(room, 1, &format!("node/node{number}"), "state")?;
            if state != "Online" {
                return Err(format!("the host node{number} is {state}"));
            }
        }
        in_sync(room, 1)?;
        let state = field(room, 1, "vm/counter", "state")?;
        let home = field(room, 1, "vm/counter", "node")?;
        match (state.as_str(), home.as_str()) {
            ("Running", "node1") => Ok(1),
            ("Running", "node2") => Ok(2),
            _ => Err(format!("the guest is {state} on {home:?}")),
        }
    })
    .unwrap_or_else(|error| {
        let words = quorate(room.host(1), "status");
        panic!("{error}\n{words:?}")
    })
}

/// How the pair was when a fault came.
pub(super) struct Before {
    /// Where the guest ran.
    pub(super) home: u8,
    /// What it had said, the last of it.
    pub(super) told: u32,
    /// How long the timeline was.
    pub(super) seen: usize,
    /// The fence operations that there were.
    operations: BTreeSet<String>,
}

impl Before {
    pub(super) fn of(room: &Room) -> Before {
        let home = eventually_whole(room);
        let told = counts_beyond(room, home, 0);
        Before {
            home,
            told: counts_beyond(room, home, told),
            seen: room.timeline(0).expect("a timeline").len(),
            operations: proofs(room, home)
                .expect("listed")
                .into_iter()
                .map(|proof| proof.name)
                .collect(),
        }
    }

    /// What proved hosts off since, as the member on this host knows it.
    pub(super) fn proofs_since(&self, room: &Room, from: u8) -> Result<Vec<Proof>, String> {
        let all = proofs(room, from)?;
        let new = |proof: &Proof| !self.operations.contains(&proof.name);
        Ok(all.into_iter().filter(new).collect())
    }

    /// Until this host is proven off, as the other one knows it.
    pub(super) fn eventually_proven_off(&self, room: &Room, victim: u8) -> Proof {
        let name = format!("node{victim}");
        room.eventually(&format!("{name} is proven off"), PATIENCE, |room| {
            let proofs = self.proofs_since(room, other(victim))?;
            let found = proofs.iter().find(|proof| proof.node == name);
            found.cloned().ok_or_else(|| format!("so far: {proofs:?}"))
        })
        .unwrap_or_else(|error| {
            let words = quorate(room.host(other(victim)), "cluster status");
            panic!("{error}\n{words:?}")
        })
    }

    /// The guest that was at home here counts on without a break.
    pub(super) fn assert_goes_on(&self, room: &Room, host: u8) {
        counts_beyond(room, host, self.told);
        let (start, run) = last_run(&said(room, host).expect("heard"));
        assert!(
            start.is_none_or(|count| count < self.told),
            "it was started anew, at {start:?}"
        );
        // It may have been here before, and elsewhere in between, in the same run.
        let since = |said: &&Said| said.record().is_some_and(|known| known.count < self.told);
        let run: Vec<Said> = run.iter().skip_while(since).copied().collect();
        assert_eq!(counter::unbroken(&run), Ok(()), "nobody else writes");
    }

    /// The guest was started anew here, with all that it had been told is written, and counts.
    pub(super) fn assert_began_anew(&self, room: &Room, host: u8) {
        let run = room
            .eventually("the guest counts in a new run", PATIENCE, |room| {
                // What it said before a loss of power is still in the file.
                let (start, run) = last_run(&said(room, host)?);
                match start {
                    Some(count) if count >= self.told && run.len() > 2 => Ok(run),
                    start => Err(format!(
                        "it was told that {} is written, and its last start found {start:?}",
                        self.told
                    )),
                }
            })
            .expect("all that was acknowledged is there");
        assert_eq!(counter::unbroken(&run), Ok(()), "nobody else writes");
    }
}

/// A fence operation that has ended with a proof.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    name: String,
    pub(super) node: String,
    pub(super) kind: String,
    pub(super) level: String,
}

fn proofs(room: &Room, from: u8) -> Result<Vec<Proof>, String> {
    let text = desk::ask_member(room, from, &["get", "fenceoperations", "-o", "json"])?;
    let list: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let proven = items
        .iter()
        .filter(|item| item["status"]["evidence"].is_object());
    Ok(proven
        .map(|item| Proof {
            name: text(&item["metadata"]["name"]),
            node: text(&item["spec"]["node"]),
            kind: text(&item["status"]["evidence"]["kind"]),
            level: text(&item["status"]["evidence"]["level"]),
        })
        .collect())
}
