//! Waiting for visitors at every member: people ask any of them, and no member can call a host.

use super::members::Members;
use super::stay;
use crate::link::{Visit, Visits};
use futures_util::{StreamExt, stream};
use prost::bytes::Bytes;
use quorate_proto::host::v1::visits_client::VisitsClient;
use quorate_proto::host::v1::{FromGuest, Visitor, WaitRequest, from_guest::What};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

/// How often the membership is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// After a member could not be reached.
const AGAIN: Duration = Duration::from_secs(3);
/// Visitors, and parts of what they say or hear, that wait.
const QUEUE: usize = 16;

/// Waits as long as the stream is there.
pub(super) fn wait(tls: Arc<ClientConfig>, members: Arc<Mutex<Members>>) -> Visits {
    let (visits, come) = mpsc::channel(QUEUE);
    let mut tasks = JoinSet::new();
    tasks.spawn(wait_at_all(tls, members, visits));
    stream::unfold((come, tasks), |(mut come, tasks)| async move {
        let visit = come.recv().await?;
        Some((visit, (come, tasks)))
    })
    .boxed()
}

async fn wait_at_all(
    tls: Arc<ClientConfig>,
    members: Arc<Mutex<Members>>,
    visits: mpsc::Sender<Visit>,
) {
    let mut waiting: BTreeMap<Vec<String>, JoinSet<()>> = BTreeMap::new();
    loop {
        let each = members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .each();
        waiting.retain(|member, _| each.contains(member));
        for member in each {
            waiting.entry(member.clone()).or_insert_with(|| {
                let mut task = JoinSet::new();
                task.spawn(wait_at(Arc::clone(&tls), member, visits.clone()));
                task
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits at one member.
async fn wait_at(tls: Arc<ClientConfig>, member: Vec<String>, visits: mpsc::Sender<Visit>) {
    loop {
        let mut pause = AGAIN;
        if let Some(channel) = stay::connect(&member, &tls).await {
            pause = stay::work(
                &member,
                ("the line of visitors", AGAIN),
                announce(channel, &visits),
            )
            .await;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Announces those who come; ends when the member does.
async fn announce(channel: Channel, visits: &mpsc::Sender<Visit>) -> Status {
    let waited = VisitsClient::new(channel.clone())
        .wait(WaitRequest {})
        .await;
    let mut visitors = match waited {
        Ok(visitors) => visitors.into_inner(),
        Err(status) => return status,
    };
    loop {
        match visitors.message().await {
            Ok(Some(visitor)) => {
                let visit = open(channel.clone(), visitor);
                if visits.send(visit).await.is_err() {
                    return Status::cancelled("nobody receives visitors any more");
                }
            }
            Ok(None) => return Status::unavailable("the member ended"),
            Err(status) => return status,
        }
    }
}

fn open(channel: Channel, visitor: Visitor) -> Visit {
    let (say, said) = mpsc::channel::<What>(QUEUE);
    let (heard, hear) = mpsc::channel(QUEUE);
    tokio::spawn(carry(channel, visitor.visit, said, heard));
    Visit { visitor, say, hear }
}

async fn carry(
    channel: Channel,
    visit: u64,
    said: mpsc::Receiver<What>,
    heard: mpsc::Sender<Bytes>,
) {
    let said = stream::unfold(said, move |mut said| async move {
        let what = said.recv().await?;
        let message = FromGuest {
            visit,
            what: Some(what),
        };
        Some((message, said))
    });
    let mut from = match VisitsClient::new(channel).let_in(said).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => {
            tracing::debug!(%status, "a visitor has gone before he was let in");
            return;
        }
    };
    loop {
        let message = tokio::select! {
            message = from.message() => message,
            () = heard.closed() => return,
        };
        match message {
            Ok(Some(message)) => {
                if heard.send(message.data).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(%status, "a visitor was cut off");
                return;
            }
        }
    }
}
