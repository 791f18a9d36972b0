//! What is done to a replica, one program at a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_crds::{ConnectionState, DiskState, Name, Size};
use tokio::time::Instant;

use super::config::{self, Surroundings};
use super::filling;
use super::kept::{Kept, KeptPeer};
use super::state::Resource;
use super::{Drbd, lock};
use crate::drivers::command::{self, Command, Ended, refused};
use crate::drivers::{Activation, DriverError, ReplicaTarget, Trouble};

/// How long a promotion waits for the cluster's word about a lost peer before it gives up, and is tried again.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What a promotion takes beside that.
const PROMOTION: Duration = Duration::from_secs(120);
/// How long the first replica of a new volume waits for the others. Those that are there need not copy anything.
const OTHERS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The generation of data that nobody has written yet.
const JUST_CREATED: &str = "0000000000000004";
/// DRBD's words for a device without its own data.
const NO_METADATA: &str = "No valid meta data found";

/// A configuration, and what of it is remembered beside it.
struct Rendered {
    text: String,
    rate_parts: Option<u64>,
}

impl Drbd {
    /// The resource, when it is ours; whose it is otherwise decides what may be done with it.
    async fn ours(&self, volume: &Name) -> Result<Option<(Kept, Resource)>, DriverError> {
        let state = self.state().await?;
        let Some(resource) = state.resources.get(volume.as_str()) else {
            return Ok(None);
        };
        match self.place.kept(volume.as_str()) {
            Some(kept) => Ok(Some((kept, resource.clone()))),
            None => Err(DriverError::lasting(
                Trouble::ForeignInTheWay,
                format!(
                    "there is a DRBD resource {volume} that is not ours; take it down by hand when it is not needed: drbdsetup down {volume}"
                ),
            )),
        }
    }

    pub(super) async fn up(&self, volume: &Name) -> Result<(Kept, Resource), DriverError> {
        self.ours(volume).await?.ok_or_else(|| {
            DriverError::passing(
                Trouble::DeviceMissing,
                format!("the replica of volume {volume} is not up on this host"),
            )
        })
    }

    /// The configuration, and of how many parts of the host's rate for resyncs it gives the replica one.
    async fn render(&self, target: &ReplicaTarget) -> Result<Rendered, DriverError> {
        let version = self.version().await?;
        let rate_parts = self.rate_parts(&self.state().await?, target.name.as_str());
        let around = Surroundings {
            generation: version.generation,
            hostname: &self.host.hostname,
            handler: &self.host.handler,
            own_address: &config::address_towards,
            rate_parts,
            has: &|name| self.place.kept(name.as_str()).is_some(),
        };
        Ok(Rendered {
            text: config::render(target, &around)?,
            rate_parts: target.assignment.resync_rate_shared.then_some(rate_parts),
        })
    }

    /// The devices below it can be opened.
    async fn ready(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        self.there(target.assignment.backing_device.as_str())
            .await?;
        match target.metadata_device() {
            Some(device) => self.there(device.as_str()).await,
            None => Ok(()),
        }
    }

    /// Where this host has it.
    fn device(&self, path: &str) -> PathBuf {
        self.host
            .dev
            .join(path.strip_prefix("/dev/").unwrap_or(path))
    }

    async fn there(&self, path: &str) -> Result<(), DriverError> {
        if self.device(path).exists() {
            return Ok(());
        }
        let inside = path.strip_prefix("/dev/").unwrap_or(path);
        let Some((group, volume)) = inside.split_once('/') else {
            return Err(DriverError::lasting(
                Trouble::DeviceMissing,
                format!("{path} is not on this host"),
            ));
        };
        self.pools
            .activate(group, volume, Activation::Exclusive)
            .await
    }

