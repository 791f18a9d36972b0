//! Bodies in the protobuf encoding of Kubernetes, which typed clients send for reviews whatever they accept in return.

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

use super::{asked::Asked, options::bad, refusal::Refusal};

/// What such a body begins with.
const MAGIC: &[u8] = b"k8s\0";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// `runtime.Unknown`: what an object is wrapped in.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

/// A review, as far as it asks something.
#[derive(Clone, PartialEq, Message)]
struct Review {
    #[prost(message, optional, tag = "2")]
    spec: Option<Spec>,
}

#[derive(Clone, PartialEq, Message)]
struct Spec {
    // In a rules review a text stands here, which nobody looks at: it is never decoded as this.
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    path: Option<Path>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(string, tag = "2")]
    verb: String,
    #[prost(string, tag = "3")]
    group: String,
    #[prost(string, tag = "5")]
    resource: String,
    #[prost(string, tag = "6")]
    subresource: String,
    #[prost(string, tag = "7")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Path {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    verb: String,
}

/// The review in the body of the request. `asks` says whether its spec matters.
pub(super) fn review(asked: &Asked, body: &Bytes, asks: bool) -> Result<Value, Refusal> {
    match asked.content_type() {
        PROTOBUF => from_protobuf(body, asks)
            .ok_or_else(|| bad("the body is not readable as a review in protobuf".into())),
        "" | "application/json" | "application/yaml" => {
            let mut documents = quorate_crds::manifest::parse(body, &Default::default())
                .map_err(|error| bad(error.to_string()))?;
            match (documents.pop(), documents.is_empty()) {
                (Some(review), true) => Ok(review),
                _ => Err(bad("the body must hold exactly one review".into())),
            }
        }
        other => Err(Refusal::MediaType {
            found: other.to_owned(),
            allowed: ACCEPTED,
        }),
    }
}

fn from_protobuf(body: &[u8], asks: bool) -> Option<Value> {
    let unknown = Unknown::decode(body.strip_prefix(MAGIC)?).ok()?;
    if !asks {
        return Some(json!({"spec": {}}));
    }
    let spec = Review::decode(unknown.raw).ok()?.spec.unwrap_or_default();
    let mut written = json!({});
    if let Some(resource) = spec.resource {
        written["resourceAttributes"] = json!({
            "verb": resource.verb,
            "group": resource.group,
            "resource": resource.resource,
            "subresource": resource.subresource,
            "name": resource.name,
        });
    }
    if let Some(path) = spec.path {
        written["nonResourceAttributes"] = json!({"path": path.path, "verb": path.verb});
    }
    Some(json!({"spec": written}))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_review_in_protobuf_asks_what_it_asks_in_json() {
        let review = Review {
            spec: Some(Spec {
                resource: Some(Resource {
                    verb: "get".into(),
                    group: "quorate.dev".into(),
                    resource: "volumes".into(),
                    subresource: "status".into(),
                    name: "data".into(),
                }),
                path: None,
            }),
        };
        let wrapped = Unknown {
            raw: review.encode_to_vec().into(),
        };
        let body = [MAGIC, &wrapped.encode_to_vec()].concat();
        let read = from_protobuf(&body, true).expect("readable");
        assert_eq!(read["spec"]["resourceAttributes"]["resource"], "volumes");
        assert_eq!(read["spec"]["resourceAttributes"]["name"], "data");
        assert_eq!(read["spec"].get("nonResourceAttributes"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_server_stumble(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = from_protobuf(&[MAGIC, &tail].concat(), true);
            let _ = from_protobuf(&tail, true);
        }
    }
}
