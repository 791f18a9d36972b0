use super::act::Act;
use super::seen::Seen;
use super::work::Work;
use crate::drivers::Trouble;
use crate::plan::{Plan, Record};
use quorate_crds::{Name, ObjectReference};
use tokio::time::Instant;

/// How a record stands.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is as the record says.
    Converged,
    /// It is surely not active here.
    Released,
    /// This comes next.
    Do(Act),
    /// It goes on by itself, or waits for what the words name.
    Waits(String),
    /// Nothing is under way, and nothing will be before a newer plan is here: what is planned is not what is wanted any more.
    Outdated(String),
    /// Like `Waits`, but at that moment something is due.
    Until(Instant, String),
    /// It came to an end by itself, or will not be tried again under this record.
    Ended(Trouble, String),
}

/// Everything that a record's next act is decided from.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) record: &'a Record,
    pub(super) plan: &'a Plan,
    pub(super) seen: &'a Seen,
    pub(super) work: &'a Work,
    /// The epoch under which the guest was last begun on this host.
    pub(super) begun: Option<u64>,
    pub(super) host: &'a Name,
    pub(super) reaches_cluster: bool,
    pub(super) now: Instant,
}

impl<'a> Case<'a> {
    pub(super) fn name(&self) -> &'a Name {
        &self.record.assignment.object.name
    }

    /// The object in exactly the generation that was planned, or what is waited for.
    pub(super) fn planned<T>(
        &self,
        object: Option<&'a T>,
        generation: impl Fn(&T) -> Option<i64>,
    ) -> Result<&'a T, String> {
        let planned = self.record.assignment.object_generation;
        match object {
            Some(object) if planned.is_none() || generation(object) == planned => Ok(object),
            Some(object) => Err(format!(
                "generation {} of its manifest is planned, {} is here",
                planned.unwrap_or(0),
                generation(object).unwrap_or(0)
            )),
            None => Err("its manifest is not here yet".to_owned()),
        }
    }
}

/// `kind/name`, as people write it.
pub(super) fn words(object: &ObjectReference) -> String {
    format!("{}/{}", object.kind, object.name)
}
