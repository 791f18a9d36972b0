//! The paths of a resource and what can be done there.

use serde_json::{Map, Value, json};

use super::schemas::{group_version_kind, name, shared};
use crate::rest::discovery::Resource;

/// One thing that can be done.
struct Operation {
    method: &'static str,
    verb: &'static str,
    action: &'static str,
    /// What is sent.
    body: Body,
    parameters: &'static [Parameter],
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Body {
    Nothing,
    Object,
    Patch,
    DeleteOptions,
}

#[derive(Clone, Copy)]
enum Answer {
    Object,
    List,
    Status,
}

type Parameter = (&'static str, &'static str, &'static str);

const LIST: &[Parameter] = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "With watch: marks up to where everything was told.",
    ),
    (
        "continue",
        "string",
        "Where an earlier page of the list ended.",
    ),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "At most this many objects on a page."),
    (
        "resourceVersion",
        "string",
        "Which state to show, or from where to watch.",
    ),
    (
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant: Exact or NotOlderThan.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "With watch: begins with what is there.",
    ),
    ("timeoutSeconds", "integer", "With watch: when it ends."),
    ("watch", "boolean", "Tells every change instead of listing."),
];
const WRITE: &[Parameter] = &[
    ("dryRun", "string", "All: do everything but write."),
    (
        "fieldManager",
        "string",
        "Who owns the fields that are set.",
    ),
    (
        "fieldValidation",
        "string",
        "What becomes of unknown fields: Ignore, Warn or Strict.",
    ),
];
const PATCH: &[Parameter] = &[
    ("dryRun", "string", "All: do everything but write."),
    (
        "fieldManager",
        "string",
        "Who owns the fields that are set; needed for apply.",
    ),
    (
        "fieldValidation",
        "string",
        "What becomes of unknown fields: Ignore, Warn or Strict.",
    ),
    (
        "force",
        "boolean",
        "With apply: takes fields over from others.",
    ),
];
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "All: do everything but delete."),
    ("gracePeriodSeconds", "integer", "Has no effect."),
    (
        "orphanDependents",
        "boolean",
        "The older form of propagationPolicy.",
    ),
    (
        "propagationPolicy",
        "string",
        "What happens to dependants: Background, Foreground or Orphan.",
    ),
];
const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];
const OBJECT_TYPES: &[&str] = &["application/json", "application/yaml"];

const OF_COLLECTION: &[Operation] = &[
    Operation {
        method: "get",
        verb: "list",
        action: "list",
        body: Body::Nothing,
        parameters: LIST,
        answer: Answer::List,
    },
    Operation {
        method: "post",
        verb: "create",
        action: "post",
        body: Body::Object,
        parameters: WRITE,
        answer: Answer::Object,
    },
    Operation {
        method: "delete",
        verb: "deletecollection",
        action: "deletecollection",
        body: Body::DeleteOptions,
        parameters: DELETE,
        answer: Answer::Status,
    },
];
const OF_OBJECT: &[Operation] = &[
    GET,
    PUT,
    PATCH_OBJECT,
    Operation {
        method: "delete",
        verb: "delete",
        action: "delete",
        body: Body::DeleteOptions,
        parameters: DELETE,
        answer: Answer::Status,
    },
];
const OF_STATUS: &[Operation] = &[GET, PUT, PATCH_OBJECT];
const GET: Operation = Operation {
    method: "get",
    verb: "get",
    action: "get",
    body: Body::Nothing,
    parameters: &[],
    answer: Answer::Object,
};
const PUT: Operation = Operation {
    method: "put",
    verb: "update",
    action: "put",
    body: Body::Object,
    parameters: WRITE,
    answer: Answer::Object,
};
const PATCH_OBJECT: Operation = Operation {
    method: "patch",
    verb: "patch",
    action: "patch",
    body: Body::Patch,
    parameters: PATCH,
    answer: Answer::Object,
};

