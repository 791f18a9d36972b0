//! A network in memory, with faults: for tests and simulation only.
//!
//! Members are reached by id. Links can be cut one way or both, calls are delayed and dropped by a seeded
//! generator. It needs no thread and reads no clock but the runtime's, so that a paused clock gives
//! the same run for the same seed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};

use super::{Answers, Frame, Outgoing, Peer, Receive, RefusedFrame, Transport, TransportError};
use crate::MemberId;

/// The network that all members of a test share.
#[derive(Clone)]
pub struct SimNet {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    members: HashMap<MemberId, Arc<dyn Receive>>,
    /// Counts each member's registrations: what was sent to an earlier life never arrives in a later.
    lives: HashMap<MemberId, u64>,
    cut: HashSet<(MemberId, MemberId)>,
    random: u64,
    delay: (Duration, Duration),
    loss_per_million: u64,
}

impl SimNet {
    /// A network without faults and without delay.
    pub fn new(seed: u64) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                members: HashMap::new(),
                lives: HashMap::new(),
                cut: HashSet::new(),
                random: seed | 1,
                delay: (Duration::ZERO, Duration::ZERO),
                loss_per_million: 0,
            })),
        }
    }

    /// Every frame takes a random time between these.
    pub fn set_delay(&self, least: Duration, most: Duration) {
        self.lock().delay = (least, most);
    }

    /// So many calls in a million lose their question or their answer; a stream breaks instead.
    pub fn set_loss(&self, per_million: u64) {
        self.lock().loss_per_million = per_million;
    }

    /// Connects a running member.
    pub fn attach(&self, id: MemberId, receive: Arc<dyn Receive>) {
        let mut inner = self.lock();
        *inner.lives.entry(id).or_default() += 1;
        inner.members.insert(id, receive);
    }

    /// The member's process is gone: nothing reaches it, nothing it had sent is answered.
    pub fn detach(&self, id: MemberId) {
        let mut inner = self.lock();
        *inner.lives.entry(id).or_default() += 1;
        inner.members.remove(&id);
    }

    /// Cuts the link from one member to another, one way.
    pub fn cut(&self, from: MemberId, to: MemberId) {
        self.lock().cut.insert((from, to));
    }

    /// Cuts a member off from all others, both ways.
    pub fn isolate(&self, id: MemberId, others: impl IntoIterator<Item = MemberId>) {
        let mut inner = self.lock();
        for other in others {
            inner.cut.insert((id, other));
            inner.cut.insert((other, id));
        }
    }

    /// Mends every link.
    pub fn heal(&self) {
        self.lock().cut.clear();
    }

    /// The end of the network that a member sends through.
    pub fn transport(&self, from: MemberId) -> Arc<dyn Transport> {
        Arc::new(SimTransport {
            net: self.clone(),
            from,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("nothing panics while it holds the network")
    }

    fn random(&self, below: u64) -> u64 {
        let mut inner = self.lock();
        // xorshift64*: repeatable, and good enough to choose faults.
        inner.random ^= inner.random >> 12;
        inner.random ^= inner.random << 25;
        inner.random ^= inner.random >> 27;
        let drawn = inner.random.wrapping_mul(0x2545_f491_4f6c_dd1d);
        drawn.checked_rem(below).unwrap_or(0)
    }

    fn loses(&self) -> bool {
        let rate = self.lock().loss_per_million;
        rate > 0 && self.random(1_000_000) < rate
    }

    async fn travel(&self) {
        let (least, most) = self.lock().delay;
        if most.is_zero() {
            return;
        }
        let spread = u64::try_from((most - least).as_micros()).unwrap_or(u64::MAX);
        let extra = Duration::from_micros(self.random(spread + 1));
        tokio::time::sleep(least + extra).await;
    }

    /// The receiver at the far end and the life it is in, if a frame can get there now.
    fn reach(&self, from: MemberId, to: MemberId) -> Option<(Arc<dyn Receive>, u64)> {
        let inner = self.lock();
        if inner.cut.contains(&(from, to)) {
            return None;
        }
        let life = inner.lives.get(&to).copied().unwrap_or(0);
        Some((inner.members.get(&to)?.clone(), life))
    }

    /// Whether an answer from that life of `to` gets back.
    fn returns(&self, from: MemberId, to: MemberId, life: u64) -> bool {
        let inner = self.lock();
        !inner.cut.contains(&(to, from))
            && inner.members.contains_key(&from)
            && inner.lives.get(&to) == Some(&life)
    }
}

struct SimTransport {
    net: SimNet,
    from: MemberId,
}

fn unreachable(member: MemberId) -> TransportError {
    TransportError::Unreachable {
        member,
        reason: "the link is cut or the member is down".to_owned(),
    }
}

fn lost(member: MemberId) -> TransportError {
    TransportError::Lost {
        member,
        reason: "the link broke".to_owned(),
    }
}

fn refused(member: MemberId, refused: RefusedFrame) -> TransportError {
    TransportError::Refused {
        member,
        reason: refused.0,
    }
}

/// Carries an answer back, or breaks.
async fn back(
    net: &SimNet,
    from: MemberId,
    to: MemberId,
    life: u64,
    answer: Result<Frame, RefusedFrame>,
) -> Result<Frame, TransportError> {
    net.travel().await;
    if net.loses() || !net.returns(from, to, life) {
        return Err(lost(to));
    }
    answer.map_err(|r| refused(to, r))
}

impl Transport for SimTransport {
    fn call(
        &self,
        peer: Peer,
        frame: Frame,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Frame, TransportError>> {
        let (net, from, to) = (self.net.clone(), self.from, peer.id);
        async move {
            let attempt = async {
                net.travel().await;
                let (receive, life) = net.reach(from, to).ok_or_else(|| unreachable(to))?;
                if net.loses() {
                    return Err(lost(to));
                }
                let answer = receive.call(frame).await;
                back(&net, from, to, life, answer).await
            };
            tokio::time::timeout(timeout, attempt)
                .await
                .unwrap_or_else(|_| Err(lost(to)))
        }
        .boxed()
    }

    fn replicate(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Answers, TransportError>> {
        let (net, from, to) = (self.net.clone(), self.from, peer.id);
        async move {
            let (receive, life) = net.reach(from, to).ok_or_else(|| unreachable(to))?;
            let there = net.clone();
            let frames = frames.then(move |frame| {
                let net = there.clone();
                async move {
                    net.travel().await;
                    let arrives = net.reach(from, to).is_some_and(|(_, now)| now == life);
                    if arrives && !net.loses() {
                        Ok(frame)
                    } else {
                        Err("the link broke".to_owned())
                    }
                }
            });
            let answers = receive.replicate(until_broken(frames.boxed()));
            let answers = answers.then(move |answer| {
                let net = net.clone();
                async move { back(&net, from, to, life, answer).await }
            });
            Ok(answers.boxed())
        }
        .boxed()
    }

    fn snapshot(
        &self,
        peer: Peer,
        frames: Outgoing,
    ) -> BoxFuture<'static, Result<Frame, TransportError>> {
        let (net, from, to) = (self.net.clone(), self.from, peer.id);
        async move {
            let (receive, life) = net.reach(from, to).ok_or_else(|| unreachable(to))?;
            let there = net.clone();
            let frames = frames.map(move |frame| {
                let arrives = there.reach(from, to).is_some_and(|(_, now)| now == life);
                if arrives && !there.loses() {
                    Ok(frame)
                } else {
                    Err("the link broke".to_owned())
                }
            });
            let answer = receive.snapshot(until_broken(frames.boxed())).await;
            back(&net, from, to, life, answer).await
        }
        .boxed()
    }
}

/// Ends a stream behind its first error.
fn until_broken(frames: super::Incoming) -> super::Incoming {
    stream::unfold(Some(frames), |frames| async move {
        let mut frames = frames?;
        let frame = frames.next().await?;
        let rest = frame.is_ok().then_some(frames);
        Some((frame, rest))
    })
    .boxed()
}
