//! Who holds a role.

use crate::scalar::Name;
use crate::shape::{keyed, rules};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives a role to people, groups, hosts or members.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "RoleBinding",
    plural = "rolebindings",
    derive = "PartialEq",
    doc = "Gives a role to people, groups, hosts or members.",
    printcolumn(
        name = "Role",
        type_ = "string",
        json_path = ".spec.role",
        description = "The role."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RoleBindingSpec {
    /// The Role, or one of the built-in roles admin, operator, viewer, node and member.
    #[schemars(transform = rules(&[
        (
            "self == oldSelf",
            "the role of a binding cannot be changed: delete the binding and create another",
        )
    ]))]
    pub role: Name,
    /// Who holds the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), transform = keyed(&["kind", "name"]))]
    pub subjects: Vec<Subject>,
}

/// Somebody who can hold a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// What sort of subject it is.
    pub kind: SubjectKind,
    /// The name in its certificate or token.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A sort of subject.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum SubjectKind {
    /// A person or program, by name.
    User,
    /// Everybody of a group.
    Group,
    /// A host's daemon, by the host's name.
    Node,
    /// A member of the store, by its number.
    Member,
}
