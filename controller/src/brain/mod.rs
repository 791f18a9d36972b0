//! The part of a member that decides, without the way that messages come: no gRPC, no files, no sockets, no threads.
//!
//! The product puts TLS, UDP and processes around it (`member`), a simulation runs it as it is.

mod roster;

use std::sync::Arc;

use quorate_proto::{
    heartbeat::KEY_LENGTH,
    member::v1::{HeardReply, HeardRequest},
};
use quorate_store::Store;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep},
};

use crate::{
    detector::{Acknowledged, Detector, SharedDetector},
    events::Recorder,
    fencing::{Fencing, agents::Agents},
    hosts::{CurrentFigure, HostDesk},
    leader::Session,
    members::MemberCalls,
    resource::Engine,
    takeover::{HalfGoesOn, Standing},
};

/// How long to wait before leading is tried again when the store does not answer.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What the brain is made of.
pub struct Environment {
    /// The objects; their time and random numbers come from its sources.
    pub engine: Engine,
    /// From which the keys of heartbeats are derived; the same on all members, and nowhere else.
    pub heartbeat_secret: [u8; KEY_LENGTH],
    /// How many addresses this member has, one per ring.
    pub rings: usize,
    /// The way to the other members.
    pub member_calls: Arc<dyn MemberCalls>,
    /// The fence agents, wherever they run.
    pub agents: Arc<dyn Agents>,
    /// Where fencing tells what happens.
    pub recorder: Recorder,
}

/// The part of a member that decides. Cheap to clone.
#[derive(Clone)]
pub struct Brain {
    engine: Engine,
    detector: SharedDetector,
    desk: HostDesk,
    member_calls: Arc<dyn MemberCalls>,
    agents: Arc<dyn Agents>,
    recorder: Recorder,
    standing: watch::Sender<Standing>,
}

impl Brain {
    /// A brain that does nothing yet; [`Brain::run`] is what makes it think, [`crate::detector::listen`] hear.
    pub fn new(environment: Environment) -> Self {
        let Environment {
            engine,
            heartbeat_secret,
            rings,
            member_calls,
            agents,
            recorder,
        } = environment;
        let own_id = engine.store().status().member_id;
        let detector = Detector::new(own_id, heartbeat_secret, rings, Instant::now());
        let detector = SharedDetector::new(detector);
        Self {
            desk: HostDesk::new(engine.clone(), detector.clone()),
            engine,
            detector,
            member_calls,
            agents,
            recorder,
            standing: watch::Sender::default(),
        }
    }

    /// What this member does while there is no quorum.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// What answers hosts.
    pub fn desk(&self) -> &HostDesk {
        &self.desk
    }

    /// What hears hosts.
    pub fn detector(&self) -> SharedDetector {
        self.detector.clone()
    }

    /// Until when this member surely led: what [`crate::detector::listen`] asks.
    pub fn acknowledged(&self) -> impl Fn() -> Acknowledged + Send + Sync + 'static {
        let store = self.engine.store().clone();
        move || store.quorum_acknowledged()
    }

    /// What this member hears of hosts, for another member that asks.
    pub fn heard(&self, request: &HeardRequest) -> HeardReply {
        HeardReply {
            heard: self.detector.heard(&request.nodes),
        }
    }

    /// What hosts have told lately. Only the leader knows.
    pub fn figures(&self) -> Vec<CurrentFigure> {
        self.desk.current_figures()
    }

    /// Whether this member leads.
    pub fn leads(&self) -> bool {
        self.store().leadership().borrow().is_self
    }

    /// Thinks until the store stops.
    pub async fn run(self) {
        let (known, surveyed) = watch::channel(0);
        tokio::select! {
            biased;
            () = roster::run(self.store().clone(), self.detector.clone(), known) => {}
            () = self.lead_whenever_elected(surveyed) => {}
            () = self.half_goes_on().run() => {}
        }
    }

    fn store(&self) -> &Store {
        self.engine.store()
    }

    fn half_goes_on(&self) -> HalfGoesOn {
        let recorder = self.recorder.clone();
        HalfGoesOn::new(
            self.store().clone(),
            self.agents.clone(),
            self.detector.clone(),
            self.engine.sources().clone(),
            Arc::new(move |happening| recorder.record(happening)),
            self.standing.clone(),
        )
    }

    fn fencing(&self) -> Fencing {
        let status = self.store().status();
        let own = status
            .members
            .iter()
            .find(|member| member.id == status.member_id);
        let recorder = self.recorder.clone();
        Fencing {
            store: self.store().clone(),
            agents: self.agents.clone(),
            grants: Arc::new(self.detector.clone()),
            clock: self.engine.sources().clock.clone(),
            tell: Arc::new(move |happening| recorder.record(happening)),
            member: own.map(|own| own.name.clone()).unwrap_or_default(),
        }
    }

    async fn lead_whenever_elected(&self, mut surveyed: watch::Receiver<u64>) {
        let mut leadership = self.store().leadership();
        loop {
            let elected = leadership.wait_for(|now| now.is_self).await.map(|now| *now);
            let Ok(elected) = elected else { return };
            let deposed = async {
                let over = leadership.wait_for(|now| !now.is_self || now.term != elected.term);
                over.await.is_err()
            };
            let stopped = tokio::select! {
                biased;
                stopped = deposed => stopped,
                () = self.lead(elected.term, &mut surveyed) => false,
            };
            self.detector.lock().follow();
            if stopped {
                return;
            }
        }
    }

    /// Leads for ever; dropped when leadership is lost.
    async fn lead(&self, term: u64, surveyed: &mut watch::Receiver<u64>) {
        loop {
            if let Ok(revision) = self.store().barrier().await
                && surveyed.wait_for(|known| *known >= revision).await.is_ok()
            {
                self.detector.lock().lead(term, Instant::now());
                let session = Session {
                    engine: self.engine.clone(),
                    detector: self.detector.clone(),
                    member_calls: self.member_calls.clone(),
                    term,
                };
                let fencing = self.fencing();
                let view = self.store().view();
                tokio::select! {
                    biased;
                    interrupted = session.lead(view) => {
                        if let Err(error) = interrupted {
                            tracing::info!(%error, term, "the leader begins anew");
                        }
                    }
                    () = fencing.lead(term) => {}
                }
            }
            sleep(RETRY_AFTER).await;
        }
    }
}
