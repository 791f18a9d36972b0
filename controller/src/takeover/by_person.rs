//! `quorated takeover`: a person lets this member go on alone, because the others are surely off.
//!
//! It is for what no device can prove and no quorum can decide: a machine that booted alone, or whose peer's fence devices
//! are gone as well. The member must be stopped. Its directory is kept aside; everything in it goes on under a new history,
//! so that the others, should they come back, are refused until they join anew.

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use quorate_identity::MemberConfig;
use quorate_store::{
    Bucket, NewHistory, Salvage, StoreConfig, StoreError, Transaction, View, disk::RealDisk,
    transport::GrpcTransport,
};
use serde_json::Value;
use thiserror::Error;

use super::{
    exchange::{Exchange, STORE, Settled, settle},
    word::{Trail, Word},
};
use crate::{
    audit::AuditError,
    config::{self, ConfigError},
    error::ApiError,
    fencing::Room,
    restore::{Nobody, RestoreError, check_keys, empty_place, first_member, hand_over, io_error},
    sources::Sources,
};

/// Why nothing was taken over.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys, or a file.
    #[error(transparent)]
    Making(#[from] RestoreError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random numbers, or an object that cannot be read.
    #[error(transparent)]
    Object(#[from] ApiError),
    /// The audit log. Without a trace nothing is taken over.
    #[error(transparent)]
    Audit(#[from] AuditError),
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
    /// There is nobody to take over from. Trying again does not help.
    #[error(
        "nothing was changed: this member is the only voter, and goes on by itself when it is started"
    )]
    Alone,
    /// Somebody was named who has no vote.
    #[error("nothing was changed: {0} is no machine of another voter; the others are: {1}")]
    Unknown(String, String),
}

/// Lets the member of this configuration go on alone. `verified` names the machines that a person saw to be off.
pub async fn by_person(config: &Path, verified: &[String]) -> Result<(), TakeoverError> {
    let config = config::load(config)?;
    check_keys(&config)?;
    if let Settled::Ended(aside) = settle(&config.data_dir)? {
        println!("the takeover that was cut off is completed");
        say_what_is_next(&aside);
        return Ok(());
    }
    let path = config.data_dir.join(STORE);
    if !path.exists() {
        let missing = io_error(format!("there is no member in {}", path.display()));
        return Err(missing(io::ErrorKind::NotFound.into()).into());
    }
    // It stays locked until the end: no member is started on what is about to be set aside.
    let disk = Arc::new(RealDisk::open(&path).map_err(io_error(format!(
        "cannot use {}; stop the member first (systemctl stop quorated)",
        path.display()
    )))?);
    let settings = StoreConfig::default();
    let salvage = Salvage::read(&settings, disk.clone()).await?;
    let view = salvage.view();
    let room = Room::of(&view);
    let own = room.machine_of(&config.name).to_owned();
    let others: BTreeSet<String> = salvage
        .others()
        .values()
        .map(|member| room.machine_of(&member.name).to_owned())
        .collect();
    let picture = picture(&salvage, &view, &own);
    print!("{picture}");
    check(&others, verified)?;

    let word = Word {
        person: person(),
        machines: verified.join(", "),
        from: salvage.history_id().to_owned(),
        to: Sources::default().new_uid()?,
    };
    let told = word.told(&view, &room, verified)?;
    let trail = Trail::of(&config);
    trail.note(&word, "Begun", &picture)?;
    let result = exchange(&config, salvage, settings, &word, told).await;
    drop(disk);
    let (outcome, message) = match &result {
        Ok(done) => ("OK", done.clone()),
        Err(error) => ("Failed", error.to_string()),
    };
    trail.note(&word, outcome, &message)?;
    trail.close()?;
    result.map(drop)
}

/// Makes the store of the new history, and puts it in the place of the former one.
async fn exchange(
    config: &MemberConfig,
    salvage: Salvage,
    settings: StoreConfig,
    word: &Word,
    told: Transaction,
) -> Result<String, TakeoverError> {
    let exchange = Exchange::of(&config.data_dir, &word.from);
    let making = config.data_dir.join("store.taking-over");
    let target = empty_place(&making)?;
    let transport = Arc::new(GrpcTransport::new(Arc::new(Nobody)));
    let store = salvage
        .found(
            settings,
            Arc::new(target),
            transport,
            NewHistory {
                history_id: word.to.clone(),
                member: first_member(config),
                proof: word.proof(),
                told,
            },
        )
        .await?;
    let revision = store.barrier().await?;
    let id = store.status().member_id;
    store.shutdown().await;
    drop(store);
    hand_over(&making, &config.data_dir)?;
    exchange.begin(&making)?;
    while exchange.step()? {}
    let done = format!("member {id}, history {}, revision {revision}", word.to);
    println!("taken over: {done}");
    say_what_is_next(&exchange.aside);
    Ok(done)
}

fn say_what_is_next(aside: &Path) {
    println!(
        "the former directory is kept in {}\n\
         next: start the member (systemctl start quorated), and join the other members anew, each with an empty data \
         directory",
        aside.display()
    );
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
    if others.is_empty() {
        return Err(TakeoverError::Alone);
    }
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
        let error = check(&set(&[]), &[]).expect_err("there is nobody else");
        assert!(error.to_string().contains("the only voter"), "{error}");
    }
}
