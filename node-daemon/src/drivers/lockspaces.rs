//! Lock managers of cluster filesystems (DLM).
//!
//! Who takes part is decided by the planner, in two phases: every member stops and says so, then all start with the new
//! members. A driver only carries these out.

use super::{Doing, Hints};
use quorate_crds::Name;
use quorate_crds::scalar::IpAddress;

/// A lockspace on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// A member of a lockspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockspaceMember {
    /// The host.
    pub node: Name,
    /// Its number.
    pub number: u32,
    /// Where it is reached, the preferred one first.
    pub addresses: Vec<IpAddress>,
    /// It was gone and is new: what it held is recovered before it takes part.
    pub renewed: bool,
}

/// A lockspace as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockspaceTarget {
    /// The filesystem's name.
    pub name: Name,
    /// The cluster's name.
    pub cluster: String,
    /// Rises whenever the members change.
    pub generation: u64,
    /// All members, this host among them.
    pub members: Vec<LockspaceMember>,
}

/// Lockspaces of this host.
pub trait Lockspaces: Send + Sync {
    /// Every lockspace.
    fn observe(&self) -> Doing<'_, Vec<LockspaceSeen>>;

    /// Mounts that want in, unmounts that want out, connections that broke.
    fn watch(&self) -> Hints;

    /// Gives no more locks, and has answered everything that was under way, when this returns.
    fn stop<'a>(&'a self, name: &'a Name, generation: u64) -> Doing<'a, ()>;

    /// Gives locks again, with exactly these members.
    fn start<'a>(&'a self, target: &'a LockspaceTarget) -> Doing<'a, ()>;

    /// Lets a waiting unmount out: the rest have stopped and will start without this host.
    fn leave<'a>(&'a self, name: &'a Name, generation: u64) -> Doing<'a, ()>;
}