    fn write(
        &self,
        target: &ReplicaTarget,
        rendered: &Rendered,
        adjusted: bool,
    ) -> Result<(), DriverError> {
        let name = target.name.as_str();
        let before = self.place.kept(name);
        let two = target.assignment.allow_two_primaries
            || (!adjusted && before.as_ref().is_some_and(|kept| kept.two_primaries));
        let peers = target.assignment.peers.iter();
        let kept = Kept {
            volume: target.name.clone(),
            minor: target.assignment.minor,
            node_id: target.assignment.node_id,
            backing: target.assignment.backing_device.clone(),
            peers: peers
                .map(|peer| KeptPeer {
                    node: peer.node.clone(),
                    node_id: peer.node_id,
                })
                .collect(),
            two_primaries: two,
            adjusted,
            snapshot_target: target.spec.resync.snapshot_target,
            rate_parts: rendered.rate_parts,
            met_split: before.as_ref().and_then(|kept| kept.met_split),
            verify: before.and_then(|kept| kept.verify),
        };
        self.place
            .prepare()
            .and_then(|()| self.place.keep(&kept))
            .and_then(|()| self.place.configure(name, &rendered.text))
            .map_err(|error| {
                DriverError::passing(
                    Trouble::Refused,
                    format!("the configuration of volume {name} cannot be written"),
                )
                .because(error)
            })
    }

    pub(super) async fn create(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        if self.ours(&target.name).await?.is_some() {
            return Ok(());
        }
        self.minor_is_free(target).await?;
        let rendered = self.render(target).await?;
        self.ready(target).await?;
        self.write(target, &rendered, false)?;
        if self.generation(target).await?.is_none() {
            self.create_metadata(target).await?;
        }
        let begins = target.assignment.begins_here;
        // What is filled first is ahead of the others: they copy everything.
        let filled = target.spec.source.is_some();
        if begins && (target.assignment.peers.is_empty() || filled) {
            self.begin_alone(target).await?;
        }
        Ok(())
    }

    async fn minor_is_free(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        let minor = Some(target.assignment.minor);
        let state = self.state().await?;
        let taken = state.resources.iter().find(|(_, resource)| {
            resource
                .devices
                .values()
                .any(|device| device.minor == minor)
        });
        match taken {
            None => Ok(()),
            Some((other, _)) => Err(DriverError::lasting(
                Trouble::ForeignInTheWay,
                format!(
                    "/dev/drbd{} belongs to the DRBD resource {other} already",
                    target.assignment.minor
                ),
            )),
        }
    }

