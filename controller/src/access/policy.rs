use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::{RoleBindingSpec, RoleSpec, SubjectKind};
use quorate_identity::{ADMINS_GROUP, MEMBERS_GROUP, Subject};
use quorate_store::View;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Action, Caller, Granted, built_in, rule::Rule};
use crate::entries::entries;

/// All roles and who holds them, ready for decisions.
#[derive(Debug, Default)]
pub struct Policy {
    roles: BTreeMap<String, Vec<Rule>>,
    users: BTreeMap<String, BTreeSet<String>>,
    groups: BTreeMap<String, BTreeSet<String>>,
    members: BTreeMap<u64, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Object<S> {
    spec: S,
}

impl Policy {
    /// What `view` says. An object that cannot be read gives nobody anything.
    pub(super) fn compile(view: &View) -> Self {
        let mut policy = Self::default();
        each(view, "roles", |name, role: RoleSpec| {
            policy.add_role(name, &role);
        });
        each(view, "rolebindings", |_, binding: RoleBindingSpec| {
            policy.add_binding(&binding);
        });
        policy
    }

    pub(super) fn add_role(&mut self, name: &str, role: &RoleSpec) {
        self.roles
            .insert(name.to_owned(), role.rules.iter().map(Rule::from).collect());
    }

    pub(super) fn add_binding(&mut self, binding: &RoleBindingSpec) {
        let role = binding.role.to_string();
        for subject in &binding.subjects {
            let name = subject.name.clone();
            let holders = match subject.kind {
                SubjectKind::User => self.users.entry(name).or_default(),
                SubjectKind::Group => self.groups.entry(name).or_default(),
                SubjectKind::Member => match name.parse() {
                    Ok(id) => self.members.entry(id).or_default(),
                    Err(_) => continue,
                },
                // No role widens what a host may do.
                SubjectKind::Node => continue,
            };
            holders.insert(role.clone());
        }
    }

    fn roles_of(&self, subject: &Subject) -> BTreeSet<String> {
        let mut roles = BTreeSet::new();
        if subject.is_in(ADMINS_GROUP) {
            roles.insert("admin".to_owned());
        }
        if subject.is_in(MEMBERS_GROUP) {
            roles.insert("member".to_owned());
        }
        let held = subject
            .groups()
            .iter()
            .filter_map(|group| self.groups.get(group))
            .chain(self.users.get(subject.user()))
            .chain(subject.member_id().and_then(|id| self.members.get(&id)));
        for names in held {
            roles.extend(names.iter().cloned());
        }
        roles
    }

    /// Whether a rule allows it.
    pub fn allows(&self, caller: &Caller, action: &Action) -> bool {
        self.held(caller.subject()).any(|rule| rule.allows(action))
    }

    /// Everything that the caller may do, a line per rule.
    pub(super) fn describe(&self, caller: &Caller) -> Vec<String> {
        let lines: BTreeSet<String> = self
            .held(caller.subject())
            .map(ToString::to_string)
            .collect();
        lines.into_iter().collect()
    }

    /// The same for programs.
    pub(super) fn granted(&self, caller: &Caller) -> Vec<Granted> {
        self.held(caller.subject()).map(Rule::granted).collect()
    }

    /// Something that the holders of these rules may do and the caller may not.
    pub(super) fn excess<'a>(
        &self,
        caller: &Caller,
        rules: impl IntoIterator<Item = &'a Rule>,
    ) -> Option<Action> {
        let held: Vec<&Rule> = self.held(caller.subject()).collect();
        rules.into_iter().find_map(|rule| rule.excess(&held))
    }

    /// The rules of a role, built-in or not.
    pub(super) fn rules(&self, role: &str) -> Option<&[Rule]> {
        match built_in::find(role) {
            Some(role) => Some(&role.rules),
            None => self.roles.get(role).map(Vec::as_slice),
        }
    }

    /// Why the caller may not, in words that help.
    pub(super) fn refusal(&self, caller: &Caller, action: &Action) -> String {
        let user = caller.user();
        if let Some(node) = caller.node_name() {
            return format!(
                "host {node:?} cannot {action}: a host reads its own Node, its own NodePlan and the Secrets that this plan refers to, and writes the status of the first two"
            );
        }
        let roles = self.roles_of(caller.subject());
        if roles.is_empty() {
            return format!(
                "user {user:?} cannot {action}: no role is bound to this user or its groups; an administrator can bind one with a RoleBinding"
            );
        }
        let roles: Vec<String> = roles.into_iter().collect();
        format!(
            "user {user:?} cannot {action}: none of the user's roles allows it ({})",
            roles.join(", ")
        )
    }

    /// The rules of all roles that the subject holds.
    pub(super) fn held(&self, subject: &Subject) -> impl Iterator<Item = &Rule> {
        self.roles_of(subject)
            .into_iter()
            .filter_map(|role| self.rules(&role))
            .flatten()
    }
}

fn each<S: DeserializeOwned>(view: &View, bucket: &str, mut add: impl FnMut(&str, S)) {
    for (key, stored) in entries(view, bucket) {
        match serde_json::from_slice::<Object<S>>(&stored.value) {
            Ok(object) => add(&key.name, object.spec),
            Err(error) => tracing::error!(%key, %error, "ignored in access control"),
        }
    }
}
