//! Stories of a host whose LVM does what it is told, or goes wrong.

use super::*;
use crate::drivers::Owner;
use crate::drivers::command::scripted::{Scripted, failed, fine};
use crate::drivers::command::{CommandError, Ended};
use quorate_crds::Name;
use serde_json::json;
use std::collections::BTreeMap;

const EXTENT: u64 = 4 << 20;

#[derive(Default)]
struct Volume {
    size: u64,
    tags: Vec<String>,
    active: bool,
    open: bool,
    origin: String,
}

/// A host with one group, whose devices are files, and what is on its replicated device.
#[derive(Default)]
struct Fake {
    replicated: Option<Box<Fake>>,
    group: Option<String>,
    tags: Vec<String>,
    disks: Vec<String>,
    volumes: BTreeMap<String, Volume>,
    signature: Option<&'static str>,
}

fn reads_only_replicated(words: &str) -> bool {
    words.contains("use_devicesfile=0")
}

type Answer = Option<Result<Ended, CommandError>>;

impl Fake {
    fn report(&self) -> String {
        let volumes: Vec<_> = self
            .volumes
            .iter()
            .map(|(name, volume)| {
                json!({"lv_name": name, "lv_size": volume.size.to_string(), "lv_tags": volume.tags.join(","),
                    "lv_active": if volume.active { "active" } else { "" },
                    "lv_device_open": if volume.open { "open" } else { "" },
                    "origin": volume.origin, "pool_lv": ""})
            })
            .collect();
        let disks: Vec<_> = self
            .disks
            .iter()
            .map(|disk| json!({"pv_name": disk, "pv_uuid": "u", "pv_missing": ""}))
            .collect();
        let taken: u64 = self.volumes.values().map(|volume| volume.size).sum();
        let groups: Vec<_> = self
            .group
            .iter()
            .map(|group| {
                json!({"vg": [{"vg_name": group, "vg_tags": self.tags.join(","), "vg_size": (25 * EXTENT).to_string(),
                    "vg_free": (25 * EXTENT - taken).to_string(), "vg_extent_size": EXTENT.to_string()}],
                    "pv": disks, "lv": volumes})
            })
            .collect();
        json!({ "report": groups }).to_string()
    }

    fn answer(&mut self, words: &str, dev: &Path) -> Answer {
        match reads_only_replicated(words) {
            true => {
                let found = self.replicated.get_or_insert_default();
                found.answer_of("vg0", words, dev)
            }
            false => self.answer_of("fast", words, dev),
        }
    }

