//! A kube-apiserver as far as the operator needs one: objects in memory, resource versions, watches, finalizers, the status
//! subresource, and access control by the very manifests that are installed.
//!
//! It counts what is written, and every write that changes nothing is none, as in Kubernetes.

mod http;
mod state;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpSocket, sync::watch, task::JoinHandle};

use self::{
    http::accept,
    state::{Shared, State, key, merge, ours},
};
use crate::rights::Rights;

/// After this long, what is waited for is shown.
const LONG: Duration = Duration::from_secs(30);

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
