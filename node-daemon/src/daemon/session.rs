use super::attention::Attention;
use super::backoff::Backoff;
use super::event::Event;
use super::facts::{Around, HostReport};
use super::leasing::Leasing;
use super::leaving::Leaving;
use super::register::Registered;
use super::remembering::Remembering;
use super::reporting::{Reporting, number};
use super::watching::Watching;
use super::{DaemonError, Environment, Stop};
use crate::drivers::DriverError;
use crate::lease::LeaseView;
use crate::link::{LinkError, Updates};
use crate::mistake::{Mistake, makes};
use crate::plan::Plan;
use crate::reconcile::{Hands, Job, Observation, Reconciler, Right, Subsystem, look};
use futures_util::StreamExt;
use quorate_crds::Name;
use quorate_proto::host::v1::{FiguresRequest, FollowRequest, LeaveRequest, PlanUpdate};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

/// How often everything is looked at although nothing has been heard of it.
const AUDIT: Duration = Duration::from_secs(60);
/// How often figures are sent while something moves.
const FIGURES: Duration = Duration::from_secs(2);
/// How long acts that are under way are awaited before the daemon ends.
const LAST_ACTS: Duration = Duration::from_secs(3);

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The daemon was asked to stop.
    Stopped,
    /// The host has left, and shuts down.
    Left,
    /// The host has to register again.
    Anew,
}

/// One incarnation of a registered host, until the daemon stops or the incarnation is over.
pub(super) struct Session {
    environment: Environment,
    hands: Hands,
    incarnation: u64,
    plan: Plan,
    remembering: Remembering,
    reconciler: Reconciler,
    attention: Attention,
    leasing: Leasing,
    right: Right,
    host: HostReport,
    facts_wanted: bool,
    reporting: Reporting,
    follow_at: Option<Instant>,
    follow_backoff: Backoff,
    leaving: Leaving,
    figures_under_way: bool,
    end: Option<End>,
    jobs: JoinSet<(Box<Job>, Result<(), DriverError>)>,
    looks: JoinSet<Observation>,
    asks: JoinSet<(Name, Name)>,
    calls: JoinSet<Event>,
}

impl Session {
    pub(super) fn new(environment: Environment, registered: Registered) -> Self {
        let Registered {
            remembered,
            reply,
            key,
        } = registered;
        let mut plan = Plan::new(&environment.node, &remembered);
        if let Err(error) = plan.receive(&PlanUpdate {
            node: reply.node,
            ..PlanUpdate::default()
        }) {
            tracing::warn!(%error, "the host's own manifest is not understood");
        }
        environment.link.members_are(&reply.members);
        let incarnation = remembered.incarnation;
        let begun = if makes(Mistake::NothingAdopted) {
            BTreeMap::new()
        } else {
            remembered.begun.clone()
        };
        let now = Instant::now();
        Self {
            hands: Hands {
                drivers: environment.drivers.clone(),
                link: Arc::clone(&environment.link),
                memory: Arc::clone(&environment.memory),
                remembered: Arc::new(Mutex::new(remembered.clone())),
            },
            incarnation,
            plan,
            remembering: Remembering::new(&remembered),
            reconciler: Reconciler::new(&environment.node, incarnation, begun),
            attention: Attention::default(),
            leasing: Leasing::new(
                remembered.boot_id,
                incarnation,
                key,
                &reply.members,
                reply.timing.unwrap_or_default(),
                reply.watchdog_bound,
            ),
            right: Right::Denied("the host has no lease yet".to_owned()),
            host: HostReport::default(),
            facts_wanted: true,
            reporting: Reporting::new(incarnation),
            follow_at: Some(now),
            follow_backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            leaving: Leaving::default(),
            figures_under_way: false,
            end: None,
            jobs: JoinSet::new(),
            looks: JoinSet::new(),
            asks: JoinSet::new(),
            calls: JoinSet::new(),
            environment,
        }
    }

