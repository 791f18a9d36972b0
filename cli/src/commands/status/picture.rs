//! The picture of a cluster: members, hosts, guests, volumes, what is under way, what is wrong.

use jiff::Timestamp;
use quorate_proto::api::v1::{MemberRole, StatusReply};
use quorate_schema::quantity::Quantity;
use serde_json::Value;

use super::super::{cluster::status, fence::status::is_open, vm::migrate::is_over};
use crate::{
    console::{Tone, paint},
    figures::Figures,
    object,
    output::{
        age::{self, NONE},
        conditions::{self, tone_of_word},
        fit,
        table::{Cell, table},
    },
    progress::Seen,
};

/// A list that is longer than this is long, when nobody says otherwise.
pub(super) const LONG: usize = 30;

/// Everything that is drawn.
pub(super) struct Picture<'a> {
    pub(super) reply: &'a StatusReply,
    pub(super) seen: &'a Seen,
    pub(super) figures: &'a Figures,
    pub(super) now: Timestamp,
    pub(super) color: bool,
    pub(super) all: bool,
    /// Longer lists show only what is not as it should be.
    pub(super) long: usize,
}

impl Picture<'_> {
    pub(super) fn text(&self) -> String {
        let mut out = self.head();
        // What needs somebody comes before what is only long.
        for part in [
            self.hosts(),
            self.under_way(),
            self.wrong(),
            self.guests(),
            self.volumes(),
        ] {
            if !part.is_empty() {
                out.push('\n');
                out.push_str(&part);
            }
        }
        out
    }

    /// The picture on a screen of this size: long lists give way, long lines are cut.
    pub(super) fn on_screen(&self, (columns, rows): (usize, usize)) -> String {
        let whole = self.text();
        if whole.lines().count() < rows {
            return fit::crop(&whole, columns, rows);
        }
        let short = Self {
            all: false,
            long: 0,
            ..*self
        };
        fit::crop(&short.text(), columns, rows)
    }

    fn head(&self) -> String {
        let reply = self.reply;
        let mut out = format!(
            "Cluster:    {}\nQuorum:     {}\nLeader:     {}\n",
            reply.cluster_name,
            status::quorum(reply, self.color),
            status::leader(reply, self.color)
        );
        if reply.members.len() > 1 {
            let members: Vec<String> = reply
                .members
                .iter()
                .map(|member| {
                    let role = match (member.witness, member.role()) {
                        (true, _) => " (witness)",
                        (false, MemberRole::Learner) => " (learner)",
                        _ => "",
                    };
                    let shown = format!("{}{role}", member.name);
                    match member.reachable {
                        Some(false) => {
                            paint(self.color, Tone::Bad, &format!("{shown} unreachable"))
                        }
                        _ => shown,
                    }
                })
                .collect();
            out.push_str(&format!("Members:    {}\n", members.join(", ")));
        }
        if !reply.storage_problem.is_empty() {
            let problem = paint(self.color, Tone::Bad, &reply.storage_problem);
            out.push_str(&format!("Storage:    {problem}\n"));
        }
        let clusters = self.seen.of("Cluster");
        for cluster in clusters {
            let power = object::text(cluster, "/spec/power");
            if cluster.pointer("/spec/maintenance") == Some(&Value::Bool(true)) {
                let text = "the whole cluster is in maintenance: nothing is started, stopped, moved or fenced";
                out.push_str(&format!(
                    "Mode:       {}\n",
                    paint(self.color, Tone::Warn, text)
                ));
            } else if power == "Stopped" {
                let text = "the cluster is stopped: its guests are off, and stay off";
                out.push_str(&format!(
                    "Mode:       {}\n",
                    paint(self.color, Tone::Warn, text)
                ));
            }
        }
        out
    }

    fn hosts(&self) -> String {
        let rows: Vec<Vec<Cell>> = self
            .seen
            .of("Node")
            .map(|node| {
                let text = |pointer| object::text(node, pointer);
                let state = text("/status/state");
                let mode = text("/spec/mode");
                vec![
                    object::name(node).into(),
                    Cell::toned(or_none(state), tone_of_word("STATE", state)),
                    Cell::toned(
                        mode,
                        if mode == "Active" {
                            Tone::Plain
                        } else {
                            Tone::Warn
                        },
                    ),
                    rings(node),
                    fencing(node),
                    self.guests_on(object::name(node)).to_string().into(),
                    memory(
                        text("/status/allocated/memory"),
                        text("/status/allocatable/memory"),
                    )
                    .into(),
                ]
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        let headers = [
            "HOST", "STATE", "MODE", "RINGS", "FENCING", "GUESTS", "MEMORY",
        ];
        table(&headers, &rows, self.color)
    }

    fn guests_on(&self, node: &str) -> usize {
        self.seen
            .of("VirtualMachine")
            .filter(|guest| object::text(guest, "/status/node") == node)
            .count()
    }

    fn guests(&self) -> String {
        let all: Vec<&Value> = self.seen.of("VirtualMachine").collect();
        let shown = self.choose(&all, is_as_wanted);
        let rows: Vec<Vec<Cell>> = shown
            .iter()
            .map(|guest| {
                let state = object::text(guest, "/status/state");
                vec![
                    object::name(guest).into(),
                    Cell::toned(or_none(state), tone_of_word("STATE", state)),
                    or_none(object::text(guest, "/status/node")).into(),
                    self.since(object::text(guest, "/status/since")).into(),
                    if is_as_wanted(guest) {
                        Cell::from("")
                    } else {
                        reason(guest, "Scheduled").into()
                    },
                ]
            })
            .collect();
        let mut out = String::new();
        if !rows.is_empty() {
            out = table(&["GUEST", "STATE", "HOST", "FOR", "WHY"], &rows, self.color);
        }
        out.push_str(&left_out(
            all.len(),
            rows.len(),
            "guests are as they should be",
        ));
        out
    }

    fn volumes(&self) -> String {
        let all: Vec<&Value> = self.seen.of("Volume").collect();
        let shown = self.choose(&all, is_in_sync);
        let rows: Vec<Vec<Cell>> = shown
            .iter()
            .map(|volume| {
                let text = |pointer| object::text(volume, pointer);
                let list = |pointer: &str| -> String {
                    let names = volume.pointer(pointer).and_then(Value::as_array);
                    let names = names.into_iter().flatten().filter_map(Value::as_str);
                    names.collect::<Vec<_>>().join(",")
                };
                let tone = if is_in_sync(volume) {
                    Tone::Good
                } else {
                    Tone::Warn
                };
                vec![
                    object::name(volume).into(),
                    Cell::toned(or_none(text("/status/inSyncSummary")), tone),
                    or_none(&list("/status/inSync")).into(),
                    or_none(&list("/status/primary")).into(),
                    self.progress(volume).into(),
                    if is_in_sync(volume) {
                        Cell::from("")
                    } else {
                        reason(volume, "InSync").into()
                    },
                ]
            })
            .collect();
        let mut out = String::new();
        if !rows.is_empty() {
            let headers = ["VOLUME", "IN SYNC", "ON", "WRITTEN ON", "SYNC", "WHY"];
            out = table(&headers, &rows, self.color);
        }
        out.push_str(&left_out(all.len(), rows.len(), "volumes are in sync"));
        out
    }

    /// How far a resync is: the reading, or what was last stored.
    fn progress(&self, volume: &Value) -> String {
        let stored = || object::text(volume, "/status/syncSummary").to_owned();
        let reading = self.figures.resync(volume);
        reading.map_or_else(stored, |resync| resync.to_string())
    }

    fn under_way(&self) -> String {
        let fenced = self
            .seen
            .of("FenceOperation")
            .filter(|one| is_open(one))
            .map(|one| {
                let text = |pointer| object::text(one, pointer);
                let level = text("/status/level");
                vec![
                    format!("{} {}", text("/spec/action"), text("/spec/node")).into(),
                    phase(one),
                    self.since(text("/metadata/creationTimestamp")).into(),
                    if level.is_empty() {
                        text("/spec/reason").to_owned()
                    } else {
                        format!("level {level}: {}", text("/spec/reason"))
                    }
                    .into(),
                ]
            });
        let moved = self
            .seen
            .of("VirtualMachineMigration")
            .filter(|one| !is_over(one))
            .map(|one| {
                let text = |pointer| object::text(one, pointer);
                let percent = one.pointer("/status/progress/percent");
                let percent = percent.map_or(String::new(), |percent| format!(", {percent}%"));
                vec![
                    format!("Move {}", text("/spec/virtualMachine")).into(),
                    phase(one),
                    self.since(text("/metadata/creationTimestamp")).into(),
                    format!(
                        "{} to {}{percent}",
                        or_none(text("/status/source")),
                        or_none(text("/status/target"))
                    )
                    .into(),
                ]
            });
        let emptied = self
            .seen
            .of("Node")
            .filter(|node| matches!(object::text(node, "/spec/mode"), "Drained" | "Withdrawn"))
            .filter_map(|node| {
                let left = self.guests_on(object::name(node));
                (left > 0).then(|| {
                    vec![
                        format!("Drain {}", object::name(node)).into(),
                        Cell::toned("Running", Tone::Warn),
                        "".into(),
                        match left {
                            1 => "one guest is left on it".into(),
                            _ => format!("{left} guests are left on it").into(),
                        },
                    ]
                })
            });
        let rows: Vec<Vec<Cell>> = fenced.chain(moved).chain(emptied).collect();
        if rows.is_empty() {
            return String::new();
        }
        table(&["UNDER WAY", "PHASE", "FOR", "HOW"], &rows, self.color)
    }

    fn wrong(&self) -> String {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for object in self.seen.all() {
            // A request that is over has told its outcome to whoever made it.
            if is_past(object) {
                continue;
            }
            // What is the matter with guests and volumes stands beside them.
            let told = match object::kind(object) {
                "VirtualMachine" if !is_as_wanted(object) => reason(object, "Scheduled"),
                "Volume" => reason(object, "InSync"),
                _ => String::new(),
            };
            let all = conditions::of(object);
            let mut bad: Vec<(String, Vec<&conditions::Condition<'_>>)> = Vec::new();
            for condition in all.iter().filter(|condition| is_bad(condition)) {
                let why = format!("{} {}", condition.reason, condition.message);
                let why = why.trim().to_owned();
                match bad.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, same)) => same.push(condition),
                    None if why != told || why.is_empty() => bad.push((why, vec![condition])),
                    None => {}
                }
            }
            for (why, same) in bad {
                let Some(first) = same.first() else { continue };
                let types: Vec<&str> = same.iter().map(|condition| condition.type_).collect();
                let state = format!("{}: {}", types.join(", "), first.plain());
                rows.push(vec![
                    object::reference(object).into(),
                    Cell::toned(state, first.tone()),
                    self.since(first.since).into(),
                    why.into(),
                ]);
            }
        }
        if rows.is_empty() {
            let good = paint(self.color, Tone::Good, "nothing needs attention");
            return match self.all_as_wanted() {
                true => format!("{} objects, {good}\n", self.seen.all().count()),
                false => String::new(),
            };
        }
        let headers = ["NEEDS ATTENTION", "CONDITION", "FOR", "WHY"];
        table(&headers, &rows, self.color)
    }

    fn all_as_wanted(&self) -> bool {
        self.seen.of("VirtualMachine").all(is_as_wanted) && self.seen.of("Volume").all(is_in_sync)
    }

    fn choose<'o>(&self, all: &[&'o Value], well: impl Fn(&Value) -> bool) -> Vec<&'o Value> {
        let short = self.all || all.len() <= self.long;
        all.iter()
            .filter(|one| short || !well(one))
            .copied()
            .collect()
    }

    fn since(&self, timestamp: &str) -> String {
        if timestamp.is_empty() {
            String::new()
        } else {
            age::since(timestamp, self.now)
        }
    }
}

