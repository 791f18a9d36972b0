//! Who may do what.
//!
//! Every call is checked against Roles and RoleBindings, with Kubernetes' meaning: rules only allow, nothing is allowed
//! without a rule, and nobody can give away more than he holds. Hosts are a case of their own: what a host may read
//! depends on its plan and not on a role, and no binding can widen or narrow it.
//!
//! The policy is compiled from this member's applied state and compiled anew when a Role or a RoleBinding has
//! changed there, so a decision is as fresh as the state that the call itself works on.

mod action;
mod built_in;
mod caller;
mod gate;
mod host;
mod policy;
mod rule;

use std::sync::{Arc, Mutex, PoisonError};

use quorate_crds::Verb;
use quorate_identity::Subject;
use quorate_store::{Bucket, Revision, View};

pub use action::{Action, ClusterCall};
pub use caller::Caller;
pub use gate::RightsGate;
pub use policy::Policy;

use crate::error::ApiError;

/// A rule that holds for a caller, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What may be done.
    pub verbs: Vec<&'static str>,
    /// To which kinds, each with its parts: `volumes`, `volumes/status`.
    pub resources: Vec<String>,
    /// To which objects; empty for all.
    pub names: Vec<String>,
}

/// Decides, for one member.
#[derive(Debug, Default)]
pub struct Access {
    compiled: Mutex<Option<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    roles: Revision,
    bindings: Revision,
    policy: Arc<Policy>,
}

impl Access {
    /// A decider that has not looked at anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy as of `view`.
    pub fn policy(&self, view: &View) -> Arc<Policy> {
        let roles = view.bucket_revision(&Bucket::new("roles"));
        let bindings = view.bucket_revision(&Bucket::new("rolebindings"));
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        match &*compiled {
            Some(known) if known.roles == roles && known.bindings == bindings => {
                known.policy.clone()
            }
            _ => {
                let policy = Arc::new(Policy::compile(view));
                *compiled = Some(Compiled {
                    roles,
                    bindings,
                    policy: policy.clone(),
                });
                policy
            }
        }
    }

    /// Lets the call pass or refuses it, saying why.
    pub fn check(&self, view: &View, caller: &Caller, action: &Action) -> Result<(), ApiError> {
        if self.allows(view, caller, action) {
            return Ok(());
        }
        Err(ApiError::Forbidden(
            self.policy(view).refusal(caller, action),
        ))
    }

    /// Whether the call would pass.
    pub fn allows(&self, view: &View, caller: &Caller, action: &Action) -> bool {
        match caller.node_name() {
            Some(node) => host::allows(view, node, action),
            None => self.policy(view).allows(caller, action),
        }
    }

    /// Everything that the caller may do, a line per rule.
    pub fn describe(&self, view: &View, caller: &Caller) -> Vec<String> {
        match caller.node_name() {
            Some(node) => host::describe(node),
            None => self.policy(view).describe(caller),
        }
    }

    /// The rules that hold for the caller. A host has none: what it may do follows from its plan.
    pub fn granted(&self, view: &View, caller: &Caller) -> Vec<Granted> {
        match caller.node_name() {
            Some(_) => Vec::new(),
            None => self.policy(view).granted(caller),
        }
    }

    /// Whether the caller may hand out a certificate for `subject`: not when its holder could do more than the caller.
    pub(crate) fn check_inviting(
        &self,
        view: &View,
        caller: &Caller,
        subject: &Subject,
    ) -> Result<(), ApiError> {
        let policy = self.policy(view);
        match policy.excess(caller, policy.held(subject)) {
            None => Ok(()),
            Some(excess) => Err(ApiError::Forbidden(format!(
                "user {:?} cannot invite {:?}: that user could {excess}, which {:?} may not do; nobody gives away more than he holds",
                caller.user(),
                subject.user(),
                caller.user()
            ))),
        }
    }

    /// The same for a host, whose plan may come to refer to any Secret.
    pub(crate) fn check_inviting_node(
        &self,
        view: &View,
        caller: &Caller,
        node: &str,
    ) -> Result<(), ApiError> {
        Subject::node(node).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let secrets = Action::every(Verb::Get, "secrets");
        if self.allows(view, caller, &secrets) {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "user {:?} cannot invite host {node:?}: its plan may come to refer to any Secret, and the user may not {secrets}",
            caller.user()
        )))
    }
}

#[cfg(test)]
mod tests;
