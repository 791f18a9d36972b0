//! The storage drivers of this host, one act a call, for tests in the lab: `storage_hands VERB [JSON]`, or a file with
//! one such line per act. Prints what it saw as JSON, each line.
//!
//! `serve DIRECTORY` stays, like a daemon: it answers questions about lost peers with the word in `verdict` (`fenced`,
//! `outdated`, else nothing), notes each in `questions`, and keeps what it sees of the replicas in `replicas`.

use futures_util::StreamExt;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{Name, ReplicaAssignment, VerifyState, VolumeSpec};
use quorate_node_daemon::drivers::{
    Activation, DriverError, Drivers, LibvirtSettings, LogicalVolumeTarget, PeerVerdict,
    ReplicaTarget, SecretValue, SnapshotTarget, Space, VolumeGroupTarget, of_this_host,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Deserialize)]
struct Group {
    pool: Name,
    name: String,
    #[serde(default)]
    devices: Vec<AbsolutePath>,
    above: Option<Name>,
}

#[derive(Deserialize)]
struct Logical {
    volume: Name,
    group: String,
    name: String,
    size: u64,
    #[serde(default)]
    thin: bool,
}

#[derive(Deserialize)]
struct Snapshot {
    owner: Name,
    group: String,
    of: String,
    name: String,
    reserve: u64,
}

#[derive(Deserialize)]
struct Removed {
    group: String,
    name: String,
    #[serde(default)]
    wipe: bool,
}

#[derive(Deserialize)]
struct Replica {
    name: Name,
    node: Name,
    spec: VolumeSpec,
    assignment: ReplicaAssignment,
    secret: Option<String>,
}

type Failure = Box<dyn Error + Send + Sync>;

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    Ok(serde_json::from_str(text)?)
}

fn show(seen: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(seen)?);
    Ok(())
}

fn replica(text: &str) -> Result<ReplicaTarget, Failure> {
    let read: Replica = read(text)?;
    Ok(ReplicaTarget {
        name: read.name,
        node: read.node,
        spec: Arc::new(read.spec),
        assignment: read.assignment,
        secret: read
            .secret
            .map(|text| SecretValue(text.into_bytes().into())),
    })
}

async fn act(drivers: &Drivers, verb: &str, text: &str) -> Result<(), Failure> {
    let (pools, replication) = (&drivers.pools, &drivers.replication);
    let name = || Name::from(text);
    match verb {
        "groups" => {
            let above = std::env::var("ABOVE").ok().map(AbsolutePath);
            let above: Vec<AbsolutePath> = above.into_iter().collect();
            show(&pools.observe(&above).await?.groups)?;
        }
        "replicas" => show(&replication.observe().await?)?,
        "abilities" => show(&replication.abilities().await?)?,
        "ensure-group" => {
            let Group {
                pool,
                name,
                devices,
                above,
            } = read(text)?;
            let target = VolumeGroupTarget {
                pool,
                name,
                devices,
                above,
            };
            pools.ensure_group(&target).await?;
        }
        "ensure-volume" => {
            let wanted: Logical = read(text)?;
            let target = LogicalVolumeTarget {
                volume: wanted.volume,
                group: wanted.group,
                name: wanted.name,
                size: wanted.size,
                space: if wanted.thin {
                    Space::Thin
                } else {
                    Space::Thick
                },
            };
            pools.ensure_volume(&target).await?;
        }
        "snapshot" => {
            let wanted: Snapshot = read(text)?;
            let target = SnapshotTarget {
                owner: wanted.owner,
                group: wanted.group,
                of: wanted.of,
                name: wanted.name,
                reserve: wanted.reserve,
            };
            pools.snapshot(&target).await?;
        }
        "remove-volume" => {
            let gone: Removed = read(text)?;
            pools
                .remove_volume(&gone.group, &gone.name, gone.wipe)
                .await?;
        }
        "close" | "open" => {
            let gone: Removed = read(text)?;
            let how = if verb == "open" {
                Activation::Exclusive
            } else {
                Activation::Off
            };
            pools.activate(&gone.group, &gone.name, how).await?;
        }
        "create" => replication.create(&replica(text)?).await?,
        "adjust" => replication.adjust(&replica(text)?).await?,
        "erase" => replication.erase(&replica(text)?).await?,
        "promote" => replication.promote(&name()).await?,
        "demote" => replication.demote(&name()).await?,
        "resize" => replication.resize(&name()).await?,
        "outdate" => replication.outdate(&name()).await?,
        "discard" => replication.discard(&name()).await?,
        "compare" => compare(drivers, &name()).await?,
        "take-down" => replication.take_down(&name()).await?,
        "serve" => serve(drivers, Path::new(text)).await?,
        "watch" => watch(drivers, text.parse()?).await?,
        other => return Err(format!("there is no hand for {other}").into()),
    }
    Ok(())
}

