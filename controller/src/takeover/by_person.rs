//! `quorated takeover`: a person lets this member go on alone, because the others are surely off.
//!
//! It is for what no device can prove and no quorum can decide: a machine that booted alone, or whose peer's fence devices
//! are gone as well. The member must be stopped. Its directory is kept aside; everything in it goes on under a new history,
//! so that the others, should they come back, are refused until they join anew.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use quorate_store::{
    Bucket, Member, Salvage, StoreConfig, StoreError, View, disk::RealDisk,
    transport::GrpcTransport,
};
use serde_json::Value;
use thiserror::Error;

use crate::{
    config::{self, ConfigError},
    error::ApiError,
    fencing::Room,
    restore::{Nobody, RestoreError, check_keys, put_in_place},
    sources::Sources,
};

/// Why nothing was taken over.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] RestoreError),
    /// A file. May succeed once its reason is gone.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] ApiError),
    /// A machine that has a vote was not named. Look at it first.
    #[error(
        "nothing was changed: look that {missing} is off, take its power away, and say so by {flags}"
    )]
    NotVerified {
        /// The machines.
        missing: String,
        /// What to add.
        flags: String,
    },
    /// Somebody was named who has no vote.
    #[error("nothing was changed: {0} is no machine of another voter; the others are: {1}")]
    Unknown(String, String),
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> TakeoverError {
    move |source| TakeoverError::Io { what, source }
}

/// Lets the member of this configuration go on alone. `verified` names the machines that a person saw to be off.
pub async fn by_person(config: &Path, verified: &[String]) -> Result<(), TakeoverError> {
    let config = config::load(config)?;
    check_keys(&config)?;
    let path = config.data_dir.join("store");
    if !path.exists() {
        return Err(io_error(format!(
            "there is no member in {}",
            path.display()
        ))(io::ErrorKind::NotFound.into()));
    }
    let disk = RealDisk::open(&path).map_err(io_error(format!(
        "cannot use {}; stop the member first (systemctl stop quorated)",
        path.display()
    )))?;
    let settings = StoreConfig::default();
    let salvage = Salvage::read(&settings, Arc::new(disk)).await?;
    let view = salvage.view();
    let room = Room::of(&view);
    let own = room.machine_of(&config.name).to_owned();
    let others: BTreeSet<String> = salvage
        .others()
        .values()
        .map(|member| room.machine_of(&member.name).to_owned())
        .collect();
    print!("{}", picture(&salvage, &view, &own));
    check(&others, verified)?;
    drop(view);

    let history = Sources::default().new_uid()?;
    let aside = aside(&config.data_dir, salvage.history_id());
    let making = config.data_dir.join("store.taking-over");
    if making.exists() {
        std::fs::remove_dir_all(&making).map_err(io_error(format!(
            "cannot clear {}, which a former attempt left behind",
            making.display()
        )))?;
    }
    let target =
        RealDisk::open(&making).map_err(io_error(format!("cannot use {}", making.display())))?;
    let member = Member {
        name: config.name.clone(),
        addresses: config.addresses.clone(),
        witness: false,
        feature_level: quorate_proto::FEATURE_LEVEL,
    };
    let proof = format!(
        "{} saw that {} is off and took over by hand",
        person(),
        verified.join(", ")
    );
    let transport = Arc::new(GrpcTransport::new(Arc::new(Nobody)));
    let store = salvage
        .found(
            settings,
            Arc::new(target),
            transport,
            history.clone(),
            member,
            &proof,
        )
        .await?;
    let revision = store.barrier().await?;
    let id = store.status().member_id;
    store.shutdown().await;
    drop(store);
    std::fs::rename(&path, &aside)
        .map_err(io_error(format!("cannot set {} aside", path.display())))?;
    put_in_place(&making, &path).map_err(io_error(format!(
        "cannot move {} to {}; the former directory is {}",
        making.display(),
        path.display(),
        aside.display()
    )))?;
    println!(
        "taken over: member {id}, history {history}, revision {revision}\n\
         the former directory is kept in {}\n\
         next: start the member (systemctl start quorated), say that the lost hosts are off (quorate node confirm-fenced), \
         and join the other members anew, each with an empty data directory",
        aside.display()
    );
    Ok(())
}

/// What goes on, and what is at risk.
fn picture(salvage: &Salvage, view: &View, own: &str) -> String {
    let time = i64::try_from(view.time_ms())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "an unknown time".to_owned(), |time| time.to_string());
    let mut text = format!(
        "this member knows everything up to term {}, revision {}, {time}\n\
         what the others acknowledged after that is lost\n",
        salvage.term(),
        view.revision()
    );
    let risky = at_risk(view, own);
    if risky.is_empty() {
        text.push_str("no volume is at risk: this host has a copy of each that was in sync\n");
    }
    for volume in risky {
        text.push_str(&format!("at risk: {volume}\n"));
    }
    text
}

/// The volumes of which this host had no copy in sync.
fn at_risk(view: &View, own: &str) -> Vec<String> {
    let volumes = view.list(&Bucket::new("volumes"), None, usize::MAX);
    volumes
        .into_iter()
        .filter_map(|(key, stored)| {
            let volume: Value = serde_json::from_slice(&stored.value).ok()?;
            let in_sync: Vec<&str> = volume
                .pointer("/status/inSync")?
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .collect();
            (!in_sync.is_empty() && !in_sync.contains(&own)).then(|| {
                format!(
                    "Volume/{}: in sync on {} only; what this host has of it may be old",
                    key.name,
                    in_sync.join(", ")
                )
            })
        })
        .collect()
}

fn check(others: &BTreeSet<String>, verified: &[String]) -> Result<(), TakeoverError> {
    if let Some(stranger) = verified.iter().find(|name| !others.contains(*name)) {
        let all: Vec<&str> = others.iter().map(String::as_str).collect();
        return Err(TakeoverError::Unknown(stranger.clone(), all.join(", ")));
    }
    let missing: Vec<&str> = others
        .iter()
        .filter(|name| !verified.contains(name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let flags = missing
        .iter()
        .map(|name| format!("--i-verified-{name}-is-off"));
    Err(TakeoverError::NotVerified {
        missing: missing.join(", "),
        flags: flags.collect::<Vec<_>>().join(" "),
    })
}

/// Where the former directory is kept: by its history, and never over another one.
fn aside(data_dir: &Path, history: &str) -> PathBuf {
    let base = data_dir.join(format!("store.of-history-{history}"));
    let mut place = base.clone();
    let mut number = 1;
    while place.exists() {
        number += 1;
        place = base.with_extension(number.to_string());
    }
    place
}

fn person() -> String {
    std::env::var("SUDO_USER")
        .unwrap_or_else(|_| format!("the user with id {}", rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_other_voter_is_looked_at_and_nobody_else() {
        let others = set(&["an01", "an03"]);
        assert!(check(&others, &["an01".to_owned(), "an03".to_owned()]).is_ok());
        let error = check(&others, &["an01".to_owned()]).expect_err("an03 may be on");
        let said = error.to_string();
        assert!(said.contains("--i-verified-an03-is-off"), "{said}");
        assert!(!said.contains("--i-verified-an01-is-off"), "{said}");
        let error = check(&others, &["an02".to_owned()]).expect_err("it has no vote");
        assert!(error.to_string().contains("an01, an03"), "{error}");
    }

    #[test]
    fn a_directory_that_was_set_aside_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = aside(dir.path(), "h1");
        std::fs::create_dir(&first).expect("made");
        let second = aside(dir.path(), "h1");
        assert_ne!(first, second);
        assert!(!second.exists());
    }
}
