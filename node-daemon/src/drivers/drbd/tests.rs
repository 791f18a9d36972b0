//! Stories of a host whose DRBD does what it is told, or goes wrong. The kernel behind it is told, not real; what the real
//! one does is recorded in `tests/recorded`, and tried in the lab.

use super::kept::Kept;
use super::*;
use crate::drivers::command::scripted::{Scripted, failed, fine};
use crate::drivers::command::{CommandError, Ended};
use crate::drivers::lvm::Lvm;
use crate::drivers::{Hint, Owner};
use futures_util::StreamExt;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    DiskState, MetadataPlace, ReplicaAssignment, ReplicaOriginal, ReplicaRole, Size, VerifyState,
    VolumeSource,
};
use std::sync::Arc;

type Answer = Option<Result<Ended, CommandError>>;

const NEW: &str = "0000000000000004";

/// One resource, its metadata and its peer.
#[derive(Clone)]
struct Fake {
    up: bool,
    foreign: bool,
    metadata: Option<String>,
    data: bool,
    behind: u64,
    role: &'static str,
    disk: &'static str,
    peer: &'static str,
    peer_disk: &'static str,
    /// It takes from its peer what it lacks.
    takes: bool,
    /// Other replicas that do.
    others: usize,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            up: false,
            foreign: false,
            metadata: None,
            data: false,
            behind: 0,
            role: "Secondary",
            disk: "Diskless",
            peer: "Connected",
            peer_disk: "Inconsistent",
            takes: false,
            others: 0,
        }
    }
}

impl Fake {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.up {
            let Self {
                role,
                disk,
                peer,
                peer_disk,
                behind,
                ..
            } = self;
            let met = match *peer {
                "Connected" if self.takes => "SyncTarget",
                "Connected" => "Established",
                _ => "Off",
            };
            lines.extend([
                format!("exists resource name:web role:{role} suspended:no"),
                format!("exists connection name:web peer-node-id:0 conn-name:peer connection:{peer} role:Secondary"),
                format!("exists device name:web volume:0 minor:7 disk:{disk} size:65536"),
                format!("exists peer-device name:web peer-node-id:0 conn-name:peer volume:0 replication:{met} peer-disk:{peer_disk} out-of-sync:{behind}"),
            ]);
        }
        for other in 0..self.others {
            lines.extend([
                format!("exists resource name:with{other} role:Secondary suspended:no"),
                format!("exists peer-device name:with{other} peer-node-id:0 conn-name:peer volume:0 replication:SyncTarget peer-disk:UpToDate"),
            ]);
        }
        lines.push("exists -".to_owned());
        lines
    }

    fn answer(&mut self, words: &str) -> Answer {
        if words.starts_with("lvm lvmconfig")
            || words.contains("lvcreate")
            || words.contains("lvremove")
        {
            return fine("");
        }
        if words.starts_with("lvm fullreport") {
            return fine(
                r#"{"report":[{"vg":[{"vg_name":"vg0","vg_tags":"","vg_size":"400000000","vg_free":"200000000","vg_extent_size":"4194304"}],"pv":[],
                "lv":[{"lv_name":"web","lv_size":"71303168","lv_tags":"quorate.dev/volume=web","lv_active":"active","lv_device_open":"open","origin":"","pool_lv":""},
                {"lv_name":"web-before-resync","lv_size":"4194304","lv_tags":"quorate.dev/snapshot=web","lv_active":"active","lv_device_open":"","origin":"web","pool_lv":""}]}]}"#,
            );
        }
        let said = |so: bool| if so { fine("") } else { Some(failed(1, "")) };
        if words.starts_with("drbdadm --version") {
            return fine(include_str!(
                "../../../tests/recorded/drbd-8.4/drbdadm-version.txt"
            ));
        }
        if words.contains("events2") {
            return fine(&(self.lines().join("\n") + "\n"));
        }
        if words.contains("get-gi") {
            return match &self.metadata {
                Some(generation) => fine(&format!("{generation}:0:0:0:1:0\n")),
                None => said(false),
            };
        }
        let verb = words.split(' ').find(|word| {
            [
                "create-md",
                "adjust",
                "primary",
                "secondary",
                "down",
                "set-gi",
                "wipe-md",
                "resize",
            ]
            .contains(word)
                || [
                    "new-current-uuid",
                    "outdate",
                    "disconnect",
                    "connect",
                    "verify",
                ]
                .contains(word)
        });
        match verb.unwrap_or_else(|| panic!("nobody expects \"{words}\"")) {
            "create-md" if self.data => {
                return Some(failed(40, "Found ext3 filesystem\nOperation refused.\n"));
            }
            "create-md" => {
                assert_eq!(self.metadata, None, "metadata are made once");
                self.metadata = Some(NEW.to_owned());
            }
            "adjust" if self.metadata.is_none() => {
                return Some(failed(1, "No valid meta data found"));
            }
            "adjust" => {
                self.up = true;
                let new = self.metadata.as_deref() == Some(NEW);
                self.disk = if new { "Inconsistent" } else { "UpToDate" };
            }
            "new-current-uuid" => {
                (self.disk, self.peer_disk) = ("UpToDate", "UpToDate");
                self.metadata = Some("00000000000000AA".into());
            }
            "set-gi" => {
                assert!(!self.up, "only of one that is down");
                let given = words
                    .rsplit(' ')
                    .next()
                    .and_then(|last| last.split(':').next());
                self.metadata = given.map(str::to_owned);
            }
            "primary" => self.role = "Primary",
            "secondary" => self.role = "Secondary",
            "outdate" => self.disk = "Outdated",
            "down" => (self.up, self.role) = (false, "Secondary"),
            "wipe-md" => self.metadata = None,
            _ => {}
        }
        fine("")
    }
}

