//! Who this member is, how often each member has been started, whether this one was in a quorum, and whether its history was
//! succeeded by another one: small files.
//!
//! A member's directory belongs to one member of one history. Every start counts; peers remember the
//! highest count of each member that they heard, and refuse a lower one: that is a copy which was
//! restored from an earlier time and has forgotten what it had promised.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    MemberId, StoreError,
    disk::{self, Disk},
};

const MEMBER: &str = "member.json";
const PEERS: &str = "peers.json";
const QUORUM: &str = "quorum.json";
const SUCCEEDED: &str = "succeeded.json";
const FORMAT: u32 = 1;

/// This member's own identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    format: u32,
    pub(crate) cluster_id: String,
    pub(crate) history_id: String,
    pub(crate) member_id: MemberId,
    pub(crate) start_counter: u64,
}

fn damaged(name: &str, reason: String) -> StoreError {
    StoreError::Damaged {
        path: name.to_owned(),
        reason: format!(
            "{reason}; set the whole directory aside and join this machine as a new member"
        ),
    }
}

pub(crate) fn read(disk: &dyn Disk, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    match disk.open(name) {
        Ok(file) => Ok(Some(disk::read_all(&*file).map_err(StoreError::Io)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::Io(error)),
    }
}

impl Identity {
    /// A new member's, not written yet.
    pub(crate) fn new(cluster_id: &str, history_id: &str, member_id: MemberId) -> Self {
        Self {
            format: FORMAT,
            cluster_id: cluster_id.to_owned(),
            history_id: history_id.to_owned(),
            member_id,
            start_counter: 1,
        }
    }

    /// What the directory says; none when it says nothing.
    pub(crate) fn load(disk: &dyn Disk) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = read(disk, MEMBER)? else {
            return Ok(None);
        };
        let identity: Self =
            serde_json::from_slice(&bytes).map_err(|e| damaged(MEMBER, e.to_string()))?;
        if identity.format != FORMAT {
            let reason = format!(
                "format {} was found, this software reads format {FORMAT}; start it with the newer software",
                identity.format
            );
            return Err(StoreError::Damaged {
                path: MEMBER.to_owned(),
                reason,
            });
        }
        Ok(Some(identity))
    }

    /// Writes it, durably.
    pub(crate) fn save(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| StoreError::Io(e.into()))?;
        disk::replace(disk, MEMBER, &bytes).map_err(StoreError::Io)
    }
}

/// The start counters of the other members.
pub(crate) struct PeerStarts {
    disk: Arc<dyn Disk>,
    known: Mutex<BTreeMap<MemberId, u64>>,
}