/// The paths of a resource in version 3 of OpenAPI.
pub(super) fn version_3(resource: &Resource) -> Map<String, Value> {
    paths(resource, |operation, described| {
        let reference = |name: String| json!({"$ref": format!("#/components/schemas/{name}")});
        let content = |types: &[&str], name: String| -> Value {
            let of_type = |type_: &&str| {
                (
                    (*type_).to_owned(),
                    json!({"schema": reference(name.clone())}),
                )
            };
            json!({"content": types.iter().map(of_type).collect::<Map<_, _>>()})
        };
        if let Some((types, name)) = body(operation, resource) {
            described["requestBody"] = content(types, name);
        }
        described["parameters"] = operation
            .parameters
            .iter()
            .map(|(name, type_, words)| {
                json!({"name": name, "in": "query", "description": words, "schema": {"type": type_, "uniqueItems": true}})
            })
            .collect();
        let mut ok = content(&["application/json"], answer(operation, resource));
        ok["description"] = json!("OK");
        described["responses"] = json!({"200": ok});
    })
}

/// The same in version 2.
pub(super) fn version_2(resource: &Resource) -> Map<String, Value> {
    paths(resource, |operation, described| {
        let reference = |name: String| json!({"$ref": format!("#/definitions/{name}")});
        let mut parameters: Vec<Value> = operation
            .parameters
            .iter()
            .map(|(name, type_, words)| {
                json!({"name": name, "in": "query", "description": words, "type": type_, "uniqueItems": true})
            })
            .collect();
        if let Some((types, name)) = body(operation, resource) {
            described["consumes"] = json!(types);
            parameters.push(json!({
                "name": "body", "in": "body", "required": true, "schema": reference(name),
            }));
        }
        described["parameters"] = json!(parameters);
        described["produces"] = json!(["application/json"]);
        described["responses"] = json!({"200": {
            "description": "OK", "schema": reference(answer(operation, resource)),
        }});
    })
}

fn paths(resource: &Resource, describe: impl Fn(&Operation, &mut Value)) -> Map<String, Value> {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let collection = if resource.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{root}/{}", resource.plural)
    };
    let one = format!("{collection}/{{name}}");
    let mut groups = vec![
        (collection, "", OF_COLLECTION),
        (one.clone(), "", OF_OBJECT),
    ];
    if resource.namespaced {
        groups.push((
            format!("{root}/{}", resource.plural),
            "ForAllNamespaces",
            &OF_COLLECTION[..1],
        ));
    }
    if resource.status {
        groups.push((format!("{one}/status"), "Status", OF_STATUS));
    }
    let mut paths = Map::new();
    for (path, part, operations) in groups {
        let mut methods = Map::new();
        for operation in operations {
            if !resource.verbs.contains(&operation.verb) {
                continue;
            }
            let mut described = json!({
                "description": format!("{} {}", operation.verb, resource.plural),
                "operationId": format!("{}{}{part}", operation.verb, resource.kind),
                "x-kubernetes-action": operation.action,
                "x-kubernetes-group-version-kind": group_version_kind(resource),
            });
            describe(operation, &mut described);
            methods.insert(operation.method.to_owned(), described);
        }
        if !methods.is_empty() {
            paths.insert(path, Value::Object(methods));
        }
    }
    paths
}

/// The media types and the schema of what is sent.
fn body(operation: &Operation, resource: &Resource) -> Option<(&'static [&'static str], String)> {
    match operation.body {
        Body::Nothing => None,
        Body::Object => Some((OBJECT_TYPES, name(resource))),
        Body::Patch => Some((PATCH_TYPES, shared("Patch"))),
        Body::DeleteOptions => Some((OBJECT_TYPES, shared("DeleteOptions"))),
    }
}

/// The schema of the answer.
fn answer(operation: &Operation, resource: &Resource) -> String {
    match operation.answer {
        Answer::Object => name(resource),
        Answer::List => format!("{}List", name(resource)),
        Answer::Status => shared("Status"),
    }
}
