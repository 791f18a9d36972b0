//! The example platforms are what the product accepts, and each stands on its own.

#[path = "support/examples.rs"]
mod support;

use quorate_crds::references;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::{folders, objects};

const BUILT_IN_ROLES: [&str; 5] = ["admin", "operator", "viewer", "node", "member"];

#[test]
fn every_example_is_valid_as_written_and_after_its_defaults() {
    for folder in folders() {
        for (place, info, mut object) in objects(&folder) {
            let unknown = info.schema.unknown_fields(&object);
            assert!(unknown.is_empty(), "{place}: {unknown:?}");
            info.schema.apply_defaults(&mut object);
            let violations: Vec<String> = info
                .schema
                .validate(&object, None)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert!(violations.is_empty(), "{place}: {violations:?}");
            let unchanged = info.schema.validate(&object, Some(&object));
            assert!(unchanged.is_empty(), "{place}: {unchanged:?}");
        }
    }
}

#[test]
fn every_object_that_an_example_names_is_in_the_same_folder() {
    for folder in folders() {
        let objects = objects(&folder);
        let present: BTreeSet<(&str, &str)> = objects
            .iter()
            .map(|(_, info, object)| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                (info.kind, name)
            })
            .collect();
        assert_eq!(
            present.len(),
            objects.len(),
            "{} has a name twice",
            folder.display()
        );
        for (place, info, object) in &objects {
            for reference in references::of(info.kind, object) {
                let built_in =
                    reference.kind == "Role" && BUILT_IN_ROLES.contains(&reference.name.as_str());
                assert!(
                    built_in || present.contains(&(reference.kind, reference.name.as_str())),
                    "{place}: {} names the {} {:?}, which is not there",
                    reference.path,
                    reference.kind,
                    reference.name
                );
            }
        }
    }
}

#[test]
fn every_card_that_a_network_of_an_example_uses_is_on_every_host() {
    for folder in folders() {
        let objects = objects(&folder);
        let of = |kind: &'static str| {
            objects
                .iter()
                .filter(move |(_, info, _)| info.kind == kind)
                .map(|(_, _, object)| object)
        };
        for network in of("Network") {
            for nic in network["spec"]["nics"].as_array().into_iter().flatten() {
                for node in of("Node") {
                    let nics = node["spec"]["nics"].as_array().expect("cards");
                    assert!(
                        nics.iter().any(|card| card["name"] == *nic),
                        "{}: {} has no card {nic}",
                        folder.display(),
                        node["metadata"]["name"]
                    );
                }
            }
        }
    }
}

#[test]
fn a_useful_guest_takes_ten_lines() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/minimal/web.yaml");
    let text = fs::read_to_string(path).expect("the smallest guest");
    assert!(text.lines().count() <= 10, "{text}");
}

#[test]
fn the_objects_of_an_example_can_be_created_one_after_the_other() {
    for folder in folders() {
        let mut waiting: Vec<_> = objects(&folder)
            .into_iter()
            .map(|(place, info, object)| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let needs: BTreeSet<_> = references::of(info.kind, &object)
                    .into_iter()
                    .filter(|reference| reference.tie != references::Tie::Mentions)
                    .map(|reference| (reference.kind, reference.name))
                    .collect();
                (place, (info.kind, name.to_owned()), needs)
            })
            .collect();
        while !waiting.is_empty() {
            let ready: BTreeSet<_> = waiting
                .iter()
                .filter(|(_, _, needs)| needs.is_empty())
                .map(|(_, own, _)| own.clone())
                .collect();
            assert!(!ready.is_empty(), "these need one another: {waiting:?}");
            waiting.retain(|(_, own, _)| !ready.contains(own));
            for (_, _, needs) in &mut waiting {
                needs.retain(|need| !ready.contains(need));
            }
        }
    }
}
