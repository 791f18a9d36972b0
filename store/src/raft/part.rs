//! This member's part in takeovers, as its links see it: whom they hear, and for whom they answer.
//!
//! A member that begins or promises does so between frames, never beside one: first nobody is let in any more, then what
//! is inside comes to its end, then the log is looked at, and only then the promise holds. A frame that was let in
//! before, and changes the membership after, would make the promise worthless.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::Vote;
use crate::{
    MemberId, rt,
    takeover::{Action, Facts, Obstacle, Phase, Round, Takeover},
};

/// How long frames that were let in may take to come to their end before an attempt is put off.
const SETTLING: Duration = Duration::from_secs(2);

pub(crate) struct Part {
    inner: Mutex<Inner>,
    inside: watch::Sender<usize>,
    actions: mpsc::UnboundedSender<Action>,
    phase: watch::Sender<Phase>,
}

struct Inner {
    takeover: Takeover,
    closed: bool,
    /// When each member last answered a question of this one.
    answered: BTreeMap<MemberId, rt::Instant>,
    /// When a leader's frame was last taken in.
    led: Option<rt::Instant>,
    /// For whom this member answered itself, and as which leader: the real one is not spoken to by that leader.
    stood_in: BTreeMap<MemberId, Vote>,
}

/// How a member is to be dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dealing {
    /// It is spoken to.
    Speak,
    /// It is outside the half that acts.
    Silence,
    /// It is proven off, and this member answers in its place.
    StandIn,
    /// This leader has answered in its place, and does not know what the real one has: it must not lead on.
    Depart,
}

/// A frame of replication or election that is being worked on.
pub(crate) struct Ticket(Arc<Part>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.inside.send_modify(|inside| *inside -= 1);
    }
}

/// While it lives nobody is let in.
struct Closed<'a>(&'a Part);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = false;
    }
}

impl Part {
    /// The part, and what it asks to be done.
    pub(crate) fn new(
        member: MemberId,
        start: u64,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Action>) {
        let (actions, asked) = mpsc::unbounded_channel();
        let part = Self {
            inner: Mutex::new(Inner {
                takeover: Takeover::new(member, start),
                closed: false,
                answered: BTreeMap::new(),
                led: None,
                stood_in: BTreeMap::new(),
            }),
            inside: watch::Sender::new(0),
            actions,
            phase: watch::Sender::new(Phase::Idle),
        };
        (Arc::new(part), asked)
    }

