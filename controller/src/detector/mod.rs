//! Notices lost hosts, and gives leases.
//!
//! Every member hears the hosts' beats, so that it can say what it hears; only the leader judges and answers with leases.
//! A host is lost when it is silent on all rings for `Cluster.spec.detection.timeout`, and three things keep the judge
//! honest (rule R7): a new leader counts a full detection time first; only time counts in which the detector itself ran,
//! so that after its own stall it starts anew; and when two or more hosts and more than half of all are silent
//! together, the other voters are asked before anything is believed.
//!
//! [`Detector`] decides and knows no socket; [`listen`] carries datagrams to it, on a thread of its own in the product, so
//! that a busy leader still answers. Both share it behind a lock that is never held for longer than a look.

mod datagrams;
mod host;
mod judgement;
mod listen;
pub mod mistake;
mod settings;
mod shared;

use std::collections::BTreeMap;

use quorate_crds::NodeState;
use quorate_proto::{
    heartbeat::{Beat, Grant, HeartbeatKey, KEY_LENGTH, MAX_LENGTH},
    member::v1::Heard,
};
use quorate_store::MemberId;
use tokio::time::Instant;

pub use datagrams::{Datagrams, Origin, UdpDatagrams};
use host::Host;
pub use host::Known;
pub use judgement::{Incarnation, Judgement};
pub use listen::{listen, on_its_own_thread};
use mistake::{Mistake, makes};
pub use settings::Settings;
pub use shared::SharedDetector;

/// The newest of this leader's messages that a majority has acknowledged: its term, and when it was sent.
pub type Acknowledged = Option<(u64, Instant)>;

/// Hears hosts, judges and gives leases.
pub struct Detector {
    own_id: MemberId,
    secret: [u8; KEY_LENGTH],
    rings: usize,
    settings: Settings,
    hosts: BTreeMap<String, Host>,
    /// Since when it listens at all.
    born: Instant,
    /// Since when it has looked without a gap.
    awake_since: Instant,
    looked: Instant,
    leading: Option<Leading>,
    judgement: Judgement,
}

#[derive(Clone, Copy, Debug)]
struct Leading {
    term: u64,
    since: Instant,
    /// Since when silence counts.
    listening: Instant,
}

impl Detector {
    /// A detector that begins to listen now. `secret` is the same on all members; `rings` is how many addresses this
    /// member has.
    pub fn new(own_id: MemberId, secret: [u8; KEY_LENGTH], rings: usize, now: Instant) -> Self {
        Self {
            own_id,
            secret,
            rings,
            settings: Settings::default(),
            hosts: BTreeMap::new(),
            born: now,
            awake_since: now,
            looked: now,
            leading: None,
            judgement: Judgement::default(),
        }
    }

    /// Sets when a host counts as lost.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// When a host counts as lost.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes what the log says about a host.
    pub fn know(&mut self, node: &str, known: Known, now: Instant) {
        match self.hosts.get_mut(node) {
            Some(host) if host.known.incarnation == known.incarnation => host.know(known, now),
            _ => {
                let key = HeartbeatKey::new(&self.key(node, known.incarnation));
                let mut new = Host::new(known, key, now);
                if let Some(former) = self.hosts.get(node) {
                    new.lowest_valid_generation = former.lowest_valid_generation;
                }
                self.hosts.insert(node.to_owned(), new);
            }
        }
    }

