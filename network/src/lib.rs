//! Bonds, VLANs, bridges and addresses of one host, changed without cutting the branch we sit on.
//!
//! [`Wanted`] is one network on one host. Against what the host is ([`model::Host`]) it becomes interfaces, or a
//! [`plan::Refusal`]; [`plan::next`] names one step at a time that leads there.

pub mod model;
pub mod plan;
mod wanted;

pub use wanted::{Card, Layout, Wanted};
