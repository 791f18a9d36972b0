//! What is shown in Kubernetes: the status that the cluster reports, in terms of the object that Kubernetes has.

use quorate_crds::KindInfo;
use serde_json::{Map, Value, json};

use super::state::{SYNCED, Synced};

/// The status that `object`, from Kubernetes, should have. `live` is the object in the cluster, where that is known.
///
/// The generations of the two sides are counters of their own: what the cluster has observed of its present spec is said of the
/// generation here that this spec is from. While the two differ, nothing was observed of the generation here.
pub(super) fn status(
    info: &KindInfo,
    object: &Value,
    live: Option<&Value>,
    synced: &Synced,
    now: &str,
) -> Value {
    let shown = object.get("status").and_then(Value::as_object);
    let generation = integer(object, "/metadata/generation");
    // A cluster that does not answer leaves what was last heard of it.
    let mut status = match live {
        Some(live) => live
            .get("status")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
        None if matches!(synced, Synced::Unreachable { .. }) => shown.cloned().unwrap_or_default(),
        None => Map::new(),
    };
    let mut conditions = match status.remove("conditions") {
        Some(Value::Array(conditions)) => conditions,
        _ => Vec::new(),
    };
    if let Some(live) = live {
        let there = integer(live, "/metadata/generation");
        let same = generation.filter(|_| matches!(synced, Synced::Yes { .. }));
        let before = shown
            .and_then(|shown| shown.get("observedGeneration"))
            .and_then(Value::as_i64);
        translate(&mut status, there, same, before);
        for condition in &mut conditions {
            let before = former(shown, condition);
            if let Some(fields) = condition.as_object_mut() {
                translate(fields, there, same, before);
            }
        }
    }
    conditions.retain(|condition| condition["type"] != SYNCED);
    conditions.push(own_condition(shown, synced, generation, now));
    status.insert("conditions".to_owned(), conditions.into());
    // What a newer cluster reports, and these definitions do not have, would be cut off by kube-apiserver and asked for again.
    let mut whole = json!({"status": status});
    info.schema.prune(&mut whole);
    whole["status"].take()
}

/// Replaces a generation of the cluster by the one here. `same` is the generation here when both sides have the same spec.
fn translate(
    fields: &mut Map<String, Value>,
    there: Option<i64>,
    same: Option<i64>,
    before: Option<i64>,
) {
    let Some(observed) = fields.get("observedGeneration").and_then(Value::as_i64) else {
        return;
    };
    let here = match same {
        Some(generation) if there.is_some_and(|there| observed >= there) => Some(generation),
        // It lags: it speaks of what was before.
        Some(generation) => before.filter(|before| *before < generation),
        None => before,
    };
    match here {
        Some(here) => fields.insert("observedGeneration".to_owned(), here.into()),
        None => fields.remove("observedGeneration"),
    };
}

fn own_condition(
    shown: Option<&Map<String, Value>>,
    synced: &Synced,
    generation: Option<i64>,
    now: &str,
) -> Value {
    let before = shown
        .and_then(|shown| shown.get("conditions")?.as_array())
        .and_then(|all| all.iter().find(|condition| condition["type"] == SYNCED));
    let since = before
        .filter(|before| before["status"] == synced.status())
        .and_then(|before| before["lastTransitionTime"].as_str())
        .unwrap_or(now);
    let mut condition = json!({
        "type": SYNCED,
        "status": synced.status(),
        "reason": synced.reason(),
        "message": synced.to_string(),
        "lastTransitionTime": since,
    });
    if let Some(generation) = generation {
        condition["observedGeneration"] = generation.into();
    }
    condition
}

fn former(shown: Option<&Map<String, Value>>, condition: &Value) -> Option<i64> {
    shown?
        .get("conditions")?
        .as_array()?
        .iter()
        .find(|former| former["type"] == condition["type"])?
        .get("observedGeneration")?
        .as_i64()
}

