//! Whether the other hosts are reached over every network: asked once a second, with packets small and large.
//!
//! A link that has a signal may lead nowhere: a switch has forgotten a VLAN, lets no large packet pass, or another machine
//! has taken an address. So every host asks every other one on every network that both have an address on, and tells of
//! it coarsely. ICMP is what is asked with: the other kernel answers, whatever its daemons do.

mod packet;
mod sockets;
mod tally;

pub use tally::Reach;

use crate::netlink::neighbours;
use packet::{Answer, Echo};
use sockets::{Socket, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tally::Tally;

/// How often every peer is asked.
const EVERY: Duration = Duration::from_secs(1);
/// In so many rounds once, hardware addresses are looked up, and clocks asked for.
const SELDOM: u64 = 10;
/// The size of a packet that passes wherever anything does.
const SMALL: usize = 64;
/// An answer so long ago still says that the way works.
const LATELY: Duration = Duration::from_secs(3);
/// Who has not said in so many microseconds what time it is will not.
const FORGOTTEN: u64 = 5_000_000;

/// A network whose ways are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// This host's address.
    pub own: IpAddr,
    /// The largest packet that should pass.
    pub mtu: u32,
    /// The other hosts and their addresses, of the same family.
    pub peers: BTreeMap<String, IpAddr>,
}

/// What was found of one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// To this host.
    pub peer: String,
    /// How the way is; none while that is not known.
    pub reach: Option<Reach>,
    /// What is not answered, in percent, coarsely.
    pub loss: u32,
    /// An answer takes at most so many milliseconds, coarsely.
    pub round_trip: Option<u32>,
    /// The largest packet that passes, where it is less than it should be.
    pub passes: Option<u32>,
    /// The hardware address that answers.
    pub mac: Option<String>,
    /// By how many milliseconds the other clock is ahead, where the two do not agree.
    pub ahead: Option<i64>,
}

/// Asks, on a thread of its own, until it is dropped.
#[derive(Clone, Debug)]
pub struct Prober(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    networks: BTreeMap<String, Network>,
    nonce: u64,
    id: u16,
    number: u32,
    born: Instant,
}

#[derive(Debug)]
struct Network {
    probed: Probed,
    /// None while this host does not have the address.
    socket: Option<Arc<Socket>>,
    tallies: BTreeMap<String, Tally>,
    macs: BTreeMap<IpAddr, String>,
    /// The questions for the time: number, peer, and when it was asked.
    clocks: BTreeMap<u16, (String, u64)>,
    /// When anybody answered last.
    heard: Option<Instant>,
    /// An answer to a later question than this one is waited for.
    awaited: Option<u32>,
    /// The largest packets must pass to these, as they did before.
    large: BTreeSet<String>,
    told: (Vec<Found>, bool, Option<String>),
}

