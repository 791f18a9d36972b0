//! Decides what every host must make so: a pure function of the cluster's state and the time.
//!
//! Nothing here reads a clock, opens a file or waits. The same state and the same moment give the
//! same decisions, to the byte; that is why `quorate plan` can say beforehand what a leader would
//! do, and why a new leader simply goes on where the former one stopped.
//!
//! Three facts carry everything else:
//!
//! * A *right* is an active record in a host's plan. It ends only when the host says that it has
//!   released the object, under that record's generation or a newer one, or when the host's
//!   incarnation is dead (`rights`). Nobody else gets it before.
//! * An *epoch* is one permission to start. A host starts an object once per epoch and never by
//!   itself again, so that a restart is always the planner's decision and is counted.
//! * A host answers on the record itself, naming the generation that it answers about. What it says
//!   about an older one is no answer; that makes every long procedure safe to continue anywhere.

mod above;
mod amounts;
mod decisions;
mod domains;
mod fencing;
mod filesystems;
pub mod forecast;
mod guests;
mod hosts;
pub mod mistake;
mod networks;
mod order;
mod outcome;
mod placement;
mod pools;
mod reasons;
mod records;
mod reserve;
mod rights;
mod round;
mod snapshots;
mod state;
mod volumes;
mod votes;

pub use decisions::{Decisions, ObjectKey, Objects, StatusPatch, Why};
pub use guests::GUEST_FINALIZER;
pub use reasons::Reason;
pub use records::{Ending, record_name};
pub use round::{Leader, explain, plan};
pub use state::{ClusterState, StateError, Subject, SubjectKind};
