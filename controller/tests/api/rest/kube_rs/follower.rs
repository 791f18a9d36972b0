//! A watcher with its reflector, and what it was told.

use futures_util::StreamExt;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher::{self, Event, watcher},
    },
};
use quorate_crds::Secret;
use tokio::{sync::watch, task::JoinHandle};

use super::version;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Applied { name: String, version: String },
    Deleted { name: String },
}

impl Told {
    pub(super) fn applied(secret: &Secret) -> Self {
        Self::Applied {
            name: secret.name_any(),
            version: version(secret),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Every change, in order, beside what the lists showed.
    pub(super) told: Vec<Told>,
    /// How often it has listed everything.
    pub(super) lists: usize,
    /// How often it was told that its version is no longer kept.
    pub(super) expired: usize,
}

pub(super) struct Follower {
    pub(super) seen: watch::Receiver<Seen>,
    store: Store<Secret>,
    task: JoinHandle<()>,
}

impl Follower {
    /// One that lists and then watches, and one that gets the list by its watch; both know what is there.
    pub(super) async fn of_both_kinds(secrets: &Api<Secret>) -> [Self; 2] {
        let paged = watcher::Config::default().page_size(3);
        let streaming = watcher::Config::default().streaming_lists();
        [
            Self::start(secrets.clone(), paged).await,
            Self::start(secrets.clone(), streaming).await,
        ]
    }

    async fn start(secrets: Api<Secret>, config: watcher::Config) -> Self {
        let (store, writer) = reflector::store();
        let (seeing, mut seen) = watch::channel(Seen::default());
        let events = watcher(secrets, config).default_backoff().reflect(writer);
        let task = tokio::spawn(events.for_each(move |event| {
            seeing.send_modify(|seen| seen.take(event));
            std::future::ready(())
        }));
        let listed = seen.wait_for(|seen| seen.lists == 1).await;
        assert_eq!(listed.expect("it goes on").told, []);
        Self { seen, store, task }
    }

    /// Waits for as many changes as these, which must be these.
    pub(super) async fn has_told(&mut self, written: &[Told]) {
        let seen = &mut self.seen;
        let seen = seen.wait_for(|seen| seen.told.len() >= written.len());
        assert_eq!(seen.await.expect("it goes on").told, written);
    }

    /// What it holds is what the server lists.
    pub(super) async fn holds_what_is_there(&self, secrets: &Api<Secret>) {
        let listed = secrets.list(&ListParams::default()).await.expect("a list");
        let mut there: Vec<Told> = listed.items.iter().map(Told::applied).collect();
        let held = self.store.state();
        let mut held: Vec<Told> = held.iter().map(|secret| Told::applied(secret)).collect();
        there.sort_by_key(name);
        held.sort_by_key(name);
        assert_eq!(held, there);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn name(told: &Told) -> String {
    match told {
        Told::Applied { name, .. } | Told::Deleted { name } => name.clone(),
    }
}

impl Seen {
    fn take(&mut self, event: watcher::Result<Event<Secret>>) {
        match event {
            Ok(Event::Init | Event::InitApply(_)) => {}
            Ok(Event::InitDone) => self.lists += 1,
            Ok(Event::Apply(secret)) => self.told.push(Told::applied(&secret)),
            Ok(Event::Delete(secret)) => self.told.push(Told::Deleted {
                name: secret.name_any(),
            }),
            Err(watcher::Error::WatchError(status)) if status.code == 410 => self.expired += 1,
            // Broken connections and members without a leader: it goes on by itself.
            Err(error) => println!("the watcher goes on after: {error}"),
        }
    }
}
