//! The decision about one object: a pure function of what Kubernetes has, what the cluster has, and what both were when they
//! last agreed.

mod decide;
mod last;
mod names;
mod secrets;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod wanted;

pub use decide::{Answer, Decision, Situation, Step, There, decide, place};
pub use last::{Last, Target};
pub use names::{
    CLUSTER_LABEL, DELETION_ANNOTATION, FIELD_MANAGER, FINALIZER, MIRROR_LABEL,
    MIRRORED_ANNOTATION, NAME_ANNOTATION, ORPHAN, SOURCE_ANNOTATION,
};
pub use secrets::{SecretStep, secret};
pub use state::{SYNCED, Synced};
