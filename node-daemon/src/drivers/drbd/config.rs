//! The configuration of one replica, as stable text: what did not change is written alike, so that a difference can be read.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use quorate_crds::{
    Digest, FencingPolicy, HandlerAction, MetadataPlace, Name, NoPrimary, OnIoError, OnePrimary,
    ReplicationProtocol, Size,
};

use super::version::Generation;
use crate::drivers::{DriverError, ReplicaTarget, Trouble};

/// What the text depends on beside the plan.
pub(super) struct Surroundings<'a> {
    pub(super) generation: Generation,
    /// What the host calls itself: DRBD's programs find their own section by it.
    pub(super) hostname: &'a str,
    pub(super) handler: &'a Path,
    /// Where this host is reached, for each peer's address.
    pub(super) own_address: &'a dyn Fn(IpAddr) -> Result<IpAddr, DriverError>,
    /// Into how many equal parts the rate is divided that resyncs of this host share.
    pub(super) rate_parts: u64,
    /// Whether a volume has a replica on this host.
    pub(super) has: &'a dyn Fn(&Name) -> bool,
}

/// A peer of a replica that is kept on one host alone: DRBD 8.4 insists on one, and never hears of this one.
const NOBODY: &str = "quorate-nobody";

/// The address that this host has on the way to a peer.
pub(super) fn address_towards(peer: IpAddr) -> Result<IpAddr, DriverError> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| {
            // Sends nothing: it only asks the kernel for the way.
            socket.connect((peer, 9))?;
            socket.local_addr()
        })
        .map(|own| own.ip())
        .map_err(|error| {
            DriverError::passing(
                Trouble::PeerUnreachable,
                format!("this host knows no way to {peer}: look at its storage network"),
            )
            .because(error)
        })
}

struct Text {
    lines: String,
    depth: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        let depth = self.depth * 4;
        // Writing into a string does not fail.
        let _ = writeln!(self.lines, "{:depth$}{line}", "");
    }

    fn section(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.line(&format!("{name} {{"));
        self.depth += 1;
        fill(self);
        self.depth -= 1;
        self.line("}");
    }

    fn say(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} {value};"));
    }
}

pub(super) fn digest(digest: Digest) -> &'static str {
    match digest {
        Digest::Sha1 => "sha1",
        Digest::Sha256 => "sha256",
        Digest::Crc32c => "crc32c",
    }
}

/// What a resync gets in a second while the guest is busy, where the manifest does not say, in KiB. With DRBD's own 250 a volume under
/// load stays without its redundancy for hours.
const LEAST_RATE: u64 = 4096;

fn kibibytes(size: &Size) -> Option<u64> {
    let bytes = size.parse().ok()?.as_u64()?;
    Some((bytes / 1024).max(1))
}

