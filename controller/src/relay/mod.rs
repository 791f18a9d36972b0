//! What hosts say to each other, handed on by members: nobody can call a host, and hosts do not call each other.
//!
//! It is about locks of programs on filesystems that hosts share (`docs/adr/0016-posix-locks.md`). A member knows nothing of
//! them: it hands on what is for a host that is connected to it, and drops what is not, or comes too fast; hosts say
//! again what got lost. Nothing is kept, and nothing of it is in the log. Whom a parcel comes from is what the certificate says, never
//! the parcel.

mod rounds;
mod service;

pub use rounds::Rounds;
pub use service::RelayService;
