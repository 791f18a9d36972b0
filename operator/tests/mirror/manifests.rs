//! The manifests of deploy/kubernetes, as far as they can be wrong without a cluster.

use std::collections::BTreeSet;

use quorate_operator::config::Config;
use serde_json::Value;

use crate::rights::{deployed, manifests};

fn plurals() -> BTreeSet<String> {
    let kinds = quorate_crds::kinds().iter().filter(|info| info.crd);
    kinds.map(|info| info.plural.to_owned()).collect()
}

fn resources(rule: &Value) -> BTreeSet<String> {
    let resources = rule["resources"].as_array().expect("resources");
    resources
        .iter()
        .map(|resource| resource.as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn the_rights_name_every_kind_that_is_installed() {
    let rights = manifests(&deployed("operator/rights.yaml"));
    let role = rights.iter().find(|it| it["kind"] == "ClusterRole");
    let rules = &role.expect("a role")["rules"];
    assert_eq!(resources(&rules[0]), plurals());
    let status = plurals()
        .iter()
        .map(|plural| format!("{plural}/status"))
        .collect();
    assert_eq!(resources(&rules[1]), status);

    let there = manifests(&deployed("rights-in-the-cluster.yaml"));
    let kinds = there[0]["spec"]["rules"][0]["kinds"]
        .as_array()
        .expect("kinds");
    let kinds: BTreeSet<String> = kinds
        .iter()
        .map(|kind| kind.as_str().expect("text").to_owned())
        .collect();
    assert_eq!(kinds, plurals());
}

#[test]
fn the_example_of_a_configuration_is_one_and_names_the_secret_that_may_be_written() {
    let config = Config::load(&deployed("operator/config.yaml")).expect("a configuration");
    let secret = &config.clusters[0].credentials_secret;
    let rights = manifests(&deployed("operator/rights.yaml"));
    let named = rights.iter().any(|manifest| {
        let rules = manifest["rules"].as_array().into_iter().flatten();
        rules
            .filter_map(|rule| rule["resourceNames"].as_array())
            .flatten()
            .any(|name| name == secret)
    });
    assert!(named, "{secret} is in no resourceNames");
}

#[test]
fn the_definitions_are_installed_from_where_they_are_generated() {
    let base = manifests(&deployed("kustomization.yaml"));
    let folder = deployed(base[0]["resources"][0].as_str().expect("a folder"));
    let generated = manifests(&folder.join("kustomization.yaml"));
    let listed: BTreeSet<String> = generated[0]["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|file| {
            file.as_str()
                .expect("text")
                .trim_end_matches(".yaml")
                .to_owned()
        })
        .collect();
    assert_eq!(listed, plurals());
}

#[test]
fn the_deployment_runs_the_present_version_with_the_rights_that_are_granted() {
    let deployment = &manifests(&deployed("operator/deployment.yaml"))[0];
    let pod = &deployment["spec"]["template"]["spec"];
    let image = pod["containers"][0]["image"].as_str().expect("an image");
    assert!(
        image.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))),
        "{image}"
    );
    let rights = manifests(&deployed("operator/rights.yaml"));
    let account = &rights[0];
    assert_eq!(account["kind"], "ServiceAccount");
    assert_eq!(account["metadata"]["name"], pod["serviceAccountName"]);
    assert_eq!(
        account["metadata"]["namespace"],
        deployment["metadata"]["namespace"]
    );
}

#[test]
fn no_name_that_is_generated_is_one_that_the_rights_speak_of() {
    // kustomize takes the names in the rules of a Role for references, whatever kind they are of: the lease of the operator would
    // be called like the ConfigMap, and nobody could have it.
    let base = &manifests(&deployed("operator/kustomization.yaml"))[0];
    let generated = base["configMapGenerator"].as_array().expect("generators");
    let volume = manifests(&deployed("operator/deployment.yaml"))[0]
        .pointer("/spec/template/spec/volumes/0/configMap/name")
        .cloned();
    assert_eq!(volume.as_ref(), Some(&generated[0]["name"]));
    for manifest in manifests(&deployed("operator/rights.yaml")) {
        let rules = manifest["rules"].as_array().into_iter().flatten();
        for name in rules
            .filter_map(|rule| rule["resourceNames"].as_array())
            .flatten()
        {
            assert!(
                generated.iter().all(|it| it["name"] != *name),
                "{name} would be renamed"
            );
        }
    }
}
