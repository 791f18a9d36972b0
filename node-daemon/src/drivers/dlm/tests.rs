//! A kernel of our own behind the driver: it has the directories that Linux has, and notes what is told to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use quorate_crds::scalar::IpAddress;
use quorate_crds::{LockspaceAssignment, LockspaceMember, LockspaceStep, Name};

use super::kernel::Kernel;
use super::tree::Tree;
use super::{Dlm, Lockspaces};
use crate::drivers::command::scripted::Scripted;
use crate::drivers::{DriverError, LockspaceSeen, Trouble};

const CLUSTER: &str = "/sys/kernel/config/dlm/cluster";

#[derive(Default)]
struct Machine {
    directories: BTreeSet<String>,
    files: BTreeMap<String, String>,
    told: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct Linux(Arc<Mutex<Machine>>);

impl Linux {
    pub(super) fn new() -> Self {
        let linux = Self::default();
        linux.has("/sys/kernel/config/dlm");
        linux.file("/proc/sys/kernel/random/boot_id", "one\n");
        linux.file("/proc/self/mountinfo", "");
        linux
    }

    fn change<T>(&self, how: impl FnOnce(&mut Machine) -> T) -> T {
        how(&mut self.0.lock().expect("whole"))
    }

    pub(super) fn has(&self, path: &str) {
        let mut path = Path::new(path);
        while let Some(above) = path.parent() {
            let text = path.to_string_lossy().into_owned();
            self.change(|machine| machine.directories.insert(text));
            path = above;
        }
    }

    pub(super) fn file(&self, path: &str, text: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.has(above);
        }
        self.change(|machine| machine.files.insert(path.to_owned(), text.to_owned()));
    }

    /// A mount has got as far as the door.
    pub(super) fn mount_waits(&self) {
        self.has("/sys/kernel/dlm/images");
        self.file("/sys/fs/gfs2/anvil:images/id", "147:0\n");
    }

    pub(super) fn mounted(&self) {
        self.file(
            "/proc/self/mountinfo",
            "55 27 147:0 / /srv/images rw - gfs2 /dev/drbd0 rw\n",
        );
    }

    fn unmounted(&self) {
        self.file("/proc/self/mountinfo", "");
    }

    fn an_unmount_waits(&self) {
        self.file(
            "/proc/77/stack",
            "[<0>] do_uevent\n[<0>] dlm_release_lockspace+0x4fb\n",
        );
    }

    pub(super) fn gone(&self) {
        self.change(|machine| {
            machine
                .directories
                .retain(|path| !path.starts_with("/sys/kernel/dlm/"))
        });
    }

    /// The lockspace goes as soon as its mount or unmount has its answer.
    fn goes_when_told(&self) {
        let linux = self.clone();
        tokio::task::spawn_blocking(move || {
            let answered = |line: &String| line.contains("event_done");
            while !linux.change(|machine| machine.told.iter().any(answered)) {
                std::thread::yield_now();
            }
            linux.gone();
        });
    }

    /// What was told since this was asked last, without what is always the same.
    fn told(&self) -> Vec<String> {
        let told = self.change(|machine| std::mem::take(&mut machine.told));
        let short = told.into_iter().map(|line| {
            line.replace(&format!("{CLUSTER}/"), "")
                .replace("/sys/kernel/dlm/", "")
        });
        short
            .filter(|line| {
                !line.contains("addr=") && !line.contains("nodeid=") && !line.contains("weight=")
            })
            .collect()
    }
}

impl Tree for Linux {
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let below = format!("{path}/");
        self.change(|machine| {
            let all = machine.directories.iter().chain(machine.files.keys());
            let names = all.filter_map(|one| one.strip_prefix(&below)?.split('/').next());
            let names: BTreeSet<String> = names.map(str::to_owned).collect();
            Ok(names.into_iter().collect())
        })
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let text = self.change(|machine| machine.files.get(path).cloned());
        text.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &str, value: &[u8]) -> io::Result<()> {
        self.change(|machine| {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            if !machine.directories.contains(above) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let value = String::from_utf8_lossy(value);
            machine.told.push(format!("{path}={value}"));
            Ok(())
        })
    }

    fn make(&self, path: &str) -> io::Result<()> {
        if !self.change(|machine| machine.directories.contains(path)) {
            self.has(path);
            self.change(|machine| machine.told.push(format!("+{path}")));
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.change(|machine| {
            if machine.directories.remove(path) {
                machine.told.push(format!("-{path}"));
            }
            Ok(())
        })
    }
}

/// A host on which a daemon runs, dies and runs again.
struct Host {
    linux: Linux,
    directory: tempfile::TempDir,
    dlm: Dlm,
    name: Name,
}

impl Host {
    fn new() -> Self {
        let linux = Linux::new();
        let directory = tempfile::tempdir().expect("a directory");
        let dlm = daemon(&linux, directory.path());
        Self {
            linux,
            directory,
            dlm,
            name: "images".into(),
        }
    }

    /// The daemon was killed, and another one begins.
    fn restarts(&mut self) {
        self.dlm = daemon(&self.linux, self.directory.path());
    }

