//! `quorated`: the API front end of the store, admission, access control and the cluster's loops.

pub mod access;
mod admission;
pub mod api;
pub mod audit;
pub mod brain;
pub mod cluster_info;
mod conditions;
pub mod config;
pub mod detector;
pub mod dev;
pub mod error;
pub mod events;
pub mod fencing;
pub mod foresight;
pub mod gc;
pub mod hosts;
pub mod identity_service;
mod leader;
pub mod member;
pub mod members;
pub mod resource;
pub mod restore;
pub mod run;
pub mod secrets;
pub mod sources;
pub mod tls;
pub mod tokens;
