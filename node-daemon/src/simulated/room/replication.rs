//! Replication between the hosts of the room: connections, roles, writes and resyncs.

use std::collections::BTreeSet;

use quorate_crds::{ConnectionState, DiskState, ReplicaRole};

use super::{
    MachineRoom,
    refusal::Refusal,
    replica::{BLOCKS, Behind, Kept, Live, Meeting, Replica, meet},
    request::{Changed, LostPeer, PeerFate},
};

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// It is on every replica that is connected.
    Acknowledged,
    /// It waits: a peer was lost and nobody has said yet that it may go on.
    Waits,
    /// The device is not open for writing, or has no data left.
    Fails,
}

impl MachineRoom {
    fn replica(&mut self, host: &str, volume: &str) -> &mut Replica {
        self.volumes
            .entry(volume.to_owned())
            .or_default()
            .replicas
            .entry(host.to_owned())
            .or_default()
    }

    fn live(&mut self, host: &str, volume: &str) -> Result<&mut Live, Refusal> {
        self.replica(host, volume)
            .live
            .as_mut()
            .ok_or_else(|| Refusal::NotThere(format!("the replica of volume {volume} is down")))
    }

    pub(crate) fn create_metadata(
        &mut self,
        host: &str,
        volume: &str,
        backing: &str,
        begins_here: bool,
    ) -> Result<(), Refusal> {
        if !self.is_logical_volume(host, backing) {
            return Err(Refusal::NotThere(format!(
                "{host} has no logical volume {backing}"
            )));
        }
        let generation = if begins_here { super::EMPTY } else { 0 };
        self.replica(host, volume).kept.get_or_insert_with(|| Kept {
            generation,
            complete: begins_here,
            ..Kept::default()
        });
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    /// Brings it up; it meets nobody before it is said whether two may write.
    pub(crate) fn bring_up(
        &mut self,
        host: &str,
        volume: &str,
        peers: &BTreeSet<String>,
        fencing: bool,
    ) -> Result<(), Refusal> {
        let replica = self.replica(host, volume);
        if replica.kept.is_none() {
            return Err(Refusal::NotThere(format!(
                "there are no metadata for volume {volume} on the logical volume"
            )));
        }
        replica.bring_up(peers, fencing);
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    /// Takes a replica down. One that leaves in order outdates itself, so that nobody needs to ask about it.
    pub(crate) fn take_down(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        if self.replica(host, volume).primary() {
            return Err(Refusal::Busy(format!(
                "volume {volume} is Primary: demote it first"
            )));
        }
        let Some(live) = self.replica(host, volume).live.take() else {
            return Ok(());
        };
        for peer in live.links.keys() {
            let other = self.replica(peer, volume);
            if !(other.primary() && other.connected_to(host)) {
                continue;
            }
            if let Some(link) = other
                .live
                .as_mut()
                .and_then(|live| live.links.get_mut(host))
            {
                link.settled = true;
            }
            if let Some(kept) = &mut self.replica(host, volume).kept {
                kept.outdated = true;
            }
        }
        self.touch(host, Changed::Volume(volume.to_owned()));
        self.meet_and_part();
        Ok(())
    }

    /// Opens it for writing. A peer that is not there must have been outdated or be confirmed off: otherwise the
    /// question about it is put, and this is to be tried again.
    pub(crate) fn promote(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        let live = self.live(host, volume)?.clone();
        if live.role == ReplicaRole::Primary {
            return Ok(());
        }
        let mut current_peer = false;
        for peer in live.links.keys() {
            if !self.replica(host, volume).connected_to(peer) {
                continue;
            }
            let other = self.live(peer, volume)?;
            current_peer |= other.disk == DiskState::UpToDate;
            let both = other.allow_two_primaries && live.allow_two_primaries;
            if other.role == ReplicaRole::Primary && !both {
                return Err(Refusal::Busy(format!(
                    "volume {volume} is open for writing on {peer}"
                )));
            }
        }
        let usable = matches!(live.disk, DiskState::UpToDate | DiskState::Consistent);
        if !usable && !current_peer {
            return Err(Refusal::NoData(format!(
                "the replica of volume {volume} is {:?}",
                live.disk
            )));
        }
        let unsettled: Vec<String> = live
            .links
            .iter()
            .filter(|(_, link)| link.connection != ConnectionState::Connected && !link.settled)
            .map(|(peer, _)| peer.clone())
            .collect();
        if live.fencing && !unsettled.is_empty() {
            for peer in &unsettled {
                if let Some(link) = self.live(host, volume)?.links.get_mut(peer) {
                    link.question = true;
                }
            }
            self.touch(host, Changed::Volume(volume.to_owned()));
            return Err(Refusal::PeerUnknown(unsettled));
        }
        let replica = self.replica(host, volume);
        if let Some(kept) = replica.kept.as_mut() {
            kept.crashed_primary = true;
        }
        if let Some(live) = replica.live.as_mut() {
            live.role = ReplicaRole::Primary;
            if live.disk == DiskState::Consistent {
                live.disk = DiskState::UpToDate;
            }
        }
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    pub(crate) fn demote(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        if let Some(holder) = self.holder_of(host, volume) {
            return Err(Refusal::Busy(format!(
                "volume {volume} is held open by {holder}"
            )));
        }
        let live = self.live(host, volume)?;
        live.role = ReplicaRole::Secondary;
        for link in live.links.values_mut() {
            link.question = false;
        }
        if let Some(kept) = &mut self.replica(host, volume).kept {
            kept.crashed_primary = false;
        }
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    pub(crate) fn allow_two_primaries(
        &mut self,
        host: &str,
        volume: &str,
        allowed: bool,
    ) -> Result<(), Refusal> {
        let live = self.live(host, volume)?.clone();
        if !allowed && live.role == ReplicaRole::Primary {
            for peer in live.links.keys() {
                if self.replica(host, volume).connected_to(peer)
                    && self.replica(peer, volume).primary()
                {
                    return Err(Refusal::Busy(format!(
                        "volume {volume} is open for writing on {peer} too"
                    )));
                }
            }
        }
        self.live(host, volume)?.allow_two_primaries = allowed;
        self.touch(host, Changed::Volume(volume.to_owned()));
        self.meet_and_part();
        Ok(())
    }

    /// This replica is known not to be the newest from now on.
    pub(crate) fn outdate(&mut self, host: &str, volume: &str) -> Result<(), Refusal> {
        let replica = self.replica(host, volume);
        if replica.primary() {
            return Err(Refusal::Busy(format!("volume {volume} is Primary here")));
        }
        let connected = replica.live.as_ref().is_some_and(|live| {
            let mut links = live.links.values();
            links.any(|link| link.connection == ConnectionState::Connected)
        });
        if connected {
            return Err(Refusal::Busy(format!(
                "volume {volume} is connected: DRBD refuses to be outdated then"
            )));
        }
        if let Some(kept) = &mut replica.kept {
            kept.outdated = true;
        }
        if let Some(live) = &mut replica.live
            && matches!(live.disk, DiskState::UpToDate | DiskState::Consistent)
        {
            live.disk = DiskState::Outdated;
        }
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    /// The answer to the question about a lost peer: writes go on. One that comes after the two have met is not taken.
    pub(crate) fn answer_about_peer(
        &mut self,
        host: &str,
        question: &LostPeer,
        fate: PeerFate,
    ) -> Result<(), Refusal> {
        let LostPeer {
            volume,
            peer,
            meetings,
        } = question;
        let link = self
            .live(host, volume)?
            .links
            .get_mut(peer)
            .ok_or_else(|| {
                Refusal::NotThere(format!("{peer} keeps no replica of volume {volume}"))
            })?;
        if link.meetings != *meetings {
            return Ok(());
        }
        link.question = false;
        link.settled = link.connection != ConnectionState::Connected;
        self.note(format!(
            "{host} goes on with volume {volume} without {peer}: {fate:?}"
        ));
        self.touch(host, Changed::Volume(volume.to_owned()));
        Ok(())
    }

    /// Tries again to reach a peer after a split; with `discard`, what was written here alone is given up.
    pub(crate) fn reconnect(
        &mut self,
        host: &str,
        volume: &str,
        peer: &str,
        discard: bool,
    ) -> Result<(), Refusal> {
        let live = self.live(host, volume)?;
        if discard && live.role == ReplicaRole::Primary {
            return Err(Refusal::Busy(format!(
                "volume {volume} is Primary: its data cannot be given up"
            )));
        }
        if let Some(link) = live.links.get_mut(peer)
            && link.connection != ConnectionState::Connected
        {
            link.connection = ConnectionState::Connecting;
            link.discard = discard;
        }
        self.touch(host, Changed::Volume(volume.to_owned()));
        self.meet_and_part();
        Ok(())
    }

    /// Writes one block.
    pub(crate) fn write(&mut self, host: &str, volume: &str, block: u32, number: u64) -> Write {
        let replica = self.replica(host, volume);
        let Some(live) = replica.live.clone() else {
            return Write::Fails;
        };
        if live.role != ReplicaRole::Primary {
            return Write::Fails;
        }
        if live.frozen() {
            return Write::Waits;
        }
        let own = matches!(live.disk, DiskState::UpToDate | DiskState::Inconsistent);
        let connected: BTreeSet<String> = live
            .links
            .iter()
            .filter(|(_, link)| link.connection == ConnectionState::Connected)
            .map(|(peer, _)| peer.clone())
            .collect();
        let current_peer = connected.iter().any(|peer| {
            self.replica(peer, volume)
                .live
                .as_ref()
                .is_some_and(|live| live.disk == DiskState::UpToDate)
        });
        if live.disk != DiskState::UpToDate && !current_peer {
            return Write::Fails;
        }
        let absent: BTreeSet<String> = live
            .links
            .keys()
            .filter(|peer| !connected.contains(*peer))
            .cloned()
            .collect();
        let newly_absent = self
            .replica(host, volume)
            .kept
            .as_ref()
            .is_some_and(|kept| absent.iter().any(|peer| !kept.behind.contains_key(peer)));
        if newly_absent {
            let generation = self.next_number();
            self.replica(host, volume).part_from(&absent, generation);
            let source = self.replica(host, volume).kept.clone();
            for peer in &connected {
                let other = self.replica(peer, volume);
                let current = other
                    .live
                    .as_ref()
                    .is_some_and(|live| live.disk == DiskState::UpToDate);
                if let (Some(source), true) = (&source, current) {
                    other.follow(source, peer);
                }
            }
        }
        if own {
            self.put(host, volume, block, number, &absent);
        }
        for peer in &connected {
            self.put(peer, volume, block, number, &absent);
        }
        let written = self.volumes.entry(volume.to_owned()).or_default();
        written.acknowledged.insert(block, number);
        Write::Acknowledged
    }

    fn put(
        &mut self,
        host: &str,
        volume: &str,
        block: u32,
        number: u64,
        absent: &BTreeSet<String>,
    ) {
        let Some(kept) = &mut self.replica(host, volume).kept else {
            return;
        };
        kept.blocks.insert(block, number);
        for peer in absent {
            if let Some(behind) = kept.behind.get_mut(peer) {
                behind.blocks.insert(block);
            }
        }
    }

    /// What a reader on that host gets.
    pub(crate) fn read(&mut self, host: &str, volume: &str, block: u32) -> Option<u64> {
        let replica = self.replica(host, volume);
        let live = replica.live.as_ref()?;
        if live.disk == DiskState::UpToDate {
            return replica.kept.as_ref()?.blocks.get(&block).copied();
        }
        let peers: Vec<String> = live.links.keys().cloned().collect();
        peers.iter().find_map(|peer| {
            let connected = self.replica(host, volume).connected_to(peer);
            let other = self.replica(peer, volume);
            let current = other.live.as_ref()?.disk == DiskState::UpToDate;
            (connected && current)
                .then(|| other.kept.as_ref()?.blocks.get(&block).copied())
                .flatten()
        })
    }

    /// Lets replicas that can reach each other meet, and those that cannot part.
    pub(crate) fn meet_and_part(&mut self) {
        let mut pairs: Vec<(String, String, String)> = Vec::new();
        for (volume, known) in &self.volumes {
            for (host, replica) in &known.replicas {
                for peer in replica.live.iter().flat_map(|live| live.links.keys()) {
                    let both = known.replicas.get(peer).is_some_and(|other| {
                        other
                            .live
                            .as_ref()
                            .is_some_and(|live| live.links.contains_key(host))
                    });
                    if !both || host < peer {
                        pairs.push((volume.clone(), host.clone(), peer.clone()));
                    }
                }
            }
        }
        for (volume, host, peer) in pairs {
            let reachable = self.storage_reaches(&host, &peer);
            let wants = |room: &mut Self, one: &str, other: &str| {
                room.replica(one, &volume)
                    .live
                    .as_ref()
                    .and_then(|live| live.links.get(other))
                    .is_some_and(|link| link.connection != ConnectionState::StandAlone)
            };
            let willing = wants(self, &host, &peer) && wants(self, &peer, &host);
            let connected = self.replica(&host, &volume).connected_to(&peer)
                || self.replica(&peer, &volume).connected_to(&host);
            match (reachable && willing, connected) {
                (true, false) => self.connect(&volume, &host, &peer),
                (false, true) => {
                    self.part(&volume, &host, &peer);
                    self.part(&volume, &peer, &host);
                }
                _ => {}
            }
        }
    }

    /// One side notices that the other is gone.
    fn part(&mut self, volume: &str, host: &str, peer: &str) {
        let Some(live) = &mut self.replica(host, volume).live else {
            return;
        };
        let (primary, fencing) = (live.role == ReplicaRole::Primary, live.fencing);
        let Some(link) = live.links.get_mut(peer) else {
            return;
        };
        if link.connection == ConnectionState::Connected {
            link.connection = ConnectionState::Connecting;
        }
        link.sending = None;
        link.question = primary && fencing && !link.settled;
        self.touch(host, Changed::Volume(volume.to_owned()));
    }

    fn connect(&mut self, volume: &str, one: &str, other: &str) {
        let (Some(a), Some(b)) = (
            self.replica(one, volume).kept.clone(),
            self.replica(other, volume).kept.clone(),
        ) else {
            return self.link(volume, one, other);
        };
        let side = |room: &mut Self, host: &str, peer: &str| {
            room.replica(host, volume).live.as_ref().map(|live| {
                let discard = live.links.get(peer).is_some_and(|link| link.discard);
                (
                    live.role == ReplicaRole::Primary,
                    live.allow_two_primaries,
                    discard,
                )
            })
        };
        let (Some((a_primary, a_two, a_discard)), Some((b_primary, b_two, b_discard))) =
            (side(self, one, other), side(self, other, one))
        else {
            return;
        };
        if a_primary && b_primary && !(a_two && b_two) {
            return self.stand_alone(volume, one, other, "both are Primary");
        }
        let all = || (0..BLOCKS).collect::<BTreeSet<u32>>();
        let meeting = match meet((one, &a), (other, &b)) {
            Meeting::SplitBrain | Meeting::Unrelated if a_discard && !b_discard => {
                Meeting::SecondSends(all())
            }
            Meeting::SplitBrain | Meeting::Unrelated if b_discard && !a_discard => {
                Meeting::FirstSends(all())
            }
            meeting => meeting,
        };
        match meeting {
            Meeting::SplitBrain => self.stand_alone(volume, one, other, "both have written"),
            Meeting::Unrelated => self.stand_alone(volume, one, other, "the data are unrelated"),
            Meeting::Same => {
                self.link(volume, one, other);
                if a.generation != 0 {
                    for host in [one, other] {
                        self.up_to_date(host, volume);
                        self.replica(host, volume).agree();
                    }
                }
            }
            Meeting::FirstSends(blocks) if !b_primary && a.complete => {
                self.send(volume, one, other, blocks);
            }
            Meeting::SecondSends(blocks) if !a_primary && b.complete => {
                self.send(volume, other, one, blocks);
            }
            Meeting::FirstSends(_) | Meeting::SecondSends(_) if a.complete && b.complete => {
                self.stand_alone(volume, one, other, "a Primary cannot be overwritten");
            }
            // Its source is itself incomplete yet.
            Meeting::FirstSends(_) | Meeting::SecondSends(_) => {}
        }
    }

    fn link(&mut self, volume: &str, one: &str, other: &str) {
        for (host, peer) in [(one, other), (other, one)] {
            if let Some(link) = self
                .replica(host, volume)
                .live
                .as_mut()
                .and_then(|live| live.links.get_mut(peer))
            {
                link.connection = ConnectionState::Connected;
                link.settled = false;
                link.question = false;
                link.meetings += 1;
                link.discard = false;
            }
            self.touch(host, Changed::Volume(volume.to_owned()));
        }
    }

    fn up_to_date(&mut self, host: &str, volume: &str) {
        let replica = self.replica(host, volume);
        if let Some(kept) = &mut replica.kept {
            kept.outdated = false;
        }
        if let Some(live) = &mut replica.live
            && matches!(live.disk, DiskState::Consistent | DiskState::Outdated)
        {
            live.disk = DiskState::UpToDate;
        }
    }

    fn send(&mut self, volume: &str, source: &str, target: &str, blocks: BTreeSet<u32>) {
        self.link(volume, source, target);
        self.up_to_date(source, volume);
        let receiver = self.replica(target, volume);
        if let Some(kept) = &mut receiver.kept {
            kept.complete = false;
        }
        let generation = receiver.kept.as_ref().map_or(0, |kept| kept.generation);
        if let Some(live) = &mut receiver.live {
            live.disk = DiskState::Inconsistent;
        }
        let sender = self.replica(source, volume);
        if let Some(kept) = &mut sender.kept {
            let behind = Behind {
                generation,
                blocks: blocks.clone(),
            };
            kept.behind.insert(target.to_owned(), behind);
        }
        if let Some(link) = sender
            .live
            .as_mut()
            .and_then(|live| live.links.get_mut(target))
        {
            link.sending = Some(blocks);
        }
    }

    fn stand_alone(&mut self, volume: &str, one: &str, other: &str, why: &str) {
        self.note(format!(
            "volume {volume}: {one} and {other} stay apart: {why}"
        ));
        for (host, peer) in [(one, other), (other, one)] {
            if let Some(live) = self.replica(host, volume).live.as_mut()
                && let Some(link) = live.links.get_mut(peer)
            {
                link.connection = ConnectionState::StandAlone;
                link.discard = false;
            }
            self.touch(host, Changed::Volume(volume.to_owned()));
        }
    }

    /// Every running resync moves this many blocks.
    pub(crate) fn resync(&mut self, amount: usize) {
        let mut running: Vec<(String, String, String)> = Vec::new();
        for (volume, known) in &self.volumes {
            for (host, replica) in &known.replicas {
                for (peer, link) in replica.live.iter().flat_map(|live| &live.links) {
                    if link.sending.is_some() && link.connection == ConnectionState::Connected {
                        running.push((volume.clone(), host.clone(), peer.clone()));
                    }
                }
            }
        }
        for (volume, source, target) in running {
            self.move_blocks(&volume, &source, &target, amount);
        }
    }

    fn move_blocks(&mut self, volume: &str, source: &str, target: &str, amount: usize) {
        let Replica { kept, live, .. } = self.replica(source, volume);
        let (Some(kept), Some(live)) = (kept, live) else {
            return;
        };
        let Some(left) = live
            .links
            .get_mut(target)
            .and_then(|link| link.sending.as_mut())
        else {
            return;
        };
        let moved: Vec<(u32, Option<u64>)> = left
            .iter()
            .take(amount)
            .map(|block| (*block, kept.blocks.get(block).copied()))
            .collect();
        left.retain(|block| moved.iter().all(|(sent, _)| sent != block));
        let done = left.is_empty();
        if let Some(behind) = kept.behind.get_mut(target) {
            behind.blocks.clone_from(left);
        }
        if done {
            if let Some(behind) = kept.behind.remove(target) {
                kept.history.insert(0, behind.generation);
            }
            if let Some(link) = live.links.get_mut(target) {
                link.sending = None;
            }
        }
        let data = kept.clone();
        let receiver = self.replica(target, volume);
        if let Some(kept) = &mut receiver.kept {
            for (block, number) in moved {
                match number {
                    Some(number) => kept.blocks.insert(block, number),
                    None => kept.blocks.remove(&block),
                };
            }
        }
        if done {
            receiver.follow(&data, target);
            receiver.agree();
            if let Some(live) = &mut receiver.live {
                live.disk = DiskState::UpToDate;
            }
            self.replica(source, volume).agree();
            self.touch(target, Changed::Volume(volume.to_owned()));
            self.touch(source, Changed::Volume(volume.to_owned()));
            // Whoever waited for this one to be complete may follow now.
            self.meet_and_part();
        }
    }
}
