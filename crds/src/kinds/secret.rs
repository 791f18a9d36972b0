//! Values that must not be read by everybody: passwords of fence devices, keys of replication.

use crate::scalar::Base64;
use crate::shape::rules;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Values that are encrypted at rest, shown to nobody who may not read Secrets, and given to a host
/// only when its plan refers to them.
#[derive(CustomResource, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "Secret",
    plural = "secrets",
    derive = "PartialEq",
    doc = "Values that are encrypted at rest, shown to nobody who may not read Secrets, and \
           given to a host only when its plan refers to them.",
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "What the values are for."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since when the object exists."
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    (
        "!oldSelf.immutable || (self.immutable && has(self.data) == has(oldSelf.data) && \
         (!has(self.data) || self.data == oldSelf.data))",
        "an immutable Secret cannot be changed: delete it and create another",
    )
]))]
pub struct SecretSpec {
    /// What the values are for. Programs may look at it, Quorate does not.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 253))]
    pub type_: String,
    /// The values, each in base64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Base64>,
    /// Values as plain text, for writing only: they are merged into `data` and never shown.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub string_data: BTreeMap<String, String>,
    /// Refuse every later change of the values.
    pub immutable: bool,
}

impl Default for SecretSpec {
    fn default() -> Self {
        Self {
            type_: "Opaque".to_owned(),
            data: BTreeMap::new(),
            string_data: BTreeMap::new(),
            immutable: false,
        }
    }
}

/// The values never reach a log, however an object is printed.
impl fmt::Debug for SecretSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSpec")
            .field("type_", &self.type_)
            .field("data", &self.data.keys())
            .field("string_data", &self.string_data.keys())
            .field("immutable", &self.immutable)
            .finish()
    }
}
