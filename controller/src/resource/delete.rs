//! Deletion: at once, or marked and waiting for finalizers.
//!
//! The two ways of treating dependants are finalizers, as in Kubernetes: whoever deletes in the
//! foreground or orphans puts one on the object, and the garbage collector takes it off when the
//! dependants are dealt with. So nothing is forgotten when the server that took the call dies.

use super::{
    Engine, Gate, Live, Target, WriteOptions, metadata, object, parse_version, write::Next,
    write::Written,
};
use crate::{admission, error::ApiError};
use quorate_crds::KindInfo;

/// What happens to the objects that name the deleted one as their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// What the object's finalizers say already; in the background otherwise.
    Default,
    /// The object goes now, its dependants afterwards.
    Background,
    /// The dependants go first; the object stays visible until then.
    Foreground,
    /// The dependants stay and lose their owner reference.
    Orphan,
}

/// What must be true of the object to be deleted; empty texts ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

impl Engine {
    /// Deletes an object, or marks it for deletion while finalizers or dependants hold it.
    pub async fn delete(
        &self,
        target: Target<'_>,
        preconditions: &Preconditions,
        propagation: Propagation,
        options: &WriteOptions,
        gate: &dyn Gate,
    ) -> Result<Written, ApiError> {
        let wanted = parse_version(&preconditions.resource_version)?;
        self.write(target, options, gate, |live, now| {
            let Some(live) = live else {
                return Err(ApiError::NotFound(target.subject()));
            };
            let uid = object::meta_str(&live.object, "uid").unwrap_or_default();
            if !preconditions.uid.is_empty() && preconditions.uid != uid {
                return Err(ApiError::conflict(
                    target.subject(),
                    format!(
                        "the uid in the precondition is {}, the object's is {uid}; it was deleted and created anew",
                        preconditions.uid
                    ),
                ));
            }
            if wanted.is_some_and(|wanted| wanted != live.revision) {
                return Err(metadata::modified(target.kind, target.name));
            }
            Ok(marked(target.kind, live, propagation, now))
        })
        .await
    }
}

fn marked(kind: &KindInfo, live: &Live, propagation: Propagation, now: &str) -> Next {
    let mut next = live.object.clone();
    if admission::is_nowhere(kind, &next)
        && let Some(own) = admission::finalizer(kind)
    {
        object::remove_finalizer(&mut next, own);
    }
    match propagation {
        Propagation::Default => {}
        Propagation::Background => {
            object::remove_finalizer(&mut next, object::FOREGROUND);
            object::remove_finalizer(&mut next, object::ORPHAN);
        }
        Propagation::Foreground => {
            object::remove_finalizer(&mut next, object::ORPHAN);
            object::add_finalizer(&mut next, object::FOREGROUND);
        }
        Propagation::Orphan => {
            object::remove_finalizer(&mut next, object::FOREGROUND);
            object::add_finalizer(&mut next, object::ORPHAN);
        }
    }
    if object::finalizers(&next).next().is_none() {
        return Next::Remove;
    }
    if !object::is_deleting(&next) {
        object::set_meta(&mut next, "deletionTimestamp", Some(now.into()));
        object::set_meta(&mut next, "deletionGracePeriodSeconds", Some(0.into()));
        metadata::bump_generation(&mut next);
    }
    Next::Deleting(next)
}
