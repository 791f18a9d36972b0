//! What those who hold a role may do.

use crate::scalar::Name;
use crate::shape::{atomic, set};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What those who hold the role may do. What no rule allows is refused.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Role",
    plural = "roles",
    derive = "PartialEq",
    doc = "What those who hold the role may do. What no rule allows is refused.",
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleSpec {
    /// Each rule allows something; none takes anything away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = atomic)]
    pub rules: Vec<Rule>,
}

/// Allows some verbs on some objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Kinds or their plurals; `*` is all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub kinds: Vec<String>,
    /// What may be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub verbs: Vec<Verb>,
    /// The objects' names; none given means all objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), transform = set)]
    pub names: Vec<Name>,
    /// Parts with a permission of their own, such as `status`; none given means the object itself,
    /// `*` means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = set)]
    pub subresources: Vec<String>,
}

/// Something that can be done to objects.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read all objects of a kind.
    List,
    /// Follow the changes of a kind.
    Watch,
    /// Make a new object.
    Create,
    /// Replace an object.
    Update,
    /// Change an object, also by apply.
    Patch,
    /// Remove an object.
    Delete,
    /// Everything.
    #[serde(rename = "*")]
    All,
}