fn secret(target: &ReplicaTarget) -> Result<Option<String>, DriverError> {
    let Some(value) = &target.secret else {
        return Ok(None);
    };
    let refused = |why: &str| {
        DriverError::lasting(
            Trouble::NotSupported,
            format!(
                "the shared secret of volume {} {why}; DRBD takes 1 to 63 printable characters",
                target.name
            ),
        )
    };
    let text = std::str::from_utf8(&value.0)
        .map_err(|_| refused("is not text"))?
        .trim_end_matches('\n');
    if text.is_empty() || text.len() > 63 {
        return Err(refused("is too short or too long"));
    }
    if !text
        .chars()
        .all(|letter| letter == ' ' || letter.is_ascii_graphic())
    {
        return Err(refused("has characters that cannot be written"));
    }
    Ok(Some(text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn addresses(target: &ReplicaTarget) -> Result<BTreeMap<u32, Vec<IpAddr>>, DriverError> {
    let peers = target.assignment.peers.iter();
    peers
        .map(|peer| {
            let all: Vec<IpAddr> = peer
                .addresses
                .iter()
                .filter_map(|address| address.as_str().parse().ok())
                .collect();
            if all.is_empty() {
                return Err(DriverError::passing(
                    Trouble::WaitsForOthers,
                    format!("it is not planned yet where {} is reached", peer.node),
                ));
            }
            Ok((peer.node_id, all))
        })
        .collect()
}

fn socket(address: IpAddr, port: u32) -> String {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let port = u16::try_from(port).unwrap_or(0);
    format!("{family} {}", SocketAddr::from((address, port)))
}

/// Writes it.
pub(super) fn render(
    target: &ReplicaTarget,
    around: &Surroundings<'_>,
) -> Result<String, DriverError> {
    let nine = around.generation == Generation::Nine;
    if !nine && target.assignment.peers.len() > 1 {
        return Err(DriverError::lasting(
            Trouble::NotSupported,
            format!(
                "volume {} has {} replicas, and the DRBD of this host can do two: upgrade it to version 9, or plan two",
                target.name,
                target.assignment.peers.len() + 1
            ),
        ));
    }
    outside(target)?;
    let (secret, peers) = (secret(target)?, addresses(target)?);
    let mut own = BTreeMap::new();
    for (peer, all) in &peers {
        let ways: Result<Vec<IpAddr>, DriverError> =
            all.iter().map(|one| (around.own_address)(*one)).collect();
        own.insert(*peer, ways?);
    }
    let mut text = Text {
        lines: "# Written by quorate-node; changes are overwritten.\n".to_owned(),
        depth: 0,
    };
    text.section(&format!("resource \"{}\"", target.name), |text| {
        if nine {
            text.section("options", |text| {
                text.say("auto-promote", "no");
                // Who may write is decided by the cluster, which fences: it lets a sole survivor go on.
                text.say("quorum", "off");
            });
        }
        text.section("net", |text| net(text, target, secret.as_deref(), nine));
        text.section("disk", |text| disk(text, target, around, nine));
        text.section("handlers", |text| handlers(text, target, around.handler));
        hosts(text, target, around, (&peers, &own), nine);
    });
    Ok(text.lines)
}

/// DRBD's own data beside the volume instead of in it: what of that is not done.
fn outside(target: &ReplicaTarget) -> Result<(), DriverError> {
    let replication = &target.spec.replication;
    if replication.metadata != MetadataPlace::External {
        return Ok(());
    }
    let what = if target.spec.logical_volume.is_some() {
        // Its program looks at the metadata's device only, and would take whatever the volume holds for nothing.
        "a logical volume that holds data already"
    } else if replication
        .metadata_pool
        .as_ref()
        .is_some_and(|pool| *pool != target.spec.pool)
    {
        "another pool than the volume's"
    } else {
        return Ok(());
    };
    Err(DriverError::lasting(
        Trouble::NotSupported,
        format!(
            "volume {} wants its metadata outside of it with {what}, which this release does not do: use metadata: Internal",
            target.name
        ),
    ))
}

fn fencing(target: &ReplicaTarget) -> &'static str {
    if target.assignment.peers.is_empty() {
        return "dont-care";
    }
    match target.spec.replication.fencing {
        FencingPolicy::ResourceAndStonith => "resource-and-stonith",
        FencingPolicy::ResourceOnly => "resource-only",
        FencingPolicy::DontCare => "dont-care",
    }
}

fn net(text: &mut Text, target: &ReplicaTarget, secret: Option<&str>, nine: bool) {
    let replication = &target.spec.replication;
    text.say(
        "protocol",
        match replication.protocol {
            ReplicationProtocol::A => "A",
            ReplicationProtocol::B => "B",
            ReplicationProtocol::C => "C",
        },
    );
    if nine {
        text.say("fencing", fencing(target));
    }
    let yes_or_no = |so| if so { "yes" } else { "no" };
    text.say(
        "allow-two-primaries",
        yes_or_no(target.assignment.allow_two_primaries),
    );
    // A dead peer is missed before the cluster wants this replica promoted.
    text.say("timeout", "25");
    text.say("connect-int", "3");
    text.say("ping-int", "3");
    text.say("ping-timeout", "20");
    if let Some(secret) = secret {
        let algorithm = digest(replication.authentication.algorithm);
        text.say("cram-hmac-alg", &format!("\"{algorithm}\""));
        text.say("shared-secret", &format!("\"{secret}\""));
    }
    if let Some(algorithm) = replication.data_integrity {
        text.say("data-integrity-alg", &format!("\"{}\"", digest(algorithm)));
    }
    if let Some(algorithm) = target.spec.verify.algorithm {
        text.say("verify-alg", &format!("\"{}\"", digest(algorithm)));
    }
    text.say(
        "after-sb-0pri",
        match replication.split_brain.no_primary {
            NoPrimary::Disconnect => "disconnect",
            NoPrimary::DiscardZeroChanges => "discard-zero-changes",
        },
    );
    text.say(
        "after-sb-1pri",
        match replication.split_brain.one_primary {
            OnePrimary::Disconnect => "disconnect",
            OnePrimary::DiscardSecondary => "discard-secondary",
        },
    );
    text.say("after-sb-2pri", "disconnect");
    text.say("rr-conflict", "disconnect");
}

fn disk(text: &mut Text, target: &ReplicaTarget, around: &Surroundings<'_>, nine: bool) {
    let replication = &target.spec.replication;
    if !nine {
        text.say("fencing", fencing(target));
    }
    text.say(
        "on-io-error",
        match replication.on_io_error {
            OnIoError::Detach => "detach",
            OnIoError::PassOn => "pass_on",
            OnIoError::CallHandler => "call-local-io-error",
        },
    );
    text.say("al-extents", &replication.activity_log_extents.to_string());
    let resync = &target.spec.resync;
    let least = resync.min_rate.as_ref().and_then(kibibytes);
    // A plan of a former release says nothing of it.
    let planned = target.assignment.resync_rate.as_ref();
    let rate = planned.or(resync.rate.as_ref()).and_then(kibibytes);
    let rate = rate.map(|rate| match target.assignment.resync_rate_shared {
        true => (rate / around.rate_parts.max(1)).max(least.unwrap_or(1)),
        false => rate,
    });
    if let Some(rate) = rate {
        text.say("resync-rate", &format!("{rate}k"));
        text.say("c-max-rate", &format!("{rate}k"));
    }
    let least = least.unwrap_or(rate.map_or(LEAST_RATE, |rate| rate.min(LEAST_RATE)));
    text.say("c-min-rate", &format!("{least}k"));
    // DRBD refuses the name of a volume that it does not know.
    if let Some(first) = resync.after.as_ref().filter(|first| (around.has)(first)) {
        text.say("resync-after", &format!("{first}/0"));
    }
}

/// Whether a resync may overwrite what somebody wants to keep.
fn keeps_aside(target: &ReplicaTarget) -> bool {
    target.spec.resync.snapshot_target
        || target.spec.replication.split_brain.one_primary == OnePrimary::DiscardSecondary
}

fn handlers(text: &mut Text, target: &ReplicaTarget, handler: &Path) {
    let handlers = &target.spec.replication.handlers;
    let mut calls = |name: &str, action: Option<HandlerAction>| {
        let action = match action {
            None => "",
            Some(HandlerAction::Report) => " report",
            Some(HandlerAction::Reset) => " reset",
            Some(HandlerAction::PowerOff) => " power-off",
        };
        text.say(name, &format!("\"{} {name}{action}\"", handler.display()));
    };
    calls("fence-peer", None);
    calls("split-brain", None);
    // Rule R11: what is about to be given up, or overwritten, is kept aside before.
    if keeps_aside(target) {
        calls("initial-split-brain", None);
        calls("before-resync-target", None);
        calls("after-resync-target", None);
    }
    calls(
        "pri-on-incon-degr",
        Some(handlers.primary_inconsistent_degraded),
    );
    calls(
        "pri-lost-after-sb",
        Some(handlers.primary_lost_after_split_brain),
    );
    calls("local-io-error", Some(handlers.local_io_error));
}

type Ways = BTreeMap<u32, Vec<IpAddr>>;

fn hosts(
    text: &mut Text,
    target: &ReplicaTarget,
    around: &Surroundings<'_>,
    (peers, own): (&Ways, &Ways),
    nine: bool,
) {
    let assigned = &target.assignment;
    let outside = target.metadata_device();
    let mut on = |host: &str, id: u32, address: Option<String>| {
        text.section(&format!("on \"{host}\""), |text| {
            if nine {
                text.say("node-id", &id.to_string());
            }
            text.section("volume 0", |text| {
                text.say("device", &format!("/dev/drbd{0} minor {0}", assigned.minor));
                text.say("disk", &format!("\"{}\"", assigned.backing_device));
                match &outside {
                    Some(device) => text.say("meta-disk", &format!("\"{device}\"")),
                    None => text.say("meta-disk", "internal"),
                }
            });
            if let Some(address) = address {
                text.say("address", &address);
            }
        });
    };
    let first = |ways: &Ways, id: u32| {
        let address = ways.get(&id).and_then(|all| all.first());
        address.map(|address| socket(*address, assigned.port))
    };
    if nine {
        on(around.hostname, assigned.node_id, None);
        for peer in &assigned.peers {
            on(peer.node.as_str(), peer.node_id, None);
        }
        for peer in &assigned.peers {
            connection(text, target, around.hostname, peer, (peers, own));
        }
        return;
    }
    match assigned.peers.first() {
        Some(peer) => {
            on(around.hostname, assigned.node_id, first(own, peer.node_id));
            on(peer.node.as_str(), peer.node_id, first(peers, peer.node_id));
        }
        None => {
            let local = |last: u8| Some(socket(IpAddr::from([127, 0, 0, last]), assigned.port));
            on(around.hostname, assigned.node_id, local(1));
            on(NOBODY, assigned.node_id + 1, local(2));
        }
    }
}

fn connection(
    text: &mut Text,
    target: &ReplicaTarget,
    hostname: &str,
    peer: &quorate_crds::ReplicaPeer,
    (peers, own): (&Ways, &Ways),
) {
    let port = target.assignment.port;
    let ways = peers.get(&peer.node_id).into_iter().flatten();
    let owns = own.get(&peer.node_id).into_iter().flatten();
    text.section("connection", |text| {
        for (theirs, ours) in ways.zip(owns) {
            text.section("path", |text| {
                let line = |host: &str, address: &IpAddr| {
                    format!("\"{host}\" address {}", socket(*address, port))
                };
                text.say("host", &line(hostname, ours));
                text.say("host", &line(peer.node.as_str(), theirs));
            });
        }
    });
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::drivers::SecretValue;
    use quorate_crds::{ReplicaAssignment, ReplicaPeer, VolumeSpec};
    use serde_json::json;
    use std::sync::Arc;

    pub(in super::super) fn target(peers: u32) -> ReplicaTarget {
        let spec: VolumeSpec = serde_json::from_value(json!({
            "size": "64Mi", "pool": "fast",
            "resync": {"rate": "10Mi", "minRate": "1Mi", "after": "root"},
            "verify": {"algorithm": "Sha256"},
        }))
        .expect("a spec");
        let peer = |number: u32| ReplicaPeer {
            node: Name(format!("an{}", number + 1)),
            node_id: number,
            addresses: vec![
                format!("10.10.0.{}", number + 1).as_str().into(),
                format!("fd00::{}", number + 1).as_str().into(),
            ],
        };
        let assignment: ReplicaAssignment = serde_json::from_value(json!({
            "minor": 7, "port": 7790, "nodeId": 0, "backingDevice": "/dev/vg0/web", "size": "64Mi",
            "role": "Secondary", "allowTwoPrimaries": false,
        }))
        .expect("an assignment");
        ReplicaTarget {
            name: "web".into(),
            node: "an1".into(),
            spec: Arc::new(spec),
            assignment: ReplicaAssignment {
                peers: (1..=peers).map(peer).collect(),
                ..assignment
            },
            secret: Some(SecretValue(Arc::from(&b"pass \"word\"\\"[..]))),
        }
    }

    fn rendered(target: &ReplicaTarget, generation: Generation) -> Result<String, DriverError> {
        let around = Surroundings {
            generation,
            hostname: "an1.example",
            handler: Path::new("/usr/lib/quorate/quorate-drbd-handler"),
            own_address: &|peer| {
                Ok(match peer {
                    IpAddr::V4(_) => IpAddr::from([10, 10, 0, 1]),
                    IpAddr::V6(_) => "fd00::1".parse().expect("an address"),
                })
            },
            rate_parts: 4,
            has: &|name| name.as_str() == "root",
        };
        render(target, &around)
    }

    fn golden(name: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/drbd")
            .join(name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, text).expect("written");
        }
        let wanted = std::fs::read_to_string(&path).expect("a golden file");
        assert_eq!(text, wanted, "UPDATE_GENERATED=1 rewrites {name}");
    }

    #[test]
    fn two_replicas_on_8_4() {
        let text = rendered(&target(1), Generation::Eight).expect("can be written");
        golden("two-on-8.4.res", &text);
        assert_eq!(
            rendered(&target(1), Generation::Eight).expect("again"),
            text
        );
    }

    #[test]
    fn three_replicas_on_9() {
        let text = rendered(&target(2), Generation::Nine).expect("can be written");
        golden("three-on-9.res", &text);
    }

    #[test]
    fn a_side_that_is_given_up_by_itself_is_kept_aside_before() {
        let mut giving = target(1);
        Arc::make_mut(&mut giving.spec)
            .replication
            .split_brain
            .one_primary = OnePrimary::DiscardSecondary;
        let text = rendered(&giving, Generation::Eight).expect("can be written");
        for words in [
            "after-sb-1pri discard-secondary;",
            "quorate-drbd-handler initial-split-brain\"",
            "quorate-drbd-handler before-resync-target\"",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn a_resync_goes_on_under_load_unless_its_rate_is_lower_than_that() {
        for (resync, least) in [
            (json!({}), "c-min-rate 4096k;"),
            (json!({"rate": "1Mi"}), "c-min-rate 1024k;"),
            (json!({"rate": "1Mi", "minRate": "64Ki"}), "c-min-rate 64k;"),
        ] {
            let mut volume = target(1);
            Arc::make_mut(&mut volume.spec).resync =
                serde_json::from_value(resync).expect("a resync");
            let text = rendered(&volume, Generation::Eight).expect("can be written");
            assert!(text.contains(least), "{text}");
        }
    }

    #[test]
    fn the_rate_of_a_resync_is_the_planned_one() {
        let mut volume = target(1);
        volume.assignment.resync_rate = Some("2Mi".into());
        let text = rendered(&volume, Generation::Eight).expect("can be written");
        for line in [
            "resync-rate 2048k;",
            "c-max-rate 2048k;",
            "c-min-rate 1024k;",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        Arc::make_mut(&mut volume.spec).resync.rate = None;
        let same = rendered(&volume, Generation::Eight).expect("can be written");
        assert_eq!(same, text, "the host adds nothing to what was planned");
    }

    #[test]
    fn a_shared_rate_is_divided_and_leaves_each_what_it_gets_at_least() {
        let mut volume = target(1);
        volume.assignment.resync_rate = Some("64Mi".into());
        volume.assignment.resync_rate_shared = true;
        let text = rendered(&volume, Generation::Eight).expect("can be written");
        assert!(text.contains("c-max-rate 16384k;"), "{text}");
        Arc::make_mut(&mut volume.spec).resync.min_rate = Some("20Mi".into());
        let text = rendered(&volume, Generation::Eight).expect("can be written");
        assert!(text.contains("c-max-rate 20480k;"), "{text}");
    }

    #[test]
    fn metadata_may_lie_beside_the_volume() {
        let mut outside = target(1);
        Arc::make_mut(&mut outside.spec).replication.metadata = MetadataPlace::External;
        for generation in [Generation::Eight, Generation::Nine] {
            let text = rendered(&outside, generation).expect("can be written");
            let device = outside.assignment.backing_device.as_str();
            let line = format!("meta-disk \"{device}-metadata\";");
            assert_eq!(text.matches(&line).count(), 2, "{text}");
            assert!(!text.contains("internal"), "{text}");
        }
    }

    #[test]
    fn one_replica_alone() {
        let text = rendered(&target(0), Generation::Eight).expect("can be written");
        golden("one-on-8.4.res", &text);
    }

    #[test]
    fn what_this_version_cannot_do_is_refused_with_the_reason() {
        let error = rendered(&target(2), Generation::Eight).expect_err("three");
        assert_eq!(error.trouble(), Trouble::NotSupported);
        assert!(error.to_string().contains("version 9"), "{error}");
        let mut outside = target(1);
        let spec = Arc::make_mut(&mut outside.spec);
        spec.replication.metadata = MetadataPlace::External;
        spec.replication.metadata_pool = Some("another".into());
        let error = rendered(&outside, Generation::Eight).expect_err("another pool");
        assert_eq!(error.trouble(), Trouble::NotSupported);
        let spec = Arc::make_mut(&mut outside.spec);
        spec.replication.metadata_pool = None;
        spec.logical_volume = Some("old".into());
        let error = rendered(&outside, Generation::Eight).expect_err("old data");
        assert!(error.to_string().contains("holds data already"), "{error}");
        let mut nowhere = target(1);
        nowhere.assignment.peers[0].addresses.clear();
        let error = rendered(&nowhere, Generation::Eight).expect_err("no address");
        assert_eq!(error.trouble(), Trouble::WaitsForOthers);
    }

    #[test]
    fn a_secret_that_cannot_be_written_is_refused_and_never_shown() {
        for bad in [&b""[..], &[7; 80], b"two\nlines", &[0xff, 0xfe]] {
            let mut target = target(1);
            target.secret = Some(SecretValue(Arc::from(bad)));
            let error = rendered(&target, Generation::Eight).expect_err("refused");
            assert!(error.to_string().contains("1 to 63"), "{error}");
            assert!(!error.to_string().contains("two"), "{error}");
        }
    }

    #[test]
    fn the_way_to_ourselves_is_known() {
        let own = address_towards(IpAddr::from([127, 0, 0, 1])).expect("a way");
        assert!(own.is_loopback());
    }
}
