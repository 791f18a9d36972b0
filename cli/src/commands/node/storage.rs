//! `quorate node storage`: what a host keeps, and how it is.

use serde_json::{Value, json};

use crate::{
    error::CliError,
    looking::{Looking, all_of},
    object,
    output::{
        age::NONE,
        conditions::tone_of_word,
        format::Format,
        objects::whole,
        table::{Cell, table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host; without it, all of them
    #[arg(value_name = "NODE")]
    node: Option<String>,
    #[command(flatten)]
    looking: Looking,
}

pub(super) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let Looking { local, output } = &args.looking;
    let plurals = ["nodes", "storagepools", "volumes"];
    let [nodes, pools, volumes] = all_of(session, *local, plurals).await?;
    if let Some(wanted) = &args.node
        && !nodes.iter().any(|node| object::name(node) == wanted)
    {
        return Err(CliError::usage(format!("there is no node/{wanted}")));
    }
    let wanted = |node: &&Value| {
        let name = object::name(node);
        args.node.as_deref().is_none_or(|wanted| wanted == name)
    };
    let kept: Vec<Kept<'_>> = nodes
        .iter()
        .filter(wanted)
        .map(|node| Kept::on(node, &pools, &volumes))
        .collect();
    if !matches!(output, Format::Table | Format::Wide) {
        let all: Vec<Value> = kept.iter().map(Kept::data).collect();
        return session.console.print(&whole(&json!(all), output));
    }
    let color = session.console.color();
    let hosts: Vec<String> = kept.iter().map(|kept| kept.text(color)).collect();
    session.console.print(&hosts.join("\n"))
}

/// What one host keeps.
struct Kept<'a> {
    node: &'a Value,
    /// Each pool, with the host's part of it.
    pools: Vec<(&'a Value, &'a Value)>,
    /// Each volume, with the host's replica of it.
    replicas: Vec<(&'a Value, &'a Value)>,
}

impl<'a> Kept<'a> {
    fn on(node: &'a Value, pools: &'a [Value], volumes: &'a [Value]) -> Self {
        Self {
            node,
            pools: parts(pools, "/status/hosts", node),
            replicas: parts(volumes, "/status/replicas", node),
        }
    }

    fn data(&self) -> Value {
        let named = |kind: &str, parts: &[(&Value, &Value)]| {
            let parts = parts.iter().map(|(object, part)| {
                let mut part = (*part).clone();
                part[kind] = object::name(object).into();
                part
            });
            parts.collect::<Vec<_>>()
        };
        json!({
            "node": object::name(self.node),
            "pools": named("pool", &self.pools),
            "replicas": named("volume", &self.replicas),
        })
    }

    fn text(&self, color: bool) -> String {
        let said = |pointer| or_none(object::text(self.node, pointer));
        let mut text = format!(
            "Host:   {} ({})\nDRBD:   {}\n",
            object::name(self.node),
            said("/status/state"),
            said("/status/versions/drbd"),
        );
        if self.pools.is_empty() && self.replicas.is_empty() {
            text.push_str("It keeps no data of the cluster.\n");
        }
        if !self.pools.is_empty() {
            let rows: Vec<_> = self.pools.iter().map(pool).collect();
            let headers = ["POOL", "STATE", "CAPACITY", "FREE", "PROMISED", "MESSAGE"];
            text.push('\n');
            text.push_str(&table(&headers, &rows, color));
        }
        if !self.replicas.is_empty() {
            let rows: Vec<_> = self.replicas.iter().map(replica).collect();
            let headers = [
                "VOLUME",
                "STATE",
                "ROLE",
                "DATA",
                "CONNECTION",
                "SIZE",
                "DEVICE",
                "MESSAGE",
            ];
            text.push('\n');
            text.push_str(&table(&headers, &rows, color));
        }
        text
    }
}