fn is_past(object: &Value) -> bool {
    match object::kind(object) {
        "VirtualMachineMigration" => is_over(object),
        "FenceOperation" => !is_open(object),
        _ => false,
    }
}

/// Whether somebody should know.
fn is_bad(condition: &conditions::Condition<'_>) -> bool {
    /// Nothing has to be done about these, or somebody wanted it so.
    const HARMLESS: [&str; 3] = ["NothingToProtect", "StopWanted", "TakenDown"];
    condition.is_good() != Some(true) && !HARMLESS.contains(&condition.reason)
}

/// `12Gi of 64Gi`, whatever units were used.
fn memory(promised: &str, there: &str) -> String {
    const MEBI: u64 = 1 << 20;
    let words = |text: &str| {
        let quantity = text.parse::<Quantity>().ok();
        let bytes = quantity.and_then(Quantity::as_u64)?;
        Some(match bytes / MEBI {
            0 if bytes == 0 => "0".to_owned(),
            mebi if mebi % 1024 == 0 => format!("{}Gi", mebi / 1024),
            mebi if mebi >= 10 * 1024 => format!("{}.{}Gi", mebi / 1024, mebi % 1024 * 10 / 1024),
            mebi => format!("{mebi}Mi"),
        })
    };
    match (words(promised), words(there)) {
        (promised, Some(there)) => format!("{} of {there}", promised.as_deref().unwrap_or("0")),
        _ => NONE.to_owned(),
    }
}

