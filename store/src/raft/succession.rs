//! What a person's takeover leaves behind: members of the former history, a majority of it perhaps. When they come back they
//! are told that it was succeeded, before they find each other and go on as if nothing had been.
//!
//! They are told, and do not ask: whoever goes on has another number, and its certificate is not the one that they look for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;
use serde::{Deserialize, Serialize};

use super::{
    core::{Core, stopped},
    link::{Method, peer},
};
use crate::{
    Bucket, Key, Member, MemberId, View, Write, rt,
    transport::{Frame, RefusedFrame},
};

/// The histories that this one succeeds, by name.
const FORMER: &str = "formerhistories";

/// Who else voted in a history when it was succeeded.
#[derive(Serialize, Deserialize)]
struct Former {
    voters: BTreeMap<MemberId, Member>,
}

/// What the log keeps of the history that it succeeds.
pub(crate) fn note(history: &str, voters: BTreeMap<MemberId, Member>) -> serde_json::Result<Write> {
    Ok(Write::Put {
        key: Key::new(Bucket::new(FORMER), history),
        value: Bytes::from(serde_json::to_vec(&Former { voters })?),
        expires_at_ms: None,
    })
}

/// The answer to who says that this member's history was succeeded, if that is what the frame says. None is told to be heard
/// before it is written down.
pub(crate) fn hear(core: &Core, frame: &Frame) -> Option<Result<Frame, RefusedFrame>> {
    let link = &core.link;
    let about_us = frame.method == Method::Succeeded.number()
        && frame.history_id != link.history_id
        && *frame.body == *link.history_id.as_bytes();
    if !about_us {
        return None;
    }
    let written = link.succession.note(&frame.history_id);
    Some(match written {
        Ok(()) => Ok(link.frame(frame.from, Method::Succeeded, Bytes::new())),
        Err(error) => {
            let why = format!("that it was succeeded could not be written down: {error}");
            tracing::error!("{why}");
            Err(RefusedFrame(why))
        }
    })
}

/// Tells them for as long as this member leads, until each has heard it once.
pub(crate) async fn run(core: Arc<Core>) {
    let mut stop = core.stopping();
    let mut told = BTreeSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tell(&core, &mut told) => {}
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = rt::sleep(core.config.election_timeout / 2) => {}
        }
    }
}

async fn tell(core: &Core, told: &mut BTreeSet<(String, MemberId)>) {
    if !core.leadership.borrow().is_self {
        return;
    }
    let calls = silent(core, told).into_iter().map(|(former, id, member)| {
        let body = Bytes::copy_from_slice(former.as_bytes());
        let frame = core.link.frame(id, Method::Succeeded, body);
        let transport = &core.link.transport;
        let call = transport.call(peer(id, &member), frame, core.config.election_timeout);
        async move { call.await.is_ok().then_some((former, id)) }
    });
    told.extend(join_all(calls).await.into_iter().flatten());
}

/// Those that have not heard it. One that has joined anew has nothing of the former history any more.
fn silent(core: &Core, told: &BTreeSet<(String, MemberId)>) -> Vec<(String, MemberId, Member)> {
    let formers = formers(&core.shared.view());
    if formers.is_empty() {
        return Vec::new();
    }
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let nodes = metrics.membership_config.nodes();
    let present: BTreeSet<&str> = nodes.map(|(_, member)| member.name.as_str()).collect();
    let each = formers.into_iter().flat_map(|(history, former)| {
        let voters = former.voters.into_iter();
        voters.map(move |(id, member)| (history.clone(), id, member))
    });
    each.filter(|(history, id, member)| {
        !present.contains(member.name.as_str()) && !told.contains(&(history.clone(), *id))
    })
    .collect()
}

fn formers(view: &View) -> Vec<(String, Former)> {
    view.list(&Bucket::new(FORMER), None, usize::MAX)
        .into_iter()
        .filter_map(|(key, stored)| {
            let former = serde_json::from_slice(&stored.value).ok()?;
            Some((key.name.to_string(), former))
        })
        .collect()
}