struct Stage {
    _directory: tempfile::TempDir,
    fake: Arc<Mutex<Fake>>,
    run: Scripted,
    drbd: Drbd,
    target: ReplicaTarget,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(&path).expect("made");
            path
        };
        at("sys/module/drbd");
        at("dev/vg0/web");
        let fake: Arc<Mutex<Fake>> = Arc::default();
        let answering = Arc::clone(&fake);
        let run = Scripted::new(move |words| lock(&answering).answer(words));
        let host = Host {
            directory: directory.path().join("run"),
            sys: at("sys"),
            dev: at("dev"),
            handler: PathBuf::from("/usr/lib/quorate/quorate-drbd-handler"),
            hostname: "an1".into(),
        };
        let shared: Arc<dyn Run> = Arc::new(run.clone());
        let pools = Arc::new(Lvm::new(Arc::clone(&shared)));
        let mut target = config::tests::target(1);
        // The way to ourselves is known on every machine.
        target.assignment.peers[0].addresses = vec!["127.0.0.1".into()];
        Self {
            _directory: directory,
            fake,
            run,
            drbd: Drbd::new(shared, pools, host),
            target,
        }
    }

    /// Made, up, and current on both sides.
    async fn at_work() -> Self {
        let stage = Self::new();
        lock(&stage.fake).metadata = Some("00000000000000AA".into());
        lock(&stage.fake).peer_disk = "UpToDate";
        stage.drbd.create(&stage.target).await.expect("it is there");
        stage.drbd.adjust(&stage.target).await.expect("up");
        stage.run.called();
        stage
    }

    fn fake(&self) -> MutexGuard<'_, Fake> {
        lock(&self.fake)
    }

    /// The kernel has something else to say.
    fn now(&self, change: impl FnOnce(&mut Fake)) {
        change(&mut self.fake());
        self.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
    }

    /// The kernel has counted so many sectors that were written.
    fn count(&self, sectors: u64) {
        let directory = self.drbd.host.sys.join("block/drbd7");
        std::fs::create_dir_all(&directory).expect("made");
        let line = format!("1 0 8 0 2 0 {sectors} 0 0 0 0 0 0 0 0 0 0\n");
        std::fs::write(directory.join("stat"), line).expect("written");
    }

    /// The daemon of this host, started anew.
    fn next_daemon(&self) -> Drbd {
        let run: Arc<dyn Run> = Arc::new(self.run.clone());
        let pools = Arc::new(Lvm::new(Arc::clone(&run)));
        Drbd::new(run, pools, self.drbd.host.clone())
    }

    fn is_configured(&self, words: &str) -> bool {
        let text = self.drbd.place.configured("web").expect("configured");
        text.contains(words)
    }

    async fn seen(&self) -> ReplicaSeen {
        let all = self.drbd.observe().await.expect("it answers");
        all.into_iter().next().expect("a replica")
    }

    fn acts(&self) -> Vec<String> {
        let looks = ["events2", "get-gi", "--version", "fullreport", "lvmconfig"];
        let called = self.run.called().into_iter();
        called
            .filter(|words| !looks.iter().any(|look| words.contains(look)))
            .collect()
    }

    fn did(&self, verb: &str) -> usize {
        self.acts()
            .iter()
            .filter(|words| words.split(' ').any(|word| word == verb))
            .count()
    }
}

fn web() -> Name {
    "web".into()
}

fn stuck() -> Result<Ended, CommandError> {
    Err(CommandError::Stuck {
        after: Duration::from_secs(60),
    })
}

fn trouble<T>(result: Result<T, DriverError>) -> Trouble {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.trouble(),
    }
}