fn left_out(all: usize, shown: usize, words: &str) -> String {
    match all - shown {
        0 => String::new(),
        rest => format!("{rest} more {words}; --all shows them\n"),
    }
}

fn rings(node: &Value) -> Cell {
    let rings = node.pointer("/status/rings").and_then(Value::as_array);
    let mut tone = Tone::Good;
    let shown: Vec<String> = rings
        .into_iter()
        .flatten()
        .map(|ring| {
            let network = object::text(ring, "/network");
            match object::text(ring, "/state") {
                "Up" => network.to_owned(),
                state => {
                    tone = Tone::Warn;
                    format!("{network} {state}")
                }
            }
        })
        .collect();
    match shown.is_empty() {
        true => NONE.into(),
        false => Cell::toned(shown.join(","), tone),
    }
}

/// Whether the host could be made safe: the levels that do not work stand out.
fn fencing(node: &Value) -> Cell {
    let levels = node
        .pointer("/spec/fencing/levels")
        .and_then(Value::as_array);
    let names: Vec<&str> = levels
        .into_iter()
        .flatten()
        .map(|level| object::text(level, "/name"))
        .collect();
    if names.is_empty() {
        return Cell::toned("none", Tone::Bad);
    }
    let tested = node
        .pointer("/status/fenceLevels")
        .and_then(Value::as_array);
    let broken: Vec<&str> = tested
        .into_iter()
        .flatten()
        .filter(|level| level["ready"] == false)
        .map(|level| object::text(level, "/name"))
        .collect();
    if broken.is_empty() {
        return Cell::toned(names.join(","), Tone::Good);
    }
    let tone = if broken.len() == names.len() {
        Tone::Bad
    } else {
        Tone::Warn
    };
    Cell::toned(
        format!("{} broken of {}", broken.join(","), names.join(",")),
        tone,
    )
}

