//! Structural schemas with the meaning that kube-apiserver gives them: types, limits, defaults,
//! unknown fields, list and map types, and CEL rules.
//!
//! One schema decides everywhere what an object may look like, in our own API and in a Kubernetes
//! cluster that mirrors our kinds. Whatever kube-apiserver would refuse or read differently is
//! therefore refused when the schema is parsed, never when an object is checked.

pub mod cel;
mod defaults;
mod describe;
pub mod duration;
mod error;
pub mod format;
pub mod metadata;
pub mod names;
pub mod node;
mod numbers;
mod parse;
mod path;
mod pattern;
pub mod quantity;
mod schema;
pub mod selector;
mod unknown;
mod validate;
mod violation;

pub use error::SchemaError;
pub use node::{ListType, MapType, Node, NodeKind};
pub use pattern::Pattern;
pub use schema::Schema;
pub use violation::{Violation, ViolationReason};