    fn answer_of(&mut self, group: &str, words: &str, dev: &Path) -> Answer {
        let (before, last) = words.rsplit_once(' ').expect("arguments");
        let parts: Vec<&str> = before.split(' ').collect();
        let last = last.to_owned();
        if parts[0] == "wipefs" {
            let found: Vec<_> = self
                .signature
                .iter()
                .map(|kind| json!({ "type": kind }))
                .collect();
            return fine(&json!({ "signatures": found }).to_string());
        }
        assert_eq!(parts[0], "lvm");
        if parts[1] == "lvmconfig" {
            return fine("global_filter=[\"a|.*|\"]");
        }
        assert_eq!(parts[2], "--config", "{words}");
        let option = |name: &str| {
            let at = parts.iter().position(|part| *part == name)?;
            parts.get(at + 1).map(|value| (*value).to_owned())
        };
        let named = last.split('/').next_back().unwrap_or_default().to_owned();
        let file = |name: &str| dev.join(group).join(name);
        match parts[1] {
            "fullreport" => return fine(&self.report()),
            "vgcreate" | "vgextend" => {
                self.group = Some(group.into());
                self.tags.extend(option("--addtag"));
                let at = parts.iter().position(|part| *part == group).expect("named");
                self.disks
                    .extend(parts[at + 1..].iter().map(|disk| (*disk).to_owned()));
                self.disks.push(last);
            }
            "pvresize" => {}
            "vgchange" => self.tags.extend(option("--addtag")),
            "lvcreate" => {
                let name = option("--name").expect("a name");
                let size = option("--size").expect("a size");
                let size: u64 = size.trim_end_matches('b').parse().expect("bytes");
                let origin = if words.contains("--snapshot") {
                    named
                } else {
                    String::new()
                };
                std::fs::create_dir_all(dev.join(group)).expect("made");
                std::fs::write(file(&name), vec![7; size as usize]).expect("a device");
                let volume = Volume {
                    size,
                    tags: option("--addtag").into_iter().collect(),
                    active: true,
                    open: false,
                    origin,
                };
                self.volumes.insert(name, volume);
            }
            "lvextend" => {
                let size = option("--size").expect("a size");
                let volume = self.volumes.get_mut(&named).expect("it is there");
                volume.size = size.trim_end_matches('b').parse().expect("bytes");
            }
            "lvchange" => {
                let volume = self.volumes.get_mut(&named).expect("it is there");
                volume.tags.extend(option("--addtag"));
                let gone = option("--deltag");
                volume.tags.retain(|tag| Some(tag) != gone.as_ref());
                if let Some(how) = option("--activate") {
                    volume.active = how != "n";
                }
            }
            "lvremove" => {
                self.volumes.remove(&named);
                std::fs::remove_file(file(&named)).expect("removed");
            }
            other => panic!("nobody expects {other}"),
        }
        fine("")
    }
}

struct Host {
    _directory: tempfile::TempDir,
    dev: PathBuf,
    backup: PathBuf,
    fake: Arc<Mutex<Fake>>,
    run: Scripted,
    lvm: Lvm,
    hints: Hints,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (dev, backup) = (
            directory.path().join("dev"),
            directory.path().join("backup"),
        );
        for made in [&dev, &backup] {
            std::fs::create_dir(made).expect("made");
        }
        std::fs::write(dev.join("disk"), "").expect("a disk");
        let fake: Arc<Mutex<Fake>> = Arc::default();
        let answering = Arc::clone(&fake);
        let devices = dev.clone();
        let run = Scripted::new(move |words| {
            answering
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .answer(words, &devices)
        });
        let lvm = Lvm::at(Arc::new(run.clone()), dev.clone(), vec![backup.clone()]);
        let hints = lvm.watch();
        Self {
            _directory: directory,
            dev,
            backup,
            fake,
            run,
            lvm,
            hints,
        }
    }

    async fn with_a_pool() -> Self {
        let host = Self::new();
        host.lvm
            .ensure_group(&host.pool())
            .await
            .expect("a blank disk");
        host.run.called();
        host
    }

    fn pool(&self) -> VolumeGroupTarget {
        VolumeGroupTarget {
            pool: "anvil".into(),
            name: "fast".into(),
            devices: vec![AbsolutePath(self.dev.join("disk").display().to_string())],
            above: None,
        }
    }

    fn fake(&self) -> std::sync::MutexGuard<'_, Fake> {
        self.fake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn seen(&self) -> VolumeGroupSeen {
        let seen = Pools::observe(&self.lvm, &[]).await.expect("it answers");
        seen.groups.into_iter().next().expect("a group")
    }

    /// What changes something, among what was called.
    fn acts(&self) -> Vec<String> {
        let called = self.run.called().into_iter();
        called
            .filter(|words| !words.contains("fullreport") && !words.contains("lvmconfig"))
            .map(|words| words.split(' ').nth(1).unwrap_or_default().to_owned())
            .collect()
    }
}

fn web(extents: u64) -> LogicalVolumeTarget {
    LogicalVolumeTarget {
        volume: "web".into(),
        group: "fast".into(),
        name: "web".into(),
        size: extents * EXTENT - 5,
        space: Space::Thick,
    }
}