#[tokio::test]
async fn a_new_volume_begins_on_one_host_and_nothing_is_copied_to_one_that_is_as_new() {
    let mut stage = Stage::new();
    stage.target.assignment.begins_here = true;
    stage.drbd.create(&stage.target).await.expect("made");
    stage.drbd.create(&stage.target).await.expect("as it is");
    assert_eq!(stage.did("create-md"), 1);
    stage.drbd.adjust(&stage.target).await.expect("up");
    let acts = stage.acts();
    assert!(
        acts.iter()
            .any(|words| words.contains("new-current-uuid --clear-bitmap 7")),
        "{acts:?}"
    );
    let seen = stage.seen().await;
    assert_eq!(seen.owner, Owner::Ours(web()));
    assert_eq!(
        (seen.disk, seen.role),
        (DiskState::UpToDate, ReplicaRole::Secondary)
    );
    assert!(seen.as_adjusted);
    assert_eq!(seen.size, 64 << 20);
    assert_eq!(seen.peers[0].disk, DiskState::UpToDate);

    stage.drbd.adjust(&stage.target).await.expect("as it is");
    assert_eq!(stage.acts(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn it_begins_alone_when_the_others_do_not_come() {
    let mut stage = Stage::new();
    stage.target.assignment.begins_here = true;
    stage.fake().peer = "Connecting";
    stage.fake().peer_disk = "DUnknown";
    stage.drbd.create(&stage.target).await.expect("made");
    let begun = Instant::now();
    stage.drbd.adjust(&stage.target).await.expect("up");
    assert!(
        begun.elapsed() >= Duration::from_secs(30),
        "it has waited for them"
    );
    let generation = stage.fake().metadata.clone().expect("a generation");
    assert_ne!(generation, NEW);
    assert_eq!(stage.seen().await.disk, DiskState::UpToDate);
}

#[tokio::test]
async fn one_that_stands_alone_begins_at_once_and_one_that_follows_declares_nothing() {
    let mut stage = Stage::new();
    stage.target.assignment.begins_here = true;
    stage.target.assignment.peers.clear();
    stage.drbd.create(&stage.target).await.expect("made");
    assert_eq!(stage.did("set-gi"), 1);
    stage.drbd.adjust(&stage.target).await.expect("up");
    stage.fake().behind = 8;
    stage.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
    let seen = stage.seen().await;
    assert_eq!((seen.out_of_sync, seen.peers.len()), (0, 0));

    let stage = Stage::new();
    stage.drbd.create(&stage.target).await.expect("made");
    stage.drbd.adjust(&stage.target).await.expect("up");
    assert_eq!(stage.seen().await.disk, DiskState::Inconsistent);
    let acts = stage.acts().join("\n");
    assert!(
        !acts.contains("set-gi") && !acts.contains("new-current-uuid"),
        "{acts}"
    );
}

#[tokio::test]
async fn data_that_is_there_is_never_overwritten() {
    let stage = Stage::new();
    stage.fake().data = true;
    assert_eq!(
        trouble(stage.drbd.create(&stage.target).await),
        Trouble::ForeignInTheWay
    );
    // Whose metadata are there already, goes on.
    stage.fake().metadata = Some("00000000000000AA".into());
    stage.run.called();
    stage.drbd.create(&stage.target).await.expect("it is there");
    assert_eq!(stage.acts(), Vec::<String>::new());

    // What cannot be understood is not taken for nothing.
    let stage = Stage::new();
    let garbage = Ended {
        code: 0,
        stdout: "??".into(),
        stderr: String::new(),
    };
    stage.run.fault("get-gi", Ok(garbage));
    assert_eq!(
        trouble(stage.drbd.create(&stage.target).await),
        Trouble::Refused
    );
    assert_eq!(stage.acts(), Vec::<String>::new());
}

#[tokio::test]
async fn a_disk_that_was_replaced_is_filled_from_the_peer() {
    let stage = Stage::at_work().await;
    stage.fake().metadata = None;
    stage.fake().disk = "Diskless";
    stage.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
    assert!(!stage.seen().await.as_adjusted);
    stage.drbd.adjust(&stage.target).await.expect("attached");
    assert_eq!(stage.did("create-md"), 1);
    assert_eq!(stage.seen().await.disk, DiskState::Inconsistent);

    // One that holds something is left as it is.
    stage.fake().metadata = None;
    stage.fake().data = true;
    stage.fake().disk = "Diskless";
    stage.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
    let error = stage.drbd.adjust(&stage.target).await;
    assert_eq!(trouble(error), Trouble::ForeignInTheWay);
}

#[tokio::test]
async fn what_a_resync_overwrites_is_kept_aside_where_both_have_written() {
    let stage = Stage::at_work().await;
    let says = |handler: &str| Call {
        handler: handler.into(),
        resource: "web".into(),
        ..Call::default()
    };
    // An ordinary resync goes on at once.
    assert!(stage.drbd.heard(&says("before-resync-target")).await);
    assert_eq!(stage.acts(), Vec::<String>::new());

    assert!(stage.drbd.heard(&says("initial-split-brain")).await);
    stage.run.fault("lvcreate", failed(5, "no"));
    assert!(
        !stage.drbd.heard(&says("before-resync-target")).await,
        "without its snapshot it does not go on"
    );
    assert!(stage.drbd.heard(&says("before-resync-target")).await);
    let acts = stage.acts();
    let made: Vec<_> = acts
        .iter()
        .filter(|words| words.contains("lvcreate"))
        .collect();
    assert_eq!(made.len(), 2);
    assert_eq!(made[0], made[1], "the same snapshot is tried again");
    assert!(
        made[0].contains("web-given-up-") && made[0].contains("--size 71303168b"),
        "{made:?}"
    );
    assert!(stage.drbd.heard(&says("after-resync-target")).await);
    stage.run.called();
    assert!(stage.drbd.heard(&says("before-resync-target")).await);
    assert_eq!(stage.acts(), Vec::<String>::new(), "it is over");

    // Nobody gives leave for what is not known here.
    let mut other = says("before-resync-target");
    other.resource = "other".into();
    assert!(!stage.drbd.heard(&other).await);
}

#[tokio::test]
async fn a_volume_may_ask_for_a_snapshot_before_each_resync() {
    let mut stage = Stage::at_work().await;
    Arc::make_mut(&mut stage.target.spec).resync.snapshot_target = true;
    stage.drbd.adjust(&stage.target).await.expect("told");
    stage.run.called();
    let says = |handler: &str| Call {
        handler: handler.into(),
        resource: "web".into(),
        ..Call::default()
    };
    assert!(stage.drbd.heard(&says("before-resync-target")).await);
    assert_eq!(
        stage.did("lvcreate"),
        0,
        "the one of a resync that broke off is older, and better"
    );
    assert!(stage.drbd.heard(&says("after-resync-target")).await);
    assert_eq!(stage.did("lvremove"), 1);
}

#[tokio::test]
async fn a_resource_that_is_not_ours_is_shown_and_left_alone() {
    let stage = Stage::new();
    *stage.fake() = Fake {
        up: true,
        foreign: true,
        disk: "UpToDate",
        ..Fake::default()
    };
    assert!(stage.fake().foreign);
    assert_eq!(stage.seen().await.owner, Owner::Foreign);
    for error in [
        trouble(stage.drbd.create(&stage.target).await),
        trouble(stage.drbd.adjust(&stage.target).await),
        trouble(stage.drbd.promote(&web()).await),
        trouble(stage.drbd.take_down(&web()).await),
    ] {
        assert_eq!(error, Trouble::ForeignInTheWay);
    }
    let mut other = stage.target.clone();
    other.name = "other".into();
    let error = stage
        .drbd
        .create(&other)
        .await
        .expect_err("its minor is taken");
    assert!(error.to_string().contains("/dev/drbd7"), "{error}");
    assert_eq!(stage.acts(), Vec::<String>::new());
}

#[tokio::test]
async fn only_current_data_is_opened_and_the_kernel_s_reasons_are_told_apart() {
    let stage = Stage::at_work().await;
    for disk in ["Outdated", "Inconsistent", "Failed"] {
        stage.fake().disk = disk;
        stage.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
        assert_eq!(
            trouble(stage.drbd.promote(&web()).await),
            Trouble::NotCurrent
        );
    }
    assert_eq!(stage.acts(), Vec::<String>::new());
    stage.fake().disk = "UpToDate";
    for (words, wanted) in [
        (
            "7: State change failed: (-2) Need access to UpToDate data",
            Trouble::NotCurrent,
        ),
        (
            "7: State change failed: (-7) Refusing to be Primary while peer is not outdated",
            Trouble::PeerUnreachable,
        ),
        (
            "7: State change failed: (-1) Multiple primaries not allowed by config",
            Trouble::InUse,
        ),
        ("7: State change failed: (-99) New words", Trouble::Refused),
        ("nonsense (", Trouble::Refused),
    ] {
        stage.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
        stage.run.fault(" primary ", failed(17, words));
        assert_eq!(trouble(stage.drbd.promote(&web()).await), wanted, "{words}");
    }
    stage.drbd.promote(&web()).await.expect("opened");
    stage.run.called();
    stage.drbd.promote(&web()).await.expect("as it is");
    assert_eq!(stage.acts(), Vec::<String>::new());
    assert_eq!(trouble(stage.drbd.outdate(&web()).await), Trouble::InUse);
    assert_eq!(trouble(stage.drbd.discard(&web()).await), Trouble::InUse);
    stage.run.fault(
        " secondary ",
        failed(
            11,
            "7: State change failed: (-12) Device is held open by someone",
        ),
    );
    assert_eq!(trouble(stage.drbd.demote(&web()).await), Trouble::InUse);
    stage.drbd.demote(&web()).await.expect("closed");
    assert_eq!(stage.seen().await.role, ReplicaRole::Secondary);
}

#[tokio::test]
async fn a_host_without_drbd_has_no_replicas_and_says_why_it_can_have_none() {
    let stage = Stage::new();
    std::fs::remove_dir(stage.drbd.host.sys.join("module/drbd")).expect("unloaded");
    assert!(stage.drbd.observe().await.expect("none").is_empty());
    assert_eq!(stage.run.called(), Vec::<String>::new());
    stage
        .run
        .fault("modprobe", failed(1, "FATAL: Module drbd not found"));
    let error = stage
        .drbd
        .create(&stage.target)
        .await
        .expect_err("no module");
    assert_eq!(error.trouble(), Trouble::NotInstalled);
    assert!(matches!(error, DriverError::Lasting { .. }));
}

#[tokio::test]
async fn a_steady_host_starts_no_program() {
    let stage = Stage::at_work().await;
    let lines = stage.run.lines();
    let mut hints = stage.drbd.watch();
    for line in stage.fake().lines() {
        lines.send(Ok(line)).expect("heard");
    }
    assert_eq!(hints.next().await, Some(Hint::Anything));
    stage.seen().await;
    stage.run.called();
    for _ in 0..50 {
        assert_eq!(stage.seen().await.disk, DiskState::UpToDate);
        stage.drbd.adjust(&stage.target).await.expect("as it is");
    }
    assert_eq!(stage.run.called(), Vec::<String>::new());

    lines
        .send(Ok(
            "change connection name:web peer-node-id:0 connection:BrokenPipe role:Unknown".into(),
        ))
        .expect("heard");
    assert_eq!(hints.next().await, Some(Hint::Object(web())));
    assert_eq!(
        stage.seen().await.peers[0].connection,
        ConnectionState::Connecting
    );
    assert_eq!(stage.run.called(), Vec::<String>::new());

    // The stream breaks off: the kernel is asked.
    lines
        .send(Err(CommandError::Killed { signal: 9 }))
        .expect("heard");
    tokio::time::pause();
    assert_eq!(hints.next().await, None);
    assert_eq!(
        stage.seen().await.peers[0].connection,
        ConnectionState::Connected
    );
    assert_eq!(stage.run.called().len(), 1);
}

#[tokio::test]
async fn a_split_brain_is_kept_in_mind_and_the_peers_meet_again_only_slowly() {
    let stage = Stage::at_work().await;
    let lines = stage.run.lines();
    let mut hints = stage.drbd.watch();
    let more = [
        "call helper name:web peer-node-id:0 conn-name:peer volume:0 minor:7 helper:split-brain",
        "change connection name:web peer-node-id:0 conn-name:peer connection:StandAlone",
        "destroy peer-device name:web peer-node-id:0 conn-name:peer volume:0",
        "destroy connection name:web peer-node-id:0 conn-name:peer",
    ];
    let told = stage
        .fake()
        .lines()
        .into_iter()
        .chain(more.map(str::to_owned));
    for line in told {
        lines.send(Ok(line)).expect("heard");
    }
    for _ in 0..5 {
        hints.next().await.expect("a hint");
    }
    stage.fake().peer = "StandAlone";
    let split = stage.seen().await;
    assert!(split.peers[0].split_brain);
    assert_eq!(split.peers[0].connection, ConnectionState::StandAlone);
    assert!(split.as_adjusted, "nothing is done about it for now");

    // It is remembered when the kernel is asked anew, and when the stream is.
    stage.drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
    assert!(stage.seen().await.peers[0].split_brain);
    drop(hints);
    assert!(stage.seen().await.peers[0].split_brain);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(21)).await;
    assert!(
        !stage.seen().await.as_adjusted,
        "it may be healed from the other side"
    );
    stage.run.called();
    stage.drbd.adjust(&stage.target).await.expect("it tries");
    assert_eq!(stage.did("adjust"), 1);

    stage.drbd.discard(&web()).await.expect("given up");
    let acts = stage.acts();
    assert!(
        acts.iter()
            .any(|words| words.contains("connect --discard-my-data web")),
        "{acts:?}"
    );
    assert!(
        !acts.iter().any(|words| words.contains(" disconnect ")),
        "what stands alone cannot be disconnected: {acts:?}"
    );
    stage.fake().peer = "Connected";
    assert!(!stage.seen().await.peers[0].split_brain);
}

#[tokio::test]
async fn two_may_write_counts_as_open_until_it_is_surely_closed() {
    let mut stage = Stage::at_work().await;
    let allowed = |target: &ReplicaTarget, so| ReplicaTarget {
        assignment: ReplicaAssignment {
            allow_two_primaries: so,
            ..target.assignment.clone()
        },
        ..target.clone()
    };
    stage.target = allowed(&stage.target, true);
    stage.drbd.adjust(&stage.target).await.expect("opened");
    assert!(stage.seen().await.two_primaries);
    stage.target = allowed(&stage.target, false);
    stage.run.fault(" adjust ", stuck());
    assert_eq!(
        trouble(stage.drbd.adjust(&stage.target).await),
        Trouble::TimedOut
    );
    let seen = stage.seen().await;
    assert!(seen.two_primaries && !seen.as_adjusted);
    stage.drbd.adjust(&stage.target).await.expect("closed");
    let seen = stage.seen().await;
    assert!(!seen.two_primaries && seen.as_adjusted);
}

#[tokio::test]
async fn it_is_taken_down_forgotten_and_erased() {
    let mut stage = Stage::at_work().await;
    stage.target.assignment.backing_device = AbsolutePath("/dev/null".into());
    assert_eq!(
        trouble(stage.drbd.erase(&stage.target).await),
        Trouble::InUse
    );
    stage.drbd.take_down(&web()).await.expect("down");
    stage.drbd.take_down(&web()).await.expect("down already");
    assert_eq!(stage.did("down"), 1);
    assert!(stage.drbd.observe().await.expect("none").is_empty());
    assert_eq!(stage.drbd.place.kept("web"), None);
    stage.drbd.erase(&stage.target).await.expect("erased");
    stage
        .drbd
        .erase(&stage.target)
        .await
        .expect("erased already");
    assert_eq!(stage.did("wipe-md"), 1);
}

#[tokio::test]
async fn each_command_may_fail_hang_or_be_killed_and_all_is_well_afterwards() {
    let steps = [
        "--version",
        "events2",
        "get-gi",
        "create-md",
        " adjust ",
        "new-current-uuid",
        " primary ",
        " secondary ",
        " down ",
    ];
    for step in steps {
        for fault in [
            failed(10, "genetlink: no answer"),
            stuck(),
            Err(CommandError::Killed { signal: 9 }),
            Err(CommandError::Endless),
        ] {
            let mut stage = Stage::new();
            stage.target.assignment.begins_here = true;
            stage.run.fault(step, fault);
            let mut errors = Vec::new();
            for _ in 0..2 {
                errors.extend(stage.drbd.create(&stage.target).await.err());
            }
            for _ in 0..2 {
                errors.extend(stage.drbd.adjust(&stage.target).await.err());
                errors.extend(stage.drbd.promote(&web()).await.err());
            }
            errors.extend(stage.drbd.promote(&web()).await.err());
            let seen = stage.seen().await;
            assert_eq!(
                (seen.role, seen.disk),
                (ReplicaRole::Primary, DiskState::UpToDate),
                "{step}"
            );
            for _ in 0..2 {
                errors.extend(stage.drbd.demote(&web()).await.err());
            }
            for _ in 0..2 {
                errors.extend(stage.drbd.take_down(&web()).await.err());
            }
            assert!(
                stage.drbd.observe().await.expect("none").is_empty(),
                "{step}"
            );
            assert!(!errors.is_empty(), "{step}");
            let first = errors[0].trouble();
            let wanted = [
                Trouble::Refused,
                Trouble::TimedOut,
                Trouble::UnknownAnswer,
                Trouble::NotInstalled,
            ];
            assert!(wanted.contains(&first), "{step}: {errors:?}");
        }
    }
}

#[tokio::test]
async fn metadata_beside_the_volume_are_made_read_and_wiped_there() {
    let mut stage = Stage::new();
    std::fs::create_dir_all(stage.drbd.host.dev.join("vg0/web-metadata")).expect("made");
    Arc::make_mut(&mut stage.target.spec).replication.metadata = MetadataPlace::External;
    stage.drbd.create(&stage.target).await.expect("made");
    let called = stage.run.called();
    let looked = called.iter().find(|words| words.contains("get-gi"));
    let looked = looked.expect("it was looked for what is there");
    assert!(
        looked.contains("/dev/vg0/web-metadata flex-external"),
        "{looked}"
    );
    assert!(
        called.iter().any(|words| words.contains("create-md")),
        "{called:?}"
    );
    stage.drbd.adjust(&stage.target).await.expect("up");
    assert!(stage.fake().up);
}

#[tokio::test]
async fn a_volume_with_an_image_is_current_only_when_it_is_all_there_and_the_others_copy_it() {
    let mut stage = Stage::new();
    let device = stage.drbd.host.dev.join("vg0/web");
    std::fs::remove_dir(&device).expect("a directory until now");
    std::fs::write(&device, [0; 4096]).expect("a device");
    stage.target.assignment.begins_here = true;
    Arc::make_mut(&mut stage.target.spec).source = Some(VolumeSource {
        url: Some("file:///nowhere/image".into()),
        sha256: Some("0".repeat(64)),
        ..VolumeSource::default()
    });
    // The peer is there and as new, and must not be taken for the same.
    let refused = stage.drbd.create(&stage.target).await;
    assert_eq!(trouble(refused), Trouble::Refused);
    assert_eq!(stage.did("set-gi"), 0);
    assert_eq!(
        stage.fake().metadata.as_deref(),
        Some(NEW),
        "not current yet"
    );
    let again = stage.drbd.create(&stage.target).await;
    assert_eq!(trouble(again), Trouble::Refused, "it begins anew");

    // Once anybody may have written it is left as it is, whatever the image.
    stage.fake().metadata = Some("00000000000000AA".into());
    stage.drbd.create(&stage.target).await.expect("as it is");
    assert_eq!(stage.did("set-gi"), 0);
}

#[tokio::test]
async fn a_volume_made_from_a_snapshot_is_current_when_all_of_that_is_copied() {
    let mut stage = Stage::new();
    let group = stage.drbd.host.dev.join("vg0");
    std::fs::remove_dir(group.join("web")).expect("a directory until now");
    std::fs::write(group.join("web"), [0; 8192]).expect("a device");
    stage.target.assignment.begins_here = true;
    Arc::make_mut(&mut stage.target.spec).source = Some(VolumeSource {
        snapshot: Some(Name("monday".into())),
        ..VolumeSource::default()
    });
    let refused = stage.drbd.create(&stage.target).await;
    assert_eq!(
        trouble(refused),
        Trouble::DeviceMissing,
        "nobody said where"
    );
    stage.target.assignment.copy_of = Some(ReplicaOriginal {
        device: AbsolutePath("/dev/vg0/web-at-monday".into()),
        size: Size("4Ki".into()),
    });
    let refused = stage.drbd.create(&stage.target).await;
    assert_eq!(trouble(refused), Trouble::Refused, "it is not there");
    assert_eq!(
        stage.fake().metadata.as_deref(),
        Some(NEW),
        "not current yet"
    );

    std::fs::write(group.join("web-at-monday"), [7; 6000]).expect("a device");
    stage.drbd.create(&stage.target).await.expect("made");
    assert_eq!(stage.did("set-gi"), 1);
    let held = std::fs::read(group.join("web")).expect("there");
    assert!(held[..4096].iter().all(|byte| *byte == 7));
    assert!(held[4096..].iter().all(|byte| *byte == 0));
}

/// The stream says when it ends; how much differed is asked for after that.
#[tokio::test]
async fn a_comparison_is_followed_to_its_end_and_one_that_cannot_begin_is_an_answer() {
    let stage = Stage::at_work().await;
    let say = |line: &str| lock(&stage.drbd.shared.live).take(line);
    let replicates = |word: &str| {
        say(&format!(
            "change peer-device name:web peer-node-id:0 conn-name:peer volume:0 replication:{word}"
        ));
    };
    stage.drbd.verify(&web(), 3).await.expect("it is asked");
    assert_eq!(stage.did("verify"), 1);
    let state = |seen: &ReplicaSeen| {
        let verify = seen.verify.clone().expect("it was asked for");
        (verify.number, verify.state)
    };
    assert_eq!(state(&stage.seen().await), (3, VerifyState::Running));
    replicates("VerifyS");
    assert_eq!(state(&stage.seen().await), (3, VerifyState::Running));
    replicates("Established");
    assert_eq!(state(&stage.seen().await), (3, VerifyState::Finished));

    stage.drbd.verify(&web(), 4).await.expect("it is asked");
    replicates("VerifyS");
    replicates("Off");
    replicates("Established");
    assert_eq!(state(&stage.seen().await), (4, VerifyState::Broken));

    // A daemon that starts anew has not seen how it ended.
    let mut again = stage.drbd.clone();
    again.shared = Arc::default();
    let seen = again.observe().await.expect("it answers");
    assert_eq!(state(&seen[0]), (4, VerifyState::Broken));

    let refused = failed(11, "0: State change failed: (-15) Need a connection");
    stage.run.fault("verify", refused);
    stage.drbd.verify(&web(), 5).await.expect("an answer");
    let verify = stage.seen().await.verify.expect("it was asked for");
    assert_eq!((verify.number, verify.state), (5, VerifyState::Broken));
    let why = verify.message.expect("a reason");
    assert!(why.contains("Need a connection"), "{why}");
}

#[tokio::test]
async fn when_it_was_written_outlives_the_daemon_and_not_the_replica() {
    let stage = Stage::at_work().await;
    assert_eq!(
        stage.seen().await.written,
        None,
        "this kernel counts nothing"
    );
    stage.count(100);
    let first = stage.seen().await.written.expect("it is looked at");
    assert_eq!(first.last, None, "nobody knows when those were");
    stage.count(108);
    let written = stage.seen().await.written.expect("it is looked at");
    assert_eq!(written.since, first.since);
    assert!(written.last.is_some_and(|last| last >= first.since));
    assert_eq!(
        stage.seen().await.written,
        Some(written),
        "nothing was written since"
    );

    let next = stage.next_daemon();
    let seen = next.observe().await.expect("it answers");
    assert_eq!(seen[0].written, Some(written));

    next.take_down(&web()).await.expect("down");
    assert_eq!(next.place.kept_writes("web"), None);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_split_and_is_written_says_so_without_any_event() {
    let stage = Stage::at_work().await;
    stage.count(100);
    let lines = stage.run.lines();
    let mut hints = stage.drbd.watch();
    for line in stage.fake().lines() {
        lines.send(Ok(line)).expect("heard");
    }
    assert_eq!(hints.next().await, Some(Hint::Anything));
    stage.count(108);
    let ten_looks = tokio::time::timeout(writes::EVERY * 10, hints.next());
    assert!(
        ten_looks.await.is_err(),
        "of one that is whole nobody asks it"
    );

    let split =
        "call helper name:web peer-node-id:0 conn-name:peer volume:0 minor:7 helper:split-brain";
    lines.send(Ok(split.to_owned())).expect("heard");
    assert_eq!(hints.next().await, Some(Hint::Object(web())));
    // It was last written in an hour that is long over.
    let long_ago = jiff::Timestamp::UNIX_EPOCH;
    let live = lock(&stage.drbd.shared.live).clone();
    stage.count(116);
    stage.drbd.look_at_writes(&live, long_ago);
    stage.count(124);
    assert_eq!(hints.next().await, Some(Hint::Object(web())));
    let seen = stage.seen().await;
    assert!(seen.written.and_then(|it| it.last) > Some(long_ago));
}

#[tokio::test]
async fn replicas_that_catch_up_at_the_same_time_share_the_rate_of_their_host() {
    let mut stage = Stage::new();
    stage.target.assignment.resync_rate = Some("64Mi".into());
    stage.target.assignment.resync_rate_shared = true;
    lock(&stage.fake).metadata = Some("00000000000000AA".into());
    stage.drbd.create(&stage.target).await.expect("it is there");
    stage.drbd.adjust(&stage.target).await.expect("up");
    assert!(stage.is_configured("c-max-rate 65536k;"));
    let kept = stage.drbd.place.kept("web").expect("ours");
    for other in ["with0", "with1", "with2"] {
        let volume = Name::from(other);
        let kept = Kept {
            volume,
            ..kept.clone()
        };
        stage.drbd.place.keep(&kept).expect("ours as well");
    }

    // While it rests itself, others are nothing to it.
    stage.now(|fake| fake.others = 3);
    assert!(stage.seen().await.paced);
    stage.run.called();
    stage.drbd.adjust(&stage.target).await.expect("as it is");
    assert_eq!(stage.acts(), Vec::<String>::new());

    for (others, rate) in [(3, "16384k"), (2, "16384k"), (1, "32768k"), (0, "65536k")] {
        stage.now(|fake| (fake.takes, fake.others) = (true, others));
        let paced = stage.is_configured(&format!("c-max-rate {rate};"));
        assert_eq!(stage.seen().await.paced, paced, "{others} others");
        stage.drbd.adjust(&stage.target).await.expect("told");
        assert_eq!(stage.did("adjust"), usize::from(!paced), "{others} others");
        assert!(stage.is_configured(&format!("c-max-rate {rate};")));
        assert!(stage.seen().await.paced);
    }

    // What is somebody else's is not counted.
    stage.drbd.place.forget("with0").expect("forgotten");
    stage.now(|fake| fake.others = 1);
    assert!(stage.seen().await.paced);
}
