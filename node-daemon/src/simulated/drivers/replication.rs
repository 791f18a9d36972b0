use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::simulated::room::{HostCall, LostPeer, PeerFate, ReplicationCall, Reply};

/// How long a promotion waits for the answer about a peer before it gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A question without an answer is put again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);

type Asked = Arc<Mutex<BTreeSet<LostPeer>>>;

fn lock(asked: &Asked) -> MutexGuard<'_, BTreeSet<LostPeer>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replicas of a simulated host, and the questions that are being answered.
pub(crate) struct Replicas {
    host: Host,
    asked: Asked,
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

/// The questions that the storage has now. None: it cannot be asked.
async fn open(host: &Host) -> Option<Vec<LostPeer>> {
    let call = HostCall::Replication(ReplicationCall::Questions);
    match host.call(call).await {
        Ok(Reply::Questions(open)) => Some(open),
        _ => None,
    }
}

/// Until the storage does not wait for this answer any more: the two have met, or the volume is closed.
async fn is_over(host: &Host, question: &LostPeer) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if open(host)
            .await
            .is_some_and(|open| !open.contains(question))
        {
            return;
        }
    }
}

/// Carries one answer to the storage, unless the question is over first.
async fn settle(
    host: Host,
    asked: Asked,
    question: LostPeer,
    mut answer: oneshot::Receiver<PeerVerdict>,
) {
    let verdict = tokio::select! {
        biased;
        verdict = &mut answer => verdict.unwrap_or(PeerVerdict::Undecided),
        () = is_over(&host, &question) => {
            drop(answer);
            lock(&asked).remove(&question);
            return;
        }
    };
    let fate = match verdict {
        PeerVerdict::Outdated => Some(PeerFate::Outdated),
        PeerVerdict::Fenced => Some(PeerFate::Fenced),
        PeerVerdict::Undecided => None,
    };
    match fate {
        Some(fate) => {
            let call = ReplicationCall::Answer {
                question: question.clone(),
                fate,
            };
            if let Err(error) = host.call(HostCall::Replication(call)).await {
                tracing::warn!(%error, "the answer about a lost peer did not reach the storage; it asks again");
            }
        }
        None => tokio::time::sleep(ASK_AGAIN).await,
    }
    lock(&asked).remove(&question);
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
                let open = open(&host).await.unwrap_or_default();
                let fresh = open
                    .into_iter()
                    .find(|question| lock(&asked).insert(question.clone()));
                if let Some(question) = fresh {
                    let (answer, receiver) = oneshot::channel();
                    let (volume, peer) = (question.volume.clone(), question.peer.clone());
                    tokio::spawn(settle(host.clone(), asked.clone(), question, receiver));
                    let question = Question {
                        volume: Name(volume),
                        peer: Name(peer),
                        answer,
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

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::simulated::handle::Room;
    use crate::simulated::room::{Answer, Request};

    /// A room in which nothing is but these questions.
    #[derive(Default)]
    struct Asking(Mutex<Vec<LostPeer>>);

    impl Asking {
        fn put(&self, questions: &[LostPeer]) {
            *self.0.lock().expect("no panic") = questions.to_vec();
        }
    }

    impl Room for Asking {
        fn ask(&self, request: Request) -> BoxFuture<'_, io::Result<Answer>> {
            Box::pin(async move { self.ask_now(request) })
        }

        fn ask_now(&self, _request: Request) -> io::Result<Answer> {
            Ok(Answer {
                outcome: Ok(Reply::Questions(self.0.lock().expect("no panic").clone())),
                after: Some(Duration::ZERO),
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_answer_about_a_peer_that_is_back() {
        let lost = |meetings| LostPeer {
            volume: "web".into(),
            peer: "an2".into(),
            meetings,
        };
        let room = Arc::new(Asking::default());
        room.put(&[lost(1)]);
        let replicas = Replicas::new(Host {
            room: room.clone(),
            name: "an1".into(),
        });
        let mut questions = replicas.questions();
        let mut first = questions.next().await.expect("a question");
        assert!(!first.answer.is_closed());

        // They meet, and part again before anybody has looked.
        room.put(&[lost(2)]);
        first.answer.closed().await;
        let second = questions.next().await.expect("another question");
        assert_eq!(
            (second.volume.as_str(), second.peer.as_str()),
            ("web", "an2")
        );
        assert!(!second.answer.is_closed());
    }
}
