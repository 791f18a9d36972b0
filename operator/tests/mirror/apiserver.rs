//! A kube-apiserver as far as the operator needs one: objects in memory, resource versions, watches, finalizers, the status
//! subresource, and access control by the very manifests that are installed.
//!
//! It counts what is written, and every write that changes nothing is none, as in Kubernetes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
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
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::rights::{Asked, Rights};

/// After this long, what is waited for is shown.
const LONG: Duration = Duration::from_secs(30);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Group, resource, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    resource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Clone)]
struct Change {
    version: u64,
    key: Key,
    kind: &'static str,
    object: Value,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Change>,
    /// The oldest version from which a watch can begin.
    oldest: u64,
    /// What came over HTTP and changed something, as `verb resource/name`.
    writes: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    rights: Mutex<Rights>,
}

/// The server. What it holds outlives [`Apiserver::stop`].
pub(crate) struct Apiserver {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    running: Option<JoinHandle<()>>,
}

impl Apiserver {
    pub(crate) async fn start(rights: Rights) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            rights: Mutex::new(rights),
        });
        let mut server = Self {
            shared,
            address: "127.0.0.1:0".parse().expect("an address"),
            running: None,
        };
        server.resume().await;
        server
    }

    /// Answers again, where it answered before.
    pub(crate) async fn resume(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("set");
        socket.bind(self.address).expect("its address is free");
        let listener = socket.listen(64).expect("it listens");
        self.address = listener.local_addr().expect("its address");
        self.running = Some(tokio::spawn(accept(listener, self.shared.clone())));
    }

    /// Breaks all connections and answers no more.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        running.abort();
        assert!(
            running
                .await
                .expect_err("it does not end by itself")
                .is_cancelled()
        );
    }

    /// Forgets what has happened: every watch must begin with a list.
    pub(crate) fn compact(&self) {
        let mut state = self.state();
        state.oldest = state.version;
        state.history.clear();
    }

    /// What a person applies.
    pub(crate) fn apply(&self, group: &str, resource: &str, namespace: &str, object: Value) {
        let key = key(group, resource, namespace, &object);
        let mut object = object;
        let before = self.state().objects.get(&key).cloned();
        if let Some(before) = before {
            let mut merged = before;
            merge(&mut merged, &object);
            object = merged;
        }
        self.shared.put(&key, object);
    }

    /// What a person changes, as a merge patch.
    pub(crate) fn patch(&self, resource: &str, name: &str, patch: &Value) {
        let key = ours(resource, name);
        let mut object = self.state().objects[&key].clone();
        merge(&mut object, patch);
        self.shared.put(&key, object);
    }

    /// What a person deletes.
    pub(crate) fn delete(&self, resource: &str, name: &str) {
        let key = ours(resource, name);
        let mut object = self.state().objects[&key].clone();
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        self.shared.put(&key, object);
    }

    /// One of our objects.
    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&ours(resource, name)).cloned()
    }

    /// Any object.
    pub(crate) fn find(&self, resource: &str, holds: impl Fn(&Value) -> bool) -> Option<Value> {
        let state = self.state();
        let mut all = state.objects.iter();
        all.find(|(key, object)| key.resource == resource && holds(object))
            .map(|(_, object)| object.clone())
    }

    /// Waits until one of our objects is as wanted.
    pub(crate) async fn until(
        &self,
        resource: &str,
        name: &str,
        is: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let object = self.get(resource, name);
            if is(object.as_ref()) {
                return object;
            }
            let next = tokio::time::timeout(LONG, changed.changed()).await;
            match next {
                Ok(changed) => changed.expect("the server is there"),
                // For whoever wonders what it is waiting for.
                Err(_) => eprintln!("{resource}/{name} is {object:#?}"),
            }
        }
    }

    /// Waits until the object's condition `Synced` has this reason, and returns its message.
    pub(crate) async fn until_synced(&self, resource: &str, name: &str, reason: &str) -> String {
        let is = |object: Option<&Value>| synced(object).is_some_and(|it| it["reason"] == reason);
        let object = self.until(resource, name, is).await;
        let message = &synced(object.as_ref()).expect("it was there")["message"];
        message.as_str().expect("text").to_owned()
    }

    /// What was written over HTTP.
    pub(crate) fn writes(&self) -> Vec<String> {
        let writes = self.state().writes.clone();
        writes
            .into_iter()
            .filter(|write| !write.contains("leases/"))
            .collect()
    }

    /// Which rights were made use of, and which were asked for and refused.
    pub(crate) fn rights(&self) -> Rights {
        self.shared.rights.lock().expect("not poisoned").clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Apiserver {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

fn synced(object: Option<&Value>) -> Option<&Value> {
    let conditions = object?.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|it| it["type"] == "Synced")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

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

    /// Stores an object, unless it is stored just so, and says whether it was not.
    fn put(&self, key: &Key, mut object: Value) -> (Value, bool) {
        let mut state = self.state();
        if let Some(info) = quorate_crds::find(&key.resource).filter(|_| key.group == "quorate.dev")
        {
            info.schema.apply_defaults(&mut object);
            info.schema.prune(&mut object);
        }
        // Written as text, kept as bytes.
        if let Some(text) = object
            .as_object_mut()
            .and_then(|it| it.remove("stringData"))
        {
            for (name, value) in text.as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                object["data"][name] = STANDARD.encode(value).into();
            }
        }
        let before = state.objects.get(key).cloned();
        let next = state.version + 1;
        let metadata = &mut object["metadata"];
        metadata["name"] = key.name.clone().into();
        if !key.namespace.is_empty() {
            metadata["namespace"] = key.namespace.clone().into();
        }
        match &before {
            None => {
                metadata["uid"] = format!("kubernetes-{next}").into();
                metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
                metadata["generation"] = 1.into();
            }
            Some(before) => {
                metadata["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
                if object == *before {
                    return (object, false);
                }
                if object["spec"] != before["spec"] {
                    let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
                    object["metadata"]["generation"] = (generation + 1).into();
                }
            }
        }
        object["metadata"]["resourceVersion"] = next.to_string().into();
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|finalizers| !finalizers.is_empty());
        let gone = object["metadata"].get("deletionTimestamp").is_some() && !held;
        let kind = match (&before, gone) {
            (_, true) => "DELETED",
            (None, _) => "ADDED",
            (Some(_), _) => "MODIFIED",
        };
        if gone {
            state.objects.remove(key);
        } else {
            state.objects.insert(key.clone(), object.clone());
        }
        state.version = next;
        state.history.push(Change {
            version: next,
            key: key.clone(),
            kind,
            object: object.clone(),
        });
        drop(state);
        self.changed.send_replace(next);
        (object, true)
    }
}

fn key(group: &str, resource: &str, namespace: &str, object: &Value) -> Key {
    Key {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned(),
    }
}

fn ours(resource: &str, name: &str) -> Key {
    Key {
        group: "quorate.dev".to_owned(),
        resource: resource.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    }
}

fn within(held: &Key, asked: &Key) -> bool {
    (&held.group, &held.resource, &held.namespace)
        == (&asked.group, &asked.resource, &asked.namespace)
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

/// RFC 7386.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            if let Some(into) = into.as_object_mut() {
                into.remove(name);
            }
        } else {
            merge(&mut into[name], value);
        }
    }
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
