//! The Kubernetes face: the protocol of kube-apiserver on the one port, so that unmodified kubectl, client libraries
//! and GitOps controllers work on a cluster without any Kubernetes.
//!
//! What comes as gRPC goes on to gRPC, everything else comes here. Nothing in here decides what a verb does or who may
//! do it: requests are translated, then take the same way through [`crate::api::Front`] and
//! [`crate::resource::Engine`] as those that come by gRPC, and leave the same trace in the audit log.

mod accept;
mod answer;
mod asked;
mod collection;
mod core_events;
mod definitions;
mod discovery;
mod face;
mod health;
mod layer;
mod metrics;
mod openapi;
mod options;
mod printing;
mod reading;
mod refusal;
mod reviews;
mod table;
mod typed;
mod watching;
mod writing;

pub use face::Face;
pub(crate) use layer::RestLayer;

/// The release of Kubernetes whose API conventions are followed; clients choose what they may ask for by it.
const KUBERNETES: (&str, &str) = ("1", "32");
/// The group whose calls ask about the caller's own rights.
const AUTHORIZATION: &str = "authorization.k8s.io";
/// The group whose calls ask who the caller is.
const AUTHENTICATION: &str = "authentication.k8s.io";
/// The group of the definitions of kinds.
const EXTENSIONS: &str = "apiextensions.k8s.io";
/// Where Kubernetes keeps events about what belongs to no namespace.
const EVENTS_NAMESPACE: &str = "default";
