use super::backoff::Backoff;
use crate::drivers::{PeerVerdict, Question};
use crate::link::ClusterLink;
use quorate_crds::Name;
use quorate_proto::host::v1::{PeerQuestion, peer_answer::Verdict};
use std::sync::Arc;
use std::time::Duration;

/// Asks the cluster until it has decided, or nobody waits for the answer any more. Never answers by itself: as long as
/// the cluster says nothing, writes stay frozen.
pub(super) async fn ask(
    link: Arc<dyn ClusterLink>,
    incarnation: u64,
    mut question: Question,
) -> (Name, Name) {
    let about = (question.volume.clone(), question.peer.clone());
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));
    loop {
        let asked = link.ask_about_peer(PeerQuestion {
            incarnation,
            volume: about.0.to_string(),
            peer: about.1.to_string(),
        });
        let verdict = tokio::select! {
            biased;
            () = question.answer.closed() => return about,
            answer = asked => match answer {
                Ok(answer) => answer.verdict(),
                Err(error) => {
                    tracing::info!(
                        volume = %about.0, peer = %about.1, error = &error as &dyn std::error::Error,
                        "nobody decides about the lost peer yet"
                    );
                    Verdict::Undecided
                }
            },
        };
        let decided = match verdict {
            Verdict::Undecided => None,
            Verdict::Outdated => Some(PeerVerdict::Outdated),
            Verdict::Fenced => Some(PeerVerdict::Fenced),
        };
        if let Some(decided) = decided {
            // When the storage has stopped waiting, it asks again.
            let _ = question.answer.send(decided);
            return about;
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}
