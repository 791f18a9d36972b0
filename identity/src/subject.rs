//! Whom a certificate stands for, and how that is written into it.
//!
//! The habit is Kubernetes': the common name is the user, the organisation holds the groups. Several groups
//! are written into one organisation attribute, separated by commas, which no group name may contain.

use thiserror::Error;

/// The group that every host's certificate carries.
pub const NODES_GROUP: &str = "quorate:nodes";
/// The group that every member's certificate carries.
pub const MEMBERS_GROUP: &str = "quorate:members";
/// The group that may do everything, whatever the roles say.
pub const ADMINS_GROUP: &str = "quorate:admins";

/// Names that begin so belong to the cluster itself; a person's name or group may not.
pub const RESERVED_PREFIX: &str = "quorate:";

const NODE_PREFIX: &str = "quorate:node:";
const MEMBER_PREFIX: &str = "quorate:member:";
const MAX_NAME: usize = 253;
const MAX_GROUPS: usize = 32;

/// A user and the groups it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

/// Why a name cannot stand in a certificate. Repeating the call does not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// A character, or the length.
    #[error(
        "{what} {found:?} is not allowed: use 1 to {MAX_NAME} letters, digits or any of . _ - : @ + (no spaces, no commas)"
    )]
    Name {
        /// `user name` or `group`.
        what: &'static str,
        /// What was given, shortened.
        found: String,
    },
    /// The name belongs to the cluster itself.
    #[error(
        "{what} {found:?} is reserved: names that begin with {RESERVED_PREFIX:?} belong to members and hosts; choose another"
    )]
    Reserved {
        /// `user name` or `group`.
        what: &'static str,
        /// What was given.
        found: String,
    },
    /// More groups than a certificate carries.
    #[error("{found} groups are too many, at most {MAX_GROUPS} are allowed")]
    TooManyGroups {
        /// How many.
        found: usize,
    },
}

impl Subject {
    /// The host `name`.
    pub fn node(name: &str) -> Result<Self, SubjectError> {
        check("user name", name)?;
        Ok(Self {
            user: format!("{NODE_PREFIX}{name}"),
            groups: vec![NODES_GROUP.to_owned()],
        })
    }

    /// The member `id`.
    pub fn member(id: u64) -> Self {
        Self {
            user: format!("{MEMBER_PREFIX}{id}"),
            groups: vec![MEMBERS_GROUP.to_owned()],
        }
    }

    /// The first administrator, made together with the cluster.
    pub fn admin() -> Self {
        Self {
            user: "admin".to_owned(),
            groups: vec![ADMINS_GROUP.to_owned()],
        }
    }

    /// A person. Of the reserved groups only the administrators' may be named.
    pub fn person(name: &str, groups: &[String]) -> Result<Self, SubjectError> {
        check("user name", name)?;
        if name.starts_with(RESERVED_PREFIX) {
            return Err(SubjectError::Reserved {
                what: "user name",
                found: name.to_owned(),
            });
        }
        if groups.len() > MAX_GROUPS {
            return Err(SubjectError::TooManyGroups {
                found: groups.len(),
            });
        }
        for group in groups {
            check("group", group)?;
            if group.starts_with(RESERVED_PREFIX) && group != ADMINS_GROUP {
                return Err(SubjectError::Reserved {
                    what: "group",
                    found: group.clone(),
                });
            }
        }
        let mut groups = groups.to_vec();
        groups.sort();
        groups.dedup();
        Ok(Self {
            user: name.to_owned(),
            groups,
        })
    }

    /// The user's name, as roles and the audit log know it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The groups.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The host's name, when this is a host.
    pub fn node_name(&self) -> Option<&str> {
        self.user
            .strip_prefix(NODE_PREFIX)
            .filter(|_| self.is_in(NODES_GROUP))
    }

    /// The member's id, when this is a member.
    pub fn member_id(&self) -> Option<u64> {
        self.user
            .strip_prefix(MEMBER_PREFIX)
            .filter(|_| self.is_in(MEMBERS_GROUP))?
            .parse()
            .ok()
    }

    /// Whether `group` is among the groups.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    pub(crate) fn organisation(&self) -> String {
        self.groups.join(",")
    }
}

fn check(what: &'static str, name: &str) -> Result<(), SubjectError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:@+".contains(c);
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(SubjectError::Name {
        what,
        found: name.chars().take(64).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_cannot_take_the_name_of_a_host_or_a_member() {
        for name in ["quorate:node:an-a01n01", "quorate:member:1", "quorate:x"] {
            let error = Subject::person(name, &[]).expect_err("reserved");
            assert!(error.to_string().contains("reserved"), "{error}");
        }
        let error = Subject::person("eve", &["quorate:members".into()]).expect_err("reserved");
        assert!(error.to_string().contains("reserved"), "{error}");
    }

    #[test]
    fn names_that_could_smuggle_in_a_second_group_are_refused() {
        for group in ["a,quorate:admins", "", "a b", "ä"] {
            Subject::person("eve", &[group.into()]).expect_err("not a group");
        }
    }

    #[test]
    fn a_member_is_told_by_its_group_and_not_by_its_name_alone() {
        assert_eq!(Subject::member(7).member_id(), Some(7));
        let forged = Subject {
            user: "quorate:member:7".into(),
            groups: vec![],
        };
        assert_eq!(forged.member_id(), None);
    }
}