/// What is said of that host in the list of each object, where it is in it.
fn parts<'a>(objects: &'a [Value], pointer: &str, node: &Value) -> Vec<(&'a Value, &'a Value)> {
    let name = object::name(node);
    let found = objects.iter().filter_map(|object| {
        let list = object.pointer(pointer)?.as_array()?;
        let part = list
            .iter()
            .find(|part| object::text(part, "/node") == name)?;
        Some((object, part))
    });
    found.collect()
}

fn pool((pool, part): &(&Value, &Value)) -> Vec<Cell> {
    let state = object::text(part, "/state");
    let orphans = part["orphans"].as_array();
    let orphans = orphans.into_iter().flatten().filter_map(Value::as_str);
    let orphans: Vec<&str> = orphans.collect();
    let message = match (object::text(part, "/message"), orphans.as_slice()) {
        (said, []) => said.to_owned(),
        ("", orphans) => format!("no Volume stands for {}", orphans.join(", ")),
        (said, orphans) => format!("{said}; no Volume stands for {}", orphans.join(", ")),
    };
    vec![
        object::name(pool).into(),
        Cell::toned(or_none(state), tone_of_word("STATE", state)),
        or_none(object::text(part, "/capacity")).into(),
        or_none(object::text(part, "/free")).into(),
        or_none(object::text(part, "/promised")).into(),
        message.into(),
    ]
}

fn replica((volume, part): &(&Value, &Value)) -> Vec<Cell> {
    let state = object::text(volume, "/status/state");
    let asks = part["asksAbout"].as_array();
    let asks = asks.into_iter().flatten().filter_map(Value::as_str);
    let asks: Vec<&str> = asks.collect();
    let message = match asks.as_slice() {
        [] => object::text(part, "/message").to_owned(),
        peers => format!("its writes wait for a decision about {}", peers.join(", ")),
    };
    vec![
        object::name(volume).into(),
        Cell::toned(or_none(state), tone_of_word("STATE", state)),
        or_none(object::text(part, "/role")).into(),
        or_none(object::text(part, "/disk")).into(),
        or_none(object::text(part, "/connection")).into(),
        or_none(object::text(part, "/size")).into(),
        or_none(object::text(part, "/device")).into(),
        message.into(),
    ]
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_shows_its_pools_its_replicas_and_what_nobody_stands_for() {
        let node = json!({
            "kind": "Node", "metadata": {"name": "an1"},
            "status": {"state": "Online", "versions": {"drbd": "8.4.11"}},
        });
        let pools = [json!({
            "kind": "StoragePool", "metadata": {"name": "fast"},
            "status": {"hosts": [
                {"node": "an2", "state": "Missing"},
                {"node": "an1", "state": "Ready", "capacity": "100Gi", "free": "60Gi", "orphans": ["old"]},
            ]},
        })];
        let volumes = [
            json!({
                "kind": "Volume", "metadata": {"name": "web"},
                "status": {"state": "Frozen", "replicas": [
                    {"node": "an1", "role": "Primary", "disk": "UpToDate", "connection": "Connecting",
                     "device": "/dev/drbd0", "asksAbout": ["an2"]},
                ]},
            }),
            json!({"kind": "Volume", "metadata": {"name": "elsewhere"}, "status": {"replicas": [{"node": "an2"}]}}),
        ];
        let kept = Kept::on(&node, &pools, &volumes);
        assert_eq!(
            kept.text(false),
            "Host:   an1 (Online)\n\
             DRBD:   8.4.11\n\
             \n\
             POOL   STATE   CAPACITY   FREE   PROMISED   MESSAGE\n\
             fast   Ready   100Gi      60Gi   <none>     no Volume stands for old\n\
             \n\
             VOLUME   STATE    ROLE      DATA       CONNECTION   SIZE     DEVICE       MESSAGE\n\
             web      Frozen   Primary   UpToDate   Connecting   <none>   /dev/drbd0   its writes wait for a decision about an2\n"
        );
        assert_eq!(kept.data()["replicas"][0]["volume"], "web");

        let bare = json!({"kind": "Node", "metadata": {"name": "an3"}});
        let kept = Kept::on(&bare, &pools, &volumes);
        assert!(kept.text(false).contains("It keeps no data"));
    }
}
