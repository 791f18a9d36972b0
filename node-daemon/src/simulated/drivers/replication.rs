use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use quorate_crds::{FencingPolicy, Name};
use tokio::sync::oneshot;

use super::{Host, LOOK_EVERY, bytes, unexpected};
use crate::drivers::{
    Abilities, Doing, DriverError, Hints, PeerVerdict, Question, ReplicaSeen, ReplicaTarget,
    Replication, Trouble,
};
use crate::simulated::room::{HostCall, PeerFate, ReplicationCall, Reply};

/// How long a promotion waits for the answer about a peer before it gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A question without an answer is put again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Replicas of a simulated host, and the questions that are being answered.
pub(crate) struct Replicas {
    host: Host,
    asked: Arc<Mutex<BTreeSet<(String, String)>>>,
}

impl Replicas {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            asked: Arc::default(),
        }
    }

    fn act(&self, call: ReplicationCall) -> Doing<'_, ()> {
        self.host.act(HostCall::Replication(call))
    }
}

/// Carries one answer to the storage.
async fn settle(
    host: Host,
    asked: Arc<Mutex<BTreeSet<(String, String)>>>,
    question: (String, String),
    answer: oneshot::Receiver<PeerVerdict>,
) {
    let fate = match answer.await {
        Ok(PeerVerdict::Outdated) => Some(PeerFate::Outdated),
        Ok(PeerVerdict::Fenced) => Some(PeerFate::Fenced),
        Ok(PeerVerdict::Undecided) | Err(_) => None,
    };
    let (volume, peer) = question.clone();
    match fate {
        Some(fate) => {
            let call = ReplicationCall::Answer { volume, peer, fate };
            if let Err(error) = host.call(HostCall::Replication(call)).await {
                tracing::warn!(%error, "the answer about a lost peer did not reach the storage; it asks again");
            }
        }
        None => tokio::time::sleep(ASK_AGAIN).await,
    }
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&question);
}

impl Replication for Replicas {
    fn abilities(&self) -> Doing<'_, Abilities> {
        Box::pin(async {
            Ok(Abilities {
                version: "SIMULATED".to_owned(),
                peers: 31,
                quorum: false,
            })
        })
    }

    fn observe(&self) -> Doing<'_, Vec<ReplicaSeen>> {
        Box::pin(async move {
            let call = HostCall::Replication(ReplicationCall::Observe);
            match self.host.call(call).await? {
                Reply::Replicas(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.host.hints()
    }

    fn questions(&self) -> BoxStream<'static, Question> {
        let (host, asked) = (self.host.clone(), self.asked.clone());
        let questions = stream::unfold((host, asked), |(host, asked)| async move {
            loop {
                let call = HostCall::Replication(ReplicationCall::Questions);
                let open = match host.call(call).await {
                    Ok(Reply::Questions(open)) => open,
                    _ => Vec::new(),
                };
                let fresh = open.into_iter().find(|question| {
                    asked
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(question.clone())
                });
                if let Some((volume, peer)) = fresh {
                    let (sender, receiver) = oneshot::channel();
                    let question = (volume.clone(), peer.clone());
                    tokio::spawn(settle(host.clone(), asked.clone(), question, receiver));
                    let question = Question {
                        volume: Name(volume),
                        peer: Name(peer),
                        answer: sender,
                    };
                    return Some((question, (host, asked)));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        questions.boxed()
    }

    fn create<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()> {
        self.act(ReplicationCall::Create {
            volume: target.name.to_string(),
            backing: target.assignment.backing_device.to_string(),
            begins_here: target.assignment.begins_here,
        })
    }

    fn adjust<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()> {
        let peers = target.assignment.peers.iter();
        self.act(ReplicationCall::Adjust {
            volume: target.name.to_string(),
            device: format!("/dev/drbd{}", target.assignment.minor),
            size: bytes(&target.assignment.size),
            peers: peers.map(|peer| peer.node.to_string()).collect(),
            two_primaries: target.assignment.allow_two_primaries,
            fencing: target.spec.replication.fencing != FencingPolicy::DontCare,
        })
    }

    fn promote<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(async move {
            let deadline = tokio::time::Instant::now() + ANSWER_WITHIN;
            loop {
                let call = ReplicationCall::Promote {
                    volume: volume.to_string(),
                };
                match self.host.call(HostCall::Replication(call)).await {
                    Err(DriverError::Passing {
                        trouble: Trouble::PeerUnreachable,
                        ..
                    }) if tokio::time::Instant::now() < deadline => {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    outcome => return outcome.map(drop),
                }
            }
        })
    }

    fn demote<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        self.act(ReplicationCall::Demote {
            volume: volume.to_string(),
        })
    }

    fn resize<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        self.act(ReplicationCall::Resize {
            volume: volume.to_string(),
        })
    }

    fn outdate<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        self.act(ReplicationCall::Outdate {
            volume: volume.to_string(),
        })
    }

    fn discard<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        self.act(ReplicationCall::Discard {
            volume: volume.to_string(),
        })
    }

    fn verify<'a>(&'a self, volume: &'a Name, number: u64) -> Doing<'a, ()> {
        self.act(ReplicationCall::Verify {
            volume: volume.to_string(),
            number,
        })
    }

    fn take_down<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        self.act(ReplicationCall::TakeDown {
            volume: volume.to_string(),
        })
    }

    fn erase<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()> {
        self.act(ReplicationCall::Erase {
            volume: target.name.to_string(),
        })
    }
}
