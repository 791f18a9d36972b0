//! What objects look like, in the documents that kubectl and other clients explain and check manifests with.
//!
//! One set of schemas and operations is made from the kinds; version 3 of OpenAPI is what is made, version 2 is what
//! older clients read.

mod operations;
mod protobuf;
mod schemas;

use std::{collections::BTreeMap, sync::OnceLock};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tonic::body::Body;

use super::{accept, answer, asked::Asked, discovery::resources};

/// The form of version 2 that kubectl and client-go read.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What they ask for it by; it is no media type, and answers must not be called so.
const ASKED_FOR: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The documents of this program. They are made when somebody first asks, and then kept.
#[derive(Debug, Default)]
pub(super) struct Documents {
    versions: OnceLock<BTreeMap<String, Document>>,
    whole: OnceLock<Whole>,
}

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    tag: String,
}

#[derive(Debug)]
struct Whole {
    json: Document,
    protobuf: Document,
}

impl Document {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let tag = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
        Self {
            tag: tag.collect(),
            bytes: bytes.into(),
        }
    }

    fn answer(&self, media_type: &str) -> Response<Body> {
        let mut response = answer::bytes(StatusCode::OK, media_type, self.bytes.clone());
        answer::tag(&mut response, &self.tag);
        response
    }
}

impl Documents {
    /// The list of the documents of version 3.
    pub(super) fn index(&self) -> Response<Body> {
        let paths: serde_json::Map<String, Value> = self
            .versions()
            .iter()
            .map(|(path, document)| {
                let url = format!("/openapi/v3/{path}?hash={}", document.tag);
                (path.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        answer::json(StatusCode::OK, &json!({"paths": paths}))
    }

    /// The document of version 3 for one version of one group.
    pub(super) fn of_version(&self, path: &[&str]) -> Option<Response<Body>> {
        let document = self.versions().get(&path.join("/"))?;
        Some(document.answer(answer::JSON))
    }

    /// The one document of version 2.
    pub(super) fn whole(&self, asked: &Asked) -> Response<Body> {
        let whole = self.whole.get_or_init(|| {
            let document = version_2();
            Whole {
                protobuf: Document::new(protobuf::encode(&document)),
                json: Document::new(document.to_string().into_bytes()),
            }
        });
        if [ASKED_FOR, PROTOBUF]
            .iter()
            .any(|name| accept::prefers(&asked.headers, name))
        {
            whole.protobuf.answer(PROTOBUF)
        } else {
            whole.json.answer(answer::JSON)
        }
    }

    fn versions(&self) -> &BTreeMap<String, Document> {
        self.versions.get_or_init(|| {
            let mut versions = BTreeMap::new();
            for resource in resources() {
                let path = if resource.group.is_empty() {
                    format!("api/{}", resource.version)
                } else {
                    format!("apis/{}/{}", resource.group, resource.version)
                };
                versions.entry(path).or_insert_with(|| {
                    let document = version_3(resource.group, resource.version);
                    Document::new(document.to_string().into_bytes())
                });
            }
            versions
        })
    }
}

fn version_3(group: &str, version: &str) -> Value {
    let mut paths = serde_json::Map::new();
    let of_version = |resource: &&super::discovery::Resource| {
        (resource.group, resource.version) == (group, version)
    };
    for resource in resources().iter().filter(of_version) {
        paths.extend(operations::version_3(resource));
    }
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {"schemas": schemas::of_version(group, version, "#/components/schemas/")},
    })
}

fn version_2() -> Value {
    let mut paths = serde_json::Map::new();
    let mut definitions = serde_json::Map::new();
    for resource in resources() {
        paths.extend(operations::version_2(resource));
        let schemas = schemas::of_version(resource.group, resource.version, "#/definitions/");
        for (name, mut schema) in schemas {
            schemas::for_version_2(&mut schema);
            definitions.insert(name, schema);
        }
    }
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": definitions,
    })
}

fn info() -> Value {
    json!({"title": "Quorate", "version": env!("CARGO_PKG_VERSION")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(value: &Value, visit: &mut impl FnMut(&Value)) {
        visit(value);
        match value {
            Value::Object(fields) => fields.values().for_each(|inner| each(inner, visit)),
            Value::Array(items) => items.iter().for_each(|inner| each(inner, visit)),
            _ => {}
        }
    }

    fn refuse_dangling(document: &Value) {
        each(document, &mut |value| {
            if let Some(Value::String(reference)) = value.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("within the document");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
        });
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for resource in resources() {
            refuse_dangling(&version_3(resource.group, resource.version));
        }
        refuse_dangling(&version_2());
    }

    /// kubectl looks there for what the server validates and whether it knows dry runs.
    #[test]
    fn a_patch_tells_that_dry_runs_and_validation_are_done_here() {
        let document = version_3(quorate_crds::GROUP, quorate_crds::VERSION);
        let path = "/apis/quorate.dev/v1alpha1/virtualmachines/{name}";
        let patch = &document["paths"][path]["patch"];
        let names: Vec<&str> = patch["parameters"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert!(names.contains(&"dryRun") && names.contains(&"fieldValidation"));
        assert_eq!(
            patch["x-kubernetes-group-version-kind"]["kind"],
            "VirtualMachine"
        );
    }

    #[test]
    fn a_document_is_named_by_what_is_in_it() {
        let documents = Documents::default();
        let one = documents.versions();
        let other = Documents::default();
        for (path, document) in other.versions() {
            assert_eq!(one[path].tag, document.tag);
        }
        assert!(one.contains_key("apis/quorate.dev/v1alpha1"));
        assert!(one.contains_key("api/v1"));
    }
}
