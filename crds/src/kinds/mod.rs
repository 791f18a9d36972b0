//! The kinds, one file each; long ones keep their status in a file of its own.
//!
//! `spec` is what people want and no daemon ever writes it; `status` is what is so, and what the
//! planner has decided. Everything that the planner chooses, from placement to port numbers, is
//! therefore status, so that a Git repository may own every spec.

#![allow(
    clippy::duplicated_attributes,
    reason = "every printer column has a name and a type"
)]

mod assignment;
mod cluster;
mod cluster_status;
mod condition;
mod event;
mod failover_domain;
mod fence_device;
mod fence_operation;
mod guest_hardware;
mod guest_policy;
mod network;
mod network_bond;
mod network_bridge;
mod network_status;
mod node;
mod node_plan;
mod node_plan_status;
mod node_status;
mod role;
mod role_binding;
mod secret;
mod shared_filesystem;
mod storage_pool;
mod virtual_machine;
mod virtual_machine_migration;
mod virtual_machine_status;
mod volume;
mod volume_replication;
mod volume_snapshot;
mod volume_status;

pub use assignment::*;
pub use cluster::*;
pub use cluster_status::*;
pub use condition::*;
pub use event::*;
pub use failover_domain::*;
pub use fence_device::*;
pub use fence_operation::*;
pub use guest_hardware::*;
pub use guest_policy::*;
pub use network::*;
pub use network_bond::*;
pub use network_bridge::*;
pub use network_status::*;
pub use node::*;
pub use node_plan::*;
pub use node_plan_status::*;
pub use node_status::*;
pub use role::*;
pub use role_binding::*;
pub use secret::*;
pub use shared_filesystem::*;
pub use storage_pool::*;
pub use virtual_machine::*;
pub use virtual_machine_migration::*;
pub use virtual_machine_status::*;
pub use volume::*;
pub use volume_replication::*;
pub use volume_snapshot::*;
pub use volume_status::*;
