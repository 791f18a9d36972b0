//! Bonds, VLANs, bridges and addresses of one host, changed without cutting the branch we sit on.
//!
//! [`Wanted`] is one network on one host. Against what the host is ([`model::Host`]) it becomes interfaces, or a
//! [`plan::Refusal`]; [`plan::next`] names one step at a time that leads there. [`keeper::Keeper`] takes the steps, on trial,
//! and takes them back when nobody says in time that the cluster was reached. It lives in a process of its own
//! ([`service`]), so that it outlives whoever asked; `docs/adr/0008-networks.md` says why.

pub mod firewall;
pub mod keeper;
pub mod kernel;
pub mod model;
pub mod netlink;
pub mod plan;
pub mod probe;
pub mod service;
mod wanted;

pub use wanted::{Card, Layout, Wanted};