fn integer(object: &Value, path: &str) -> Option<i64> {
    object.pointer(path).and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn yes() -> Synced {
        Synced::Yes {
            left_to_others: String::new(),
        }
    }

    fn network() -> &'static KindInfo {
        quorate_crds::find("network").expect("a kind")
    }

    fn live(generation: i64, observed: i64) -> Value {
        json!({
            "metadata": {"generation": generation},
            "status": {
                "observedGeneration": observed,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Up", "message": "it works",
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": observed,
                }],
            },
        })
    }

    fn here(generation: i64, observed: Option<i64>) -> Value {
        let mut object = json!({"metadata": {"generation": generation}});
        if let Some(observed) = observed {
            object["status"]["observedGeneration"] = observed.into();
        }
        object
    }

    #[test]
    fn what_the_cluster_observed_is_said_of_the_generation_here() {
        let cases = [
            // generation here, observed before, generation there, observed there, synced -> observed here
            (5, None, 2, 2, yes(), Some(5)),
            (5, Some(4), 2, 1, yes(), Some(4)),
            (5, None, 2, 1, yes(), None),
            (5, Some(5), 3, 2, yes(), None),
            (5, Some(4), 2, 2, Synced::Deleting, Some(4)),
        ];
        for (generation, before, there, observed, synced, expected) in cases {
            let object = here(generation, before);
            let status = status(
                network(),
                &object,
                Some(&live(there, observed)),
                &synced,
                NOW,
            );
            assert_eq!(
                status.get("observedGeneration").and_then(Value::as_i64),
                expected,
                "{generation} {before:?} {there} {observed} {synced:?}"
            );
        }
    }

    #[test]
    fn the_condition_keeps_its_time_until_its_status_changes() {
        let first = status(network(), &here(1, None), Some(&live(1, 1)), &yes(), NOW);
        let mut object = here(1, None);
        object["status"] = first.clone();

        let later = "2026-06-01T00:00:00Z";
        let second = status(network(), &object, Some(&live(1, 1)), &yes(), later);
        assert_eq!(
            first, second,
            "nothing changed, so nothing is to be written"
        );

        let conflict = Synced::Conflict {
            fields: ".spec.mtu (alice)".to_owned(),
        };
        let third = status(network(), &object, Some(&live(1, 1)), &conflict, later);
        let own = &third["conditions"][1];
        assert_eq!(own["reason"], "Conflict");
        assert_eq!(own["lastTransitionTime"], later);
        assert!(
            own["message"]
                .as_str()
                .expect("text")
                .contains(".spec.mtu (alice)")
        );
    }

    #[test]
    fn a_silent_cluster_leaves_what_was_last_heard_of_it() {
        let mut object = here(1, None);
        object["status"] = status(network(), &object, Some(&live(1, 1)), &yes(), NOW);
        let silent = Synced::Unreachable {
            message: "nobody answers".to_owned(),
        };
        let status = status(network(), &object, None, &silent, NOW);
        assert_eq!(status["conditions"][0]["type"], "Ready");
        assert_eq!(status["conditions"][1]["status"], "Unknown");
    }

    #[test]
    fn every_kind_takes_the_condition_as_its_whole_status() {
        for info in quorate_crds::kinds().iter().filter(|info| info.crd) {
            let status = status(info, &here(1, None), None, &Synced::Beginning, NOW);
            assert_eq!(status["conditions"][0]["type"], SYNCED, "{}", info.kind);
            let wrong: Vec<_> = info
                .schema
                .validate(&json!({"metadata": {"name": "x"}, "status": status}), None)
                .into_iter()
                .filter(|violation| violation.path.starts_with("status"))
                .collect();
            assert_eq!(wrong, [], "{}", info.kind);
        }
    }

    #[test]
    fn what_only_a_newer_cluster_reports_is_not_shown() {
        let mut live = live(1, 1);
        live["status"]["invented"] = json!(7);
        let status = status(network(), &here(1, None), Some(&live), &yes(), NOW);
        assert_eq!(status.get("invented"), None);
    }
}