fn stuck() -> Result<Ended, CommandError> {
    Err(CommandError::Stuck {
        after: Duration::from_secs(60),
    })
}

#[tokio::test]
async fn a_volume_is_made_blank_grows_is_wiped_and_goes() {
    let host = Host::with_a_pool().await;
    assert_eq!(host.seen().await.owner, Owner::Ours("anvil".into()));
    host.lvm.ensure_volume(&web(2)).await.expect("made");
    assert_eq!(host.acts(), ["lvcreate", "lvchange"]);
    let seen = host.seen().await;
    assert_eq!(seen.volumes[0].owner, Owner::Ours("web".into()));
    assert_eq!(seen.volumes[0].size, 2 * EXTENT, "whole extents");
    let device = std::fs::read(host.dev.join("fast/web")).expect("a device");
    assert_eq!((device[0], device[device.len() - 1]), (0, 0), "blank ends");

    host.lvm.ensure_volume(&web(2)).await.expect("as it is");
    host.lvm.ensure_volume(&web(1)).await.expect("never shrunk");
    assert!(host.acts().is_empty());
    host.lvm.ensure_volume(&web(3)).await.expect("grown");
    assert_eq!(host.acts(), ["lvextend"]);

    let full = host.lvm.ensure_volume(&web(50)).await;
    assert_eq!(full.expect_err("too large").trouble(), Trouble::NoSpace);
    host.lvm
        .remove_volume("fast", "web", true)
        .await
        .expect("removed");
    host.lvm
        .remove_volume("fast", "web", true)
        .await
        .expect("gone already");
    assert_eq!(host.acts(), ["lvremove"]);
    assert!(host.seen().await.volumes.is_empty());
}

#[tokio::test]
async fn a_host_on_which_nothing_changes_starts_no_program() {
    let mut host = Host::with_a_pool().await;
    for number in 0..10 {
        let name = Name::from(format!("v{number}").as_str());
        let target = LogicalVolumeTarget {
            name: name.to_string(),
            volume: name,
            ..web(1)
        };
        host.lvm.ensure_volume(&target).await.expect("made");
    }
    host.seen().await;
    host.run.called();
    for _ in 0..50 {
        assert_eq!(host.seen().await.volumes.len(), 10);
        host.lvm.ensure_group(&host.pool()).await.expect("as it is");
        host.lvm
            .activate("fast", "v3", Activation::Exclusive)
            .await
            .expect("as it is");
    }
    assert_eq!(host.run.called(), Vec::<String>::new());

    // Somebody else changes something.
    host.fake().volumes.remove("v3");
    std::fs::write(host.backup.join("fast"), "metadata").expect("a copy");
    assert_eq!(host.hints.next().await, Some(Hint::Anything));
    assert_eq!(host.seen().await.volumes.len(), 9);
}

/// Nobody is told when a disk answers again, and what lies on it is not to be wiped meanwhile.
#[tokio::test]
async fn a_group_whose_disk_was_ill_is_found_again_and_nothing_is_made_in_its_place() {
    let mut host = Host::with_a_pool().await;
    host.lvm.ensure_volume(&web(2)).await.expect("made");
    host.acts();
    let group = host.fake().group.take();
    host.fake().signature = Some("LVM2_member");
    std::fs::write(host.backup.join("fast"), "something").expect("a change");
    assert_eq!(host.hints.next().await, Some(Hint::Anything));

    let refused = host.lvm.ensure_group(&host.pool()).await;
    let refused = refused.expect_err("it holds something");
    assert_eq!(refused.trouble(), Trouble::ForeignInTheWay);
    let words = refused.to_string();
    assert!(words.contains("the disk is ill"), "{words}");
    let missing = host.lvm.ensure_volume(&web(2)).await;
    assert_eq!(
        missing.expect_err("no group").trouble(),
        Trouble::DeviceMissing
    );
    assert_eq!(host.acts(), ["--json"], "looked for signatures alone");

    host.fake().group = group;
    host.lvm
        .ensure_group(&host.pool())
        .await
        .expect("there again");
    host.lvm.ensure_volume(&web(2)).await.expect("there again");
    assert!(host.acts().is_empty(), "it is as it was");
    assert_eq!(host.seen().await.volumes.len(), 1);
}

