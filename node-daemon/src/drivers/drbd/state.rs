//! What the kernel has said of its resources, put together from its events.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::{ConnectionState, DiskState, ReplicaRole};

use super::events::{self, Event, Fields, Happening, Subject};
use super::verify::Verification;

/// Every resource, by its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) resources: BTreeMap<String, Resource>,
    /// Resources that are compared with their peers, or were.
    pub(super) verifications: BTreeMap<String, Verification>,
    /// Counts the verifications that have ended: figures from before are old.
    pub(super) ended: u64,
    /// Everything that is there has been said.
    pub(super) complete: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resource {
    pub(super) role: Option<ReplicaRole>,
    pub(super) suspended: bool,
    pub(super) devices: BTreeMap<u32, Device>,
    pub(super) connections: BTreeMap<u32, Connection>,
    /// Peers of which the kernel has said that both sides have written, and that were not met in peace since.
    pub(super) split: BTreeSet<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Device {
    pub(super) minor: Option<u32>,
    pub(super) disk: Option<DiskState>,
    pub(super) kibibytes: u64,
    pub(super) open: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Connection {
    pub(super) state: Option<ConnectionState>,
    pub(super) role: Option<ReplicaRole>,
    pub(super) peers: BTreeMap<u32, PeerDevice>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PeerDevice {
    pub(super) disk: Option<DiskState>,
    pub(super) replication: String,
    pub(super) out_of_sync_kibibytes: u64,
}

impl PeerDevice {
    pub(super) fn resyncs(&self) -> bool {
        matches!(
            self.replication.as_str(),
            "SyncSource" | "SyncTarget" | "PausedSyncS" | "PausedSyncT"
        )
    }
}

fn role(word: &str) -> ReplicaRole {
    match word {
        "Primary" => ReplicaRole::Primary,
        "Secondary" => ReplicaRole::Secondary,
        _ => ReplicaRole::Unknown,
    }
}

fn disk(word: &str) -> DiskState {
    match word {
        "UpToDate" => DiskState::UpToDate,
        "Consistent" => DiskState::Consistent,
        "Outdated" => DiskState::Outdated,
        "Inconsistent" => DiskState::Inconsistent,
        "Diskless" => DiskState::Diskless,
        "Failed" | "Detaching" => DiskState::Failed,
        // Attaching, Negotiating: it is not known yet.
        _ => DiskState::Unknown,
    }
}

fn connection(word: &str) -> ConnectionState {
    match word {
        "Connected" => ConnectionState::Connected,
        "StandAlone" => ConnectionState::StandAlone,
        "Disconnecting" => ConnectionState::Disconnected,
        // Whatever it was lost by, it is tried again.
        _ => ConnectionState::Connecting,
    }
}

impl State {
    /// Takes one line.
    pub(super) fn take(&mut self, line: &str) {
        match events::read(line) {
            Event::Complete => {
                self.resources.retain(|_, resource| resource.role.is_some());
                self.complete = true;
            }
            Event::Told {
                happening,
                subject,
                fields,
            } => self.told(happening, subject, &fields),
            Event::Other => {}
        }
    }

    /// All the lines of a look.
    pub(super) fn from_lines(lines: &str) -> Self {
        let mut state = Self::default();
        for line in lines.lines() {
            state.take(line);
        }
        state
    }

    /// A look knows the figures, and the stream knows of splits and verifications: each takes what the other has.
    pub(super) fn learn_from(&mut self, look: &mut Self) {
        let heard = self.verifications.clone();
        look.verifications.retain(|_, seen| seen.runs());
        look.verifications.extend(heard);
        for (name, resource) in &mut look.resources {
            let Some(known) = self.resources.get_mut(name) else {
                continue;
            };
            resource.split.clone_from(&known.split);
            for (peer, connection) in &resource.connections {
                for (volume, device) in &connection.peers {
                    let met = device.replication == "Established" || device.resyncs();
                    if met {
                        resource.split.remove(peer);
                    }
                    let known = known.connections.get_mut(peer);
                    if let Some(known) = known.and_then(|known| known.peers.get_mut(volume)) {
                        known.out_of_sync_kibibytes = device.out_of_sync_kibibytes;
                    }
                }
            }
        }
    }

    /// A new stream begins: everything is said again, but who has split.
    pub(super) fn begin_anew(&mut self) {
        self.complete = false;
        for verification in self.verifications.values_mut() {
            verification.lose_sight();
        }
        for resource in self.resources.values_mut() {
            *resource = Resource {
                split: std::mem::take(&mut resource.split),
                ..Resource::default()
            };
        }
    }

    fn told(&mut self, happening: Happening, subject: Subject, fields: &Fields) {
        let Some(name) = fields.get("name") else {
            return;
        };
        if happening == Happening::Destroy {
            self.gone(name, subject, fields);
            return;
        }
        let (peer, volume) = (
            fields.number("peer-node-id").unwrap_or(0),
            fields.number("volume").unwrap_or(0),
        );
        if subject == Subject::Helper {
            if let Some(resource) = self.resources.get_mut(name)
                && happening == Happening::Call
                && fields.get("helper") == Some("split-brain")
            {
                resource.split.insert(peer);
            }
            return;
        }
        let resource = self.resources.entry(name.to_owned()).or_default();
        match subject {
            Subject::Resource => {
                set(&mut resource.role, fields.get("role").map(role));
                if let Some(word) = fields.get("suspended") {
                    resource.suspended = word != "no";
                }
            }
            Subject::Device => {
                let device = resource.devices.entry(volume).or_default();
                set(&mut device.minor, fields.number("minor"));
                set(&mut device.disk, fields.get("disk").map(disk));
                set(
                    &mut device.open,
                    fields.get("open").map(|word| word == "yes"),
                );
                if let Some(size) = fields.number("size") {
                    device.kibibytes = size;
                }
            }
            Subject::Connection => {
                let known = resource.connections.entry(peer).or_default();
                set(&mut known.role, fields.get("role").map(role));
                set(&mut known.state, fields.get("connection").map(connection));
            }
            Subject::PeerDevice => {
                let known = resource.connections.entry(peer).or_default();
                let device = known.peers.entry(volume).or_default();
                set(&mut device.disk, fields.get("peer-disk").map(disk));
                if let Some(left) = fields.number("out-of-sync") {
                    device.out_of_sync_kibibytes = left;
                }
                if let Some(word) = fields.get("replication") {
                    let verification = self.verifications.entry(name.to_owned()).or_default();
                    self.ended += u64::from(verification.replicates(peer, word));
                    word.clone_into(&mut device.replication);
                    if word == "Established" || device.resyncs() {
                        resource.split.remove(&peer);
                    }
                }
            }
            Subject::Helper => {}
        }
    }

    fn gone(&mut self, name: &str, subject: Subject, fields: &Fields) {
        let (peer, volume): (Option<u32>, Option<u32>) =
            (fields.number("peer-node-id"), fields.number("volume"));
        if subject == Subject::Resource {
            self.resources.remove(name);
            self.verifications.remove(name);
            return;
        }
        let Some(resource) = self.resources.get_mut(name) else {
            return;
        };
        match (subject, peer, volume) {
            (Subject::Device, _, Some(volume)) => {
                resource.devices.remove(&volume);
            }
            (Subject::Connection, Some(peer), _) => {
                resource.connections.remove(&peer);
            }
            (Subject::PeerDevice, Some(peer), Some(volume)) => {
                if let Some(known) = resource.connections.get_mut(&peer) {
                    known.peers.remove(&volume);
                }
            }
            _ => {}
        }
    }
}

fn set<T>(known: &mut Option<T>, said: Option<T>) {
    if said.is_some() {
        *known = said;
    }
}

impl Resource {
    /// The one device of a resource of ours.
    pub(super) fn device(&self) -> Option<&Device> {
        self.devices.get(&0)
    }

    pub(super) fn disk(&self) -> DiskState {
        self.device()
            .and_then(|device| device.disk)
            .unwrap_or(DiskState::Diskless)
    }

    pub(super) fn is_primary(&self) -> bool {
        self.role == Some(ReplicaRole::Primary)
    }

    pub(super) fn resyncs(&self) -> bool {
        let mut peers = self.connections.values().flat_map(|known| &known.peers);
        peers.any(|(_, device)| device.resyncs())
    }

    /// It takes from a peer what it lacks, and does not wait for another replica with that.
    pub(super) fn takes(&self) -> bool {
        let mut peers = self.connections.values().flat_map(|known| &known.peers);
        peers.any(|(_, device)| device.replication == "SyncTarget")
    }

    /// Figures that move without an event matter at present.
    pub(super) fn moves(&self) -> bool {
        self.resyncs()
            || self
                .connections
                .values()
                .flat_map(|known| known.peers.values())
                .any(|device| device.out_of_sync_kibibytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &str = include_str!("../../../tests/recorded/drbd-8.4/drbdsetup-events2.txt");

    /// Not recorded, but written after the manual of drbd-utils 9.22: Debian's kernel does not have DRBD 9.
    const NINE: &str = "\
exists resource name:foo role:Primary suspended:no write-ordering:drain may_promote:no promotion_score:10101
exists connection name:foo peer-node-id:1 conn-name:an2 connection:Connected role:Secondary congested:no ap-in-flight:0 rs-in-flight:0
exists connection name:foo peer-node-id:2 conn-name:an3 connection:Connecting role:Unknown congested:no ap-in-flight:0 rs-in-flight:0
exists device name:foo volume:0 minor:1000 backing_dev:/dev/vg0/foo disk:UpToDate client:no quorum:yes open:yes size:65496 read:1 written:2
exists peer-device name:foo peer-node-id:1 conn-name:an2 volume:0 replication:Established peer-disk:UpToDate peer-client:no resync-suspended:no received:0 sent:0 out-of-sync:0 pending:0 unacked:0
exists peer-device name:foo peer-node-id:2 conn-name:an3 volume:0 replication:Off peer-disk:Outdated peer-client:no resync-suspended:no received:0 sent:0 out-of-sync:8 pending:0 unacked:0
exists path name:foo peer-node-id:1 conn-name:an2 local:ipv4:10.10.0.1:7789 peer:ipv4:10.10.0.2:7789 established:yes
exists -
";

    fn after(lines: usize) -> Resource {
        let mut state = State::default();
        for line in RECORDED.lines().take(lines) {
            state.take(line);
        }
        state.resources["r0"].clone()
    }

    fn line_of(words: &str) -> usize {
        let at = RECORDED.lines().position(|line| line.contains(words));
        at.expect("it was recorded") + 1
    }

    #[test]
    fn a_whole_life_is_followed_as_it_was_recorded() {
        let begun = after(line_of("exists -"));
        assert_eq!(begun.role, Some(ReplicaRole::Secondary));
        assert_eq!(begun.disk(), DiskState::Inconsistent);
        let peer = &begun.connections[&0];
        assert_eq!(peer.state, Some(ConnectionState::Connected));
        assert_eq!(peer.peers[&0].disk, Some(DiskState::Inconsistent));

        let primary = after(line_of("change resource name:r0 role:Primary"));
        assert!(primary.is_primary());
        assert_eq!(primary.disk(), DiskState::UpToDate);

        let lost = after(line_of("connection:NetworkFailure"));
        assert_eq!(
            lost.connections[&0].state,
            Some(ConnectionState::Connecting)
        );

        let split = after(line_of("destroy connection"));
        assert!(split.split.contains(&0));
        assert!(split.connections.is_empty());

        let healed = after(line_of("replication:SyncSource"));
        assert!(healed.resyncs() && healed.split.is_empty());

        let end = after(RECORDED.lines().count());
        assert!(!end.resyncs());
        assert_eq!(end.connections[&0].peers[&0].disk, Some(DiskState::Unknown));
    }

    #[test]
    fn a_look_with_figures_is_read() {
        let look = include_str!("../../../tests/recorded/drbd-8.4/events2-now-statistics.txt");
        let state = State::from_lines(look);
        assert!(state.complete);
        let web = &state.resources["web"];
        let device = web.device().expect("a device");
        assert_eq!((device.minor, device.kibibytes), (Some(7), 69592));
        assert_eq!(web.connections[&0].peers[&0].out_of_sync_kibibytes, 69592);
        assert!(web.moves());
    }

    #[test]
    fn three_peers_of_drbd_9_are_told_apart() {
        let state = State::from_lines(NINE);
        assert!(state.complete);
        let foo = &state.resources["foo"];
        assert!(foo.is_primary() && !foo.suspended);
        assert_eq!(foo.connections.len(), 2);
        let states: Vec<_> = foo.connections.values().map(|known| known.state).collect();
        assert_eq!(
            states,
            [
                Some(ConnectionState::Connected),
                Some(ConnectionState::Connecting)
            ]
        );
        assert_eq!(foo.device().and_then(|device| device.open), Some(true));
    }

    proptest! {
        #[test]
        fn no_order_and_no_cut_of_lines_panics(order in proptest::collection::vec(0..43_usize, 0..60), cut in 0..90_usize) {
            let lines: Vec<&str> = RECORDED.lines().collect();
            let mut state = State::default();
            for at in order {
                let line = lines[at % lines.len()];
                let cut = (0..=cut.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
                state.take(&line[..cut]);
                state.take(line);
            }
        }
    }
}
