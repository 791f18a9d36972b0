//! The API as its callers see it: members in this process, real TLS, real disks.
//!
//! One test per meaning that Kubernetes gives to a call; each says which behaviour it mirrors.

mod admission;
mod applies;
mod capacity;
mod collection;
mod consoles;
mod deletes;
mod hostile;
mod hosts;
mod joining;
mod lists;
mod members;
mod relay;
mod rest;
mod restoring;
mod rights;
mod support;
mod updates;
mod watches;
