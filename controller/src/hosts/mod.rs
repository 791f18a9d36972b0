//! What the cluster answers its hosts.
//!
//! The logic knows no transport: the product puts gRPC before it, a simulation calls it. Who asks was found out before,
//! from the host's certificate. Everything but [`HostDesk::follow`] is answered by the leader alone, under its own term,
//! so that no host is ever answered by two.

mod addresses;
mod error;
mod facts;
mod figures;
mod follow;
mod leave;
mod peer;
mod register;
mod report;
mod service;
mod traces;
mod watchdog;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_crds::{KindInfo, NodeStatus};
use quorate_proto::host::v1::{FiguresReply, FiguresRequest, MemberAddress, Timing};
use quorate_store::{Condition, Outcome, Revision, Store, View};
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use addresses::addresses_of;
pub use error::DeskError;
pub use figures::CurrentFigure;
use figures::Figures;
pub(crate) use leave::held_by;

pub use follow::Updates;
pub(crate) use register::event;
pub use service::HostsService;
pub(crate) use service::calling_host;

use crate::{
    detector::{Settings, SharedDetector},
    resource::{Draft, Engine, find_kind},
};

/// How often what others overtook is worked out anew before the host is asked to come again.
const ATTEMPTS: usize = 16;

/// Answers hosts. Cheap to clone.
#[derive(Clone)]
pub struct HostDesk {
    engine: Engine,
    detector: SharedDetector,
    figures: Arc<Mutex<Figures>>,
}

impl HostDesk {
    /// A desk of the member whose store is below `engine`.
    pub fn new(engine: Engine, detector: SharedDetector) -> Self {
        Self {
            engine,
            detector,
            figures: Arc::default(),
        }
    }

    /// Takes figures; they are gone a minute later.
    pub fn figures(&self, node: &str, request: FiguresRequest) -> Result<FiguresReply, DeskError> {
        self.term()?;
        self.figures_now().take(node, request, Instant::now());
        Ok(FiguresReply {})
    }

    /// All figures that are fresh. Only the leader has any.
    pub fn current_figures(&self) -> Vec<CurrentFigure> {
        self.figures_now().fresh(Instant::now())
    }

    /// A host's connection was closed by its kernel, which therefore lives: the restart grace begins.
    pub fn connection_closed(&self, node: &str) {
        self.detector.closed(node);
    }

    fn figures_now(&self) -> MutexGuard<'_, Figures> {
        // A list of figures cannot be left half-changed.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> &Store {
        self.engine.store()
    }

    /// The term in which this member leads.
    fn term(&self) -> Result<u64, DeskError> {
        let leadership = *self.store().leadership().borrow();
        if leadership.is_self {
            return Ok(leadership.term);
        }
        let leader = leadership.leader;
        Err(DeskError::NotLeader {
            leader: members(self.store())
                .into_iter()
                .find(|member| Some(member.id) == leader),
        })
    }

    async fn fresh_view(&self) -> Result<View, DeskError> {
        self.store().barrier().await?;
        Ok(self.store().view())
    }

    /// Commits a draft under this leader's term. None when others changed meanwhile what it rests on.
    async fn commit(&self, term: u64, mut draft: Draft<'_>) -> Result<Option<Revision>, DeskError> {
        let revision = draft.view().revision();
        if draft.is_empty() {
            return Ok(Some(revision));
        }
        draft.require(Condition::Term(term));
        let Some(transaction) = draft.finish() else {
            return Ok(Some(revision));
        };
        Ok(match self.store().propose(transaction).await? {
            Outcome::Committed { revision, .. } => Some(revision),
            Outcome::Refused(_) => None,
        })
    }
}

/// The answer when others were faster again and again.
fn overtaken() -> DeskError {
    DeskError::not_now("what this rests on changes all the time; ask again")
}

fn kind(name: &str) -> Result<&'static KindInfo, DeskError> {
    Ok(find_kind(name)?)
}

/// The status of a Node; an unreadable one is as none.
fn node_status(node: &Value) -> NodeStatus {
    node.get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default()
}

/// An object as of `view`, if it is there and readable.
fn find<T: serde::de::DeserializeOwned>(view: &View, kind_name: &str, name: &str) -> Option<T> {
    let kind = find_kind(kind_name).ok()?;
    let stored = view.get(&Engine::key(kind, name))?;
    serde_json::from_slice(&stored.value).ok()
}

/// Refuses what another boot of the host than the present one asks for.
fn check_incarnation(node: &str, status: &NodeStatus, incarnation: u64) -> Result<(), DeskError> {
    let over = |reason| Err(DeskError::IncarnationOver { reason });
    match status.incarnation {
        Some(present) if present == incarnation => {}
        Some(present) => {
            return over(format!(
                "host {node} asks as incarnation {incarnation}, and {present} is the present one; register again"
            ));
        }
        None => {
            return over(format!(
                "host {node} asks as incarnation {incarnation}, and none is known; register again"
            ));
        }
    }
    if status.state == Some(quorate_crds::NodeState::Fenced) {
        return over(format!(
            "incarnation {incarnation} of host {node} was confirmed off; what it held may run elsewhere. Boot the host"
        ));
    }
    Ok(())
}

/// The members as hosts are told of them.
fn members(store: &Store) -> Vec<MemberAddress> {
    store
        .status()
        .members
        .into_iter()
        .map(|member| MemberAddress {
            id: member.id,
            name: member.name,
            addresses: member.addresses,
        })
        .collect()
}

fn timing(settings: &Settings) -> Timing {
    let ms = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Timing {
        heartbeat_interval_ms: ms(settings.heartbeat_interval),
        timeout_ms: ms(settings.timeout),
        lease_ms: ms(settings.lease),
        restart_grace_ms: ms(settings.restart_grace),
    }
}

/// `Cluster.spec.detection` as of `view`.
fn settings(view: &View) -> Settings {
    view.list(&quorate_store::Bucket::new("clusters"), None, 1)
        .first()
        .and_then(|(_, stored)| serde_json::from_slice::<quorate_crds::Cluster>(&stored.value).ok())
        .map(|cluster| Settings::from(&cluster.spec))
        .unwrap_or_default()
}