    async fn prepare(&self, target: &LockspaceAssignment) -> Result<(), DriverError> {
        self.dlm.prepare(&self.name, target).await
    }

    async fn start(&self, target: &LockspaceAssignment) -> Result<(), DriverError> {
        Lockspaces::start(&self.dlm, &self.name, target).await
    }

    async fn stop(&self, generation: u64) {
        let stopped = Lockspaces::stop(&self.dlm, &self.name, generation).await;
        stopped.expect("stopped");
    }

    async fn leave(&self) -> Result<(), DriverError> {
        Lockspaces::leave(&self.dlm, &self.name, 9).await
    }

    async fn sees(&self) -> Vec<LockspaceSeen> {
        self.dlm.observe().await.expect("seen")
    }

    async fn sees_one(&self) -> LockspaceSeen {
        let mut seen = self.sees().await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// As first member, mounted, in generation 1.
    async fn with_a_mount() -> Self {
        let host = Self::new();
        let alone = target(1, &[(1, 7)]);
        host.prepare(&alone).await.expect("ready");
        host.linux.mount_waits();
        host.start(&alone).await.expect("started");
        host.linux.mounted();
        host.linux.told();
        host
    }
}

fn daemon(linux: &Linux, directory: &Path) -> Dlm {
    let run = Scripted::new(|_| None);
    let kernel = Kernel(Arc::new(linux.clone()));
    let kept = directory.join("dlm.json");
    Dlm::at(Arc::new(run), kernel, kept, Box::new(|| Ok(None)))
}

fn member((number, incarnation): (u32, u64)) -> LockspaceMember {
    LockspaceMember {
        node: Name(format!("an{number}")),
        node_id: number,
        incarnation: Some(incarnation),
        addresses: vec![IpAddress(format!("10.10.0.{number}"))],
    }
}

/// This host is number 1.
pub(super) fn target(generation: u64, members: &[(u32, u64)]) -> LockspaceAssignment {
    LockspaceAssignment {
        id: 77,
        table: "anvil:images".to_owned(),
        generation,
        step: LockspaceStep::Start,
        members: members.iter().copied().map(member).collect(),
        own: Some(LockspaceMember {
            incarnation: None,
            ..member((1, 7))
        }),
        program_locks: None,
    }
}

#[tokio::test]
async fn a_mount_waits_at_the_door_until_it_is_let_in() {
    let host = Host::new();
    let both = target(5, &[(1, 7), (2, 3)]);
    host.prepare(&both).await.expect("ready");
    assert_eq!(
        host.linux.told(),
        [
            "+/sys/kernel/config/dlm/cluster",
            "cluster_name=anvil",
            "recover_callbacks=1",
            "+comms/1",
            "comms/1/local=1",
        ]
    );
    host.linux.mount_waits();
    let seen = host.sees_one().await;
    assert!(seen.ours && seen.joining && !seen.running, "{seen:?}");
    assert_eq!(host.linux.told(), [""; 0], "to look changes nothing");

    host.start(&both).await.expect("started");
    assert_eq!(
        host.linux.told(),
        [
            "+comms/2",
            "comms/2/local=0",
            "+spaces/images",
            "+spaces/images/nodes/1",
            "+spaces/images/nodes/2",
            "images/id=77",
            "images/control=1",
            "images/event_done=0",
        ]
    );
    let seen = host.sees_one().await;
    assert!(seen.running && !seen.joining && !seen.leaving, "{seen:?}");
    assert_eq!(seen.generation, Some(5));
    assert_eq!(seen.members, ["an1", "an2"].map(Name::from));
}

#[tokio::test]
async fn a_mount_that_is_not_wanted_any_more_is_turned_away() {
    let host = Host::new();
    host.prepare(&target(5, &[])).await.expect("ready");
    host.linux.mount_waits();
    host.linux.told();
    host.linux.goes_when_told();
    host.leave().await.expect("turned away");
    assert_eq!(host.linux.told(), ["images/event_done=-125"]);
    assert_eq!(host.sees().await, []);
}

#[tokio::test]
async fn nothing_changes_before_it_has_stopped() {
    let host = Host::with_a_mount().await;
    let error = host.start(&target(3, &[(1, 7), (2, 3)])).await;
    let error = error.expect_err("it gives locks");
    assert_eq!(error.trouble(), Trouble::WaitsForOthers);
    assert_eq!(host.linux.told(), [""; 0]);

    host.stop(2).await;
    let seen = host.sees_one().await;
    assert!(!seen.running && seen.generation == Some(2), "{seen:?}");
    host.start(&target(3, &[(1, 7), (2, 3)]))
        .await
        .expect("started");
    assert_eq!(
        host.linux.told(),
        [
            "images/control=0",
            "+comms/2",
            "comms/2/local=0",
            "+spaces/images/nodes/2",
            "images/control=1",
        ],
        "its own membership is not touched, and no mount is answered twice"
    );
}

#[tokio::test]
async fn a_dead_member_is_forgotten_whole_so_that_its_journal_is_replayed() {
    let host = Host::with_a_mount().await;
    host.stop(2).await;
    host.start(&target(3, &[(1, 7), (2, 3)]))
        .await
        .expect("started");
    host.linux.told();
    host.stop(4).await;
    host.start(&target(5, &[(1, 7)])).await.expect("started");
    assert_eq!(
        host.linux.told(),
        [
            "images/control=0",
            "-spaces/images/nodes/2",
            "-comms/2",
            "images/control=1",
        ]
    );
}

#[tokio::test]
async fn a_member_that_has_booted_meanwhile_is_another_one() {
    let host = Host::with_a_mount().await;
    host.stop(2).await;
    host.start(&target(3, &[(1, 7), (2, 3)]))
        .await
        .expect("started");
    host.linux.told();
    host.stop(4).await;
    host.start(&target(5, &[(1, 7), (2, 4)]))
        .await
        .expect("started");
    assert_eq!(
        host.linux.told(),
        [
            "images/control=0",
            "-comms/2",
            "+comms/2",
            "comms/2/local=0",
            "-spaces/images/nodes/2",
            "+spaces/images/nodes/2",
            "images/control=1",
        ]
    );
    host.stop(6).await;
    host.start(&target(7, &[(1, 7), (2, 4)]))
        .await
        .expect("started");
    assert_eq!(
        host.linux.told(),
        ["images/control=0", "images/control=1"],
        "the same one stays as it is"
    );
}

#[tokio::test]
async fn a_daemon_that_starts_again_changes_nothing_and_knows_everything() {
    let mut host = Host::with_a_mount().await;
    let before = host.sees().await;
    host.restarts();
    assert_eq!(host.sees().await, before);
    assert_eq!(host.linux.told(), [""; 0]);
    host.stop(2).await;
    host.restarts();
    let seen = host.sees_one().await;
    assert!(!seen.running && seen.generation == Some(2), "{seen:?}");
}

#[tokio::test]
async fn after_a_boot_what_was_noted_is_void() {
    let mut host = Host::with_a_mount().await;
    host.linux.file("/proc/sys/kernel/random/boot_id", "two\n");
    host.restarts();
    let seen = host.sees_one().await;
    assert!(!seen.ours, "{seen:?}");
}

#[tokio::test]
async fn an_unmount_is_let_out_when_it_waits_and_not_before() {
    let mut host = Host::with_a_mount().await;
    host.linux.unmounted();
    let seen = host.sees_one().await;
    assert!(!seen.leaving, "until it waits it needs locks: {seen:?}");
    let error = host.leave().await.expect_err("it does not wait yet");
    assert_eq!(error.trouble(), Trouble::InUse);

    // The kernel has said so while no daemon ran.
    host.linux.an_unmount_waits();
    host.restarts();
    assert!(host.sees_one().await.leaving);
    host.stop(2).await;
    host.linux.told();
    host.linux.goes_when_told();
    host.leave().await.expect("let out");
    assert_eq!(
        host.linux.told(),
        [
            "images/event_done=0",
            "-spaces/images/nodes/1",
            "-spaces/images"
        ]
    );
    host.leave().await.expect("as it is");
    assert_eq!(host.sees().await, []);
}

#[tokio::test]
async fn the_kernel_s_word_that_an_unmount_waits_is_kept() {
    let mut host = Host::with_a_mount().await;
    host.linux.unmounted();
    host.dlm.leaves("images".to_owned()).await.expect("noted");
    host.dlm
        .leaves("another".to_owned())
        .await
        .expect("not ours");
    host.restarts();
    assert!(host.sees_one().await.leaving);
}

#[tokio::test]
async fn a_lockspace_of_somebody_else_is_reported_and_never_touched() {
    let host = Host::new();
    host.linux.has("/sys/kernel/dlm/images");
    host.linux.has(&format!("{CLUSTER}/spaces/images/nodes/1"));
    host.linux
        .file("/sys/kernel/dlm/images/recover_status", "ff\n");
    let seen = host.sees_one().await;
    assert!(!seen.ours && seen.running, "{seen:?}");
    let error = host
        .prepare(&target(1, &[(1, 7)]))
        .await
        .expect_err("in the way");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    host.stop(2).await;
    host.leave().await.expect("nothing of ours");
    host.start(&target(3, &[(1, 7)]))
        .await
        .expect_err("nothing of ours");
    assert_eq!(host.linux.told(), [""; 0]);
}

#[tokio::test]
async fn where_the_usual_program_runs_nothing_is_set_up() {
    let host = Host::new();
    host.linux.file("/proc/412/comm", "dlm_controld\n");
    let error = host
        .prepare(&target(1, &[(1, 7)]))
        .await
        .expect_err("in the way");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    assert!(error.to_string().contains("dlm_controld"), "{error}");
    assert_eq!(host.linux.told(), [""; 0]);
}

#[tokio::test]
async fn a_member_without_an_address_is_named() {
    let host = Host::with_a_mount().await;
    host.stop(2).await;
    let mut both = target(3, &[(1, 7), (2, 3)]);
    both.members[1].addresses.clear();
    let error = host
        .start(&both)
        .await
        .expect_err("nobody knows where it is");
    assert!(error.to_string().contains("an2"), "{error}");
    assert!(!host.sees_one().await.running);
}
