//! When a host's own watchdog has surely reset it.

use std::time::Duration;

use quorate_crds::{Node, WatchdogMode};
use tokio::time::Instant;

use crate::fencing::{
    mistake::{Mistake, makes},
    room::{Room, length},
};

/// Two clocks drift apart by far less than this share of the time that they measure.
const DRIFT: u32 = 50;
/// What the kernel and the hardware may add: a tick of the timer, the reset itself.
const SLACK: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The moment from which a host's watchdog has surely fired, when it was last granted a lease at `last_grant`; or why
/// its watchdog proves nothing.
///
/// From its last grant on the host may go on for the length of the lease, feed the watchdog at the very end of it, and
/// then run for the watchdog's time-out.
pub(super) fn expires(room: &Room, node: &Node, last_grant: Instant) -> Result<Instant, String> {
    let spec = &node.spec.watchdog;
    if spec.mode == WatchdogMode::Disabled {
        return Err("its watchdog is disabled (spec.watchdog.mode); enable it".into());
    }
    refuse_even_votes(room, node)?;
    let found = node
        .status
        .as_ref()
        .and_then(|status| status.watchdog.as_ref())
        .ok_or("it has never reported a watchdog; look at its condition WatchdogArmed")?;
    if found.armed != Some(true) {
        return Err("its watchdog was not armed; look at its condition WatchdogArmed".into());
    }
    if found.lease_bound != Some(true) {
        return Err(
            "its watchdog was fed without regard to the lease; restart its quorate-lease \
                    so that it learns of its watchdog level"
                .into(),
        );
    }
    if found.hardware != Some(true) && !spec.softdog_is_evidence {
        return Err(
            "its watchdog is the kernel's own, which a hung kernel may not fire; use \
                    hardware, or accept it by spec.watchdog.softdogIsEvidence"
                .into(),
        );
    }
    let said = found
        .timeout
        .as_ref()
        .map_or(Duration::ZERO, |said| length(said, TIMEOUT));
    let timeout = said.max(length(&spec.timeout, TIMEOUT));
    let lease = if makes(Mistake::LeaseNotAwaited) {
        Duration::ZERO
    } else {
        length(&room.cluster.detection.lease, LEASE)
    };
    let whole = lease + timeout;
    Ok(last_grant + whole + whole / DRIFT + SLACK)
}

/// With an even number of voters one half could wait for the other half's watchdogs while that half does the same.
fn refuse_even_votes(room: &Room, node: &Node) -> Result<(), String> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let voters: Vec<_> = room.members.iter().filter(|member| member.voter).collect();
    let votes = voters
        .iter()
        .any(|member| room.machine_of(&member.name) == name);
    if votes && voters.len().is_multiple_of(2) {
        return Err(format!(
            "it votes, and {} voters are an even number, of which a watchdog proves nothing; add a \
             witness, or a level with a device",
            voters.len()
        ));
    }
    Ok(())
}
