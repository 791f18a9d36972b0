//! Readings that are not stored: how far resyncs are. They only make finer what is stored, which is coarse, and true without them.

use std::collections::BTreeMap;

use quorate_proto::api::v1::FiguresRequest;
use serde_json::{Value, json};

use crate::{
    client::{Client, Retry, planning},
    object,
    output::age,
};

/// What hosts have told lately.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// By subject and host.
    readings: BTreeMap<(String, String), BTreeMap<String, f64>>,
}

/// How far a volume is with a resync.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resync {
    percent: f64,
    bytes_per_second: Option<f64>,
    seconds_left: Option<f64>,
}

impl Figures {
    /// None of them when they cannot be had. Hosts tell them to the leader, and any member may be the one that is asked first.
    pub(crate) async fn ask(client: &Client) -> Self {
        for _ in 0..client.members() {
            let reply = client
                .call(Retry::Safe, |channel| {
                    let request = client.request(FiguresRequest {});
                    async move { planning(channel).figures(request).await }
                })
                .await;
            match reply {
                Ok(reply) if reply.from_leader => {
                    let figures = reply.figures.into_iter();
                    return figures
                        .map(|figure| (figure.subject, figure.node, figure.name, figure.value))
                        .collect();
                }
                Ok(reply) if reply.leader_id != 0 => client.leave_current().await,
                Ok(_) | Err(_) => break,
            }
        }
        Self::default()
    }

    /// How far the volume is, of a resync that the cluster knows of: readings are remembered for a minute, and outlive theirs.
    pub(crate) fn resync(&self, volume: &Value) -> Option<Resync> {
        if !catches_up(volume) {
            return None;
        }
        let subject = format!("Volume/{}", object::name(volume));
        let of_it = self
            .readings
            .iter()
            .filter(|((about, _), _)| *about == subject);
        of_it
            .filter_map(|(_, host)| Resync::of(host))
            .min_by(|a, b| a.percent.total_cmp(&b.percent))
    }

    /// Puts what is read of its resync into a volume that is shown.
    pub(crate) fn refine(&self, volume: &mut Value) {
        let Some(resync) = self.resync(volume) else {
            return;
        };
        volume["status"]["syncSummary"] = json!(resync.to_string());
        let subject = format!("Volume/{}", object::name(volume));
        let replicas = volume.pointer_mut("/status/replicas");
        for replica in replicas.and_then(Value::as_array_mut).into_iter().flatten() {
            let host = object::text(replica, "/node").to_owned();
            let host = self.readings.get(&(subject.clone(), host));
            if replica.get("sync").is_some()
                && let Some(resync) = host.and_then(Resync::of)
            {
                replica["sync"] = json!(resync.to_string());
            }
        }
    }
}

impl FromIterator<(String, String, String, f64)> for Figures {
    /// Subject, host, name, value.
    fn from_iter<I: IntoIterator<Item = (String, String, String, f64)>>(figures: I) -> Self {
        let mut readings: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (subject, host, name, value) in figures {
            let host = readings.entry((subject, host)).or_default();
            host.insert(name, value);
        }
        Self { readings }
    }
}

/// Puts what is read of resyncs into the volumes that are shown; nobody is asked when none of them catches up.
pub(crate) async fn refine(client: &Client, objects: &mut [Value]) {
    let volumes = objects.iter_mut().filter(|one| catches_up(one));
    let mut volumes = volumes.peekable();
    if volumes.peek().is_none() {
        return;
    }
    let figures = Figures::ask(client).await;
    volumes.for_each(|volume| figures.refine(volume));
}

fn catches_up(object: &Value) -> bool {
    object::kind(object) == "Volume" && !object::text(object, "/status/syncSummary").is_empty()
}

impl Resync {
    fn of(readings: &BTreeMap<String, f64>) -> Option<Self> {
        Some(Self {
            percent: *readings.get("syncedPercent")?,
            bytes_per_second: readings.get("syncRateBytes").copied(),
            seconds_left: readings.get("etaSeconds").copied(),
        })
    }
}

impl std::fmt::Display for Resync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0}%", self.percent.floor())?;
        if let Some(left) = self.seconds_left {
            write!(f, " {}", age::short(whole(left)))?;
        }
        if let Some(rate) = self.bytes_per_second {
            write!(f, " {}/s", amount(whole(rate)))?;
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a conversion of floats saturates, and a resync takes no 292 billion years"
)]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// `12Mi`, as manifests have it.
fn amount(bytes: i64) -> String {
    let units = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(summary: Option<&str>) -> Value {
        json!({
            "kind": "Volume", "metadata": {"name": "data"},
            "status": {
                "syncSummary": summary,
                "replicas": [{"node": "an1"}, {"node": "an2", "sync": {"percent": 60}}],
            },
        })
    }

    fn figures() -> Figures {
        let of = |host: &str, name: &str, value| {
            (
                "Volume/data".to_owned(),
                host.to_owned(),
                name.to_owned(),
                value,
            )
        };
        [
            of("an1", "syncedPercent", 74.0),
            of("an2", "syncedPercent", 71.9),
            of("an2", "etaSeconds", 240.0),
            of("an2", "syncRateBytes", 12.5 * 1024.0 * 1024.0),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn a_resync_is_shown_as_it_is_just_now() {
        let mut volume = volume(Some(">60%"));
        figures().refine(&mut volume);
        assert_eq!(volume["status"]["syncSummary"], "71% 4m 12Mi/s");
        assert_eq!(volume["status"]["replicas"][1]["sync"], "71% 4m 12Mi/s");
        assert_eq!(volume["status"]["replicas"][0].get("sync"), None);
    }

    #[test]
    fn without_readings_what_is_stored_is_shown() {
        let mut volume = volume(Some(">60%"));
        Figures::default().refine(&mut volume);
        assert_eq!(volume["status"]["syncSummary"], ">60%");
    }

    /// Readings are remembered for a minute.
    #[test]
    fn a_resync_that_is_over_is_not_shown() {
        let mut over = volume(None);
        figures().refine(&mut over);
        assert_eq!(over, volume(None));
    }
}
