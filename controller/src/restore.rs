//! `quorated restore`: a new cluster out of a backup.
//!
//! The new cluster has a history of its own: members, tokens and revisions of the old one mean nothing in
//! it, so that an old member that comes back is refused instead of mixed in. The keys are not in a backup; the
//! authority and the keyring must still be there, or certificates and Secrets would be lost.

use std::{
    io,
    os::unix::fs::{MetadataExt, lchown},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quorate_identity::{MemberConfig, PkiDir};
use quorate_store::{
    Genesis, Member, Store, StoreConfig, StoreError,
    disk::RealDisk,
    transport::{Connect, GrpcTransport},
};
use thiserror::Error;
use tokio::{fs::File, io::AsyncReadExt};

use crate::{
    config::{self, ConfigError},
    error::ApiError,
    sources::Sources,
    takeover::{STORE, settle},
};

const CHUNK: usize = 1 << 20;

/// Why nothing was restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something is in the way. Trying again does not help.
    #[error("{path} is not empty: set it aside first, its content is kept as it is")]
    NotEmpty {
        /// The data directory.
        path: String,
    },
    /// The keys are missing. Trying again does not help.
    #[error(
        "{path} is missing: a backup holds no keys; copy the pki directory of any former member to this machine"
    )]
    NoKeys {
        /// The file.
        path: String,
    },
    /// A file. May succeed once its reason is gone.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store, or the backup.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] ApiError),
}

/// Builds the first member of a new cluster from the backup `from`.
pub async fn restore(from: &Path, config: &Path) -> Result<(), RestoreError> {
    let config = config::load(config)?;
    check_keys(&config)?;
    let backup = File::open(from).await.map_err(io_error(format!(
        "cannot read the backup {}",
        from.display()
    )))?;
    settle(&config.data_dir)?;
    let path = config.data_dir.join(STORE);
    if path.exists() {
        return Err(RestoreError::NotEmpty {
            path: path.display().to_string(),
        });
    }
    std::fs::create_dir_all(&config.data_dir).map_err(io_error(format!(
        "cannot make {}",
        config.data_dir.display()
    )))?;
    // Made beside its place and put there when it is whole: an attempt that is killed is in nobody's way, and is never
    // taken for a store.
    let making = config.data_dir.join("store.restoring");
    let disk = empty_place(&making)?;
    let genesis = Genesis {
        cluster_id: Sources::default().new_uid()?,
        history_id: Sources::default().new_uid()?,
        member: first_member(&config),
    };
    let history = genesis.history_id.clone();
    let transport = Arc::new(GrpcTransport::new(Arc::new(Nobody)));
    let restored = Store::restore(
        StoreConfig::default(),
        Arc::new(disk),
        transport,
        genesis,
        chunks(backup).boxed(),
    )
    .await;
    let store = match restored {
        Ok(store) => store,
        Err(error) => {
            std::fs::remove_dir_all(&making)
                .map_err(io_error(format!("cannot clear {}", making.display())))?;
            return Err(error.into());
        }
    };
    let revision = store.barrier().await?;
    let status = store.status();
    store.shutdown().await;
    drop(store);
    hand_over(&making, &config.data_dir)?;
    put_in_place(&making, &path).map_err(io_error(format!(
        "cannot move {} to {}",
        making.display(),
        path.display()
    )))?;
    println!(
        "restored as member {} of a new cluster, history {history}, revision {revision}\nnext: start it (systemctl start quorated), look at it (quorate cluster status), and join the other members anew, each with an empty data directory",
        status.member_id
    );
    Ok(())
}

/// A directory in which a store is made beside its place; what a former attempt left there is cleared away.
pub(crate) fn empty_place(making: &Path) -> Result<RealDisk, RestoreError> {
    if making.exists() {
        // Nobody is at work on it: it can be locked.
        RealDisk::open(making)
            .and_then(|_unused| std::fs::remove_dir_all(making))
            .map_err(io_error(format!(
                "cannot clear {}, which a former attempt left behind",
                making.display()
            )))?;
    }
    RealDisk::open(making).map_err(io_error(format!("cannot use {}", making.display())))
}

/// The member of this configuration, as the only one of its cluster.
pub(crate) fn first_member(config: &MemberConfig) -> Member {
    Member {
        name: config.name.clone(),
        addresses: config.addresses.clone(),
        witness: false,
        feature_level: quorate_proto::FEATURE_LEVEL,
    }
}

/// Gives what was made to whoever owns the data directory: the package makes that for the daemon's user, and these commands
/// are usually typed by root.
pub(crate) fn hand_over(made: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    let to = std::fs::metadata(data_dir)
        .map_err(io_error(format!("cannot look at {}", data_dir.display())))?;
    give(made, (to.uid(), to.gid())).map_err(io_error(format!(
        "cannot give {} to the user of the daemon",
        made.display()
    )))
}

fn give(path: &Path, to: (u32, u32)) -> io::Result<()> {
    let about = std::fs::symlink_metadata(path)?;
    if (about.uid(), about.gid()) != to {
        lchown(path, Some(to.0), Some(to.1))?;
    }
    if about.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), to)?;
        }
    }
    Ok(())
}

fn put_in_place(making: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(making, path)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir)?.sync_all()
}

pub(crate) fn check_keys(config: &MemberConfig) -> Result<(), RestoreError> {
    let pki = PkiDir::new(&config.pki_dir);
    for path in [pki.ca_certificate(), pki.ca_key(), pki.keyring()] {
        if !path.exists() {
            return Err(RestoreError::NoKeys {
                path: path.display().to_string(),
            });
        }
    }
    Ok(())
}

fn chunks(file: File) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut chunk = Vec::with_capacity(CHUNK);
        match (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(chunk)), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

pub(crate) fn io_error(what: String) -> impl FnOnce(io::Error) -> RestoreError {
    move |source| RestoreError::Io { what, source }
}

/// The first member has nobody to talk to.
pub(crate) struct Nobody;

impl Connect for Nobody {
    fn connect(
        &self,
        member: quorate_store::MemberId,
        _address: &str,
    ) -> futures_util::future::BoxFuture<'static, Result<tonic::transport::Channel, String>> {
        Box::pin(async move { Err(format!("there is no member {member} in a cluster of one")) })
    }
}
