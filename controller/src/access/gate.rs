use std::sync::Arc;

use quorate_crds::{KindInfo, RoleBindingSpec, RoleSpec, Verb};
use quorate_store::{Bucket, Condition, View};
use serde_json::Value;

use super::{Access, Action, Caller, built_in, rule::Rule};
use crate::{
    error::{ApiError, Subject},
    resource::Gate,
};

/// What the caller's rights say about the result of a change: nobody gives away more than he holds, and nobody holds up
/// the deletion of what he may not change.
pub struct RightsGate {
    access: Arc<Access>,
    caller: Caller,
}

impl RightsGate {
    /// The gate for one caller.
    pub fn new(access: Arc<Access>, caller: Caller) -> Self {
        Self { access, caller }
    }

    fn check_role(&self, view: &View, name: &str, next: &Value) -> Result<(), ApiError> {
        if built_in::find(name).is_some() {
            return Err(ApiError::Forbidden(format!(
                "role {name:?} is built in and cannot be written; choose another name"
            )));
        }
        let role: RoleSpec = spec("roles", name, next)?;
        let rules: Vec<Rule> = role.rules.iter().map(Rule::from).collect();
        self.refuse_excess(view, &rules, &format!("write role {name:?}"))
    }

    fn check_binding(&self, view: &View, name: &str, next: &Value) -> Result<(), ApiError> {
        let binding: RoleBindingSpec = spec("rolebindings", name, next)?;
        let role = binding.role.to_string();
        let policy = self.access.policy(view);
        let Some(rules) = policy.rules(&role) else {
            return Err(ApiError::Forbidden(format!(
                "rolebinding {name:?} refers to role {role:?}, which does not exist; create the role first, so that it is known what is given away"
            )));
        };
        self.refuse_excess(view, rules, &format!("bind role {role:?}"))
    }

    fn refuse_excess(&self, view: &View, rules: &[Rule], what: &str) -> Result<(), ApiError> {
        match self.access.policy(view).excess(&self.caller, rules) {
            None => Ok(()),
            Some(excess) => Err(ApiError::Forbidden(format!(
                "user {:?} cannot {what}: it would let others {excess}, which the user may not do; nobody gives away more than he holds",
                self.caller.user()
            ))),
        }
    }

    /// An owner reference that blocks the owner's deletion is a change of the owner.
    fn check_owners(
        &self,
        view: &View,
        live: Option<&Value>,
        next: &Value,
    ) -> Result<(), ApiError> {
        let known = live.map(blocked_owners).unwrap_or_default();
        for owner in blocked_owners(next) {
            if known.contains(&owner) {
                continue;
            }
            let (kind, name) = owner;
            // An unknown kind is refused elsewhere, with a better message.
            let Some(kind) = quorate_crds::find(kind) else {
                continue;
            };
            let update = Action::on(Verb::Update, kind, name, "");
            if !self.access.allows(view, &self.caller, &update) {
                return Err(ApiError::Forbidden(format!(
                    "user {:?} cannot set blockOwnerDeletion for {}: that needs the right to {update}",
                    self.caller.user(),
                    Subject::new(kind.plural, name),
                )));
            }
        }
        Ok(())
    }
}

impl Gate for RightsGate {
    fn check(
        &self,
        view: &View,
        kind: &'static KindInfo,
        live: Option<&Value>,
        next: &Value,
    ) -> Result<Vec<Condition>, ApiError> {
        self.check_owners(view, live, next)?;
        if live.and_then(|live| live.get("spec")) == next.get("spec") {
            return Ok(Vec::new());
        }
        let name = next
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match kind.kind {
            "Role" => self.check_role(view, name, next)?,
            "RoleBinding" => self.check_binding(view, name, next)?,
            _ => return Ok(Vec::new()),
        }
        // What is given away was weighed by roles that this member may know in an old version.
        Ok(["roles", "rolebindings"]
            .map(|plural| {
                let bucket = Bucket::new(plural);
                let revision = view.bucket_revision(&bucket);
                Condition::BucketUnchangedSince(bucket, revision)
            })
            .into())
    }
}

fn spec<S: serde::de::DeserializeOwned>(
    kind: &str,
    name: &str,
    object: &Value,
) -> Result<S, ApiError> {
    let spec = object.get("spec").cloned().unwrap_or(Value::Null);
    serde_json::from_value(spec).map_err(|error| {
        ApiError::BadRequest(format!(
            "{} is not readable: {error}",
            Subject::new(kind, name)
        ))
    })
}

fn blocked_owners(object: &Value) -> Vec<(&str, &str)> {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|owner| owner.get("blockOwnerDeletion") == Some(&Value::Bool(true)))
        .filter_map(|owner| Some((owner.get("kind")?.as_str()?, owner.get("name")?.as_str()?)))
        .collect()
}
