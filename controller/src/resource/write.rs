//! The common tail of every write: from a verb's result to a committed transaction.

use bytes::Bytes;
use quorate_store::{Condition, Key, Outcome as Commit, Revision, Transaction, View, Write};
use serde_json::Value;

use super::{Engine, Gate, Live, Target, WriteOptions, live::is_sealed, metadata, object};
use crate::{
    admission,
    error::{ApiError, Cause},
    events, secrets,
};

/// How often a write that others overtook is computed again before the caller is asked to.
const ATTEMPTS: usize = 32;
/// The largest object, encoded; what etcd takes by default.
const MAX_OBJECT: usize = 1536 * 1024;

/// What a call did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It was changed.
    Configured,
    /// It was like that already; nothing was written.
    Unchanged,
    /// It is gone.
    Deleted,
    /// It is marked and waits for finalizers or dependants.
    Deleting,
}

/// The result of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// What was done, or would be done by a dry run.
    pub outcome: Outcome,
    /// The object as it is now, or as it was when it went.
    pub body: Bytes,
    /// Its resourceVersion; none for a dry run that would create it.
    pub revision: Option<Revision>,
    /// What the caller should know though the call succeeded.
    pub warnings: Vec<String>,
}

/// What a verb makes of an object.
pub(super) enum Next {
    /// Store this.
    Object(Value),
    /// Store this, marked for deletion.
    Deleting(Value),
    /// Remove it.
    Remove,
}

/// A write that is ready to be proposed.
struct Plan {
    transaction: Transaction,
    outcome: Outcome,
    object: Value,
    /// The object as stored, when it is stored as it is sent.
    encoded: Option<Bytes>,
    revision: Option<Revision>,
    warnings: Vec<String>,
}

