//! `quorated`: the API front end of the store, admission, access control and the cluster's loops.

pub mod access;
mod admission;
pub mod api;
pub mod audit;
pub mod error;
pub mod events;
mod gc;
pub mod resource;
pub mod secrets;
pub mod tls;
pub mod tokens;
