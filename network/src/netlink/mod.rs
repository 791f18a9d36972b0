//! The kernel's own interface, rtnetlink: messages and no text.
//!
//! `rtnetlink`, the crate, sends one request at a time. A step has to be one datagram, which the kernel works off inside
//! one system call: that is why the messages of `netlink-packet-route` are sent over a socket of our own here.

mod neighbours;
mod observe;
mod request;
mod socket;
mod words;

pub use neighbours::neighbours;
pub use observe::Machine;
pub use socket::Watch;