impl Prober {
    /// Begins. `tell` is called from its thread whenever something was found to be otherwise.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin(tell: impl Fn() + Send + 'static) -> io::Result<Self> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let process = std::process::id();
        let state = Arc::new(Mutex::new(State {
            networks: BTreeMap::new(),
            nonce: u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap_or(0)
                ^ u64::from(process).rotate_left(40),
            id: (process & 0xffff) as u16,
            number: 0,
            born: Instant::now(),
        }));
        let watched = Arc::downgrade(&state);
        thread::Builder::new()
            .name("network-probes".to_owned())
            .spawn(move || run(&watched, tell))?;
        Ok(Self(state))
    }

    /// From now on this network is asked about so.
    pub fn probe(&self, network: &str, probed: Probed) {
        let mut state = lock(&self.0);
        let known = state.networks.get(network);
        if known.is_some_and(|known| known.probed == probed) {
            return;
        }
        let (heard, awaited, large) = known.map_or_else(Default::default, |known| {
            (known.heard, known.awaited, known.large.clone())
        });
        let mut tallies: BTreeMap<String, Tally> = probed
            .peers
            .keys()
            .map(|peer| (peer.clone(), Tally::new(probed.mtu)))
            .collect();
        // What is known of a way that stays goes on to count.
        if let Some(former) = state.networks.remove(network)
            && former.probed.mtu == probed.mtu
            && former.probed.own == probed.own
        {
            for (peer, tally) in former.tallies {
                if former.probed.peers.get(&peer) == probed.peers.get(&peer) {
                    tallies.insert(peer, tally);
                }
            }
            tallies.retain(|peer, _| probed.peers.contains_key(peer));
        }
        let network = network.to_owned();
        let new = Network {
            probed,
            socket: None,
            tallies,
            macs: BTreeMap::new(),
            clocks: BTreeMap::new(),
            heard,
            awaited,
            large,
            told: (Vec::new(), false, None),
        };
        state.networks.insert(network, new);
    }

    /// This network is asked about no more.
    pub fn forget(&self, network: &str) {
        lock(&self.0).networks.remove(network);
    }

    /// Whether the network is asked about.
    #[must_use]
    pub fn knows(&self, network: &str) -> bool {
        lock(&self.0).networks.contains_key(network)
    }

    /// Whether anybody answers over the network.
    #[must_use]
    pub fn hears(&self, network: &str) -> bool {
        let state = lock(&self.0);
        let heard = state.networks.get(network).and_then(|known| known.heard);
        heard.is_some_and(|heard| heard.elapsed() < LATELY)
    }

    /// From now on an answer over the network is waited for, which what was asked before does not count for; or none is
    /// any more.
    pub fn wait_for_answer(&self, network: &str, wait: bool) {
        let mut state = lock(&self.0);
        let number = state.number + 1;
        if let Some(known) = state.networks.get_mut(network) {
            known.awaited = wait.then_some(number);
        }
    }

    /// From now on it is waited for that the network's largest packets pass to these hosts, which what was tried before does
    /// not count for.
    pub fn wait_for_large(&self, network: &str, peers: BTreeSet<String>) {
        let mut state = lock(&self.0);
        if let Some(known) = state.networks.get_mut(network) {
            for peer in &peers {
                if let Some(tally) = known.tallies.get_mut(peer) {
                    tally.try_size();
                }
            }
            known.large = peers;
        }
    }

    /// The hosts to which the network's largest packets pass, as far as anything is known of them: all others are not named.
    #[must_use]
    pub fn passes_large(&self, network: &str) -> BTreeSet<String> {
        let found = self.found(network).into_iter();
        found
            .filter(|found| found.reach == Some(Reach::Works) && found.passes.is_none())
            .map(|found| found.peer)
            .collect()
    }

    /// Whether an answer over the network is still waited for.
    #[must_use]
    pub fn waits_for_answer(&self, network: &str) -> bool {
        let state = lock(&self.0);
        let known = state.networks.get(network);
        known.is_some_and(Network::waits)
    }

    /// A host to which the network's largest packets passed before, and do not now, although small ones do.
    #[must_use]
    pub fn too_large_for(&self, network: &str) -> Option<String> {
        let state = lock(&self.0);
        state.networks.get(network)?.too_large_for()
    }

    /// What was found of a network's ways.
    #[must_use]
    pub fn found(&self, network: &str) -> Vec<Found> {
        let state = lock(&self.0);
        let found = state.networks.get(network).map(Network::found);
        found.unwrap_or_default()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until nobody holds the prober any more.
fn run(state: &Weak<Mutex<State>>, tell: impl Fn()) {
    let mut next = Instant::now();
    let mut round = 0;
    let mut buffer = Vec::new();
    while let Some(held) = state.upgrade() {
        let now = Instant::now();
        let (sockets, news) = {
            let mut state = lock(&held);
            state.receive(&mut buffer);
            if now >= next {
                state.ask(round);
                round += 1;
                // After a stall, questions are not made up for.
                next = (next + EVERY).max(now);
            }
            (state.sockets(), state.news())
        };
        drop(held);
        if news {
            tell();
        }
        let longest = next.saturating_duration_since(Instant::now());
        if sockets.is_empty() {
            thread::sleep(longest);
        } else if let Err(error) = wait(sockets.iter().map(AsRef::as_ref), longest) {
            tracing::warn!(%error, "answers of other hosts cannot be awaited");
            thread::sleep(longest);
        }
    }
}

impl State {
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn sockets(&self) -> Vec<Arc<Socket>> {
        let networks = self.networks.values();
        networks
            .filter_map(|network| network.socket.clone())
            .collect()
    }

    /// Whether anything is to be told that was not told yet.
    fn news(&mut self) -> bool {
        let mut news = false;
        for network in self.networks.values_mut() {
            let found = (network.found(), network.waits(), network.too_large_for());
            news |= found != network.told;
            network.told = found;
        }
        news
    }

    /// Asks everybody once.
    fn ask(&mut self, round: u64) {
        let now = self.now();
        let seldom = round.is_multiple_of(SELDOM);
        let known = seldom.then(neighbours).transpose();
        let known = known.unwrap_or_else(|error| {
            tracing::debug!(%error, "the kernel does not say who answers");
            None
        });
        let (nonce, id) = (self.nonce, self.id);
        for network in self.networks.values_mut() {
            if let Some(known) = &known {
                network.macs.clone_from(known);
            }
            network.open();
            for (peer, tally) in &mut network.tallies {
                let Some(to) = network.probed.peers.get(peer) else {
                    continue;
                };
                self.number = self.number.wrapping_add(2);
                let number = self.number;
                tally.asks(number, now);
                let size = tally.asks_for_size(number + 1, now);
                let Some(socket) = &network.socket else {
                    continue;
                };
                // What cannot be sent is not answered, and so is counted.
                let asked = Echo { nonce, number };
                let sent = socket.send(*to, &packet::echo(*to, asked, SMALL));
                if let Err(error) = sent {
                    tracing::debug!(%error, peer, "a host cannot be asked");
                }
                if let Some(size) = size {
                    let number = number + 1;
                    let asked = Echo { nonce, number };
                    let bytes = packet::echo(*to, asked, usize::try_from(size).unwrap_or(SMALL));
                    if socket.send(*to, &bytes).is_err() {
                        tally.refused(number, now);
                    }
                }
                if seldom && to.is_ipv4() {
                    let number = ((number / 2) & 0xffff) as u16;
                    let sent = socket.send(*to, &packet::clock(number, id, time_of_day()));
                    if sent.is_ok() {
                        network.clocks.insert(number, (peer.clone(), now));
                    }
                }
            }
            network
                .clocks
                .retain(|_, (_, asked)| now.saturating_sub(*asked) < FORGOTTEN);
        }
    }

    /// Takes all answers that came.
    fn receive(&mut self, buffer: &mut Vec<u8>) {
        let (now, nonce, id) = (self.now(), self.nonce, self.id);
        for network in self.networks.values_mut() {
            let Some(socket) = network.socket.clone() else {
                continue;
            };
            loop {
                match socket.receive(buffer) {
                    Ok(Some(from)) => network.take(from, buffer, now, (nonce, id)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "answers cannot be read");
                        network.socket = None;
                        break;
                    }
                }
            }
        }
    }
}

