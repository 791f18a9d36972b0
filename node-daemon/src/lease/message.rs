//! What the daemon and the lease process say to each other over their socket: one JSON object a line. Both may be of
//! different releases, because the lease process outlives an upgrade: what one does not know of the other is ignored.

use super::{LeaseView, Setup};
use serde::{Deserialize, Serialize};

/// No message is longer.
pub(super) const MAX_MESSAGE: u64 = 256 * 1024;

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ToLease {
    SetUp(Box<Setup>),
    Alive,
    Closing,
}

/// To the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum FromLease {
    View(LeaseView),
}