#[tokio::test]
async fn what_is_not_watched_is_looked_at_each_time() {
    let mut host = Host::with_a_pool().await;
    host.hints = stream::pending().boxed();
    for _ in 0..3 {
        host.seen().await;
    }
    assert_eq!(host.run.called().len(), 3);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let host = Host::with_a_pool().await;
    host.fake().volumes.insert(
        "web".into(),
        Volume {
            size: EXTENT,
            active: true,
            ..Volume::default()
        },
    );
    host.lvm.shared.changed();
    let error = host.lvm.ensure_volume(&web(2)).await.expect_err("foreign");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    assert!(error.to_string().contains("lvchange --addtag"), "{error}");
    let error = host.lvm.remove_volume("fast", "web", true).await;
    assert_eq!(
        error.expect_err("foreign").trouble(),
        Trouble::ForeignInTheWay
    );
    host.fake().tags = vec!["quorate.dev/pool=other".into()];
    host.lvm.shared.changed();
    let error = host.lvm.ensure_group(&host.pool()).await;
    assert!(error.expect_err("foreign").to_string().contains("other"));
    assert!(host.acts().is_empty());
}

fn above(host: &Host) -> VolumeGroupTarget {
    VolumeGroupTarget {
        name: "vg0".into(),
        devices: vec![replicated(host)],
        above: Some(Name::from("pv")),
        ..host.pool()
    }
}

fn replicated(host: &Host) -> AbsolutePath {
    AbsolutePath(host.dev.join("drbd1").display().to_string())
}

async fn names(host: &Host, above: &[AbsolutePath]) -> Vec<String> {
    let seen = Pools::observe(&host.lvm, above).await.expect("it answers");
    assert_eq!(seen.unread, []);
    seen.groups.into_iter().map(|group| group.name).collect()
}

