use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::{NodePlanStatus, SecretKey};
use quorate_node_daemon::drivers::SecretValue;
use quorate_node_daemon::link::{Answer, ClusterLink, LinkError, Updates, Visit, Visits};
use quorate_proto::host::v1::{
    FiguresRequest, FollowRequest, LeaveRequest, MemberAddress, PeerAnswer, PeerQuestion,
    PlanUpdate, RegisterReply, RegisterRequest, ReportReply, ReportRequest,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;

/// A cluster that believes what it is told, and sends the plan that a story gives it.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) incarnation: u64,
    boot_id: String,
    pub(crate) registrations: u64,
    /// So many registrations take effect, and their answers are lost.
    pub(crate) lose_answers: u64,
    /// Refuses to let hosts go.
    pub(crate) holds: bool,
    pub(crate) left: u64,
    /// Nobody answers.
    pub(crate) away: bool,
    /// Every call answers that the incarnation is over.
    pub(crate) over: bool,
    plan: PlanUpdate,
    followers: Vec<mpsc::UnboundedSender<Result<PlanUpdate, LinkError>>>,
    pub(crate) said: BTreeMap<String, NodePlanStatus>,
    pub(crate) facts: Value,
    pub(crate) acknowledged: u64,
    pub(crate) reports: u64,
    /// The number of the last one.
    number: u64,
    /// Where somebody comes in, when a daemon waits there.
    door: Option<mpsc::UnboundedSender<Visit>>,
}

impl Cluster {
    /// Somebody comes to this host.
    pub(crate) fn comes(&self, visit: Visit) {
        let state = self.state();
        let door = state.door.as_ref().expect("a daemon waits");
        door.send(visit).expect("it still does");
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no story panics while it holds this")
    }

    /// From now on that is the plan.
    pub(crate) fn plan(&self, plan: PlanUpdate) {
        let mut state = self.state();
        state.plan = plan.clone();
        state
            .followers
            .retain(|follower| follower.send(Ok(plan.clone())).is_ok());
    }

    /// Sends a plan that is not the newest, as a member that lags would.
    pub(crate) fn lag(&self, plan: &PlanUpdate) {
        for follower in &self.state().followers {
            let _ = follower.send(Ok(plan.clone()));
        }
    }

    pub(crate) fn converged(&self, record: &str) -> bool {
        self.condition(record, "Converged") == Some("AsPlanned".to_owned())
    }

    pub(crate) fn condition(&self, record: &str, type_: &str) -> Option<String> {
        let state = self.state();
        let conditions = &state.said.get(record)?.conditions;
        let condition = conditions.iter().find(|it| it.type_ == type_)?;
        Some(condition.reason.clone())
    }

    pub(crate) fn host_condition(&self, type_: &str) -> Option<String> {
        let state = self.state();
        let conditions = state.facts["conditions"].as_array()?;
        let condition = conditions.iter().find(|it| it["type"] == type_)?;
        condition["reason"].as_str().map(str::to_owned)
    }
}

fn over() -> LinkError {
    LinkError::IncarnationOver {
        message: "it was confirmed off".to_owned(),
    }
}

impl ClusterLink for Cluster {
    fn register(&self, request: RegisterRequest) -> Answer<'_, RegisterReply> {
        let mut state = self.state();
        state.registrations += 1;
        let known = state.boot_id == request.boot_id && state.incarnation > 0;
        if state.over && known {
            return Box::pin(async { Err(over()) });
        }
        if !known || state.left > 0 {
            state.incarnation += 1;
            state.left = 0;
            state.boot_id.clone_from(&request.boot_id);
        }
        if state.lose_answers > 0 {
            state.lose_answers -= 1;
            return Box::pin(async { Err(LinkError::unreachable("the answer was lost")) });
        }
        let reply = RegisterReply {
            incarnation: state.incarnation,
            heartbeat_key: vec![7; 32].into(),
            ..RegisterReply::default()
        };
        Box::pin(async move { Ok(reply) })
    }

    fn follow(&self, _request: FollowRequest) -> Answer<'_, Updates> {
        let mut state = self.state();
        if state.over {
            return Box::pin(async { Err(over()) });
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(Ok(state.plan.clone())).expect("it is open");
        state.followers.push(sender);
        let updates = stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        Box::pin(async move { Ok(updates.boxed()) })
    }

    fn report(&self, request: ReportRequest) -> Answer<'_, ReportReply> {
        let mut state = self.state();
        if state.away {
            return Box::pin(async { Err(LinkError::unreachable("nobody answers")) });
        }
        if state.over {
            return Box::pin(async { Err(over()) });
        }
        state.reports += 1;
        assert!(
            request.number > state.number,
            "report {} came after {}",
            request.number,
            state.number
        );
        state.number = request.number;
        for record in request.records {
            let status = serde_json::from_slice(&record.status).expect("a status");
            state.said.insert(record.record, status);
        }
        if !request.facts.is_empty() {
            state.facts = serde_json::from_slice(&request.facts).expect("facts");
        }
        state.acknowledged = request.accepted_plan_generation;
        Box::pin(async { Ok(ReportReply::default()) })
    }

    fn figures(&self, _request: FiguresRequest) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn leave(&self, _request: LeaveRequest) -> Answer<'_, ()> {
        let mut state = self.state();
        if state.away {
            return Box::pin(async { Err(LinkError::unreachable("nobody answers")) });
        }
        if state.holds {
            let message = "it still holds VirtualMachine/web".to_owned();
            return Box::pin(async { Err(LinkError::NotNow { message }) });
        }
        state.left += 1;
        Box::pin(async { Ok(()) })
    }

    fn ask_about_peer(&self, _question: PeerQuestion) -> Answer<'_, PeerAnswer> {
        Box::pin(async { Ok(PeerAnswer::default()) })
    }

    fn secret(&self, key: SecretKey) -> Answer<'_, SecretValue> {
        let message = format!("there is no secret {}", key.secret);
        Box::pin(async { Err(LinkError::Refused { message }) })
    }

    fn visits(&self) -> Visits {
        let (door, visits) = mpsc::unbounded_channel();
        self.state().door = Some(door);
        stream::unfold(visits, |mut visits| async move {
            Some((visits.recv().await?, visits))
        })
        .boxed()
    }

    fn members_are(&self, _members: &[MemberAddress]) {}
}
