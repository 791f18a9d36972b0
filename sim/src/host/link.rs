//! The hosts' protocol over the simulated wire, to the members' own desks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use prost::Message;
use quorate_controller::hosts::{DeskError, HostDesk};
use quorate_crds::SecretKey;
use quorate_node_daemon::{
    drivers::SecretValue,
    link::{Answer, ClusterLink, LinkError, Updates},
};
use quorate_proto::host::v1::{
    FiguresRequest, FollowRequest, LeaveRequest, MemberAddress, PeerAnswer, PeerQuestion,
    PlanUpdate, RegisterReply, RegisterRequest, ReportReply, ReportRequest,
};

use crate::{
    digest,
    executor::{Broken, PipeStart, ProcessId, Wire},
    registry::Registry,
};

/// The desks of the members that run, by their processes.
pub(crate) type Desks = Registry<HostDesk>;

/// How long an old plan is all that a host gets.
const HELD_UP: Duration = Duration::from_secs(5);

/// The whole plans that hosts were given last, and the old ones that they will be given once more.
#[derive(Clone, Default)]
pub(crate) struct OldPlans {
    given: Registry<PlanUpdate>,
    again: Registry<PlanUpdate>,
}

impl OldPlans {
    /// The host is given its present plan once more, before anything else, when it asks for its plan again.
    pub(crate) fn keep(&self, host: &str) {
        if let Some(given) = self.given.get(host) {
            self.again.set(host, given);
        }
    }

    fn take(&self, host: &str) -> Option<PlanUpdate> {
        let old = self.again.get(host);
        self.again.remove(host);
        old
    }
}

/// How long a member may take for an answer before another is asked.
const PATIENCE: Duration = Duration::from_secs(3);
/// A question about a peer waits for a decision.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// One host's way to the cluster.
#[derive(Clone)]
pub(crate) struct WireLink {
    host: String,
    process: ProcessId,
    wire: Wire,
    desks: Desks,
    /// The members that are asked, the last that answered first.
    members: Arc<Mutex<Vec<ProcessId>>>,
    old_plans: OldPlans,
}

impl WireLink {
    pub(crate) fn new(
        host: &str,
        wire: Wire,
        desks: Desks,
        members: Vec<ProcessId>,
        old_plans: OldPlans,
    ) -> Self {
        Self {
            host: host.to_owned(),
            process: format!("quorate-node@{host}"),
            wire,
            desks,
            members: Arc::new(Mutex::new(members)),
            old_plans,
        }
    }

    fn members(&self) -> MutexGuard<'_, Vec<ProcessId>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prefer(&self, member: &str) {
        let mut members = self.members();
        if let Some(at) = members.iter().position(|known| known == member) {
            let found = members.remove(at);
            members.insert(0, found);
        }
    }

    /// Asks one member after the other until one answers for the cluster.
    async fn ask<T, F>(
        &self,
        label: &'static str,
        content: u64,
        patience: Duration,
        work: F,
    ) -> Result<T, LinkError>
    where
        T: Send + 'static,
        F: Fn(ProcessId, HostDesk, String) -> BoxFuture<'static, Result<T, DeskError>>
            + Clone
            + Send
            + 'static,
    {
        let mut untried = self.members().clone();
        let mut trouble = "no member is known".to_owned();
        while !untried.is_empty() {
            let member = untried.remove(0);
            let (work, desks, host) = (work.clone(), self.desks.clone(), self.host.clone());
            let there = member.clone();
            let handle = move || {
                async move {
                    let desk = desks.get(&there)?;
                    Some(work(there, desk, host).await)
                }
                .boxed()
            };
            let asked = self
                .wire
                .ask(&self.process, &member, label, content, handle);
            let answer = match tokio::time::timeout(patience, asked).await {
                Err(_) => Err("no answer in time".to_owned()),
                Ok(Err(broken)) => Err(broken.to_string()),
                Ok(Ok(None)) => Err("it does not listen yet".to_owned()),
                Ok(Ok(Some(answer))) => Ok(answer),
            };
            match answer {
                Ok(Ok(reply)) => {
                    self.prefer(&member);
                    return Ok(reply);
                }
                Ok(Err(DeskError::NotLeader { leader })) => {
                    trouble = format!("{member} does not lead");
                    let leader = leader.map(|leader| format!("quorated@{}", leader.name));
                    if let Some(at) = untried
                        .iter()
                        .position(|known| Some(known) == leader.as_ref())
                    {
                        let first = untried.remove(at);
                        untried.insert(0, first);
                    }
                }
                Ok(Err(DeskError::Refused { reason, retry })) => {
                    return Err(if retry {
                        LinkError::NotNow { message: reason }
                    } else {
                        LinkError::Refused { message: reason }
                    });
                }
                Ok(Err(DeskError::IncarnationOver { reason })) => {
                    return Err(LinkError::IncarnationOver { message: reason });
                }
                Ok(Err(error @ DeskError::Unavailable(_))) => trouble = error.to_string(),
                Err(reason) => trouble = reason,
            }
        }
        Err(LinkError::unreachable(trouble))
    }
}

