//! The way to other hosts: connected to every member, because only a member that both hosts reach can hand on what they say.

use super::members::Members;
use super::stay;
use crate::link::{Parcel, Relay};
use futures_util::stream;
use quorate_proto::host::v1::Parcel as Carried;
use quorate_proto::host::v1::relay_client::RelayClient;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

/// How often the membership is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// After a member could not be reached.
const AGAIN: Duration = Duration::from_secs(1);
/// Parcels that wait. More are dropped.
const QUEUE: usize = 256;
/// For so long a host is believed to hear by the member by which it was heard last.
const FRESH: Duration = Duration::from_secs(1);

/// A member, by its addresses.
type Member = Vec<String>;

/// Opens it.
pub(super) fn open(tls: Arc<ClientConfig>, members: Arc<Mutex<Members>>) -> Relay {
    let (say, said) = mpsc::channel(QUEUE);
    let (heard, hear) = mpsc::channel(QUEUE);
    let mut carriers = JoinSet::new();
    carriers.spawn(carry(tls, members, said, heard));
    Relay {
        say,
        hear,
        _carriers: carriers,
    }
}

async fn carry(
    tls: Arc<ClientConfig>,
    members: Arc<Mutex<Members>>,
    mut said: mpsc::Receiver<Parcel>,
    heard: mpsc::Sender<Parcel>,
) {
    let mut ways = Ways::default();
    let mut lines: JoinSet<()> = JoinSet::new();
    let mut tasks: BTreeMap<Member, tokio::task::AbortHandle> = BTreeMap::new();
    let (arrive, mut arrived) = mpsc::channel::<(Member, Parcel)>(QUEUE);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let each = members.lock().unwrap_or_else(PoisonError::into_inner).each();
                tasks.retain(|member, task| {
                    let stays = each.contains(member);
                    if !stays {
                        task.abort();
                        ways.lines.remove(member);
                    }
                    stays
                });
                for member in each {
                    if tasks.contains_key(&member) {
                        continue;
                    }
                    let (line, to) = mpsc::channel(QUEUE);
                    ways.lines.insert(member.clone(), line);
                    let task = lines.spawn(stay(Arc::clone(&tls), member.clone(), to, arrive.clone()));
                    tasks.insert(member, task);
                }
            }
            Some((member, parcel)) = arrived.recv() => {
                ways.heard(&parcel.host, member, Instant::now());
                // Whoever does not listen hears less.
                if let Err(mpsc::error::TrySendError::Closed(_)) = heard.try_send(parcel) {
                    return;
                }
            }
            parcel = said.recv() => match parcel {
                Some(parcel) => ways.send(parcel, Instant::now()),
                None => return,
            },
            Some(_) = lines.join_next() => {}
        }
    }
}

/// Which members to give a parcel for a host.
#[derive(Default)]
struct Ways {
    lines: BTreeMap<Member, mpsc::Sender<Carried>>,
    /// By which member each host was heard last, and when.
    heard: BTreeMap<String, (Member, Instant)>,
}

impl Ways {
    fn heard(&mut self, host: &str, member: Member, now: Instant) {
        self.heard.insert(host.to_owned(), (member, now));
    }

    /// By the member by which it was just heard; otherwise by all, for nobody knows which of them it reaches.
    fn send(&mut self, parcel: Parcel, now: Instant) {
        self.heard
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < FRESH);
        let Parcel { host, content } = parcel;
        let known = self.heard.get(&host).map(|(member, _)| member);
        let known = known.and_then(|member| self.lines.get(member));
        let parcel = Carried { host, content };
        if let Some(line) = known
            && line.try_send(parcel.clone()).is_ok()
        {
            return;
        }
        for line in self.lines.values() {
            // One that is full or down is not the only one, and what gets lost is said again.
            let _ = line.try_send(parcel.clone());
        }
    }
}

