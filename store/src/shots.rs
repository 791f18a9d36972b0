//! Which outlets this member has told to switch off for a takeover whose end is not known yet: a small file.
//!
//! A round is in memory, and ends with the program. Whoever was switched off for it would stay off for ever when the
//! member's own machine is lost before the new membership is committed: alone, it was in no quorum since it started and
//! may begin no other round, and nobody but it knows what it has done.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};

use crate::{
    MemberId,
    disk::{self, Disk},
    member_file::{Identity, read},
    takeover::Shot,
};

const SHOTS: &str = "shots.json";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    history_id: String,
    member_id: MemberId,
    shots: Vec<Shot>,
}

pub(crate) struct Shots {
    disk: Arc<dyn Disk>,
    content: Mutex<Content>,
}

impl Shots {
    /// What was noted by earlier starts. A file that cannot be read is not worth refusing to start.
    pub(crate) fn load(disk: Arc<dyn Disk>, identity: &Identity) -> Self {
        let none = Content {
            history_id: identity.history_id.clone(),
            member_id: identity.member_id,
            shots: Vec::new(),
        };
        let found = read(&*disk, SHOTS)
            .map_err(|error| error.to_string())
            .and_then(|bytes| match bytes {
                Some(bytes) => serde_json::from_slice::<Content>(&bytes)
                    .map(Some)
                    .map_err(|error| error.to_string()),
                None => Ok(None),
            });
        let kept = found.unwrap_or_else(|error| {
            tracing::warn!(
                error,
                "it is not known whom this member has switched off for a takeover"
            );
            None
        });
        let ours =
            |kept: &Content| kept.history_id == none.history_id && kept.member_id == none.member_id;
        Self {
            disk,
            content: Mutex::new(kept.filter(ours).unwrap_or(none)),
        }
    }

    pub(crate) fn all(&self) -> Vec<Shot> {
        self.lock().shots.clone()
    }

    /// It is on the disk when this returns.
    pub(crate) fn note(&self, shot: Shot) -> io::Result<()> {
        let mut content = self.lock();
        if content.shots.contains(&shot) {
            return Ok(());
        }
        let mut next = content.clone();
        next.shots.push(shot);
        self.write(&next)?;
        *content = next;
        Ok(())
    }

    /// They are settled. When that cannot be written, the next start may give power once more to who has it.
    pub(crate) fn forget(&self) {
        let mut content = self.lock();
        if content.shots.is_empty() {
            return;
        }
        content.shots.clear();
        if let Err(error) = self.write(&content) {
            tracing::warn!(%error, "it could not be written down that a takeover is settled");
        }
    }

    fn write(&self, content: &Content) -> io::Result<()> {
        let bytes = serde_json::to_vec(content).map_err(io::Error::from)?;
        disk::replace(&*self.disk, SHOTS, &bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content
            .lock()
            .expect("nothing panics while it notes a shot")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{disk::sim::SimDisk, takeover::Round};

    fn shot(host: &str) -> Shot {
        Shot {
            host: host.to_owned(),
            device: format!("bmc-{host}"),
            plug: String::new(),
            round: Round {
                by: 1,
                start: 3,
                number: 1,
            },
        }
    }

    #[test]
    fn what_was_noted_outlives_the_machine_until_it_is_settled() {
        let disk = SimDisk::new(1);
        let identity = Identity::new("cluster", "history", 1);
        let shots = Shots::load(disk.mount(), &identity);
        shots.note(shot("an2")).expect("the disk is well");
        shots.note(shot("an2")).expect("it stands there already");
        shots.note(shot("an3")).expect("the disk is well");
        disk.cut_power();
        let again = Shots::load(disk.mount(), &identity);
        assert_eq!(again.all(), [shot("an2"), shot("an3")]);
        let stranger = Identity::new("cluster", "another", 1);
        assert_eq!(Shots::load(disk.mount(), &stranger).all(), []);

        again.forget();
        disk.cut_power();
        assert_eq!(Shots::load(disk.mount(), &identity).all(), []);
    }
}
