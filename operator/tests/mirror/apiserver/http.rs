//! What the API server answers.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::state::{Key, Shared, merge, within};
use crate::rights::Asked;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers whoever connects, until it is dropped.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accepted");
        let shared = shared.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            // A client may break off.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let query: BTreeMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let content = request
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let bytes = request.into_body().collect().await;
        let Ok(bytes) = bytes.map(http_body_util::Collected::to_bytes) else {
            return refuse(400, "BadRequest", "the body broke off");
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let Some((mut key, part)) = place(&path) else {
            return refuse(404, "NotFound", &path);
        };
        let watches = query.get("watch").is_some_and(|value| value == "true");
        let verb = match (&method, key.name.is_empty()) {
            (&Method::GET, true) if watches => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            _ => return refuse(405, "MethodNotAllowed", &path),
        };
        let mut verbs = vec![verb];
        // To apply what is not there is to create it.
        if verb == "patch" && !self.state().objects.contains_key(&key) && content.contains("apply")
        {
            verbs.push("create");
        }
        for verb in verbs {
            let asked = Asked {
                group: key.group.clone(),
                resource: format!("{}{part}", key.resource),
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                verb: verb.to_owned(),
            };
            if !self.rights.lock().expect("not poisoned").allows(&asked) {
                return refuse(403, "Forbidden", &format!("{asked:?}"));
            }
        }
        match verb {
            "watch" => self.watch(&key, &query),
            "list" => self.list(&key),
            "get" => match self.state().objects.get(&key) {
                Some(object) => say(object),
                None => refuse(404, "NotFound", &path),
            },
            "create" => {
                key.name = body["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if self.state().objects.contains_key(&key) {
                    return refuse(409, "AlreadyExists", &path);
                }
                self.write("create", &key, "", body)
            }
            "update" => self.change("update", &key, &part, body.clone(), |_| body.clone()),
            _ if content.contains("apply") => {
                self.change("apply", &key, &part, body.clone(), |_| body.clone())
            }
            _ => self.change("patch", &key, &part, body.clone(), |before| {
                let mut object = before;
                merge(&mut object, &body);
                object
            }),
        }
    }

    fn list(&self, key: &Key) -> Response<Body> {
        let state = self.state();
        let items: Vec<&Value> = state
            .objects
            .iter()
            .filter(|(held, _)| within(held, key))
            .map(|(_, object)| object)
            .collect();
        say(&json!({
            "apiVersion": "v1",
            "kind": "List",
            "metadata": {"resourceVersion": state.version.to_string()},
            "items": items,
        }))
    }

    fn watch(self: Arc<Self>, key: &Key, query: &BTreeMap<String, String>) -> Response<Body> {
        let from = query
            .get("resourceVersion")
            .and_then(|it| it.parse::<u64>().ok());
        let begin = from.map(|from| (self.clone(), key.clone(), from, self.changed.subscribe()));
        let events = stream::unfold(begin, |watching| async move {
            let (shared, key, from, mut changed) = watching?;
            loop {
                changed.borrow_and_update();
                let (oldest, next) = {
                    let state = shared.state();
                    let mut history = state.history.iter();
                    let next = history.find(|it| it.version > from && within(&it.key, &key));
                    (state.oldest, next.cloned())
                };
                // As Kubernetes tells it: an answer like any other, with the refusal as its first event.
                if from < oldest {
                    let event = json!({"type": "ERROR", "object": {
                        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                        "code": 410, "reason": "Expired", "message": "too old resource version",
                    }});
                    return Some((frame(&event), None));
                }
                if let Some(change) = next {
                    let event = json!({"type": change.kind, "object": change.object});
                    let on = (shared, key, change.version, changed);
                    return Some((frame(&event), Some(on)));
                }
                changed.changed().await.ok()?;
            }
        });
        Response::new(StreamBody::new(events).boxed_unsync())
    }

    fn change(
        &self,
        how: &str,
        key: &Key,
        part: &str,
        body: Value,
        to: impl Fn(Value) -> Value,
    ) -> Response<Body> {
        let before = self.state().objects.get(key).cloned();
        let Some(before) = before else {
            if how == "apply" && part.is_empty() {
                return self.write(how, key, part, body);
            }
            return refuse(404, "NotFound", &key.name);
        };
        let expected = &body["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != before["metadata"]["resourceVersion"] {
            return refuse(409, "Conflict", "the object has been modified");
        }
        let mut object = before.clone();
        let wanted = to(before);
        if part == "/status" {
            object["status"] = wanted["status"].clone();
        } else {
            let status = object.get("status").cloned();
            let metadata = object["metadata"].clone();
            object = wanted;
            for field in [
                "uid",
                "creationTimestamp",
                "generation",
                "deletionTimestamp",
            ] {
                if let Some(value) = metadata.get(field) {
                    object["metadata"][field] = value.clone();
                }
            }
            if let Some(status) = status {
                object["status"] = status;
            }
        }
        self.write(how, key, part, object)
    }

    /// What comes over HTTP.
    fn write(&self, how: &str, key: &Key, part: &str, object: Value) -> Response<Body> {
        let (object, changed) = self.put(key, object);
        if changed {
            let write = format!("{how} {}/{}{part}", key.resource, key.name);
            self.state().writes.push(write);
        }
        say(&object)
    }
}

/// What a path names, and the subresource with its slash.
fn place(path: &str) -> Option<(Key, String)> {
    let mut parts = path.trim_matches('/').split('/');
    let group = match parts.next()? {
        "api" => String::new(),
        "apis" => parts.next()?.to_owned(),
        _ => return None,
    };
    let _version = parts.next()?;
    let mut resource = parts.next()?;
    let mut namespace = "";
    if resource == "namespaces" {
        namespace = parts.next()?;
        resource = parts.next()?;
    }
    let name = parts.next().unwrap_or_default();
    let part = parts.next().map(|part| format!("/{part}"));
    let key = Key {
        group,
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Some((key, part.unwrap_or_default()))
}

fn frame(event: &Value) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from(format!("{event}\n"))))
}

fn say(object: &Value) -> Response<Body> {
    Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync())
}

fn refuse(code: u16, reason: &str, message: &str) -> Response<Body> {
    let mut response = say(&json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    }));
    *response.status_mut() = code.try_into().expect("a code");
    response
}