    async fn metadata<A: Into<String>>(
        &self,
        target: &ReplicaTarget,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command, DriverError> {
        let version = self.version().await?;
        let (device, place) = match target.metadata_device() {
            Some(device) => (device, "flex-external"),
            None => (target.assignment.backing_device.clone(), "internal"),
        };
        let about = [
            "--force".to_owned(),
            target.assignment.minor.to_string(),
            version.metadata().to_owned(),
            device.to_string(),
            place.to_owned(),
        ];
        let all = about
            .into_iter()
            .chain(arguments.into_iter().map(Into::into));
        Ok(Command::new("drbdmeta", all))
    }

    /// Which generation of data the device holds, when it has DRBD's own data on it at all.
    async fn generation(&self, target: &ReplicaTarget) -> Result<Option<String>, DriverError> {
        let node = [
            "--node-id".to_owned(),
            target.assignment.node_id.to_string(),
        ];
        let of_nine = self.version().await?.generation == super::Generation::Nine;
        let arguments = ["get-gi".to_owned()]
            .into_iter()
            .chain(node.into_iter().filter(|_| of_nine));
        let asked = self.metadata(target, arguments).await?;
        let words = asked.to_string();
        let said = command::run_to_end(&*self.run, asked).await?;
        let first = said.stdout.trim().split(':').next().unwrap_or_default();
        let sound = first.len() == 16 && first.chars().all(|digit| digit.is_ascii_hexdigit());
        match (said.succeeded(), sound) {
            (true, true) => Ok(Some(first.to_owned())),
            (false, _) if there_is_none(&said) => Ok(None),
            _ => Err(refused(&words, &said)),
        }
    }

    /// Never forced: DRBD's own program refuses where it finds data, or metadata that the look before did not.
    async fn create_metadata(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        let mut arguments = vec!["create-md".to_owned()];
        if self.version().await?.generation == super::Generation::Nine {
            let peers = target.assignment.peers.len().max(1);
            arguments.push(format!("--max-peers={peers}"));
        }
        arguments.push(target.name.to_string());
        let asked = self.administer(arguments);
        let words = asked.to_string();
        let said = self.act(asked).await?;
        if said.succeeded() {
            return Ok(());
        }
        let found = ["Found", "canceled", "refused"]
            .iter()
            .any(|word| said.stderr.contains(word) || said.stdout.contains(word));
        if !found {
            return Err(refused(&words, &said));
        }
        Err(DriverError::lasting(
            Trouble::ForeignInTheWay,
            format!(
                "{} holds data that is not volume {}'s, and is left as it is: {}",
                target.assignment.backing_device,
                target.name,
                said.words()
            ),
        ))
    }

    pub(super) async fn adjust(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        let name = target.name.as_str();
        let rendered = self.render(target).await?;
        let there = self.ours(&target.name).await?;
        let same = self
            .place
            .configured(name)
            .is_some_and(|before| before == rendered.text);
        if there.is_some() && same && self.is_as_adjusted(&target.name).await? {
            return self.begin(target).await;
        }
        self.ready(target).await?;
        self.write(target, &rendered, false)?;
        self.bring_up(target).await?;
        self.write(target, &rendered, true)?;
        lock(&self.shared.apart).remove(name);
        self.begin(target).await
    }

    async fn is_as_adjusted(&self, volume: &Name) -> Result<bool, DriverError> {
        let seen = self.seen().await?;
        Ok(seen
            .iter()
            .any(|seen| seen.owner.object() == Some(volume) && seen.as_adjusted))
    }

    async fn bring_up(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        let asked = self.administer(["adjust", target.name.as_str()]);
        let words = asked.to_string();
        let said = self.act(asked.clone()).await?;
        if said.succeeded() {
            return Ok(());
        }
        // Its disk was replaced: what is there now is blank, or it is refused.
        if said.stderr.contains(NO_METADATA) && self.generation(target).await?.is_none() {
            self.create_metadata(target).await?;
            let said = self.act(asked).await?;
            if said.succeeded() {
                return Ok(());
            }
            return Err(refused(&words, &said));
        }
        Err(refused(&words, &said))
    }

    /// Where a new volume begins: its data, which is none, is declared current.
    async fn begin(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        if !target.assignment.begins_here || target.assignment.peers.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + OTHERS_WITHIN;
        loop {
            // What the others do comes by events, which may be late here.
            self.shared
                .acts
                .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let (_, resource) = self.up(&target.name).await?;
            if resource.disk() != DiskState::Inconsistent || resource.resyncs() {
                return Ok(());
            }
            if !self.is_new(target).await? {
                return Ok(());
            }
            let peers = target.assignment.peers.len();
            let as_new = resource.connections.values().filter(|connection| {
                connection.state == Some(ConnectionState::Connected)
                    && connection
                        .peers
                        .values()
                        .any(|peer| peer.disk == Some(DiskState::Inconsistent))
            });
            let filled = target.spec.source.is_some();
            if as_new.count() == peers && !filled {
                let minor = target.assignment.minor.to_string();
                let arguments = ["new-current-uuid", "--clear-bitmap", &minor];
                let asked = Command::new("drbdsetup", arguments);
                let words = asked.to_string();
                let said = self.act(asked).await?;
                if !said.succeeded() {
                    return Err(refused(&words, &said));
                }
                return Ok(());
            }
            if filled || Instant::now() >= deadline {
                tracing::info!(volume = %target.name, filled, "this replica begins alone, the others copy it");
                self.down(&target.name).await?;
                self.begin_alone(target).await?;
                return self.bring_up(target).await;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn is_new(&self, target: &ReplicaTarget) -> Result<bool, DriverError> {
        let minor = target.assignment.minor.to_string();
        let asked = match self.version().await?.generation {
            super::Generation::Eight => Command::new("drbdsetup", ["get-gi", &minor]),
            super::Generation::Nine => {
                let peer = target.assignment.peers.first();
                let peer = peer.map_or(0, |peer| peer.node_id).to_string();
                Command::new("drbdsetup", ["get-gi", target.name.as_str(), &peer, "0"])
            }
        };
        let said = command::look(&*self.run, asked).await?;
        Ok(said.stdout.trim().starts_with(JUST_CREATED))
    }

    /// Of a replica that is down, and holds nothing yet: complete and current, in a generation of its own.
    async fn begin_alone(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        if self.generation(target).await?.as_deref() != Some(JUST_CREATED) {
            return Ok(());
        }
        if let Some(source) = &target.spec.source {
            let device = self.device(target.assignment.backing_device.as_str());
            let original = match &target.assignment.copy_of {
                Some(it) => Some((self.device(it.device.as_str()), amount(&it.size)?)),
                None => None,
            };
            let size = amount(&target.assignment.size)?;
            filling::fill(source, original, &device, size).await?;
        }
        let mut arguments = vec!["set-gi".to_owned()];
        if self.version().await?.generation == super::Generation::Nine {
            arguments.extend([
                "--node-id".to_owned(),
                target.assignment.node_id.to_string(),
            ]);
        }
        arguments.push(format!("{}:0:0:0:1:1", new_generation()?));
        let asked = self.metadata(target, arguments).await?;
        let words = asked.to_string();
        let said = self.act(asked).await?;
        if said.succeeded() {
            return Ok(());
        }
        Err(refused(&words, &said))
    }

    pub(super) async fn promote(&self, volume: &Name) -> Result<(), DriverError> {
        let (_, resource) = self.up(volume).await?;
        if resource.is_primary() {
            return Ok(());
        }
        if matches!(
            resource.disk(),
            DiskState::Inconsistent | DiskState::Outdated | DiskState::Failed
        ) {
            return Err(not_current(volume, &format!("{:?}", resource.disk())));
        }
        let asked = self
            .administer(["primary", volume.as_str()])
            .patience(ANSWER_WITHIN + PROMOTION);
        let words = asked.to_string();
        let promotion = self.act(asked);
        tokio::pin!(promotion);
        let said = tokio::select! {
            said = &mut promotion => said?,
            () = tokio::time::sleep(ANSWER_WITHIN) => {
                let _given_up = self.questions.give_up(volume);
                promotion.await?
            }
        };
        match code(&said) {
            _ if said.succeeded() => Ok(()),
            Some(-2) => Err(not_current(volume, &said.words())),
            Some(-7) => Err(DriverError::passing(
                Trouble::PeerUnreachable,
                format!("volume {volume}: the cluster has not decided about a lost peer yet"),
            )),
            Some(-1 | -10 | -20) => Err(DriverError::passing(
                Trouble::InUse,
                format!("volume {volume} is open for writing on another host"),
            )),
            _ => Err(refused(&words, &said)),
        }
    }

    pub(super) async fn demote(&self, volume: &Name) -> Result<(), DriverError> {
        match self.ours(volume).await? {
            Some((_, resource)) if resource.is_primary() => {}
            _ => return Ok(()),
        }
        let asked = self.administer(["secondary", volume.as_str()]);
        self.simply(volume, asked).await
    }

    pub(super) async fn resize(&self, volume: &Name) -> Result<(), DriverError> {
        self.up(volume).await?;
        let asked = self.administer(["resize", volume.as_str()]);
        self.simply(volume, asked).await
    }

    pub(super) async fn outdate(&self, volume: &Name) -> Result<(), DriverError> {
        let (_, resource) = self.up(volume).await?;
        if resource.is_primary() {
            return Err(DriverError::passing(
                Trouble::InUse,
                format!("volume {volume} is open for writing here"),
            ));
        }
        if resource.disk() == DiskState::Outdated {
            return Ok(());
        }
        let asked = self.administer(["outdate", volume.as_str()]);
        self.simply(volume, asked).await
    }

    pub(super) async fn discard(&self, volume: &Name) -> Result<(), DriverError> {
        let (kept, resource) = self.up(volume).await?;
        if resource.is_primary() {
            return Err(DriverError::passing(
                Trouble::InUse,
                format!("volume {volume} is open for writing here: its data cannot be given up"),
            ));
        }
        // The caller has kept it aside.
        self.remember_split(&kept, None)?;
        let name = volume.as_str();
        // 8.4 shows a connection that stands alone, and does not know it when it is to be ended.
        let alone = Some(ConnectionState::StandAlone);
        if resource
            .connections
            .values()
            .any(|known| known.state != alone)
        {
            self.simply(volume, self.administer(["disconnect", name]))
                .await?;
        }
        let asked = self.administer(["connect", "--discard-my-data", name]);
        self.simply(volume, asked).await
    }

    pub(super) async fn take_down(&self, volume: &Name) -> Result<(), DriverError> {
        if self.ours(volume).await?.is_some() {
            self.down(volume).await?;
        }
        self.place.forget(volume.as_str()).map_err(|error| {
            DriverError::passing(
                Trouble::Refused,
                format!("the configuration of volume {volume} cannot be removed"),
            )
            .because(error)
        })
    }

    /// By its name alone, whatever the configuration says.
    async fn down(&self, volume: &Name) -> Result<(), DriverError> {
        let asked = Command::new("drbdsetup", ["down", volume.as_str()]);
        self.simply(volume, asked).await
    }

    pub(super) async fn erase(&self, target: &ReplicaTarget) -> Result<(), DriverError> {
        if self.ours(&target.name).await?.is_some() {
            return Err(DriverError::passing(
                Trouble::InUse,
                format!("the replica of volume {} is up", target.name),
            ));
        }
        let device = target
            .metadata_device()
            .unwrap_or_else(|| target.assignment.backing_device.clone());
        if !Path::new(device.as_str()).exists() || self.generation(target).await?.is_none() {
            return Ok(());
        }
        let asked = self.metadata(target, ["wipe-md"]).await?;
        self.simply(&target.name, asked).await
    }

    pub(super) async fn simply(&self, volume: &Name, asked: Command) -> Result<(), DriverError> {
        let words = asked.to_string();
        let said = self.act(asked).await?;
        match code(&said) {
            _ if said.succeeded() => Ok(()),
            Some(-12) => Err(DriverError::passing(
                Trouble::InUse,
                format!("something on this host has volume {volume} open"),
            )),
            Some(-6) => Err(DriverError::passing(
                Trouble::Refused,
                format!("volume {volume} is connected: its peer brings it up to date"),
            )),
            _ => Err(refused(&words, &said)),
        }
    }
}

fn amount(size: &Size) -> Result<u64, DriverError> {
    let parsed = size.parse().ok();
    parsed.and_then(|size| size.as_u64()).ok_or_else(|| {
        DriverError::lasting(
            Trouble::Refused,
            format!("size {} cannot be understood", size.0),
        )
    })
}

/// `drbdmeta` found nothing of its own: it does not succeed, and says so or nothing at all.
fn there_is_none(said: &Ended) -> bool {
    let words = said.stderr.trim();
    said.stdout.trim().is_empty() && (words.is_empty() || words == NO_METADATA)
}

fn not_current(volume: &Name, how: &str) -> DriverError {
    DriverError::passing(
        Trouble::NotCurrent,
        format!("the data of volume {volume} on this host is not known to be current: {how}"),
    )
}

/// The kernel's own number for why it refused: `State change failed: (-2) ...`.
fn code(said: &Ended) -> Option<i32> {
    let (_, after) = said.stderr.split_once("failed: (")?;
    let (number, _) = after.split_once(')')?;
    number.parse().ok()
}

/// Random, so that data of two volumes is never taken for the same. The lowest bit is DRBD's own.
fn new_generation() -> Result<String, DriverError> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| {
            DriverError::passing(Trouble::Refused, "this host has no random numbers").because(error)
        })?;
    // Above the few numbers that have a meaning of their own.
    Ok(format!(
        "{:016X}",
        (u64::from_be_bytes(bytes) | 1 << 32) & !1
    ))
}