/// Stays connected to one member.
async fn stay(
    tls: Arc<ClientConfig>,
    member: Member,
    mut to: mpsc::Receiver<Carried>,
    arrive: mpsc::Sender<(Member, Parcel)>,
) {
    loop {
        let mut pause = AGAIN;
        if let Some(channel) = stay::connect(&member, &tls).await {
            // What was said while nobody was there to hear it is past.
            while to.try_recv().is_ok() {}
            let carrying = carry_by(channel, &member, &mut to, &arrive);
            pause = stay::work(&member, ("the way to other hosts", AGAIN), carrying).await;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Carries parcels both ways; ends when the member does.
async fn carry_by(
    channel: Channel,
    member: &Member,
    to: &mut mpsc::Receiver<Carried>,
    arrive: &mpsc::Sender<(Member, Parcel)>,
) -> Status {
    let (out, outgoing) = mpsc::channel(QUEUE);
    let outgoing = stream::unfold(outgoing, |mut outgoing| async move {
        Some((outgoing.recv().await?, outgoing))
    });
    let mut from = match RelayClient::new(channel).carry(outgoing).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => return status,
    };
    loop {
        tokio::select! {
            parcel = to.recv() => {
                let Some(parcel) = parcel else {
                    return Status::cancelled("nobody says anything any more");
                };
                // A member that takes no more is as good as one that loses it.
                if let Err(mpsc::error::TrySendError::Closed(_)) = out.try_send(parcel) {
                    return Status::unavailable("the member hears no more");
                }
            }
            carried = from.message() => match carried {
                Ok(Some(Carried { host, content })) => {
                    let parcel = Parcel { host, content };
                    if arrive.try_send((member.clone(), parcel)).is_err() && arrive.is_closed() {
                        return Status::cancelled("nobody hears any more");
                    }
                }
                Ok(None) => return Status::unavailable("the member ended"),
                Err(status) => return status,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        vec![format!("{name}:7443")]
    }

    fn parcel(host: &str) -> Parcel {
        Parcel {
            host: host.to_owned(),
            content: "words".into(),
        }
    }

    struct Lines {
        ways: Ways,
        ends: BTreeMap<&'static str, mpsc::Receiver<Carried>>,
    }

    impl Lines {
        fn to(names: &[&'static str]) -> Self {
            let mut lines = Self {
                ways: Ways::default(),
                ends: BTreeMap::new(),
            };
            for name in names {
                let (line, end) = mpsc::channel(2);
                lines.ways.lines.insert(member(name), line);
                lines.ends.insert(name, end);
            }
            lines
        }

        /// The members that were given something.
        fn given(&mut self) -> Vec<&'static str> {
            let ends = self.ends.iter_mut();
            ends.filter_map(|(name, end)| end.try_recv().ok().map(|_| *name))
                .collect()
        }
    }

    #[test]
    fn a_host_that_was_just_heard_is_answered_by_the_same_member_and_others_are_looked_for_everywhere()
     {
        let mut lines = Lines::to(&["a", "b", "c"]);
        let now = Instant::now();
        lines.ways.send(parcel("an2"), now);
        assert_eq!(lines.given(), ["a", "b", "c"]);
        lines.ways.heard("an2", member("b"), now);
        lines.ways.send(parcel("an2"), now);
        assert_eq!(lines.given(), ["b"]);
        lines.ways.send(parcel("an3"), now);
        assert_eq!(lines.given(), ["a", "b", "c"]);
        lines.ways.send(parcel("an2"), now + FRESH);
        assert_eq!(lines.given(), ["a", "b", "c"], "it may hear by another one");
    }

    #[test]
    fn a_member_that_goes_or_takes_no_more_is_not_the_only_way() {
        let mut lines = Lines::to(&["a", "b"]);
        let now = Instant::now();
        lines.ways.heard("an2", member("b"), now);
        for _ in 0..3 {
            lines.ways.send(parcel("an2"), now);
        }
        assert_eq!(lines.given(), ["a", "b"], "the third found b full");
        lines.ways.lines.remove(&member("b"));
        lines.ways.send(parcel("an2"), now);
        assert!(lines.given().contains(&"a"));
    }
}
