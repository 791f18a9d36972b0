//! The chain of reasons for an object's present state: what the planner says now, the conditions that are not as they
//! should be, what happened last; and the same, shorter, of what the object rests on.

use std::collections::{BTreeMap, BTreeSet};

use quorate_planner::{Decisions, Objects, Reason};
use quorate_proto::api::v1::{WhyLink, why_link::Source};
use serde_json::Value;

/// How far from the object asked about.
const DEEPEST: u32 = 2;
/// Events that are told of the object itself.
const EVENTS: usize = 5;
/// Reasons of conditions that are not as they should be, and need not be.
const HARMLESS: [&str; 1] = ["NothingToProtect"];

/// An object, by kind and name.
type Place = (String, String);

/// What reasons are drawn from.
pub(super) struct Grounds<'a> {
    pub(super) objects: &'a Objects,
    pub(super) decisions: &'a Decisions,
    /// Events about the object asked about, the newest first.
    pub(super) events: &'a [Value],
    /// A reason that overrides everything: nothing is decided at all.
    pub(super) held_back: Option<String>,
}

/// The links, the object itself first. A kind that the planner knows nothing about has conditions and events only.
pub(super) fn chain(grounds: &Grounds<'_>, kind: &str, name: &str, object: &Value) -> Vec<WhyLink> {
    let mut links = Vec::new();
    let about = (kind.to_owned(), name.to_owned());
    if let Some(text) = &grounds.held_back {
        links.push(WhyLink {
            source: Source::Planner.into(),
            reason: Reason::NotManaged.to_string(),
            message: text.clone(),
            advice: Reason::NotManaged.advice().to_owned(),
            ..link(&about, 0)
        });
    }
    links.extend(planner(grounds, &about, 0));
    links.extend(conditions(&about, object, 0, false));
    for event in grounds.events.iter().take(EVENTS) {
        links.push(WhyLink {
            source: Source::Event.into(),
            reason: text(&event["spec"]["reason"]),
            message: text(&event["spec"]["note"]),
            since: text(&event["spec"]["lastTimestamp"]),
            ..link(&about, 0)
        });
    }
    let grounds_of = nearest(grounds.objects, &about, object);
    tell_of(grounds, &grounds_of, &about, 1, &mut links);
    links
}

/// What each object rests on, and so on; whatever several rest on is told once, of the nearest.
fn nearest(objects: &Objects, about: &Place, object: &Value) -> BTreeMap<Place, Vec<Place>> {
    let mut seen = BTreeSet::from([about.clone()]);
    let mut found: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
    let mut open = vec![(about.clone(), object)];
    for _ in 1..=DEEPEST {
        let mut further = Vec::new();
        for (above, object) in open {
            for below in rests_on(objects, &above, object) {
                let Some(object) = objects.get(&below) else {
                    continue;
                };
                if seen.insert(below.clone()) {
                    found.entry(above.clone()).or_default().push(below.clone());
                    further.push((below, object));
                }
            }
        }
        open = further;
    }
    found
}

fn tell_of(
    grounds: &Grounds<'_>,
    grounds_of: &BTreeMap<Place, Vec<Place>>,
    above: &Place,
    depth: u32,
    links: &mut Vec<WhyLink>,
) {
    for about in grounds_of.get(above).into_iter().flatten() {
        links.extend(planner(grounds, about, depth));
        if let Some(object) = grounds.objects.get(about) {
            links.extend(conditions(about, object, depth, true));
        }
        tell_of(grounds, grounds_of, about, depth + 1, links);
    }
}

fn planner<'a>(
    grounds: &'a Grounds<'_>,
    about: &'a Place,
    depth: u32,
) -> impl Iterator<Item = WhyLink> + 'a {
    let said = grounds
        .decisions
        .reasons
        .get(&format!("{}/{}", about.0, about.1));
    said.into_iter().flatten().map(move |why| WhyLink {
        source: Source::Planner.into(),
        reason: why.reason.to_string(),
        message: why.message.clone(),
        advice: advice(why.reason),
        ..link(about, depth)
    })
}

fn conditions<'a>(
    about: &'a Place,
    object: &'a Value,
    depth: u32,
    only_troubles: bool,
) -> impl Iterator<Item = WhyLink> + 'a {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .filter(move |condition| !only_troubles || is_trouble(condition))
        .map(move |condition| {
            let reason = text(&condition["reason"]);
            let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
            WhyLink {
                source: Source::Condition.into(),
                advice: match known {
                    Some(known) if is_trouble(condition) => advice(*known),
                    _ => String::new(),
                },
                reason,
                message: text(&condition["message"]),
                condition: text(&condition["type"]),
                condition_status: text(&condition["status"]),
                since: text(&condition["lastTransitionTime"]),
                ..link(about, depth)
            }
        })
}

fn is_trouble(condition: &Value) -> bool {
    if HARMLESS.iter().any(|reason| condition["reason"] == *reason) {
        return false;
    }
    let bad_when_true = condition["type"]
        .as_str()
        .is_some_and(quorate_crds::names_trouble);
    condition["status"] != if bad_when_true { "False" } else { "True" }
}

/// What must be well for the object to be.
fn rests_on(objects: &Objects, (kind, name): &Place, object: &Value) -> Vec<Place> {
    let node = |value: &Value| ("Node".to_owned(), text(value));
    let status = &object["status"];
    let mut found = Vec::new();
    match kind.as_str() {
        "VirtualMachine" => {
            for disk in object["spec"]["disks"].as_array().into_iter().flatten() {
                if let Some(filesystem) = disk["file"]["filesystem"].as_str() {
                    found.push(("SharedFilesystem".to_owned(), filesystem.to_owned()));
                    continue;
                }
                let volume = match disk["volume"].as_str() {
                    Some(volume) => volume.to_owned(),
                    None => format!("{name}-{}", text(&disk["name"])),
                };
                found.push(("Volume".to_owned(), volume));
            }
            found.push(node(&status["node"]));
            found.push(node(&status["placement"]["node"]));
            found.push((
                "VirtualMachineMigration".to_owned(),
                text(&status["migration"]["migration"]),
            ));
        }
        "VirtualMachineMigration" => {
            found.push((
                "VirtualMachine".to_owned(),
                text(&object["spec"]["virtualMachine"]),
            ));
        }
        "SharedFilesystem" => {
            found.push(("Volume".to_owned(), text(&object["spec"]["volume"])));
        }
        "Volume" => {
            let replicas = status["replicas"].as_array().into_iter().flatten();
            found.extend(replicas.map(|replica| node(&replica["node"])));
        }
        "FenceOperation" => found.push(node(&object["spec"]["node"])),
        "Node" => {
            let incarnation = &status["incarnation"];
            let fenced = objects.iter().filter(|((kind, _), operation)| {
                kind == "FenceOperation"
                    && operation["spec"]["node"] == name.as_str()
                    && operation["spec"]["incarnation"] == *incarnation
            });
            found.extend(fenced.map(|(key, _)| key.clone()));
        }
        _ => {}
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

fn link((kind, name): &Place, depth: u32) -> WhyLink {
    WhyLink {
        kind: kind.clone(),
        name: name.clone(),
        depth,
        ..WhyLink::default()
    }
}

fn advice(reason: Reason) -> String {
    let advice = reason.advice();
    if advice.starts_with("Nothing") {
        String::new()
    } else {
        advice.to_owned()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