    pub(super) async fn serve(
        mut self,
        stop: &mut watch::Receiver<Stop>,
    ) -> Result<End, DaemonError> {
        let mut watching = Watching::start(&self.environment.drivers);
        let mut questions = self.environment.drivers.replication.questions();
        let mut updates: Option<Updates> = None;
        let mut view = self.environment.lease.view();
        let mut audit = tokio::time::interval(AUDIT);
        let mut figures = tokio::time::interval(FIGURES);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Stop::No;
        self.set_up_lease();
        let end = loop {
            let due = self.due();
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop != heard) => Event::Stop,
                Some(done) = self.jobs.join_next() => {
                    let (job, result) = done.map_err(broken)?;
                    Event::Job(job, result)
                }
                Some(seen) = self.looks.join_next() => Event::Looked(seen.map_err(broken)?),
                Some(call) = self.calls.join_next() => call.map_err(broken)?,
                Some(answered) = self.asks.join_next() => {
                    let (volume, peer) = answered.map_err(broken)?;
                    Event::Answered(volume, peer)
                }
                update = next(&mut updates) => Event::Update(update),
                Some(hinted) = watching.next() => Event::Hint(hinted),
                Some(question) = questions.next() => Event::Question(question),
                Ok(()) = view.changed() => {
                    let view = *view.borrow_and_update();
                    // It is renewed four times a second; what follows from it changes seldom.
                    let same = self.right_by(&view) == self.right
                        && self.report_of(&view) == *self.reporting.host_said();
                    if same && !self.reconciler.waits_for_answer() {
                        continue;
                    }
                    Event::Lease
                }
                _ = audit.tick() => Event::Audit,
                _ = figures.tick(), if self.moving() => Event::Figures,
                () = sleep_until(due) => Event::Due,
            };
            if matches!(event, Event::Stop) {
                heard = *stop.borrow();
                if heard != Stop::HostStops {
                    break End::Stopped;
                }
                if self.leaving.left() {
                    break End::Left;
                }
                tracing::info!("the host shuts down: it asks to be emptied and let go");
                self.leaving.host_stops(Instant::now());
            }
            self.take(event, &mut updates);
            if self.end.is_none() {
                self.turn();
            }
            if let Some(end) = self.end {
                break end;
            }
        };
        self.finish_acts().await;
        watching.end().await;
        Ok(end)
    }

    fn take(&mut self, event: Event, updates: &mut Option<Updates>) {
        let now = Instant::now();
        match event {
            Event::Stop | Event::Lease | Event::Due => {}
            Event::Job(job, result) => {
                if let Err(error) = &result {
                    tracing::info!(
                        record = job.record,
                        act = job.act.verb(),
                        error = error as &dyn Error,
                        "an act did not succeed"
                    );
                }
                self.reconciler.finished(&job, &result, now);
            }
            Event::Looked(observation) => self.reconciler.looked(observation, now),
            Event::Facts(looked) => match *looked {
                Ok(host) => self.host = host,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn Error, "the host cannot be described")
                }
            },
            Event::Followed(Ok(stream)) => *updates = Some(stream),
            Event::Followed(Err(error)) => self.lost_track(&error, now),
            Event::Update(update) => {
                let taken = match update {
                    Some(Ok(update)) => self.updated(&update, now),
                    Some(Err(error)) => {
                        self.lost_track(&error, now);
                        false
                    }
                    None => {
                        let error = LinkError::unreachable("the member ended the connection");
                        self.lost_track(&error, now);
                        false
                    }
                };
                if !taken {
                    *updates = None;
                }
            }
            Event::Remembered(result) => self.remembering.ended(result, now),
            Event::Hint(Some(subsystem)) => self.reconciler.hint(subsystem),
            Event::Hint(None) => self.facts_wanted = true,
            Event::Question(question) => {
                let (volume, peer) = (question.volume.clone(), question.peer.clone());
                tracing::warn!(%volume, %peer, "the storage asks about a lost peer");
                self.reconciler.asks_about(volume, peer);
                let link = Arc::clone(&self.environment.link);
                self.asks
                    .spawn(super::questions::ask(link, self.incarnation, question));
            }
            Event::Answered(volume, peer) => {
                for record in self.reconciler.asks_no_more(&volume, &peer) {
                    self.reporting.doubt(&record);
                }
                self.reconciler.hint(Subsystem::Replication);
            }
            Event::Reported(result) => self.reported(result, now),
            Event::Left(result) => self.left(result, now),
            Event::Figures => self.send_figures(),
            Event::FiguresSent => self.figures_under_way = false,
            Event::Audit => {
                self.facts_wanted = true;
                for subsystem in Subsystem::ALL {
                    self.reconciler.hint(subsystem);
                }
            }
        }
    }

    /// Starts whatever is due now.
    fn turn(&mut self) {
        let now = Instant::now();
        let view = *self.environment.lease.view().borrow();
        self.right = self.right_by(&view);
        let passed = view
            .answered
            .map(|answered| self.environment.boot_clock.now().saturating_sub(answered));
        self.reconciler
            .answered(passed.and_then(|passed| now.checked_sub(passed)));
        if self.attention.look(now) {
            self.reconciler.hint(Subsystem::Guests);
        }
        for due in self.reconciler.looks(now) {
            self.looks
                .spawn(look(self.environment.drivers.clone(), due));
        }
        if self.remember(now) {
            self.act(now);
        }
        if std::mem::take(&mut self.facts_wanted) {
            let environment = self.environment.clone();
            self.calls
                .spawn(async move { Event::Facts(Box::new(HostReport::look(&environment).await)) });
        }
        if self.follow_at.is_some_and(|at| at <= now) {
            self.follow_at = None;
            let link = Arc::clone(&self.environment.link);
            let request = FollowRequest {
                incarnation: self.incarnation,
            };
            self.calls
                .spawn(async move { Event::Followed(link.follow(request).await) });
        }
        self.set_up_lease();
        self.report(&view, now);
        if self.leaving.in_vain(now) {
            tracing::warn!(
                "the cluster does not answer: this host shuts down without having left, and may be fenced"
            );
            self.end = Some(End::Stopped);
        }
        if self.leaving.look(&self.plan, now) {
            tracing::info!("this host is wanted again");
            self.end = Some(End::Anew);
        }
        if self.leaving.ask(&self.plan, self.reporting.silent(), now) {
            let link = Arc::clone(&self.environment.link);
            let request = LeaveRequest {
                incarnation: self.incarnation,
            };
            self.calls
                .spawn(async move { Event::Left(link.leave(request).await) });
        }
    }

    fn due(&self) -> Option<Instant> {
        [
            self.reconciler.wake_at(),
            self.attention.due(),
            self.remembering.due(),
            self.follow_at,
            self.reporting.due(),
            self.leaving.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn act(&mut self, now: Instant) {
        let wall = self.environment.clock.now();
        for job in self.reconciler.next(&self.plan, &self.right, now, wall) {
            tracing::debug!(record = job.record, act = job.act.verb(), "acting");
            let hands = self.hands.clone();
            self.jobs.spawn(async move {
                let result = hands.perform(job.clone()).await;
                (Box::new(job), result)
            });
        }
    }

    fn right_by(&self, view: &LeaseView) -> Right {
        if self.leaving.left() {
            return Right::Denied("this host has left the cluster".to_owned());
        }
        let now = self.environment.boot_clock.now();
        self.leasing.right(&self.plan, view, now)
    }

    /// Takes an update of the plan. False: it was refused, and the plan is followed anew.
    fn updated(&mut self, update: &PlanUpdate, now: Instant) -> bool {
        let accepted = match self.plan.receive(update) {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an update of the plan was refused");
                self.follow_at = Some(now + self.follow_backoff.wait());
                return false;
            }
        };
        self.follow_backoff.reset();
        if !update.members.is_empty() {
            self.environment.link.members_are(&update.members);
        }
        let addresses = self.plan.addresses();
        self.environment.addresses.send_if_modified(|known| {
            let other = *known != addresses;
            *known = addresses;
            other
        });
        self.leasing.updated(update);
        self.reconciler.plan_changed(&self.plan, &accepted);
        self.attention.plan_changed(&self.plan, now);
        true
    }

    fn lost_track(&mut self, error: &LinkError, now: Instant) {
        if self.is_over(error) {
            return;
        }
        tracing::info!(error = error as &dyn Error, "the plan is followed anew");
        self.follow_at = Some(now + self.follow_backoff.wait());
    }

    fn is_over(&mut self, error: &LinkError) -> bool {
        let over = matches!(error, LinkError::IncarnationOver { .. });
        if over {
            tracing::error!(
                error = error as &dyn Error,
                "this host starts nothing more before it is registered again"
            );
            self.end = Some(End::Anew);
        }
        over
    }

    /// Whether everything that the plan rests on is remembered; otherwise that is begun.
    fn remember(&mut self, now: Instant) -> bool {
        if let Some(newest) = self.remembering.next(&self.plan, now) {
            let hands = self.hands.clone();
            self.calls.spawn(async move {
                Event::Remembered(hands.accept(newest.generation, newest.term).await)
            });
        }
        self.remembering.knows(&self.plan)
    }

    fn set_up_lease(&mut self) {
        if let Some(setup) = self.leasing.set_up(&self.environment, &self.plan) {
            self.environment.lease.set_up(setup);
        }
    }

    fn report_of(&self, view: &LeaseView) -> HostReport {
        self.host.clone().complete(
            &self.environment,
            &Around {
                view,
                node: self.plan.node().map(|node| &**node),
                watchdog_bound: self.leasing.watchdog_bound(),
                watchdog_wanted: self.leasing.watchdog_wanted(),
                host_stops: self.leaving.stopping(),
            },
            self.reporting.host_said(),
        )
    }

    fn report(&mut self, view: &LeaseView, now: Instant) {
        if self.leaving.left() {
            return;
        }
        let host = self.report_of(view);
        let acknowledged = self.plan.complete() && self.remembering.knows(&self.plan);
        let generation = acknowledged.then(|| self.plan.generation());
        let records = self.reconciler.answers();
        let number = number(self.environment.boot_clock.now());
        if let Some(request) = self.reporting.next(now, records, &host, generation, number) {
            let link = Arc::clone(&self.environment.link);
            self.calls
                .spawn(async move { Event::Reported(link.report(request).await.map(drop)) });
        }
    }

    fn reported(&mut self, result: Result<(), LinkError>, now: Instant) {
        self.heard(&result, now);
        match result {
            Ok(()) => {
                let records = self.reporting.arrived().map(|report| report.records);
                for (record, status) in records.unwrap_or_default() {
                    self.reconciler.said(&record, status);
                }
            }
            Err(error) => {
                for (record, _) in self.reporting.failed(now) {
                    self.reconciler.unsure(&record);
                }
                if !self.is_over(&error) {
                    tracing::info!(error = &error as &dyn Error, "the report is tried again");
                }
            }
        }
    }

    fn heard(&mut self, result: &Result<(), LinkError>, now: Instant) {
        if !matches!(result, Err(LinkError::Unreachable { .. })) {
            self.leaving.heard(now);
        }
    }

    fn left(&mut self, result: Result<(), LinkError>, now: Instant) {
        self.heard(&result, now);
        match result {
            Ok(()) => {
                tracing::info!("this host has left the cluster in order");
                if self.leaving.granted() {
                    self.end = Some(End::Left);
                }
            }
            Err(error) => {
                self.leaving.refused(now);
                if !self.is_over(&error) {
                    tracing::info!(error = &error as &dyn Error, "this host cannot leave yet");
                }
            }
        }
    }

    fn moving(&self) -> bool {
        let seen = self.reconciler.seen();
        seen.replicas().iter().any(|replica| replica.sync.is_some())
            || seen.guests().iter().any(|guest| guest.migration.is_some())
    }

    fn send_figures(&mut self) {
        self.reconciler.hint(Subsystem::Replication);
        self.reconciler.hint(Subsystem::Guests);
        if std::mem::replace(&mut self.figures_under_way, true) {
            return;
        }
        let request = FiguresRequest {
            incarnation: self.incarnation,
            figures: super::figures::figures(self.reconciler.seen()),
        };
        let link = Arc::clone(&self.environment.link);
        self.calls.spawn(async move {
            if let Err(error) = link.figures(request).await {
                tracing::debug!(error = &error as &dyn Error, "figures were lost");
            }
            Event::FiguresSent
        });
    }

    /// Lets acts that are under way end, so that the next daemon finds as little as possible half done.
    async fn finish_acts(&mut self) {
        let all = async { while self.jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ACTS, all).await.is_err() {
            tracing::info!("acts are still under way; the next daemon goes on with what it finds");
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn broken(error: JoinError) -> DaemonError {
    DaemonError::Broken(error.to_string())
}

async fn next(updates: &mut Option<Updates>) -> Option<Result<PlanUpdate, LinkError>> {
    match updates {
        Some(updates) => updates.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
