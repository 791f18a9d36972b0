//! `quorated`: the API front end of the store, admission, access control and the cluster's loops.

pub mod access;
mod admission;
pub mod api;
pub mod audit;
pub mod cluster_info;
pub mod config;
pub mod detector;
pub mod dev;
pub mod error;
pub mod events;
pub mod foresight;
mod gc;
pub mod identity_service;
pub mod member;
pub mod resource;
pub mod restore;
pub mod run;
pub mod secrets;
pub mod sources;
pub mod tls;
pub mod tokens;
