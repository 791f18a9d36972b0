//! What there is: groups, versions and resources, in the old form of one document each and in the newer one of a
//! single document.

use std::sync::LazyLock;

use http::{Response, StatusCode};
use serde_json::{Value, json};
use tonic::body::Body;

use super::{
    AUTHENTICATION, AUTHORIZATION, EXTENSIONS,
    accept::{self, Discovery},
    answer::{self, Answer},
    asked::Asked,
};

/// One resource of one version of a group.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// Empty for the core.
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    pub(super) short_names: &'static [&'static str],
    pub(super) categories: &'static [&'static str],
    pub(super) verbs: &'static [&'static str],
    /// Whether its status can be written by itself.
    pub(super) status: bool,
}

const EVERY_VERB: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const OF_STATUS: &[&str] = &["get", "patch", "update"];
const READING: &[&str] = &["get", "list", "watch"];

impl Resource {
    /// `group/version`, as objects write it.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    fn foreign(
        (group, version): (&'static str, &'static str),
        (plural, singular, kind): (&'static str, &'static str, &'static str),
        verbs: &'static [&'static str],
    ) -> Self {
        Self {
            group,
            version,
            plural,
            singular,
            kind,
            namespaced: false,
            short_names: &[],
            categories: &[],
            verbs,
            status: false,
        }
    }
}

/// All resources, those of one group beside each other, the core first.
pub(super) fn resources() -> &'static [Resource] {
    static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
        let events = Resource {
            namespaced: true,
            short_names: &["ev"],
            ..Resource::foreign(("", "v1"), ("events", "event", "Event"), READING)
        };
        let own = quorate_crds::kinds().iter().map(|kind| Resource {
            group: quorate_crds::GROUP,
            version: quorate_crds::VERSION,
            plural: kind.plural,
            singular: kind.singular,
            kind: kind.kind,
            namespaced: false,
            short_names: kind.short_names,
            categories: kind.categories,
            verbs: EVERY_VERB,
            status: kind.status,
        });
        let definitions = Resource {
            short_names: &["crd", "crds"],
            ..Resource::foreign(
                (EXTENSIONS, "v1"),
                (
                    "customresourcedefinitions",
                    "customresourcedefinition",
                    "CustomResourceDefinition",
                ),
                READING,
            )
        };
        let reviews = [
            (
                AUTHENTICATION,
                "selfsubjectreviews",
                "selfsubjectreview",
                "SelfSubjectReview",
            ),
            (
                AUTHORIZATION,
                "selfsubjectaccessreviews",
                "selfsubjectaccessreview",
                "SelfSubjectAccessReview",
            ),
            (
                AUTHORIZATION,
                "selfsubjectrulesreviews",
                "selfsubjectrulesreview",
                "SelfSubjectRulesReview",
            ),
        ]
        .map(|(group, plural, singular, kind)| {
            Resource::foreign((group, "v1"), (plural, singular, kind), &["create"])
        });
        std::iter::once(events)
            .chain(own)
            .chain([definitions])
            .chain(reviews)
            .collect()
    });
    &RESOURCES
}

/// The groups beside the core with their version, in order.
fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<_> = resources()
        .iter()
        .filter(|resource| !resource.group.is_empty())
        .map(|resource| (resource.group, resource.version))
        .collect();
    groups.dedup();
    groups
}

/// The answer to `/api`.
pub(super) fn core(asked: &Asked) -> Answer {
    if let Discovery::Aggregated(version) = accept::discovery(&asked.headers)? {
        return Ok(aggregated(version, &[("", "v1")]));
    }
    let versions = json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    });
    Ok(answer::json(StatusCode::OK, &versions))
}

/// The answer to `/apis`.
pub(super) fn all(asked: &Asked) -> Answer {
    let groups = groups();
    if let Discovery::Aggregated(version) = accept::discovery(&asked.headers)? {
        return Ok(aggregated(version, &groups));
    }
    let list = json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": groups.into_iter().map(group).collect::<Vec<_>>(),
    });
    Ok(answer::json(StatusCode::OK, &list))
}

/// The answer to `/apis/<group>`, if there is such a group.
pub(super) fn one_group(name: &str) -> Option<Response<Body>> {
    let found = groups().into_iter().find(|(known, _)| *known == name)?;
    let mut group = group(found);
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    Some(answer::json(StatusCode::OK, &group))
}

/// The answer to `/api/v1` and `/apis/<group>/<version>`, if there are such.
pub(super) fn one_version(group: &str, version: &str) -> Option<Response<Body>> {
    let of_version = |resource: &&Resource| (resource.group, resource.version) == (group, version);
    let found: Vec<&Resource> = resources().iter().filter(of_version).collect();
    let api_version = found.first()?.api_version();
    let list = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": found.into_iter().flat_map(listed).collect::<Vec<_>>(),
    });
    Some(answer::json(StatusCode::OK, &list))
}

fn group((name, version): (&'static str, &'static str)) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn listed(resource: &Resource) -> Vec<Value> {
    let mut object = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    put_names(&mut object, resource);
    let mut listed = vec![object];
    if resource.status {
        listed.push(json!({
            "name": format!("{}/status", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": OF_STATUS,
        }));
    }
    listed
}

fn put_names(object: &mut Value, resource: &Resource) {
    if !resource.short_names.is_empty() {
        object["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        object["categories"] = json!(resource.categories);
    }
}

fn aggregated(form: &'static str, groups: &[(&'static str, &'static str)]) -> Response<Body> {
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, version)| {
            let found = resources()
                .iter()
                .filter(|resource| (resource.group, resource.version) == (*group, *version));
            let mut metadata = json!({"creationTimestamp": null});
            if !group.is_empty() {
                metadata["name"] = json!(group);
            }
            json!({
                "metadata": metadata,
                "versions": [{
                    "version": version,
                    "resources": found.map(discovered).collect::<Vec<_>>(),
                    "freshness": "Current",
                }],
            })
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {},
        "items": items,
    });
    let media_type = format!(
        "{};g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList",
        answer::JSON
    );
    answer::bytes(StatusCode::OK, &media_type, list.to_string().into())
}

fn discovered(resource: &Resource) -> Value {
    let kind = json!({
        "group": resource.group,
        "version": resource.version,
        "kind": resource.kind,
    });
    let mut object = json!({
        "resource": resource.plural,
        "responseKind": kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    put_names(&mut object, resource);
    if resource.status {
        object["subresources"] =
            json!([{"subresource": "status", "responseKind": kind, "verbs": OF_STATUS}]);
    }
    object
}