fn phase(operation: &Value) -> Cell {
    match object::text(operation, "/status/phase") {
        "" => Cell::toned("Pending", Tone::Warn),
        "Blocked" => Cell::toned("Blocked", Tone::Bad),
        phase => Cell::toned(phase, Tone::Warn),
    }
}

fn is_as_wanted(guest: &Value) -> bool {
    let state = object::text(guest, "/status/state");
    match object::text(guest, "/spec/desiredState") {
        "Stopped" => matches!(state, "Stopped" | ""),
        "Paused" => state == "Paused",
        _ => state == "Running",
    }
}

fn is_in_sync(volume: &Value) -> bool {
    conditions::of(volume)
        .iter()
        .any(|condition| condition.type_ == "InSync" && condition.status == "True")
}

fn reason(object: &Value, type_: &str) -> String {
    let all = conditions::of(object);
    let found = all.iter().find(|condition| condition.type_ == type_);
    found.map_or(String::new(), |condition| {
        format!("{} {}", condition.reason, condition.message)
            .trim()
            .to_owned()
    })
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

#[cfg(test)]
mod tests {
    use quorate_proto::api::v1::MemberStatus;
    use serde_json::json;

    use super::*;

    fn cluster() -> Seen {
        [
            json!({"kind": "Node", "metadata": {"name": "an1"}, "spec": {"mode": "Active", "fencing": {"levels": [
                    {"name": "ipmi"}, {"name": "pdu"}]}},
                "status": {"state": "Online", "rings": [{"network": "bcn", "state": "Up"}, {"network": "sn", "state": "Down"}],
                    "allocated": {"memory": "4Gi"}, "allocatable": {"memory": "30Gi"},
                    "fenceLevels": [{"name": "ipmi", "ready": false}]}}),
            json!({"kind": "VirtualMachine", "metadata": {"name": "web"}, "spec": {"desiredState": "Running"},
                "status": {"state": "Running", "node": "an1", "since": "2026-01-01T11:50:00Z"}}),
            json!({"kind": "VirtualMachine", "metadata": {"name": "big"}, "spec": {"desiredState": "Running"},
                "status": {"state": "Pending", "conditions": [
                    {"type": "Scheduled", "status": "False", "reason": "NoHostFits", "message": "an1: needs 40 GiB"}]}}),
            json!({"kind": "Volume", "metadata": {"name": "data"}, "spec": {},
                "status": {"inSync": ["an1"], "inSyncSummary": "1/2", "primary": ["an1"], "syncSummary": ">60%",
                    "conditions": [{"type": "InSync", "status": "False", "reason": "Degraded", "message": "an2 is behind"}]}}),
            json!({"kind": "VirtualMachineMigration", "metadata": {"name": "m"}, "spec": {"virtualMachine": "web"},
                "status": {"phase": "Running", "source": "an1", "target": "an2", "progress": {"percent": 40}}}),
        ]
        .into_iter()
        .collect()
    }

    fn reply() -> StatusReply {
        StatusReply {
            cluster_name: "anvil".into(),
            has_quorum: true,
            votes_needed: 1,
            leader_id: 1,
            members: vec![MemberStatus {
                id: 1,
                name: "m1".into(),
                role: MemberRole::Voter.into(),
                ..MemberStatus::default()
            }],
            ..StatusReply::default()
        }
    }

    #[test]
    fn one_screen_shows_hosts_guests_volumes_what_is_under_way_and_what_is_wrong() {
        let (reply, seen) = (reply(), cluster());
        let figure = |name: &str, value| {
            (
                "Volume/data".to_owned(),
                "an2".to_owned(),
                name.to_owned(),
                value,
            )
        };
        let figures: Figures = [figure("syncedPercent", 71.4), figure("etaSeconds", 240.0)]
            .into_iter()
            .collect();
        let picture = Picture {
            reply: &reply,
            seen: &seen,
            figures: &figures,
            now: "2026-01-01T12:00:00Z".parse().expect("a moment"),
            color: false,
            all: false,
            long: LONG,
        };
        let text = picture.text();
        for line in [
            "Cluster:    anvil",
            "an1    Online   Active   bcn,sn Down   ipmi broken of ipmi,pdu   1        4Gi of 30Gi",
            "web     Running   an1      10m",
            "big     Pending   <none>         NoHostFits an1: needs 40 GiB",
            "data     1/2       an1   an1          71% 4m   Degraded an2 is behind",
            "Move web    Running         an1 to an2, 40%",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn what_somebody_stopped_needs_no_attention() {
        let condition = |reason| conditions::Condition {
            type_: "Scheduled",
            status: "False",
            reason,
            message: "",
            since: "",
        };
        assert!(!is_bad(&condition("StopWanted")));
        assert!(!is_bad(&condition("TakenDown")));
        assert!(is_bad(&condition("NoHostFits")));
    }

    #[test]
    fn of_many_guests_only_those_are_listed_that_are_not_as_they_should_be() {
        let mut seen = cluster();
        for number in 0..LONG {
            seen.put(
                json!({"kind": "VirtualMachine", "metadata": {"name": format!("g{number}")},
                "spec": {"desiredState": "Running"}, "status": {"state": "Running"}}),
            );
        }
        let reply = reply();
        let mut picture = Picture {
            reply: &reply,
            seen: &seen,
            figures: &Figures::default(),
            now: Timestamp::UNIX_EPOCH,
            color: false,
            all: false,
            long: LONG,
        };
        let short = picture.guests();
        assert!(short.contains("big") && !short.contains("g7"), "{short}");
        assert!(
            short.contains("31 more guests are as they should be; --all"),
            "{short}"
        );
        picture.all = true;
        assert!(picture.guests().contains("g7"));
    }
}
