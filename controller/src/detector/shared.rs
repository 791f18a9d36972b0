mod accepted;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_proto::{heartbeat::MAX_LENGTH, member::v1::Heard};
use tokio::{sync::Notify, time::Instant};

use super::{Acknowledged, Detector, Incarnation, Judgement};
use crate::fencing::Grants;
pub(crate) use accepted::Accepted;

/// A detector that a member's parts share. Cheap to clone.
#[derive(Clone)]
pub struct SharedDetector {
    detector: Arc<Mutex<Detector>>,
    changed: Arc<Notify>,
    accepted: Arc<Mutex<Accepted>>,
}

impl SharedDetector {
    /// Shares `detector`.
    pub fn new(detector: Detector) -> Self {
        Self {
            detector: Arc::new(Mutex::new(detector)),
            changed: Arc::default(),
            accepted: Arc::default(),
        }
    }

    /// What the leader makes of what it hears.
    pub fn judgement(&self) -> Judgement {
        self.lock().judgement().clone()
    }

    /// Waits until the judgement is another. A change that nobody waited for is not forgotten.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What this member hears itself.
    pub fn heard(&self, nodes: &[String]) -> Vec<Heard> {
        self.lock().heard(nodes, Instant::now())
    }

    /// See [`Detector::closed`].
    pub fn closed(&self, node: &str) {
        self.lock().closed(node, Instant::now());
    }

    /// See [`Detector::consider`].
    pub fn consider(&self, asked: &[Incarnation], answers: &[Heard]) {
        self.lock().consider(asked, answers, Instant::now());
        self.look();
    }

    pub(super) fn receive(
        &self,
        datagram: &[u8],
        acknowledged: Acknowledged,
        answer: &mut [u8; MAX_LENGTH],
    ) -> Option<usize> {
        self.lock()
            .receive(datagram, acknowledged, Instant::now(), answer)
    }

    pub(super) fn look(&self) {
        if self.lock().look(Instant::now()) {
            self.changed.notify_one();
        }
    }

    /// How many rings this member listens on.
    pub(crate) fn rings(&self) -> usize {
        self.lock().rings
    }

    /// Which plans hosts have accepted, as they say to this member.
    pub(crate) fn accepted(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Detector> {
        // What it has heard stays true, whatever a panicking caller wanted with it.
        self.detector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grants for SharedDetector {
    fn last_possible_grant(&self, node: &str) -> Option<Instant> {
        self.lock().last_possible_grant(node)
    }
}
