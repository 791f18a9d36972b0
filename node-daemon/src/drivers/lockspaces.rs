//! Lock managers of cluster filesystems (DLM).
//!
//! Who takes part is decided by the planner, in two phases: every member stops and says so, then all start with the new
//! members. A driver only carries these out.

use super::{Doing, Hints};
use crate::link::Parcel;
use quorate_crds::{LockspaceAssignment, Name};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

/// A lockspace on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockspaceSeen {
    /// The filesystem's name.
    pub name: Name,
    /// Whether it is one that Quorate drives.
    pub ours: bool,
    /// The generation under which it was last stopped or started.
    pub generation: Option<u64>,
    /// Whether locks are given.
    pub running: bool,
    /// A mount waits to be let in.
    pub joining: bool,
    /// An unmount waits to be let out.
    pub leaving: bool,
    /// The members that it was started with.
    pub members: Vec<Name>,
}

/// This host's end of what hosts say to each other about locks of programs. Any of it may get lost.
#[derive(Debug)]
pub struct LockTalk {
    /// Whether there is anything to talk about at present.
    pub wanted: watch::Receiver<bool>,
    /// To others.
    pub says: mpsc::Receiver<Parcel>,
    /// From others.
    pub hears: mpsc::Sender<Parcel>,
}

/// Lockspaces of this host.
pub trait Lockspaces: Send + Sync {
    /// Every lockspace.
    fn observe(&self) -> Doing<'_, Vec<LockspaceSeen>>;

    /// Mounts that want in, unmounts that want out, connections that broke.
    fn watch(&self) -> Hints;

    /// What this host says to others about locks of programs, and hears of them. Whoever asks first has it. None where such locks are
    /// not settled with others.
    fn talk(&self) -> Option<LockTalk> {
        None
    }

    /// Makes ready for a mount of this host, which will then wait to be let in. Refused where another program drives the
    /// lock manager.
    fn prepare<'a>(&'a self, name: &'a Name, target: &'a LockspaceAssignment) -> Doing<'a, ()>;

    /// Gives no more locks, and has answered everything that was under way, when this returns.
    fn stop<'a>(&'a self, name: &'a Name, generation: u64) -> Doing<'a, ()>;

    /// Gives locks again, with exactly these members. A mount that waits is let in.
    fn start<'a>(&'a self, name: &'a Name, target: &'a LockspaceAssignment) -> Doing<'a, ()>;

    /// Lets a waiting unmount out: the rest have stopped and will start without this host. A mount that waits to be let in
    /// is turned away.
    fn leave<'a>(&'a self, name: &'a Name, generation: u64) -> Doing<'a, ()>;
}
