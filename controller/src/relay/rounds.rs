use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quorate_proto::host::v1::Parcel;
use tokio::sync::mpsc;

/// Parcels that one host has not heard of yet. More are dropped.
const QUEUE: usize = 256;
/// How large a parcel may be. Whoever has more to say says it in parts.
pub(super) const LARGEST: usize = 64 << 10;

/// The hosts that are connected to this member, and what waits for them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Arc<Mutex<Connected>>);

#[derive(Debug, Default)]
struct Connected {
    last: u64,
    hosts: HashMap<String, Mailbox>,
}

#[derive(Debug)]
struct Mailbox {
    number: u64,
    parcels: mpsc::Sender<Parcel>,
}

/// A host that is connected, until this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    rounds: Rounds,
    host: String,
    number: u64,
    pub(super) parcels: mpsc::Receiver<Parcel>,
}

impl Rounds {
    /// The host is connected from now on, in the place of its former connection.
    pub(super) fn connect(&self, host: &str) -> Connection {
        let (sender, parcels) = mpsc::channel(QUEUE);
        let mut connected = self.connected();
        connected.last += 1;
        let number = connected.last;
        let mailbox = Mailbox {
            number,
            parcels: sender,
        };
        connected.hosts.insert(host.to_owned(), mailbox);
        drop(connected);
        Connection {
            rounds: self.clone(),
            host: host.to_owned(),
            number,
            parcels,
        }
    }

    /// Hands a parcel on, as coming from this host. False: it is dropped.
    pub(super) fn hand_on(&self, from: &str, parcel: Parcel) -> bool {
        let Parcel { host: to, content } = parcel;
        if content.len() > LARGEST || to == from {
            return false;
        }
        let connected = self.connected();
        let Some(mailbox) = connected.hosts.get(&to) else {
            return false;
        };
        let host = from.to_owned();
        mailbox.parcels.try_send(Parcel { host, content }).is_ok()
    }

    fn connected(&self) -> MutexGuard<'_, Connected> {
        // A list of who is connected cannot be left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut connected = self.rounds.connected();
        // It may have come again meanwhile.
        if connected
            .hosts
            .get(&self.host)
            .is_some_and(|mailbox| mailbox.number == self.number)
        {
            connected.hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(to: &str, length: usize) -> Parcel {
        Parcel {
            host: to.to_owned(),
            content: vec![7; length].into(),
        }
    }

    #[test]
    fn a_parcel_says_where_it_comes_from_and_reaches_one_host_alone() {
        let rounds = Rounds::default();
        let mut one = rounds.connect("an1");
        let mut two = rounds.connect("an2");
        assert!(rounds.hand_on("an1", parcel("an2", 3)));
        let received = two.parcels.try_recv().expect("handed on");
        assert_eq!((received.host.as_str(), received.content.len()), ("an1", 3));
        one.parcels.try_recv().expect_err("it was for another one");
        assert!(!rounds.hand_on("an1", parcel("an3", 3)), "nobody is there");
        assert!(!rounds.hand_on("an1", parcel("an1", 3)), "that is itself");
    }

    #[test]
    fn a_host_that_does_not_listen_costs_no_more_than_its_queue() {
        let rounds = Rounds::default();
        let slow = rounds.connect("an1");
        let taken = (0..2 * QUEUE).filter(|_| rounds.hand_on("an2", parcel("an1", 1)));
        assert_eq!(taken.count(), QUEUE);
        drop(slow);
        assert!(!rounds.hand_on("an2", parcel("an1", 1)));
        let _there_again = rounds.connect("an1");
        assert!(!rounds.hand_on("an2", parcel("an1", LARGEST + 1)));
        assert!(rounds.hand_on("an2", parcel("an1", LARGEST)));
    }

    #[test]
    fn the_end_of_a_former_connection_ends_nothing_of_the_present_one() {
        let rounds = Rounds::default();
        let former = rounds.connect("an1");
        let mut present = rounds.connect("an1");
        drop(former);
        assert!(rounds.hand_on("an2", parcel("an1", 1)));
        present.parcels.try_recv().expect("handed on");
    }
}