impl Network {
    /// The address may be there by now.
    fn open(&mut self) {
        if self.socket.is_none() {
            match Socket::open(self.probed.own) {
                Ok(socket) => self.socket = Some(Arc::new(socket)),
                Err(error) => tracing::debug!(%error, own = %self.probed.own, "nobody is asked"),
            }
        }
    }

    fn take(&mut self, from: IpAddr, bytes: &[u8], now: u64, (nonce, id): (u64, u16)) {
        let mut peers = self.probed.peers.iter();
        let peer = peers.find(|(_, address)| **address == from);
        let Some(tally) = peer.and_then(|(peer, _)| self.tallies.get_mut(peer)) else {
            return;
        };
        match packet::read(from, bytes, id) {
            Some(Answer::Echo(echo)) if echo.nonce == nonce => {
                tally.answered(echo.number, now);
                self.heard = Some(Instant::now());
                self.awaited = self.awaited.filter(|before| echo.number <= *before);
            }
            Some(Answer::Clock { number, at }) => {
                let Some((_, asked)) = self.clocks.remove(&number) else {
                    return;
                };
                // The other one looked at its clock about in the middle.
                let half = i64::try_from(now.saturating_sub(asked) / 2_000).unwrap_or(0);
                tally.clock(packet::ahead(at, time_of_day()) + half);
            }
            _ => {}
        }
    }

    fn waits(&self) -> bool {
        self.awaited.is_some()
            || self
                .large()
                .any(|(_, tally)| tally.own_size() != Some(true))
    }

    fn too_large_for(&self) -> Option<String> {
        self.large()
            .find(|(_, tally)| tally.own_size() == Some(false))
            .map(|(peer, _)| peer.clone())
    }

    fn large(&self) -> impl Iterator<Item = (&String, &Tally)> {
        let all = self.large.iter();
        all.filter_map(|peer| Some((peer, self.tallies.get(peer)?)))
    }

    fn found(&self) -> Vec<Found> {
        let peers = self.probed.peers.iter();
        peers
            .filter_map(|(peer, address)| {
                let tally = self.tallies.get(peer)?;
                Some(Found {
                    peer: peer.clone(),
                    reach: tally.reach(),
                    loss: tally.loss(),
                    round_trip: tally.round_trip(),
                    passes: tally.passes(),
                    mac: self.macs.get(address).cloned(),
                    ahead: tally.ahead(),
                })
            })
            .collect()
    }
}

/// In milliseconds since midnight, universal time.
fn time_of_day() -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u32::try_from(now.as_millis() % 86_400_000).unwrap_or(0)
}