#[tokio::test]
async fn a_group_above_a_replicated_device_is_looked_for_there_and_activated_by_the_plan_alone() {
    let host = Host::with_a_pool().await;
    assert_eq!(names(&host, &[]).await, ["fast"]);
    let called = host.run.called();
    assert!(!called.iter().any(|words| reads_only_replicated(words)));

    let target = above(&host);
    host.lvm
        .ensure_group(&target)
        .await
        .expect("a blank device");
    let called = host.run.called();
    let made = called.iter().find(|words| words.contains("vgcreate"));
    let made = made.expect("it was made");
    assert!(made.contains("--setautoactivation n"), "{made}");
    assert!(made.contains(r#"drbd1$|","r|.*|"]"#), "{made}");

    let web = LogicalVolumeTarget {
        group: "vg0".into(),
        ..web(2)
    };
    host.lvm.ensure_volume(&web).await.expect("made");
    let off = host.lvm.activate("vg0", "web", Activation::Off).await;
    off.expect("closed");
    let wiped = host.lvm.remove_volume("vg0", "web", false).await;
    wiped.expect("removed");
    host.lvm
        .ensure_group(&target)
        .await
        .expect("it may have grown");
    let called = host.run.called();
    for act in ["lvcreate", "lvchange", "lvremove", "pvresize"] {
        let mut of_it = called.iter().filter(|words| words.contains(act));
        assert!(
            of_it.all(|words| reads_only_replicated(words)),
            "{act}: {called:?}"
        );
        assert!(
            called.iter().any(|words| words.contains(act)),
            "{act}: {called:?}"
        );
    }
    let own = called.iter().filter(|words| !reads_only_replicated(words));
    assert!(own.into_iter().all(|words| words.contains("fullreport")));

    assert_eq!(names(&host, &[replicated(&host)]).await, ["fast", "vg0"]);
    assert_eq!(names(&host, &[]).await, ["fast"], "it is not open here");
}

#[tokio::test]
async fn what_other_hosts_do_above_a_replicated_device_is_seen_at_the_next_look() {
    let host = Host::with_a_pool().await;
    host.lvm.ensure_group(&above(&host)).await.expect("made");
    let device = [replicated(&host)];
    names(&host, &device).await;
    host.run.called();
    host.fake()
        .replicated
        .as_mut()
        .expect("made")
        .volumes
        .insert("other".into(), Volume::default());
    let seen = Pools::observe(&host.lvm, &device)
        .await
        .expect("it answers");
    assert_eq!(seen.groups[1].volumes.len(), 1);
    let called = host.run.called();
    assert_eq!(called.len(), 1, "its own disks are watched: {called:?}");

    host.run.fault("use_devicesfile", stuck());
    let seen = Pools::observe(&host.lvm, &device)
        .await
        .expect("its own are known");
    assert_eq!((seen.groups.len(), seen.unread), (1, device.to_vec()));
}

#[tokio::test]
async fn a_group_above_that_is_somebody_else_s_is_left_alone_and_one_without_owner_taken_over() {
    let host = Host::with_a_pool().await;
    let target = above(&host);
    host.lvm.ensure_group(&target).await.expect("made");
    let tag = |tag: &str| host.fake().replicated.as_mut().expect("made").tags = vec![tag.into()];
    tag("quorate.dev/pool=other");
    host.run.called();
    let error = host.lvm.ensure_group(&target).await.expect_err("foreign");
    assert!(
        error.to_string().contains("belongs to pool other"),
        "{error}"
    );
    assert!(host.acts().is_empty());
    tag("somebody");
    host.lvm.ensure_group(&target).await.expect("taken over");
    let called = host.run.called();
    let taken = called.iter().find(|words| words.contains("vgchange"));
    assert!(
        taken.is_some_and(|words| words.contains("--setautoactivation n")),
        "{called:?}"
    );

    let mut same = target;
    same.name = "fast".into();
    let error = host.lvm.ensure_group(&same).await.expect_err("another one");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
}

#[tokio::test]
async fn a_disk_that_holds_something_is_refused_and_one_that_is_missing_named() {
    let host = Host::new();
    host.fake().signature = Some("xfs");
    let error = host.lvm.ensure_group(&host.pool()).await;
    let error = error.expect_err("not blank");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    assert!(error.to_string().contains("xfs"), "{error}");
    let mut missing = host.pool();
    missing.devices = vec![AbsolutePath("/nonexistent/disk".into())];
    let error = host.lvm.ensure_group(&missing).await.expect_err("missing");
    assert_eq!(error.trouble(), Trouble::DeviceMissing);
    missing.devices.clear();
    let error = host.lvm.ensure_group(&missing).await.expect_err("no group");
    assert_eq!(error.trouble(), Trouble::DeviceMissing);
    assert!(!host.acts().contains(&"vgcreate".to_owned()));
}

#[tokio::test]
async fn a_group_that_the_manifest_names_is_taken_over() {
    let host = Host::new();
    host.fake().group = Some("fast".into());
    host.fake().disks = vec!["/dev/somewhere".into()];
    let error = host.lvm.ensure_group(&host.pool()).await;
    assert_eq!(
        error.expect_err("other disks").trouble(),
        Trouble::ForeignInTheWay
    );
    let mut named = host.pool();
    named.devices.clear();
    host.lvm.ensure_group(&named).await.expect("taken over");
    assert_eq!(host.seen().await.owner, Owner::Ours("anvil".into()));
}

#[tokio::test]
async fn a_making_that_was_interrupted_is_finished_before_the_volume_counts() {
    let host = Host::with_a_pool().await;
    host.run.fault("lvchange", stuck());
    let error = host.lvm.ensure_volume(&web(2)).await.expect_err("killed");
    assert!(matches!(error, DriverError::Unclear { .. }), "{error:?}");
    let seen = host.seen().await;
    assert_eq!(seen.volumes[0].owner, Owner::Ours("web".into()));
    assert_eq!(seen.volumes[0].size, 0, "it does not count yet");
    host.run.called();

    host.lvm.ensure_volume(&web(2)).await.expect("made on");
    assert_eq!(host.acts(), ["lvchange"], "it is not made twice");
    assert_eq!(host.seen().await.volumes[0].size, 2 * EXTENT);
}

#[tokio::test]
async fn each_command_may_fail_hang_or_talk_nonsense_and_all_is_well_afterwards() {
    for step in ["fullreport", "lvcreate", "lvchange", "lvextend", "lvremove"] {
        for fault in [
            failed(5, "  device-mapper: reload ioctl failed"),
            stuck(),
            Err(CommandError::Killed { signal: 9 }),
            Ok(Ended {
                code: 0,
                stdout: "{\"report\": [{\"vg\": 7}]}".into(),
                stderr: String::new(),
            }),
        ] {
            let host = Host::with_a_pool().await;
            let nonsense = fault.as_ref().is_ok_and(Ended::succeeded);
            if nonsense && step != "fullreport" {
                continue; // what changes something says nothing that is read
            }
            host.run.fault(step, fault);
            let mut errors = Vec::new();
            for _ in 0..3 {
                errors.extend(host.lvm.ensure_volume(&web(2)).await.err());
                errors.extend(host.lvm.ensure_volume(&web(3)).await.err());
            }
            assert_eq!(host.seen().await.volumes[0].size, 3 * EXTENT, "{step}");
            for _ in 0..2 {
                errors.extend(host.lvm.remove_volume("fast", "web", false).await.err());
            }
            assert!(host.seen().await.volumes.is_empty(), "{step}");
            assert_eq!(errors.len(), 1, "{step}: {errors:?}");
            let wanted = [Trouble::Refused, Trouble::TimedOut, Trouble::UnknownAnswer];
            assert!(wanted.contains(&errors[0].trouble()), "{errors:?}");
        }
    }
}

#[tokio::test]
async fn an_act_that_was_given_up_and_succeeds_late_is_not_done_twice() {
    let host = Host::with_a_pool().await;
    host.run.fault("lvcreate", stuck());
    host.lvm.ensure_volume(&web(2)).await.expect_err("given up");
    let late =
        "lvm lvcreate --config x --name web --addtag quorate.dev/making=web --size 8388608b fast";
    host.fake().answer(late, &host.dev);
    host.run.called();

    host.lvm.ensure_volume(&web(2)).await.expect("made on");
    assert_eq!(host.acts(), ["lvchange"]);
}

#[tokio::test]
async fn snapshots_are_kept_with_what_they_are_of() {
    let host = Host::with_a_pool().await;
    host.lvm.ensure_volume(&web(2)).await.expect("made");
    let target = SnapshotTarget {
        owner: "monday".into(),
        group: "fast".into(),
        of: "web".into(),
        name: "web-monday".into(),
        reserve: 5,
    };
    host.lvm.snapshot(&target).await.expect("made");
    host.run.called();
    host.lvm.snapshot(&target).await.expect("as it is");
    assert!(host.acts().is_empty());
    let error = host.lvm.remove_volume("fast", "web", false).await;
    assert_eq!(error.expect_err("needed").trouble(), Trouble::InUse);
    host.lvm
        .remove_volume("fast", "web-monday", false)
        .await
        .expect("removed");
    host.fake().volumes.get_mut("web").expect("there").open = true;
    let error = host.lvm.remove_volume("fast", "web", false).await;
    assert_eq!(error.expect_err("open").trouble(), Trouble::InUse);
}
