//! `quorate node links`: who hears whom over which network.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    console::Tone,
    error::CliError,
    looking::all_of,
    object,
    output::table::{Cell, Table},
    session::Session,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each row says how the hosts above answer the one on the left: within how long, and how much of what it asks is \
                  lost. LEADER says whether the leader hears its heartbeats there."
)]
pub(crate) struct Args {
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let [nodes, plans] = all_of(session, args.local, ["nodes", "nodeplans"]).await?;
    let matrix = Matrix::of(&nodes, &plans);
    if matrix.networks.is_empty() {
        session.console.note(
            "no host says anything of a network yet; quorate get networks shows which there are",
        );
        return Ok(());
    }
    let mut table = Table::new(matrix.headers(), true, session.console.color());
    session.console.print(&table.rows(&matrix.rows()))
}

/// What hosts say of their ways to each other.
struct Matrix<'v> {
    hosts: BTreeSet<&'v str>,
    networks: BTreeMap<&'v str, Network<'v>>,
}

#[derive(Default)]
struct Network<'v> {
    /// From a host to another one.
    links: BTreeMap<(&'v str, &'v str), &'v Value>,
    /// How the leader hears a host.
    rings: BTreeMap<&'v str, &'v Value>,
}

impl<'v> Matrix<'v> {
    fn of(nodes: &'v [Value], plans: &'v [Value]) -> Self {
        let mut matrix = Self {
            hosts: nodes.iter().map(object::name).collect(),
            networks: BTreeMap::new(),
        };
        for node in nodes {
            for ring in list(node, "/status/rings") {
                let network = object::text(ring, "/network");
                let known = matrix.networks.entry(network).or_default();
                known.rings.insert(object::name(node), ring);
            }
        }
        let gone = nodes.iter().filter(|node| {
            let state = object::text(node, "/status/state");
            matches!(state, "Fenced" | "Left")
        });
        let gone: BTreeSet<&str> = gone.map(object::name).collect();
        for plan in plans {
            let assigned = object::text(plan, "/spec/assignment/object/kind") == "Network";
            // What a former boot has said is not so any more, nor is what a host said that is gone.
            let fresh = plan.pointer("/status/incarnation") == plan.pointer("/spec/incarnation");
            let from = object::text(plan, "/spec/node");
            if !assigned || !fresh || gone.contains(from) {
                continue;
            }
            let network = object::text(plan, "/spec/assignment/object/name");
            for link in list(plan, "/status/links") {
                let known = matrix.networks.entry(network).or_default();
                known
                    .links
                    .insert((from, object::text(link, "/node")), link);
            }
        }
        matrix
    }

    fn headers(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(|host| (*host).to_owned());
        ["NETWORK", "FROM"]
            .map(str::to_owned)
            .into_iter()
            .chain(hosts)
            .chain(["LEADER".to_owned()])
            .collect()
    }

    fn rows(&self) -> Vec<Vec<Cell>> {
        let mut rows = Vec::new();
        for (name, network) in &self.networks {
            for from in &self.hosts {
                let ways = self
                    .hosts
                    .iter()
                    .map(|to| way(network.links.get(&(*from, *to)).copied()));
                let leader = heard(network.rings.get(from).copied());
                let cells = [Cell::from(*name), Cell::from(*from)];
                rows.push(cells.into_iter().chain(ways).chain([leader]).collect());
            }
        }
        rows
    }
}

fn list<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    let items = object.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn way(link: Option<&Value>) -> Cell {
    let Some(link) = link else {
        return Cell::from("-");
    };
    let mut words = Vec::new();
    let state = object::text(link, "/state");
    if state == "Down" {
        return Cell::toned("down", Tone::Bad);
    }
    let time = object::text(link, "/roundTrip");
    words.push(match time {
        "" => state.to_lowercase(),
        time => format!("<{time}"),
    });
    if let Some(loss) = link.pointer("/loss").and_then(Value::as_u64) {
        words.push(format!("{loss}% lost"));
    }
    if let Some(mtu) = link.pointer("/mtu").and_then(Value::as_u64) {
        words.push(format!("mtu {mtu}"));
    }
    let tone = match (state, words.len()) {
        ("Up", 1) => Tone::Good,
        ("", _) => Tone::Plain,
        _ => Tone::Warn,
    };
    let text = words.join(", ");
    Cell::toned(
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        },
        tone,
    )
}

fn heard(ring: Option<&Value>) -> Cell {
    match ring.map(|ring| object::text(ring, "/state")) {
        None | Some("") => Cell::from("-"),
        Some("Up") => Cell::toned("heard", Tone::Good),
        Some("Down") => Cell::toned("not heard", Tone::Bad),
        Some(other) => Cell::toned(other.to_lowercase(), Tone::Warn),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_matrix_says_who_hears_whom_over_which_network() {
        let node = |name: &str, sn: &str| {
            json!({"metadata": {"name": name}, "status": {"rings": [
                {"network": "bcn", "state": "Up"}, {"network": "sn", "state": sn}]}})
        };
        let nodes = [node("an1", "Up"), node("an2", "Down")];
        let plan = |host: &str, links: Value, incarnation: u64| {
            json!({"spec": {"node": host, "incarnation": 2, "assignment": {"object": {"kind": "Network", "name": "sn"}}},
                   "status": {"incarnation": incarnation, "links": links}})
        };
        let lossy = json!([{"node": "an2", "state": "Degraded", "loss": 10, "roundTrip": "4ms"}]);
        let down = json!([{"node": "an1", "state": "Down"}]);
        let plans = [plan("an1", lossy, 2), plan("an2", down.clone(), 2)];
        let text =
            |matrix: &Matrix<'_>| Table::new(matrix.headers(), true, false).rows(&matrix.rows());
        assert_eq!(
            text(&Matrix::of(&nodes, &plans)),
            "NETWORK   FROM   an1    an2              LEADER\n\
             bcn       an1    -      -                heard\n\
             bcn       an2    -      -                heard\n\
             sn        an1    -      <4ms, 10% lost   heard\n\
             sn        an2    down   -                not heard\n"
        );
        // Nothing is believed of a boot that is over.
        let old = [plan("an2", down.clone(), 1)];
        assert!(!text(&Matrix::of(&nodes, &old)).contains("down"));
        // Nor of a host that is off.
        let mut off = nodes.clone();
        off[1]["status"]["state"] = json!("Fenced");
        let last = [plan("an2", down, 2)];
        assert!(!text(&Matrix::of(&off, &last)).contains("down"));
    }
}
