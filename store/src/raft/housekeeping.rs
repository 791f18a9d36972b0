//! What a member does by itself: say who leads, remove what has expired, make snapshots, drop the old
//! log, and give the leadership away when its disk is full.
//!
//! In an idle cluster none of this writes anything.

use std::{sync::Arc, time::Duration};

use openraft::{ServerState, async_runtime::WatchReceiver, impls::ProgressResponder};

use super::{
    Proposal, change,
    core::{Core, Way, stopped},
};
use crate::{Leadership, MemberId, rt, state::Command, wire::encode_command};

const EVERY: Duration = Duration::from_secs(1);
/// The longest sleep between two looks at what expires: the wall clock may jump.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long to leave the leadership where it is after it was given away for want of room.
const HANDOVER_PAUSE: Duration = Duration::from_secs(30);

/// Tells who leads.
pub(crate) async fn leadership(core: Arc<Core>) {
    let mut metrics = core.raft.server_metrics();
    let mut stop = core.stopping();
    loop {
        let now = {
            let metrics = metrics.borrow_watched();
            Leadership {
                leader: metrics.current_leader,
                term: metrics.vote.leader_id.term,
                is_self: metrics.state == ServerState::Leader
                    && metrics.current_leader == Some(core.link.member_id),
            }
        };
        core.leadership.send_if_modified(|last| {
            let changed = *last != now;
            *last = now;
            changed
        });
        tokio::select! {
            () = stopped(&mut stop) => break,
            changed = metrics.changed() => if changed.is_err() { break },
        }
    }
    core.leadership.send_if_modified(|last| {
        let led = last.is_self;
        last.is_self = false;
        led
    });
}

/// Removes what has expired, as the leader.
pub(crate) async fn expiry(core: Arc<Core>) {
    let mut stop = core.stopping();
    let mut progress = core.shared.progress();
    let mut leadership = core.leadership.subscribe();
    loop {
        let leads = leadership.borrow_and_update().is_self;
        let due = progress.borrow_and_update().next_expiry;
        let now = core
            .shared
            .look(|state| state.time_ms)
            .max(core.config.clock.now_ms());
        let sleep = match due {
            Some(due) if leads && due <= now => {
                if matches!(core.way(), Way::Here) {
                    expire(&core).await;
                }
                EVERY
            }
            Some(due) if leads => Duration::from_millis(due - now + 1).min(LONGEST_SLEEP),
            _ => LONGEST_SLEEP,
        };
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = rt::sleep(sleep) => {}
            changed = progress.wait_for(|p| p.next_expiry != due || p.closed) => {
                if changed.is_err() { break }
            }
            changed = leadership.changed() => if changed.is_err() { break },
        }
    }
}

/// Proposes to remove what has expired, and waits until that is done or will not be.
async fn expire(core: &Core) {
    let command = encode_command(core.config.clock.now_ms(), &Command::Expire);
    let (responder, done) = ProgressResponder::complete_only();
    let sent = core
        .raft
        .client_write_ff(Proposal(command), Some(responder))
        .await;
    if sent.is_ok() {
        // Whatever became of it, the next look shows what is still due.
        let _ = rt::within(core.config.propose_timeout, done).await;
    }
}

/// Snapshots, the old log, and the leadership of a member whose disk is full.
pub(crate) async fn storage(core: Arc<Core>) {
    let mut stop = core.stopping();
    let mut kept_bytes = core.log.stats().disk_bytes;
    let mut handed_over: Option<rt::Instant> = None;
    let mut purged = 0;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = rt::sleep(EVERY) => {}
        }
        let disk_bytes = core.log.stats().disk_bytes;
        // What was dropped since then no longer counts.
        kept_bytes = kept_bytes.min(disk_bytes);
        let applied = core
            .shared
            .look(|state| state.applied.map_or(0, |id| id.index));
        let covered = snapshot_index(&core).unwrap_or(0);
        let entries = applied.saturating_sub(covered);
        let bytes = disk_bytes.saturating_sub(kept_bytes);
        if entries >= core.config.snapshot_every
            || (entries > 0 && bytes >= core.config.snapshot_bytes)
        {
            kept_bytes = disk_bytes;
            let _ = core.raft.trigger().snapshot().await;
        }
        // Back to the snapshot before the newest, in case the newest rots.
        if let Ok(Some(oldest)) = core.snapshots.oldest_index()
            && oldest > purged
        {
            purged = oldest;
            let _ = core.raft.trigger().purge_log(oldest).await;
        }
        let rested = handed_over.is_none_or(|at| at.elapsed() >= HANDOVER_PAUSE);
        if rested && matches!(core.way(), Way::Full(_)) {
            handed_over = Some(rt::now());
            hand_over(&core).await;
        }
    }
}

fn snapshot_index(core: &Core) -> Option<u64> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    metrics.snapshot.map(|id| id.index)
}

/// Gives the leadership to a voter whose disk has room, if there is one.
async fn hand_over(core: &Core) {
    let voters: Vec<MemberId> = {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.voter_ids().collect()
    };
    for id in voters {
        if id == core.link.member_id || change::lag(core, id).is_none() {
            continue;
        }
        if change::has_room(core, id).await {
            tracing::warn!(
                to = id,
                "this member's disk is full: it gives the leadership away"
            );
            let _ = core.raft.trigger().transfer_leader(id).await;
            return;
        }
    }
    tracing::warn!("this member's disk is full, and no other voter has room: writes are refused");
}
