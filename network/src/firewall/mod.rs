//! The host's firewall: one table of our own, `inet quorate`, which nothing else of the host's is in.
//!
//! It speaks of the interfaces of our networks only. What is open there is decided elsewhere; here it becomes a text for
//! `nft`, which the kernel takes as a whole or not at all. The table carries a digest of its own text as the name of an
//! empty chain: that is how it is seen whether it is as it should be.

mod nft;
mod text;

pub use nft::{Nft, NftError};
pub use text::{Table, Target};

use crate::model::Address;
use serde::{Deserialize, Serialize};

/// What is open on a network, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Everything else is closed.
    pub openings: Vec<Opening>,
    /// Nothing is let through to it from another network.
    pub closed_to_guests: bool,
}

/// Ports that are open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Of this protocol.
    pub protocol: Transport,
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// To these addresses; none are all.
    pub sources: Vec<Address>,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}
