//! Every kind of Quorate: its types, its schema and how its manifests are read and written.
//!
//! The Rust types are the one definition. The CRDs for Kubernetes, the JSON schemas, validation,
//! defaults, `quorate explain` and the reference in the book are all derived from them, so that
//! none of them can say something else than the daemons do.

pub mod convert;
pub mod crd;
pub mod kinds;
pub mod manifest;
pub mod references;
mod registry;
pub mod scalar;
mod shape;
mod structural;

pub use kinds::*;
pub use registry::{Column, KindInfo, find, kinds};
pub use scalar::{Duration, Name, Size, Time};

/// The API group of all kinds.
pub const GROUP: &str = "quorate.dev";
/// The version in which objects are stored and, at present, the only one that is served.
pub const VERSION: &str = "v1alpha1";
/// What manifests write as `apiVersion`.
pub const API_VERSION: &str = "quorate.dev/v1alpha1";
