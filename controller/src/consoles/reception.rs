use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_proto::host::v1::{FromGuest, ToGuest, Visitor};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tonic::{Status, Streaming};

use crate::error::ApiError;

/// How long a host may take to answer a visitor. It opens the console meanwhile, and waits for one that is just being left.
const PATIENCE: Duration = Duration::from_secs(30);
/// Visitors that one host has not heard of yet.
const QUEUE: usize = 16;

/// Where hosts wait and visitors are announced. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reception(Arc<Mutex<Desk>>);

#[derive(Debug, Default)]
struct Desk {
    last: u64,
    hosts: HashMap<String, Waiting>,
    announced: HashMap<u64, Announced>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    visitors: mpsc::Sender<Visitor>,
}

#[derive(Debug)]
struct Announced {
    host: String,
    answer: oneshot::Sender<Answered>,
}

/// A host that waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Wait {
    reception: Reception,
    host: String,
    number: u64,
    pub(super) visitors: mpsc::Receiver<Visitor>,
}

/// The host's answer, and its end of the line.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) first: FromGuest,
    pub(super) from: Streaming<FromGuest>,
    pub(super) to: mpsc::Sender<Result<ToGuest, Status>>,
}

impl Reception {
    /// The host waits here from now on, and nowhere else at this member.
    pub(super) fn wait(&self, host: &str) -> Wait {
        let (sender, visitors) = mpsc::channel(QUEUE);
        let mut desk = self.desk();
        desk.last += 1;
        let number = desk.last;
        let waiting = Waiting {
            number,
            visitors: sender,
        };
        desk.hosts.insert(host.to_owned(), waiting);
        drop(desk);
        Wait {
            reception: self.clone(),
            host: host.to_owned(),
            number,
            visitors,
        }
    }

    /// Announces a visitor, and waits for the host's answer.
    pub(super) async fn announce(
        &self,
        host: &str,
        mut visitor: Visitor,
    ) -> Result<Answered, ApiError> {
        let (answer, answered) = oneshot::channel();
        let (visitors, visit) = {
            let mut desk = self.desk();
            let visitors = desk
                .hosts
                .get(host)
                .map(|waiting| waiting.visitors.clone())
                .ok_or_else(|| not_here(host))?;
            desk.last += 1;
            let visit = desk.last;
            let announced = Announced {
                host: host.to_owned(),
                answer,
            };
            desk.announced.insert(visit, announced);
            (visitors, visit)
        };
        // Also when whoever asked gives up meanwhile.
        let _over = Over {
            reception: self,
            visit,
        };
        visitor.visit = visit;
        if visitors.try_send(visitor).is_err() {
            return Err(not_here(host));
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(_)) | Err(_) => Err(ApiError::NoQuorum(format!(
                "host {host:?} does not answer; look at its quorate-node"
            ))),
        }
    }

    /// The host has answered. False: nobody waits for that, or it was another host's visitor.
    pub(super) fn answered(&self, host: &str, answered: Answered) -> bool {
        let visit = answered.first.visit;
        let mut desk = self.desk();
        if desk
            .announced
            .get(&visit)
            .is_none_or(|known| known.host != host)
        {
            return false;
        }
        let Some(announced) = desk.announced.remove(&visit) else {
            return false;
        };
        drop(desk);
        announced.answer.send(answered).is_ok()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Lists of who waits cannot be left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut desk = self.reception.desk();
        // It may have come again meanwhile.
        if desk
            .hosts
            .get(&self.host)
            .is_some_and(|waiting| waiting.number == self.number)
        {
            desk.hosts.remove(&self.host);
        }
    }
}

struct Over<'a> {
    reception: &'a Reception,
    visit: u64,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.reception.desk().announced.remove(&self.visit);
    }
}

/// Another member may be better off.
fn not_here(host: &str) -> ApiError {
    ApiError::NoQuorum(format!(
        "host {host:?} is not connected to this member; another one may reach it"
    ))
}