impl PeerStarts {
    pub(crate) fn load(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let known = match read(&*disk, PEERS)? {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| damaged(PEERS, e.to_string()))?
            }
            None => BTreeMap::new(),
        };
        Ok(Self {
            disk,
            known: Mutex::new(known),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberId, u64>> {
        self.known
            .lock()
            .expect("nothing panics while it compares counters")
    }

    /// The highest counter of a peer; 0 when it was never heard.
    pub(crate) fn known(&self, peer: MemberId) -> u64 {
        self.lock().get(&peer).copied().unwrap_or(0)
    }

    /// Whether a peer with this counter may be listened to. A higher counter is written down first; it
    /// is rare, once per start of a peer.
    pub(crate) fn check(&self, peer: MemberId, counter: u64) -> Result<(), String> {
        let mut known = self.lock();
        let highest = known.get(&peer).copied().unwrap_or(0);
        if counter < highest {
            return Err(format!(
                "member {peer} says it was started {counter} times, but it was seen after {highest} starts: \
                 its directory was restored from an old copy; remove it from the cluster, set the directory \
                 aside and join it as a new member"
            ));
        }
        if counter > highest {
            known.insert(peer, counter);
            let bytes = serde_json::to_vec(&*known).map_err(|e| e.to_string())?;
            if let Err(error) = disk::replace(&*self.disk, PEERS, &bytes) {
                // Kept in memory; a full disk must not cut members off from each other.
                tracing::warn!(%error, "the start counters of the peers could not be written down");
            }
        }
        Ok(())
    }
}

/// Whether this member was part of a quorum since its *machine* started: a machine that comes back alone must not shoot
/// one that is well and ahead.
///
/// It outlives the program, not the machine: the file names the boot in which it was written. When the file is lost, or
/// cannot be written, the member has less right, never more.
pub(crate) struct SinceBoot {
    disk: Arc<dyn Disk>,
    /// What the file says when it counts; none where nobody names the boot: then a start of the program ends it.
    note: Option<Note>,
    in_quorum: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    boot: String,
    history_id: String,
    member_id: MemberId,
}

impl SinceBoot {
    pub(crate) fn load(disk: Arc<dyn Disk>, identity: &Identity, boot: Option<&str>) -> Self {
        let note = boot.map(|boot| Note {
            boot: boot.to_owned(),
            history_id: identity.history_id.clone(),
            member_id: identity.member_id,
        });
        let kept = read(&*disk, QUORUM).ok().flatten();
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
        Self {
            in_quorum: AtomicBool::new(note.is_some() && kept == note),
            disk,
            note,
        }
    }

    pub(crate) fn in_quorum(&self) -> bool {
        self.in_quorum.load(Ordering::Acquire)
    }

    /// This member is part of a quorum.
    pub(crate) fn note(&self) {
        if self.in_quorum.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(note) = &self.note else { return };
        let written = serde_json::to_vec(note)
            .map_err(io::Error::from)
            .and_then(|bytes| disk::replace(&*self.disk, QUORUM, &bytes));
        if let Err(error) = written {
            tracing::warn!(%error, "it could not be written down that this member is part of a quorum; a start of the program forgets it");
        }
    }
}

/// Whether a person has let another member go on under a new history. Whoever was told so decides nothing any more, also after a
/// start: the others that were lost with it would be a majority of the former history.
pub(crate) struct Succession {
    disk: Arc<dyn Disk>,
    history_id: String,
    by: OnceLock<String>,
}

#[derive(Serialize, Deserialize)]
struct Succeeded {
    history_id: String,
    by: String,
}

impl Succession {
    pub(crate) fn load(disk: Arc<dyn Disk>, identity: &Identity) -> Result<Self, StoreError> {
        let kept = match read(&*disk, SUCCEEDED)? {
            Some(bytes) => Some(
                serde_json::from_slice::<Succeeded>(&bytes)
                    .map_err(|e| damaged(SUCCEEDED, e.to_string()))?,
            ),
            None => None,
        };
        let by = OnceLock::new();
        // What a directory says of another history was left there by whoever copied it.
        if let Some(kept) = kept.filter(|kept| kept.history_id == identity.history_id) {
            let _ = by.set(kept.by);
        }
        Ok(Self {
            disk,
            history_id: identity.history_id.clone(),
            by,
        })
    }

    /// Why this member decides nothing any more, if so.
    pub(crate) fn reason(&self) -> Option<String> {
        let by = self.by.get()?;
        Some(format!(
            "a person has let another member go on under history {by}, which succeeds this member's, {}: set its data \
             directory aside and join it as a new member",
            self.history_id
        ))
    }

    /// This member was told so. It counts at once; an error means that a start of the program would forget it, so that it has to
    /// be told again.
    pub(crate) fn note(&self, by: &str) -> io::Result<()> {
        if self.by.set(by.to_owned()).is_ok() {
            tracing::error!(
                history = self.history_id,
                by,
                "a person has let another member go on under a new history; this member decides nothing any more: set its \
                 data directory aside and join it as a new member"
            );
        }
        let succeeded = Succeeded {
            history_id: self.history_id.clone(),
            by: by.to_owned(),
        };
        disk::replace(&*self.disk, SUCCEEDED, &serde_json::to_vec(&succeeded)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn who_was_told_of_a_successor_knows_it_after_a_start_and_another_history_does_not() {
        let disk = SimDisk::new(7);
        let identity = |history: &str| Identity::new("cluster", history, 2);
        let load =
            |history: &str| Succession::load(disk.mount(), &identity(history)).expect("readable");
        let told = load("first");
        assert_eq!(told.reason(), None);
        told.note("second").expect("written");
        let reason = load("first").reason().expect("it is known");
        assert!(
            reason.contains("second") && reason.contains("first"),
            "{reason}"
        );
        assert_eq!(load("second").reason(), None, "this one joined anew");
    }
}
