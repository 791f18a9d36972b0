//! What hosts say to each other about locks of programs, carried between the driver and the members that hand it on.

use crate::drivers::LockTalk;
use crate::link::{ClusterLink, Relay};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

/// After the way was lost.
const AGAIN: Duration = Duration::from_secs(1);

/// Carries as long as there is anything to talk about. Ends only when it broke.
pub(super) async fn relay(link: Arc<dyn ClusterLink>, talk: Option<LockTalk>) {
    let Some(talk) = talk else {
        return std::future::pending().await;
    };
    // A task of its own: programs wait for it.
    let mut carrying = JoinSet::new();
    carrying.spawn(carry(link, talk));
    while carrying.join_next().await.is_some() {}
}

async fn carry(link: Arc<dyn ClusterLink>, mut talk: LockTalk) {
    while talk.wanted.wait_for(|wanted| *wanted).await.is_ok() {
        let Some(relay) = link.relay() else {
            tracing::warn!("locks of programs wait: there is no way to other hosts");
            return std::future::pending().await;
        };
        if between(&mut talk, relay).await.is_none() {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    // The driver has gone, with its last word.
    std::future::pending().await
}

/// Until nobody wants it any more, or the way is lost; none, when the driver has gone. What finds no room is lost: hosts say it again.
async fn between(talk: &mut LockTalk, mut relay: Relay) -> Option<()> {
    loop {
        tokio::select! {
            ended = talk.wanted.wait_for(|wanted| !*wanted) => return ended.ok().map(drop),
            said = talk.says.recv() => {
                if let Err(TrySendError::Closed(_)) = relay.say.try_send(said?) {
                    return Some(());
                }
            }
            heard = relay.hear.recv() => match heard {
                None => return Some(()),
                Some(parcel) => {
                    if let Err(TrySendError::Closed(_)) = talk.hears.try_send(parcel) {
                        return None;
                    }
                }
            },
        }
    }
}
