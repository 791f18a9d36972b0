//! The data directory: whose it is, and how a new one begins.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use quorate_identity::{Bootstrap, MemberConfig};
use quorate_store::{
    Genesis, Grant, Member, Store, StoreConfig, disk::RealDisk, transport::Transport,
};
use serde::Deserialize;

use super::StartError;
use crate::{cluster_info::ClusterInfo, takeover::STORE};

/// The member that founds a cluster; the cluster gives out the later ids.
const FIRST_MEMBER: u64 = 1;
/// How long to wait before the founding is tried to be finished again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A data directory that is about to be used.
pub(super) struct Directory {
    data_dir: PathBuf,
    note: Option<Bootstrap>,
    resident: Option<u64>,
    member: Member,
}

/// As much of the store's own note as says who lives there.
#[derive(Deserialize)]
struct Resident {
    member_id: u64,
}

impl Directory {
    /// Looks at the directory and at the note in it, and changes nothing.
    pub(super) fn open(config: &MemberConfig) -> Result<Self, StartError> {
        let note = Bootstrap::read(&config.data_dir)?;
        let directory = Self {
            resident: resident(&config.data_dir.join(STORE).join("member.json"))?,
            data_dir: config.data_dir.clone(),
            member: Member {
                name: config.name.clone(),
                addresses: config.addresses.clone(),
                witness: note.as_ref().is_some_and(is_witness),
                feature_level: quorate_proto::FEATURE_LEVEL,
            },
            note,
        };
        match (directory.resident, directory.note.as_ref().map(member_of)) {
            (None, None) => Err(StartError::Nothing {
                path: directory.data_dir,
            }),
            (Some(found), Some(wanted)) if found != wanted => Err(StartError::Occupied {
                path: directory.data_dir,
                found,
                wanted,
            }),
            _ => Ok(directory),
        }
    }

    /// Whose directory it is, or will be.
    pub(super) fn member_id(&self) -> u64 {
        self.resident
            .or_else(|| self.note.as_ref().map(member_of))
            .unwrap_or(FIRST_MEMBER)
    }

    /// Opens the store in it, or makes it. A note whose store exists already is one whose first start was
    /// cut off; the start goes on from there.
    pub(super) async fn open_store(
        &self,
        config: StoreConfig,
        transport: Arc<dyn Transport>,
    ) -> Result<Store, StartError> {
        let path = self.data_dir.join(STORE);
        let disk = RealDisk::open(&path)
            .map_err(StartError::io(format!("cannot use {}", path.display())))?;
        let disk = Arc::new(disk);
        let store = match (&self.resident, &self.note) {
            (
                None,
                Some(Bootstrap::Found {
                    cluster_id,
                    history_id,
                    ..
                }),
            ) => {
                let genesis = Genesis {
                    cluster_id: cluster_id.clone(),
                    history_id: history_id.clone(),
                    member: self.member.clone(),
                };
                Store::create(config, disk, transport, genesis).await?
            }
            (
                None,
                Some(Bootstrap::Join {
                    member_id,
                    cluster_id,
                    history_id,
                    ..
                }),
            ) => {
                let grant = Grant {
                    member_id: *member_id,
                    cluster_id: cluster_id.clone(),
                    history_id: history_id.clone(),
                };
                Store::join(config, disk, transport, grant).await?
            }
            _ => Store::open(config, disk, transport).await?,
        };
        Ok(store)
    }

    /// What needs a quorum: a new cluster gets its name; the note goes when it has been followed; and
    /// the membership learns when this member has moved to other addresses.
    pub(super) async fn finish(self, store: Store) {
        let name = match &self.note {
            Some(Bootstrap::Found { cluster_name, .. }) => Some(cluster_name.clone()),
            _ => None,
        };
        if let Some(name) = name {
            while let Err(error) = (ClusterInfo { name: name.clone() }).write(&store).await {
                tracing::info!(%error, "the new cluster has no name yet");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        if self.note.is_some()
            && let Err(error) = Bootstrap::consume(&self.data_dir)
        {
            tracing::warn!(%error, "the bootstrap note is still there; it has no effect any more");
        }
        self.announce(&store).await;
    }

    /// Tells the cluster the addresses of the configuration file when it knows others.
    async fn announce(&self, store: &Store) {
        let id = self.member_id();
        loop {
            let known = store
                .status()
                .members
                .into_iter()
                .find(|known| known.id == id);
            let Some(known) = known else { return };
            if known.addresses == self.member.addresses
                && known.name == self.member.name
                && known.feature_level == quorate_proto::FEATURE_LEVEL
            {
                return;
            }
            let member = Member {
                witness: known.witness,
                ..self.member.clone()
            };
            match store.update_member(id, member).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::info!(%error, "the cluster does not know this member's new addresses yet");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

fn resident(path: &std::path::Path) -> Result<Option<u64>, StartError> {
    let failed = |source| StartError::Io {
        what: format!("cannot read {}", path.display()),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice::<Resident>(&bytes)
            .map(|resident| Some(resident.member_id))
            .map_err(|error| failed(io::Error::from(error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn member_of(note: &Bootstrap) -> u64 {
    match note {
        Bootstrap::Found { .. } => FIRST_MEMBER,
        Bootstrap::Join { member_id, .. } => *member_id,
    }
}

fn is_witness(note: &Bootstrap) -> bool {
    match note {
        Bootstrap::Found { witness, .. } | Bootstrap::Join { witness, .. } => *witness,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(data_dir: &Path) -> MemberConfig {
        MemberConfig {
            name: "node1".into(),
            data_dir: data_dir.to_owned(),
            pki_dir: data_dir.to_owned(),
            listen: Vec::new(),
            addresses: vec!["node1:7443".into()],
            audit_dir: data_dir.to_owned(),
            agent_dirs: quorate_identity::default_agent_dirs(),
            election_timeout_ms: None,
        }
    }

    fn note() -> Bootstrap {
        Bootstrap::Join {
            member_id: 3,
            cluster_id: "c".into(),
            history_id: "h".into(),
            witness: false,
        }
    }

    #[test]
    fn an_empty_directory_is_refused_and_nothing_is_made_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Directory::open(&config(dir.path())).err().expect("refused");
        assert!(error.to_string().contains("quorate init"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_note_says_who_will_live_there() {
        let dir = tempfile::tempdir().expect("a directory");
        note().write(dir.path()).expect("written");
        let directory = Directory::open(&config(dir.path())).expect("usable");
        assert_eq!(directory.member_id(), 3);
    }

    #[test]
    fn a_note_for_one_member_in_the_directory_of_another_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("store")).expect("made");
        fs::write(dir.path().join("store/member.json"), r#"{"member_id": 2}"#).expect("written");
        note().write(dir.path()).expect("written");
        let error = Directory::open(&config(dir.path())).err().expect("refused");
        assert!(matches!(
            error,
            StartError::Occupied {
                found: 2,
                wanted: 3,
                ..
            }
        ));
    }
}
