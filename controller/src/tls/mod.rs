//! The one TLS port: who is let in, under which name, and how certificates are renewed while it is open.

mod connection;
mod listener;
mod per_source;
mod renewal;

pub use connection::{Connection, ConnectionInfo};
pub use listener::{Limits, listen};
pub(crate) use per_source::network;
pub use renewal::{renew_always, usable_credentials};

#[cfg(test)]
mod tests;