    /// Sets from which generation on a host's records give rights.
    pub fn set_lowest_valid_generation(&mut self, node: &str, generation: u64) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.lowest_valid_generation = generation;
        }
    }

    /// Forgets a host that is no more.
    pub fn forget(&mut self, node: &str) {
        self.hosts.remove(node);
    }

    /// The key of a host's beats.
    pub fn key(&self, node: &str, incarnation: u64) -> [u8; KEY_LENGTH] {
        HeartbeatKey::derive(&self.secret, node, incarnation)
    }

    /// This member leads from now on. What it has not heard before proves nothing.
    pub fn lead(&mut self, term: u64, now: Instant) {
        let listening = if makes(Mistake::NoGrace) {
            self.born
        } else {
            now
        };
        self.leading = Some(Leading {
            term,
            since: now,
            listening,
        });
        for host in self.hosts.values_mut() {
            host.granted = None;
            host.start_anew();
        }
        // Whoever acts on the judgement may do so before the next look.
        self.judgement = self.judge(listening, now);
    }

    /// This member leads no more: it gives no lease and judges nobody.
    pub fn follow(&mut self) {
        self.leading = None;
        self.judgement = Judgement::default();
    }

    /// Takes a datagram. What is to be answered is written to `answer`; its length is returned.
    pub fn receive(
        &mut self,
        datagram: &[u8],
        acknowledged: Acknowledged,
        now: Instant,
        answer: &mut [u8; MAX_LENGTH],
    ) -> Option<usize> {
        let beat = Beat::decode(datagram).ok()?;
        let host = self.hosts.get_mut(beat.node)?;
        if host.known.incarnation != beat.incarnation {
            return None;
        }
        Beat::verify(datagram, &host.key).ok()?;
        if !host.hear(&beat, &self.settings, now) {
            return None;
        }
        let leading = self.leading?;
        let lease = match acknowledged {
            Some((term, at)) if term == leading.term && host.may_have_lease() => {
                (at + self.settings.lease).saturating_duration_since(now)
            }
            _ => std::time::Duration::ZERO,
        };
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        if lease_ms > 0 {
            host.granted = Some(now);
        }
        let grant = Grant {
            ring: beat.ring,
            sequence: beat.sequence,
            term: leading.term,
            member: self.own_id,
            lease_ms,
            lowest_valid_generation: host.lowest_valid_generation,
            incarnation: beat.incarnation,
        };
        Some(grant.encode(&host.key, answer))
    }

    /// A host's connection was closed in order by a kernel that lives: it may come back within the restart grace.
    pub fn closed(&mut self, node: &str, now: Instant) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.close(&self.settings, now);
        }
    }

    /// Looks around; to be called several times per heartbeat interval. Whether the judgement is another now.
    pub fn look(&mut self, now: Instant) -> bool {
        let stalled = now.duration_since(self.looked) > self.settings.stall();
        if stalled && !makes(Mistake::StallCounts) {
            self.awake_since = now;
            for host in self.hosts.values_mut() {
                host.start_anew();
            }
        }
        self.looked = now;
        let judgement = match self.leading {
            Some(leading) => self.judge(leading.listening.max(self.awake_since), now),
            None => Judgement::default(),
        };
        for (name, host) in &mut self.hosts {
            let lost = judgement.lost.iter().any(|lost| lost.node == *name);
            // One that is heard again before its loss was committed gets leases again: a leader that was cut off may never
            // commit it, and a loss that is committed after all is known by the log.
            if lost || host.known.state == NodeState::Online {
                host.suspected = lost;
            }
        }
        let changed = judgement != self.judgement;
        self.judgement = judgement;
        changed
    }

    /// What the leader makes of what it hears, as of the last look.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The other voters were asked about `asked`, and this is what those said that answered. A host that another
    /// member has heard within a detection time is not lost.
    pub fn consider(&mut self, asked: &[Incarnation], answers: &[Heard], now: Instant) {
        let timeout = self.settings.timeout;
        for incarnation in asked {
            let elsewhere = answers.iter().any(|heard| {
                heard.known
                    && heard.node == incarnation.node
                    && heard.incarnation == incarnation.number
                    && u128::from(heard.silent_ms) < timeout.as_millis()
            });
            if let Some(host) = self.hosts.get_mut(&incarnation.node)
                && host.known.incarnation == incarnation.number
                && host.silence(self.awake_since, now) > self.settings.together()
            {
                host.consult(elsewhere, &self.settings, now);
            }
        }
    }

    /// What this member itself hears of the hosts that it is asked about.
    pub fn heard(&self, nodes: &[String], now: Instant) -> Vec<Heard> {
        let awake = now.duration_since(self.awake_since) >= self.settings.timeout;
        nodes
            .iter()
            .map(|node| {
                let host = self.hosts.get(node);
                let silence = host
                    .and_then(|host| host.heard)
                    .map(|heard| now.duration_since(heard).as_millis());
                Heard {
                    node: node.clone(),
                    incarnation: host.map_or(0, |host| host.known.incarnation),
                    silent_ms: silence
                        .and_then(|silence| u64::try_from(silence).ok())
                        .unwrap_or(u64::MAX),
                    known: awake && silence.is_some(),
                }
            })
            .collect()
    }

    /// The latest moment at which this host can have been granted a lease by anybody; none while this member does not
    /// lead. A former leader can have granted one until this one was elected.
    pub fn last_possible_grant(&self, node: &str) -> Option<Instant> {
        let since = self.leading?.since;
        let granted = self.hosts.get(node).and_then(|host| host.granted);
        Some(granted.map_or(since, |granted| granted.max(since)))
    }

    fn judge(&self, listening: Instant, now: Instant) -> Judgement {
        use NodeState::{Fenced, Fencing, Joining, Online, Suspect};
        let settings = &self.settings;
        let mut judgement = Judgement::default();
        let (mut expected, mut silent) = (0_usize, 0_usize);
        let mut lost = Vec::new();
        for (name, host) in &self.hosts {
            let incarnation = || Incarnation {
                node: name.clone(),
                number: host.known.incarnation,
            };
            let state = host.known.state;
            if matches!(state, Online | Suspect | Fencing) {
                expected += 1;
                silent += usize::from(host.silence(listening, now) > settings.together());
            }
            match state {
                // After a cold start hosts come one after the other.
                Online | Suspect
                    if host.heard.is_none() && now < self.born + settings.startup_wait =>
                {
                    judgement.awaited.insert(name.clone());
                }
                Online if host.is_lost(settings, listening, now) => {
                    lost.push((incarnation(), host.was_consulted(), host.was_excused()));
                }
                Online => {
                    let rings = host.silent_rings(self.rings, settings, listening, now);
                    if !rings.is_empty() {
                        judgement.silent_rings.insert(name.clone(), rings);
                    }
                    if host.is_unwell(settings, now) {
                        judgement.unwell.insert(name.clone());
                    }
                    if host.is_excused(now) {
                        judgement.heard_elsewhere.insert(name.clone());
                    }
                }
                Joining | Suspect if host.is_steady(settings, now) => {
                    judgement.present.insert(incarnation());
                }
                Fenced if host.contradicts() => {
                    judgement.contradicted.insert(incarnation());
                }
                _ => {}
            }
        }
        let too_many = silent >= 2 && silent * 2 > expected;
        for (incarnation, consulted, excused) in lost {
            if too_many && !consulted && !makes(Mistake::BelievesItself) {
                // Until the others answer once more, what they said last stands.
                if excused {
                    judgement.heard_elsewhere.insert(incarnation.node.clone());
                }
                judgement.doubtful.insert(incarnation);
            } else {
                judgement.lost.insert(incarnation);
            }
        }
        judgement
    }
}

impl Host {
    fn may_have_lease(&self) -> bool {
        !self.suspected && matches!(self.known.state, NodeState::Joining | NodeState::Online)
    }
}

#[cfg(test)]
mod tests;
