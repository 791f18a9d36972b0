//! `quorated`: the API front end of the store, admission, access control and the cluster's loops.

mod admission;
pub mod error;
pub mod events;
pub mod resource;
pub mod secrets;
