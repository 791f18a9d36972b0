use super::backoff::Backoff;
use super::facts::HostReport;
use super::register::Registered;
use super::{DaemonError, Environment, Outcome, Stop};
use crate::drivers::{DriverError, Hint, Question};
use crate::lease::{LeaseView, Rings, Setup, WatchdogPolicy};
use crate::link::{LinkError, Updates};
use crate::plan::Plan;
use crate::reconcile::{Hands, Job, Observation, Reconciler, Right, Subsystem, look};
use futures_util::StreamExt;
use quorate_crds::{Name, Node, NodeMode, NodePlanStatus, WatchdogMode};
use quorate_proto::heartbeat::KEY_LENGTH;
use quorate_proto::host::v1::{
    FiguresRequest, FollowRequest, LeaveRequest, PlanUpdate, RecordReport, ReportRequest, Timing,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// How often everything is looked at although nothing has been heard of it.
const AUDIT: Duration = Duration::from_secs(60);
/// How long changes are gathered before they are reported together.
const GATHER: Duration = Duration::from_millis(20);
/// How often figures are sent while something moves.
const FIGURES: Duration = Duration::from_secs(2);
/// For how long a silent daemon is not yet stuck.
const DAEMON_PATIENCE: Duration = Duration::from_secs(10);
/// How long acts that are under way are awaited before the daemon ends.
const LAST_ACTS: Duration = Duration::from_secs(3);
const DEFAULT_WATCHDOG: Duration = Duration::from_secs(30);

/// What happened.
enum Event {
    Stop,
    Job(Box<Job>, Result<(), DriverError>),
    Looked(Observation),
    Facts(Box<Result<HostReport, DriverError>>),
    Followed(Result<Updates, LinkError>),
    Update(Option<Result<PlanUpdate, LinkError>>),
    Hint(Option<Subsystem>),
    Question(Question),
    Answered(Name, Name),
    Reported(Result<(), LinkError>),
    Left(Result<(), LinkError>),
    Lease,
    Figures,
    Audit,
    Due,
}

/// A report on its way.
struct Report {
    records: Vec<(String, NodePlanStatus)>,
    facts: Option<HostReport>,
    generation: u64,
}

/// One run of a registered daemon.
pub(super) struct Session {
    environment: Environment,
    hands: Hands,
    incarnation: u64,
    key: [u8; KEY_LENGTH],
    boot_id: String,
    members: Vec<Rings>,
    timing: Timing,
    watchdog_bound: bool,
    setup: Option<Setup>,
    plan: Plan,
    reconciler: Reconciler,
    right: Right,
    over: Option<String>,
    host: HostReport,
    host_said: HostReport,
    facts_wanted: bool,
    generation_said: u64,
    reporting: Option<Report>,
    report_at: Option<Instant>,
    report_backoff: Backoff,
    follow_at: Option<Instant>,
    follow_backoff: Backoff,
    leaving: bool,
    leave_at: Option<Instant>,
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
            node: reply.node.clone(),
            ..PlanUpdate::default()
        }) {
            tracing::warn!(%error, "the host's own manifest is not understood");
        }
        environment.link.members_are(&reply.members);
        let reconciler = Reconciler::new(
            &environment.node,
            remembered.incarnation,
            remembered.begun.clone(),
        );
        let hands = Hands {
            drivers: environment.drivers.clone(),
            link: Arc::clone(&environment.link),
            memory: Arc::clone(&environment.memory),
            remembered: Arc::new(Mutex::new(remembered.clone())),
        };
        Self {
            hands,
            incarnation: remembered.incarnation,
            key,
            boot_id: remembered.boot_id,
            members: reply
                .members
                .into_iter()
                .map(|member| member.addresses)
                .collect(),
            timing: reply.timing.unwrap_or_default(),
            watchdog_bound: reply.watchdog_bound,
            setup: None,
            plan,
            reconciler,
            right: Right::Denied("the host has no lease yet".to_owned()),
            over: None,
            host: HostReport::default(),
            host_said: HostReport::default(),
            facts_wanted: true,
            generation_said: 0,
            reporting: None,
            report_at: None,
            report_backoff: Backoff::new(Duration::from_millis(250), Duration::from_secs(5)),
            follow_at: Some(Instant::now()),
            follow_backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
            leaving: false,
            leave_at: None,
            jobs: JoinSet::new(),
            looks: JoinSet::new(),
            asks: JoinSet::new(),
            calls: JoinSet::new(),
            environment,
        }
    }

    pub(super) async fn serve(
        mut self,
        mut stop: watch::Receiver<Stop>,
    ) -> Result<Outcome, DaemonError> {
        let (hint, mut hints) = mpsc::channel(256);
        let mut watchers = self.watch(&hint);
        let mut questions = self.environment.drivers.replication.questions();
        let mut updates: Option<Updates> = None;
        let mut view = self.environment.lease.view();
        let interval = Duration::from_millis(u64::from(self.timing.heartbeat_interval_ms.max(50)));
        let mut alive = tokio::time::interval(interval);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut audit = tokio::time::interval(AUDIT);
        let mut figures = tokio::time::interval(FIGURES);
        figures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.set_up_lease();
        loop {
            let due = self.due();
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop != Stop::No), if !self.leaving => Event::Stop,
                _ = alive.tick() => {
                    self.environment.lease.alive();
                    continue;
                }
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
                Some(hinted) = hints.recv() => Event::Hint(hinted),
                Some(question) = questions.next() => Event::Question(question),
                Ok(()) = view.changed() => {
                    let view = *view.borrow_and_update();
                    if self.right_by(&view) == self.right && !self.watchdog_changed(&view) {
                        continue;
                    }
                    Event::Lease
                }
                _ = audit.tick() => Event::Audit,
                _ = figures.tick() => {
                    if !self.moving() {
                        continue;
                    }
                    Event::Figures
                }
                () = sleep_until(due) => Event::Due,
            };
            if let Event::Stop = event {
                if *stop.borrow() == Stop::HostStops && self.begin_leaving() {
                    continue;
                }
                self.finish_acts().await;
                watchers.shutdown().await;
                self.environment.lease.closing();
                return Ok(Outcome::Stopped);
            }
            if let Some(outcome) = self.take(event, &mut updates) {
                return Ok(outcome);
            }
            self.turn();
        }
    }

    fn take(&mut self, event: Event, updates: &mut Option<Updates>) -> Option<Outcome> {
        let now = Instant::now();
        match event {
            Event::Stop | Event::Lease | Event::Due => {}
            Event::Job(job, result) => {
                if let Err(error) = &result {
                    tracing::info!(
                        record = job.record,
                        act = job.act.verb(),
                        error = error as &dyn std::error::Error,
                        "an act did not succeed"
                    );
                }
                self.reconciler.finished(&job, &result, now);
            }
            Event::Looked(observation) => self.reconciler.looked(observation, now),
            Event::Facts(looked) => match *looked {
                Ok(host) => self.host = host,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the host cannot be described"
                ),
            },
            Event::Followed(Ok(stream)) => *updates = Some(stream),
            Event::Followed(Err(error)) => self.lost_track(&error),
            Event::Update(Some(Ok(update))) => {
                if !self.updated(&update) {
                    *updates = None;
                }
            }
            Event::Update(Some(Err(error))) => {
                *updates = None;
                self.lost_track(&error);
            }
            Event::Update(None) => {
                *updates = None;
                self.lost_track(&LinkError::unreachable("the member ended the connection"));
            }
            Event::Hint(Some(subsystem)) => self.reconciler.hint(subsystem),
            Event::Hint(None) => self.facts_wanted = true,
            Event::Question(question) => {
                tracing::warn!(volume = %question.volume, peer = %question.peer, "the storage asks about a lost peer");
                self.reconciler
                    .asks_about(question.volume.clone(), question.peer.clone(), true);
                let link = Arc::clone(&self.environment.link);
                self.asks
                    .spawn(super::questions::ask(link, self.incarnation, question));
            }
            Event::Answered(volume, peer) => {
                self.reconciler.asks_about(volume, peer, false);
                self.reconciler.hint(Subsystem::Replication);
            }
            Event::Reported(result) => self.reported(result, now),
            Event::Left(Ok(())) => {
                tracing::info!("this host has left the cluster in order");
                return Some(Outcome::Left);
            }
            Event::Left(Err(error)) => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "this host cannot leave yet"
                );
                self.leave_at = Some(now + Duration::from_secs(1));
            }
            Event::Figures => self.send_figures(),
            Event::Audit => {
                self.facts_wanted = true;
                for subsystem in Subsystem::ALL {
                    self.reconciler.hint(subsystem);
                }
            }
        }
        None
    }

    /// Starts whatever is due now.
    fn turn(&mut self) {
        let now = Instant::now();
        let view = *self.environment.lease.view().borrow();
        self.right = self.right_by(&view);
        for subsystem in self.reconciler.looks(now) {
            self.looks
                .spawn(look(self.environment.drivers.clone(), subsystem));
        }
        let wall = self.environment.clock.now();
        for job in self.reconciler.next(&self.plan, &self.right, now, wall) {
            tracing::debug!(record = job.record, act = job.act.verb(), "acting");
            let hands = self.hands.clone();
            self.jobs.spawn(async move {
                let result = hands.perform(job.clone()).await;
                (Box::new(job), result)
            });
        }
        if std::mem::take(&mut self.facts_wanted) {
            let environment = self.environment.clone();
            self.calls
                .spawn(async move { Event::Facts(Box::new(HostReport::look(&environment).await)) });
        }
        if self.follow_at.is_some_and(|at| at <= now) && self.over.is_none() {
            self.follow_at = None;
            let link = Arc::clone(&self.environment.link);
            let request = FollowRequest {
                incarnation: self.incarnation,
            };
            self.calls
                .spawn(async move { Event::Followed(link.follow(request).await) });
        }
        self.set_up_lease();
        self.report(now);
        self.leave(now);
    }

    fn due(&self) -> Option<Instant> {
        let report = self.report_at.filter(|_| self.reporting.is_none());
        [
            self.reconciler.wake_at(),
            self.follow_at,
            report,
            self.leave_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn right_by(&self, view: &LeaseView) -> Right {
        let denied = |why: &str| Right::Denied(why.to_owned());
        if let Some(why) = &self.over {
            return denied(why);
        }
        if !view.fresh(self.environment.boot_clock.now()) {
            return denied("the host has no fresh lease, so it starts nothing; what runs, runs on");
        }
        if !self.plan.valid_from(view.lowest_valid_generation) {
            return denied("the leader knows of a newer plan than this host has");
        }
        if self.watchdog_bound
            && !view.watchdog_armed
            && self
                .setup
                .as_ref()
                .is_some_and(|setup| setup.watchdog.armed)
        {
            return denied("the watchdog that makes this host safe is not armed yet");
        }
        Right::Granted
    }

    fn watchdog_changed(&self, view: &LeaseView) -> bool {
        self.host_said
            != self.host.clone().complete(
                &self.environment,
                self.watchdog_bound,
                view.watchdog_armed,
                &self.host_said,
            )
    }

    /// Takes an update of the plan. False: it was refused, and the plan is followed anew.
    fn updated(&mut self, update: &PlanUpdate) -> bool {
        let accepted = match self.plan.receive(update) {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an update of the plan was refused");
                self.follow_at = Some(Instant::now() + self.follow_backoff.wait());
                return false;
            }
        };
        self.follow_backoff.reset();
        if !update.members.is_empty() {
            self.environment.link.members_are(&update.members);
            self.members = update
                .members
                .iter()
                .map(|member| member.addresses.clone())
                .collect();
        }
        if let Some(timing) = &update.timing {
            self.timing = *timing;
        }
        if let Some(bound) = update.watchdog_bound {
            self.watchdog_bound = bound;
        }
        self.reconciler.plan_changed(&self.plan, &accepted);
        true
    }

    fn lost_track(&mut self, error: &LinkError) {
        if let LinkError::IncarnationOver { message } = error {
            self.end_incarnation(message);
            return;
        }
        tracing::info!(
            error = error as &dyn std::error::Error,
            "the plan is followed anew"
        );
        self.follow_at = Some(Instant::now() + self.follow_backoff.wait());
    }

    fn end_incarnation(&mut self, message: &str) {
        tracing::error!(
            message,
            "this host starts nothing more before it has booted again"
        );
        self.over = Some(format!(
            "this host must boot again before it may start anything: {message}"
        ));
    }

    fn protects(&self) -> bool {
        self.plan.records().values().any(|record| {
            let guest = record.assignment.guest.is_some() && record.assignment.active;
            guest
                && self
                    .plan
                    .guest(record.assignment.object.name.as_str())
                    .is_none_or(|guest| guest.spec.protected)
        })
    }

    fn set_up_lease(&mut self) {
        let spec = self.plan.node().map(|node| &node.spec.watchdog);
        let enabled = spec.is_none_or(|watchdog| watchdog.mode != WatchdogMode::Disabled);
        let milliseconds = |ms: u32| Duration::from_millis(u64::from(ms));
        let setup = Setup {
            boot_id: self.boot_id.clone(),
            node: self.environment.node.clone(),
            incarnation: self.incarnation,
            key: self.key,
            members: self.members.clone(),
            interval: milliseconds(self.timing.heartbeat_interval_ms.max(10)),
            daemon_patience: DAEMON_PATIENCE,
            restart_grace: milliseconds(self.timing.restart_grace_ms),
            watchdog: WatchdogPolicy {
                armed: enabled && self.environment.watchdog.is_some() && self.protects(),
                bound_to_lease: self.watchdog_bound,
                timeout: spec
                    .and_then(|watchdog| watchdog.timeout.parse().ok())
                    .unwrap_or(DEFAULT_WATCHDOG),
            },
        };
        if self.setup.as_ref() != Some(&setup) {
            self.environment.lease.set_up(&setup);
            self.setup = Some(setup);
        }
    }

    fn report(&mut self, now: Instant) {
        if self.reporting.is_some() || self.over.is_some() {
            return;
        }
        let wanted = self
            .setup
            .as_ref()
            .is_some_and(|setup| setup.watchdog.armed);
        let host = self.host.clone().complete(
            &self.environment,
            self.watchdog_bound,
            wanted,
            &self.host_said,
        );
        let records = self.reconciler.answers();
        let generation = if self.plan.complete() {
            self.plan.generation()
        } else {
            self.generation_said
        };
        if records.is_empty() && host == self.host_said && generation == self.generation_said {
            self.report_at = None;
            return;
        }
        match self.report_at {
            None => {
                self.report_at = Some(now + GATHER);
                return;
            }
            Some(at) if at > now => return,
            Some(_) => {}
        }
        let facts = (host != self.host_said).then_some(host);
        let request = ReportRequest {
            incarnation: self.incarnation,
            records: records
                .iter()
                .map(|(record, status)| RecordReport {
                    record: record.clone(),
                    status: serde_json::to_vec(status).unwrap_or_default().into(),
                })
                .collect(),
            facts: facts
                .as_ref()
                .map(|facts| facts.json().into())
                .unwrap_or_default(),
            accepted_plan_generation: generation,
        };
        self.reporting = Some(Report {
            records,
            facts,
            generation,
        });
        let (link, hands) = (Arc::clone(&self.environment.link), self.hands.clone());
        let (generation, term) = (self.plan.generation(), self.plan.term());
        self.calls.spawn(async move {
            // What is acknowledged is remembered first, so that a daemon that is killed now never takes an older one.
            if let Err(error) = hands.accept(generation, term).await {
                return Event::Reported(Err(LinkError::Unreachable {
                    message: "this host cannot remember its plan, so it does not acknowledge it"
                        .to_owned(),
                    source: Some(Box::new(error)),
                }));
            }
            Event::Reported(link.report(request).await.map(|_| ()))
        });
    }

    fn reported(&mut self, result: Result<(), LinkError>, now: Instant) {
        let Some(report) = self.reporting.take() else {
            return;
        };
        match result {
            Ok(()) => {
                self.report_backoff.reset();
                self.report_at = None;
                for (record, status) in report.records {
                    self.reconciler.said(&record, status);
                }
                if let Some(facts) = report.facts {
                    self.host_said = facts;
                }
                self.generation_said = report.generation;
            }
            Err(LinkError::IncarnationOver { message }) => self.end_incarnation(&message),
            Err(error) => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "the report is tried again"
                );
                self.report_at = Some(now + self.report_backoff.wait());
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
        let request = FiguresRequest {
            incarnation: self.incarnation,
            figures: super::figures::figures(self.reconciler.seen()),
        };
        let link = Arc::clone(&self.environment.link);
        // Figures may be lost.
        tokio::spawn(async move { link.figures(request).await });
    }

    fn begin_leaving(&mut self) -> bool {
        if self
            .plan
            .records()
            .values()
            .any(|record| record.assignment.active)
        {
            tracing::warn!(
                "the host stops while the plan still has work for it; it does not leave, and may be fenced"
            );
            return false;
        }
        self.leaving = true;
        self.leave_at = Some(Instant::now());
        true
    }

    /// A withdrawn host leaves as soon as it holds nothing.
    fn leave(&mut self, now: Instant) {
        let withdrawn = |node: &Arc<Node>| node.spec.mode == NodeMode::Withdrawn;
        if !self.leaving && self.plan.complete() && self.plan.node().is_some_and(withdrawn) {
            let held = self
                .plan
                .records()
                .values()
                .any(|record| record.assignment.active);
            self.leaving = !held;
            self.leave_at = (!held).then_some(now);
        }
        let nothing_to_say = self.reporting.is_none() && self.report_at.is_none();
        if self.leaving && nothing_to_say && self.leave_at.is_some_and(|at| at <= now) {
            self.leave_at = None;
            let link = Arc::clone(&self.environment.link);
            let request = LeaveRequest {
                incarnation: self.incarnation,
            };
            self.calls
                .spawn(async move { Event::Left(link.leave(request).await) });
        }
    }

    /// Lets acts that are under way end, so that the next daemon finds as little as possible half done.
    async fn finish_acts(&mut self) {
        let all = async { while self.jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ACTS, all).await.is_err() {
            tracing::info!("acts are still under way; the next daemon goes on with what it finds");
        }
    }

    fn watch(&self, hint: &mpsc::Sender<Option<Subsystem>>) -> JoinSet<()> {
        let drivers = self.environment.drivers.clone();
        let mut watchers = JoinSet::new();
        for subsystem in Subsystem::ALL.map(Some).into_iter().chain([None]) {
            let (drivers, hint) = (drivers.clone(), hint.clone());
            watchers.spawn(async move {
                loop {
                    let mut hints = match subsystem {
                        Some(Subsystem::Networks) => drivers.networks.watch(),
                        Some(Subsystem::Pools) => drivers.pools.watch(),
                        Some(Subsystem::Replication) => drivers.replication.watch(),
                        Some(Subsystem::Filesystems) => drivers.filesystems.watch(),
                        Some(Subsystem::Lockspaces) => drivers.lockspaces.watch(),
                        Some(Subsystem::Guests) => drivers.guests.watch(),
                        None => drivers.facts.watch(),
                    };
                    while let Some(Hint::Anything | Hint::Object(_)) = hints.next().await {
                        if hint.send(subsystem).await.is_err() {
                            return;
                        }
                    }
                    // The subsystem went away. What happens until it is back is found by the audit.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if hint.send(subsystem).await.is_err() {
                        return;
                    }
                }
            });
        }
        watchers
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
