//! Speaks libvirt's protocol over its socket.
//!
//! libvirt's own library has no time-outs, and a call in it cannot be given up. On the wire a call is a numbered message,
//! and its answer another one: here it is a future with a patience, and whoever drops a [`Connection`] has given up
//! everything that was asked on it. Nothing has to be linked, and no thread ever hangs.
//! `docs/adr/0006-libvirt.md` says why.
//!
//! The crate knows no guest of ours: what to ask, and what the answer means, is the driver's.

mod calls;
mod connection;
mod domain;
mod element;
mod error;
mod message;
mod params;
#[cfg(feature = "private")]
pub mod private;
mod stream;
mod xdr;

pub use calls::{Interface, JobKind, JobStats};
pub use connection::{Connection, Events};
pub use domain::{Domain, DomainId, State};
pub use element::{Element, Node, XmlError};
pub use error::{ErrorCode, RpcError};
pub use message::{Header, Kind, Message, MessageError, Status};
pub use params::{Param, Value, find};
pub use stream::Stream;
pub use xdr::{Decoder, Encoder, XdrError};
pub mod flags;