async fn serve(drivers: &Drivers, directory: &Path) -> Result<(), Failure> {
    let mut questions = drivers.replication.questions();
    let mut noted = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("questions"))?;
    let mut hints = drivers.replication.watch();
    loop {
        tokio::select! {
            Some(question) = questions.next() => {
                writeln!(noted, "{} asks about {}", question.volume, question.peer)?;
                let verdict = std::fs::read_to_string(directory.join("verdict")).unwrap_or_default();
                let verdict = match verdict.trim() {
                    "fenced" => PeerVerdict::Fenced,
                    "outdated" => PeerVerdict::Outdated,
                    _ => PeerVerdict::Undecided,
                };
                // Who asked may be gone.
                let _ = question.answer.send(verdict);
            }
            hint = hints.next() => {
                if hint.is_none() {
                    hints = drivers.replication.watch();
                }
                let seen = serde_json::to_string(&drivers.replication.observe().await?)?;
                std::fs::write(directory.join("draft"), seen)?;
                std::fs::rename(directory.join("draft"), directory.join("replicas"))?;
            }
        }
    }
}

/// Compares a replica with its peer, and stays until that has ended.
async fn compare(drivers: &Drivers, volume: &Name) -> Result<(), Failure> {
    let replication = &drivers.replication;
    let mut hints = replication.watch();
    // The stream has said everything.
    hints.next().await.ok_or("DRBD's events are not heard")?;
    replication.verify(volume, 1).await?;
    loop {
        let all = replication.observe().await?;
        let seen = all
            .iter()
            .find(|seen| seen.owner.object() == Some(volume))
            .ok_or("it is not there")?;
        let verify = seen.verify.as_ref().ok_or("it was not asked for")?;
        if verify.state != VerifyState::Running {
            let message = verify.message.as_deref();
            println!(
                "{}",
                json!({"state": verify.state, "outOfSync": seen.out_of_sync, "message": message})
            );
            return Ok(());
        }
        hints.next().await.ok_or("DRBD's events ended")?;
    }
}

/// Looks as often as it is told while the subsystems are watched, and says how long one look takes.
async fn watch(drivers: &Drivers, looks: u32) -> Result<(), Failure> {
    let hints = futures_util::stream::select(drivers.pools.watch(), drivers.replication.watch());
    let heard = tokio::spawn(hints.for_each(|_| async {}));
    // Until the event stream has said everything.
    tokio::time::sleep(Duration::from_secs(3)).await;
    drivers.pools.observe(&[]).await?;
    drivers.replication.observe().await?;
    println!("ready");
    let begun = Instant::now();
    for _ in 0..looks {
        drivers.pools.observe(&[]).await?;
        drivers.replication.observe().await?;
    }
    println!("{looks} looks in {:?}", begun.elapsed());
    heard.abort();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let drivers = of_this_host(Path::new("/run/quorate-node"), LibvirtSettings::default());
    let verb = arguments.first().map_or("", String::as_str);
    let text = arguments.get(1).map_or("", String::as_str);
    // The device below a volume group, which the daemon would know from its plan.
    if let Ok(device) = std::env::var("ABOVE") {
        drivers.pools.observe(&[AbsolutePath(device)]).await?;
    }
    let done = act(&drivers, verb, text).await;
    if let Err(error) = &done
        && let Some(error) = error.downcast_ref::<DriverError>()
    {
        eprintln!("{}: {error}", error.trouble());
        std::process::exit(2);
    }
    done
}
