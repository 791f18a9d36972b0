use quorate_crds::{LockspaceAssignment, Name};

use super::{Host, unexpected};
use crate::drivers::{Doing, Hints, LockspaceSeen, Lockspaces};
use crate::simulated::room::{HostCall, LockspaceCall, Reply};

impl Lockspaces for Host {
    fn observe(&self) -> Doing<'_, Vec<LockspaceSeen>> {
        Box::pin(async move {
            match self
                .call(HostCall::Lockspaces(LockspaceCall::Observe))
                .await?
            {
                Reply::Lockspaces(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.hints()
    }

    /// A simulated host needs to know nothing before it stands at the door.
    fn prepare<'a>(&'a self, _name: &'a Name, _target: &'a LockspaceAssignment) -> Doing<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn stop<'a>(&'a self, name: &'a Name, generation: u64) -> Doing<'a, ()> {
        self.act(HostCall::Lockspaces(LockspaceCall::Stop {
            name: name.to_string(),
            generation,
        }))
    }

    fn start<'a>(&'a self, name: &'a Name, target: &'a LockspaceAssignment) -> Doing<'a, ()> {
        let members = target.members.iter();
        self.act(HostCall::Lockspaces(LockspaceCall::Start {
            name: name.to_string(),
            generation: target.generation,
            members: members.map(|member| member.node.clone()).collect(),
        }))
    }

    fn leave<'a>(&'a self, name: &'a Name, _generation: u64) -> Doing<'a, ()> {
        self.act(HostCall::Lockspaces(LockspaceCall::Leave {
            name: name.to_string(),
        }))
    }
}
