//! A record of a plan, and what nearly every question about it comes down to.
//!
//! Every record is asked many times in a round whether it is held and answered. What it takes to say so was taken from the
//! whole of it when the record came, and lies together.

use crate::rights::is_true;
use quorate_crds::{NodePlan, NodePlanStatus, ReplicaRole};
use std::sync::Arc;

/// What a host says about a record, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Released,
    Stalled,
    Converged,
    Working,
}

/// A record, or a plan's head.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The host that it is for.
    pub(crate) host: Arc<str>,
    /// The incarnation that it is for.
    pub(crate) incarnation: u64,
    /// What that incarnation says, if anything.
    pub(crate) word: Option<Word>,
    /// It says so about an older generation.
    pub(crate) word_is_old: bool,
    /// It gives the right to be active.
    pub(crate) active: bool,
    /// It gives the right to have a replica open for writing.
    pub(crate) primary: bool,
    plan: NodePlan,
}

impl Record {
    pub(super) fn of(plan: NodePlan, host: Arc<str>) -> Self {
        let assigned = plan.spec.assignment.as_ref();
        let active = assigned.filter(|assigned| assigned.active);
        let replica = active.and_then(|active| active.replica.as_ref());
        let said = plan.status.as_ref();
        let said = said.filter(|said| said.incarnation == Some(plan.spec.incarnation));
        let about = said.and_then(|said| said.observed_plan_generation);
        Self {
            host,
            incarnation: plan.spec.incarnation,
            word: said.filter(|_| about.is_some()).map(word),
            word_is_old: about.is_some_and(|about| about < plan.spec.plan_generation),
            active: active.is_some(),
            primary: replica.is_some_and(|replica| replica.role == ReplicaRole::Primary),
            plan,
        }
    }

    pub(crate) fn plan(&self) -> &NodePlan {
        &self.plan
    }
}

impl std::ops::Deref for Record {
    type Target = NodePlan;

    fn deref(&self) -> &NodePlan {
        &self.plan
    }
}

fn word(said: &NodePlanStatus) -> Word {
    if said.released == Some(true) {
        Word::Released
    } else if is_true(&said.conditions, "Stalled") {
        Word::Stalled
    } else if is_true(&said.conditions, "Converged") {
        Word::Converged
    } else {
        Word::Working
    }
}