impl Engine {
    /// Computes a change and commits it, again and again while others get in between.
    pub(super) async fn write<F>(
        &self,
        target: Target<'_>,
        options: &WriteOptions,
        gate: &dyn Gate,
        change: F,
    ) -> Result<Written, ApiError>
    where
        F: Fn(Option<&Live>, &str) -> Result<Next, ApiError> + Send + Sync,
    {
        let now = self.sources.now();
        // A dry run proposes nothing, so nothing but a fresh state makes its answer right.
        let mut fresh = options.dry_run;
        for _ in 0..ATTEMPTS {
            let view = self.view(!fresh).await?;
            let plan = self
                .load(&view, target.kind, target.name)
                .and_then(|live| self.plan(&view, target, live.as_ref(), gate, &change, &now));
            drop(view);
            let mut plan = match plan {
                Ok(plan) => plan,
                Err(error) if !fresh && error.depends_on_state() => {
                    fresh = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if plan.transaction.writes.is_empty() && !fresh {
                fresh = true;
                continue;
            }
            if options.dry_run || plan.transaction.writes.is_empty() {
                return Ok(plan.done(None));
            }
            let transaction = std::mem::take(&mut plan.transaction);
            match self.store.propose(transaction).await? {
                Commit::Committed { revision, .. } => {
                    return Ok(plan.done(Some(revision)));
                }
                Commit::Refused(_) => fresh = true,
            }
        }
        Err(ApiError::conflict(
            target.subject(),
            format!(
                "others changed it, or what it relies on, {ATTEMPTS} times meanwhile; try again"
            ),
        ))
    }

    fn plan<F>(
        &self,
        view: &View,
        target: Target<'_>,
        live: Option<&Live>,
        gate: &dyn Gate,
        change: &F,
        now: &str,
    ) -> Result<Plan, ApiError>
    where
        F: Fn(Option<&Live>, &str) -> Result<Next, ApiError>,
    {
        match (change(live, now)?, live) {
            (Next::Remove, Some(live)) => self.plan_removal(view, target, live),
            (Next::Remove, None) => Err(ApiError::NotFound(target.subject())),
            (Next::Object(mut next), Some(live)) => {
                metadata::count_generation(&live.object, &mut next);
                if object::is_deleting(&next) && object::finalizers(&next).next().is_none() {
                    return self.plan_removal(view, target, live);
                }
                self.plan_put(view, target, Some(live), next, gate, Outcome::Configured)
            }
            (Next::Deleting(next), Some(live)) => {
                let unused = self.unused(view, target, live)?;
                let mut plan =
                    self.plan_put(view, target, Some(live), next, gate, Outcome::Deleting)?;
                if !plan.transaction.writes.is_empty() {
                    plan.transaction.conditions.extend(unused);
                }
                Ok(plan)
            }
            (Next::Object(next) | Next::Deleting(next), None) => {
                self.plan_put(view, target, None, next, gate, Outcome::Created)
            }
        }
    }

    fn plan_put(
        &self,
        view: &View,
        target: Target<'_>,
        live: Option<&Live>,
        next: Value,
        gate: &dyn Gate,
        outcome: Outcome,
    ) -> Result<Plan, ApiError> {
        let Target { kind, name } = target;
        let old = live.map(|live| &live.object);
        if old == Some(&next) {
            return Ok(Plan {
                transaction: Transaction::default(),
                outcome: match outcome {
                    Outcome::Deleting => Outcome::Deleting,
                    _ => Outcome::Unchanged,
                },
                object: next,
                encoded: None,
                revision: live.map(|live| live.revision),
                warnings: Vec::new(),
            });
        }
        let causes: Vec<Cause> = kind
            .schema
            .validate(&next, old)
            .into_iter()
            .map(Cause::from)
            .collect();
        if !causes.is_empty() {
            return Err(ApiError::Invalid {
                subject: target.subject(),
                causes,
            });
        }
        let granted = gate.check(view, kind, old, &next)?;
        let admitted = admission::check(view, kind, name, old, &next)?;

        let key = Self::key(kind, name);
        let mut transaction = Transaction {
            conditions: admitted.conditions,
            writes: admitted.writes,
        };
        transaction.conditions.extend(granted);
        transaction.conditions.push(match live {
            Some(live) => Condition::AtRevision(key.clone(), live.revision),
            None => Condition::Absent(key.clone()),
        });
        let (value, encoded) = if is_sealed(kind) {
            let mut sealed = next.clone();
            secrets::seal(&self.keyring, &mut sealed)?;
            (object::encode(&sealed), None)
        } else {
            let value = object::encode(&next);
            (value.clone(), Some(value))
        };
        refuse_large(value.len())?;
        transaction.writes.push(Write::Put {
            key,
            value,
            expires_at_ms: (kind.kind == "Event").then(|| self.sources.now_ms() + events::TTL_MS),
        });
        Ok(Plan {
            transaction,
            outcome,
            object: next,
            encoded,
            revision: live.map(|live| live.revision),
            warnings: admitted.warnings,
        })
    }

    fn plan_removal(&self, view: &View, target: Target<'_>, live: &Live) -> Result<Plan, ApiError> {
        let Target { kind, name } = target;
        let released = admission::release(view, kind, name, &live.object);
        let mut transaction = Transaction {
            conditions: released.conditions,
            writes: released.writes,
        };
        transaction
            .conditions
            .extend(self.unused(view, target, live)?);
        let key = Self::key(kind, name);
        transaction
            .conditions
            .push(Condition::AtRevision(key.clone(), live.revision));
        transaction.writes.push(Write::Delete { key });
        Ok(Plan {
            transaction,
            outcome: Outcome::Deleted,
            object: live.object.clone(),
            encoded: None,
            revision: Some(live.revision),
            warnings: Vec::new(),
        })
    }
}

impl Engine {
    /// Removes an object of the cluster's own book-keeping without ceremony.
    pub(crate) async fn forget(&self, key: &Key) -> Result<(), ApiError> {
        let transaction = Transaction {
            conditions: Vec::new(),
            writes: vec![Write::Delete { key: key.clone() }],
        };
        self.store.propose(transaction).await?;
        Ok(())
    }

    /// Refuses the deletion of what others still need. Asked once, when the deletion begins: nothing can
    /// refer anew to what is being deleted.
    fn unused(
        &self,
        view: &View,
        target: Target<'_>,
        live: &Live,
    ) -> Result<Vec<Condition>, ApiError> {
        let Target { kind, name } = target;
        if object::is_deleting(&live.object) {
            return Ok(Vec::new());
        }
        admission::check_removal(view, kind, name)
    }
}

impl Plan {
    fn done(self, committed: Option<Revision>) -> Written {
        let revision = committed.or(self.revision);
        let stored = self.encoded.unwrap_or_else(|| object::encode(&self.object));
        Written {
            outcome: self.outcome,
            body: match revision {
                Some(revision) => object::with_version(&stored, revision),
                None => stored,
            },
            revision,
            warnings: self.warnings,
        }
    }
}

/// Refuses an object that grew too large while it was being changed.
pub(super) fn refuse_large(found: usize) -> Result<(), ApiError> {
    if found <= MAX_OBJECT {
        return Ok(());
    }
    Err(ApiError::TooLarge(format!(
        "the object would have {found} bytes, allowed: {MAX_OBJECT}"
    )))
}