    /// Where it stands, and every change of that.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn is_idle(&self) -> bool {
        *self.phase.borrow() == Phase::Idle
    }

    pub(crate) fn pledge(&self) -> Option<Round> {
        self.lock().takeover.pledge()
    }

    pub(crate) fn ignores(&self, member: MemberId) -> bool {
        self.lock().takeover.ignores(member)
    }

    /// How this member, which leads or stands by this vote, deals with another.
    pub(crate) fn dealing(&self, member: MemberId, leader: Option<Vote>) -> Dealing {
        let mut inner = self.lock();
        if inner.takeover.stands_in_for() == Some(member) {
            if let Some(leader) = leader {
                inner.stood_in.insert(member, leader);
            }
            return Dealing::StandIn;
        }
        if leader.is_some() && inner.stood_in.get(&member).copied() == leader {
            return Dealing::Depart;
        }
        if inner.takeover.ignores(member) {
            return Dealing::Silence;
        }
        Dealing::Speak
    }

    /// Lets a frame of replication or election in.
    pub(crate) fn enter(
        self: &Arc<Self>,
        from: MemberId,
        start: u64,
        pledge: Option<Round>,
    ) -> Result<Ticket, String> {
        let mut inner = self.lock();
        if inner.closed {
            return Err("a takeover is about to begin on this member".to_owned());
        }
        self.admit(&mut inner, from, start, pledge)?;
        self.inside.send_modify(|inside| *inside += 1);
        Ok(Ticket(self.clone()))
    }

    /// Takes an answer in.
    pub(crate) fn take_answer(
        &self,
        from: MemberId,
        start: u64,
        pledge: Option<Round>,
    ) -> Result<(), String> {
        let mut inner = self.lock();
        self.admit(&mut inner, from, start, pledge)?;
        inner.answered.insert(from, rt::now());
        Ok(())
    }

    fn admit(
        &self,
        inner: &mut Inner,
        from: MemberId,
        start: u64,
        pledge: Option<Round>,
    ) -> Result<(), String> {
        let (admitted, actions) = inner.takeover.admits(from, start, pledge);
        self.hand_out(inner, actions);
        if admitted {
            return Ok(());
        }
        Err(
            "this member takes part in a takeover and hears its own half alone until that is over"
                .to_owned(),
        )
    }

    /// A leader's frame was taken in.
    pub(crate) fn note_led(&self) {
        self.lock().led = Some(rt::now());
    }

    /// Whether a leader's frame was taken in within that time.
    pub(crate) fn was_led_within(&self, time: Duration) -> bool {
        self.lock().led.is_some_and(|at| at.elapsed() <= time)
    }

    /// Lets a change of the membership by people in, as no takeover goes on.
    pub(crate) fn enter_change(self: &Arc<Self>) -> Result<Ticket, String> {
        let inner = self.lock();
        if inner.closed || *inner.takeover.phase() != Phase::Idle {
            return Err("one half takes over; try again when that is over".to_owned());
        }
        self.inside.send_modify(|inside| *inside += 1);
        Ok(Ticket(self.clone()))
    }

    /// Who has answered this member within that time.
    pub(crate) fn answered_within(&self, time: Duration) -> Vec<MemberId> {
        let inner = self.lock();
        let recent = |(_, at): &(&MemberId, &rt::Instant)| at.elapsed() <= time;
        inner
            .answered
            .iter()
            .filter(recent)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Changes the part between frames: lets nobody in, waits for what is inside, looks at the log, and decides.
    pub(crate) async fn apart<T>(
        &self,
        facts: impl Future<Output = Option<Facts>>,
        decide: impl FnOnce(&mut Takeover, &Facts) -> (T, Vec<Action>),
    ) -> Result<T, Obstacle> {
        {
            let mut inner = self.lock();
            if inner.closed {
                return Err(Obstacle::UnderWay);
            }
            inner.closed = true;
        }
        let closed = Closed(self);
        let mut inside = self.inside.subscribe();
        let empty = async { inside.wait_for(|inside| *inside == 0).await.is_ok() };
        if rt::within(SETTLING, empty).await != Some(true) {
            return Err(Obstacle::Unsettled);
        }
        let facts = facts.await.ok_or(Obstacle::Unsettled)?;
        let mut inner = self.lock();
        let (decided, actions) = decide(&mut inner.takeover, &facts);
        self.hand_out(&mut inner, actions);
        drop(inner);
        drop(closed);
        Ok(decided)
    }

    /// Changes the part where no promise is given.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Takeover) -> Vec<Action>) {
        let mut inner = self.lock();
        let actions = change(&mut inner.takeover);
        self.hand_out(&mut inner, actions);
    }

    /// The half is the whole: those outside it are members no more, and nothing is remembered of them.
    pub(crate) fn forget_stand_ins(&self) {
        self.lock().stood_in.clear();
    }

    /// Every change of the takeover ends here, so that what is done and what is seen keep its order.
    fn hand_out(&self, inner: &mut Inner, actions: Vec<Action>) {
        for action in actions {
            // Without a receiver the store stops.
            let _ = self.actions.send(action);
        }
        self.phase.send_if_modified(|phase| {
            let changed = phase != inner.takeover.phase();
            if changed {
                *phase = inner.takeover.phase().clone();
            }
            changed
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("nothing panics while it holds a takeover")
    }
}