/// Passes updates on until either side is gone; then the desk learns that the host closed its connection.
async fn pass_on(
    desk: HostDesk,
    host: String,
    mut updates: quorate_controller::hosts::Updates,
    to: PipeStart<Result<PlanUpdate, String>>,
) {
    loop {
        let update = tokio::select! {
            biased;
            () = to.closed() => break,
            update = updates.next() => update,
        };
        let Some(update) = update else { break };
        let content = update.as_ref().map_or(0, |u| digest(&u.encode_to_vec()));
        if !to.send(update.map_err(|error| error.to_string()), content) {
            break;
        }
    }
    desk.connection_closed(&host);
}

fn lost(broken: Broken) -> LinkError {
    LinkError::unreachable(broken.to_string())
}

impl ClusterLink for WireLink {
    fn register(&self, request: RegisterRequest) -> Answer<'_, RegisterReply> {
        let content = digest(&request.encode_to_vec());
        self.ask("register", content, PATIENCE, move |_, desk, host| {
            let request = request.clone();
            async move { desk.register(&host, request).await }.boxed()
        })
        .boxed()
    }

    fn follow(&self, request: FollowRequest) -> Answer<'_, Updates> {
        async move {
            let (wire, process) = (self.wire.clone(), self.process.clone());
            let opened = self
                .ask(
                    "follow",
                    request.incarnation,
                    PATIENCE,
                    move |member, desk, host| {
                        let (wire, process) = (wire.clone(), process.clone());
                        async move {
                            let updates = desk.follow(&host, request).await?;
                            let unavailable =
                                |broken: Broken| DeskError::Unavailable(broken.into());
                            let (start, end) =
                                wire.pipe(&member, &process, "plan").map_err(unavailable)?;
                            tokio::spawn(pass_on(desk, host, updates, start));
                            Ok(end)
                        }
                        .boxed()
                    },
                )
                .await?;
            let (host, plans) = (self.host.clone(), self.old_plans.clone());
            let updates = opened.enumerate().map(move |(place, update)| match update {
                Ok(Ok(update)) => {
                    // A stream begins with the whole plan.
                    if place == 0 {
                        plans.given.set(&host, update.clone());
                    }
                    Ok(update)
                }
                Ok(Err(error)) => Err(LinkError::unreachable(error)),
                Err(broken) => Err(lost(broken)),
            });
            let Some(old) = self.old_plans.take(&self.host) else {
                return Ok(updates.boxed());
            };
            let held_up = stream::once(tokio::time::sleep(HELD_UP)).filter_map(async |()| None);
            let first = stream::iter([Ok(old)]).chain(held_up);
            Ok(first.chain(updates).boxed())
        }
        .boxed()
    }

    fn report(&self, request: ReportRequest) -> Answer<'_, ReportReply> {
        let content = digest(&request.encode_to_vec());
        self.ask("report", content, PATIENCE, move |_, desk, host| {
            let request = request.clone();
            async move { desk.report(&host, request).await }.boxed()
        })
        .boxed()
    }

    fn figures(&self, request: FiguresRequest) -> Answer<'_, ()> {
        self.ask("figures", 0, PATIENCE, move |_, desk, host| {
            let request = request.clone();
            async move { desk.figures(&host, request).map(drop) }.boxed()
        })
        .boxed()
    }

    fn leave(&self, request: LeaveRequest) -> Answer<'_, ()> {
        self.ask(
            "leave",
            request.incarnation,
            PATIENCE,
            move |_, desk, host| async move { desk.leave(&host, request).await.map(drop) }.boxed(),
        )
        .boxed()
    }

    fn ask_about_peer(&self, question: PeerQuestion) -> Answer<'_, PeerAnswer> {
        let content = digest(&question.encode_to_vec());
        self.ask(
            "fence-peer",
            content,
            LONG_PATIENCE,
            move |_, desk, host| {
                let question = question.clone();
                async move { desk.ask_about_peer(&host, question).await }.boxed()
            },
        )
        .boxed()
    }

    fn secret(&self, _key: SecretKey) -> Answer<'_, SecretValue> {
        let message = "simulated clusters have no secrets".to_owned();
        async move { Err(LinkError::Refused { message }) }.boxed()
    }

    fn members_are(&self, members: &[MemberAddress]) {
        let named: BTreeMap<ProcessId, ()> = members
            .iter()
            .map(|member| (format!("quorated@{}", member.name), ()))
            .collect();
        let mut known = self.members();
        known.retain(|member| named.contains_key(member));
        for member in named.into_keys() {
            if !known.contains(&member) {
                known.push(member);
            }
        }
    }
}
