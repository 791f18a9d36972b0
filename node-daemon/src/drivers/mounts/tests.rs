use std::fs::File;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{CheckResult, MountState, QuotaMode};

use super::{Mounts, Places};
use crate::drivers::command::CommandError;
use crate::drivers::command::scripted::{Scripted, failed, fine};
use crate::drivers::{
    CheckTarget, FilesystemTarget, Filesystems, LockTable, MountSeen, MountTarget, Owner, Trouble,
};

struct Host {
    directory: tempfile::TempDir,
    run: Scripted,
    mounts: Mounts,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let run = Scripted::new(|words| match words.split(' ').next() {
            Some("wipefs") => fine(include_str!(
                "../../../tests/recorded/lvm/wipefs-blank.json"
            )),
            _ => fine(""),
        });
        let places = Places {
            proc: directory.path().join("proc"),
            sys: directory.path().join("sys"),
            kept: directory.path().join("run/mounts.json"),
        };
        let mounts = Mounts::new(Arc::new(run.clone()), places);
        let host = Self {
            directory,
            run,
            mounts,
        };
        host.mounted("");
        host
    }

    fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    fn point(&self) -> String {
        self.directory
            .path()
            .join("srv/images")
            .display()
            .to_string()
    }

    fn mounted(&self, line: &str) {
        self.file("proc/self/mountinfo", line);
    }

    fn target(&self) -> MountTarget {
        MountTarget {
            owner: "images".into(),
            device: AbsolutePath("/dev/drbd7".into()),
            filesystem: "gfs2".into(),
            mount_point: AbsolutePath(self.point()),
            options: vec!["noatime".into(), "nodiratime".into()],
            lockspace: None,
        }
    }

    /// A device that is a file, mounted by us.
    async fn has_mounted(&self, device: &Path) -> MountTarget {
        let mut target = self.target();
        target.device = AbsolutePath(device.display().to_string());
        self.mounts.mount(&target).await.expect("mounted");
        let (point, device) = (self.point(), device.display());
        self.mounted(&format!("55 27 147:7 / {point} rw - gfs2 {device} rw\n"));
        self.run.called();
        target
    }

    async fn sees(&self) -> Vec<MountSeen> {
        self.mounts.observe().await.expect("seen")
    }
}

fn filesystem(kind: &str) -> FilesystemTarget {
    FilesystemTarget {
        owner: "images".into(),
        device: AbsolutePath("/dev/drbd7".into()),
        filesystem: kind.into(),
        lock_table: (kind == "gfs2").then(|| LockTable {
            cluster: "anvil".into(),
            filesystem: "images".into(),
        }),
        journals: Some(3),
        journal_size: Some(64 << 20),
        directories: Vec::new(),
    }
}

#[tokio::test]
async fn what_we_have_mounted_is_ours_and_stays_ours() {
    let host = Host::new();
    let point = host.point();
    host.mounts.mount(&host.target()).await.expect("mounted");
    assert_eq!(
        host.run.called(),
        [format!(
            "mount -t gfs2 -o noatime,nodiratime /dev/drbd7 {point}"
        )]
    );
    host.mounted(&format!(
        "55 27 147:7 / {point} rw - gfs2 /dev/drbd7 rw\n60 27 8:1 / / rw - ext4 /dev/vda rw\n61 27 0:5 / /proc rw - proc proc rw\n"
    ));
    host.file("sys/fs/gfs2/anvil:images/id", "147:7\n");
    host.file("sys/fs/gfs2/anvil:images/lock_module/jid", "1\n");
    host.file("sys/fs/gfs2/anvil:images/withdraw", "0\n");
    let seen = host.sees().await;
    let [ours, root] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(ours.owner, Owner::Ours("images".into()));
    assert_eq!((ours.state, ours.journal), (MountState::Mounted, Some(1)));
    assert_eq!(root.owner, Owner::Foreign);
    host.mounts.mount(&host.target()).await.expect("as it is");
    assert_eq!(host.run.called(), [""; 0]);

    host.file("sys/fs/gfs2/anvil:images/withdraw", "1\n");
    assert_eq!(host.sees().await[0].state, MountState::Withdrawn);
    host.mounts.unmount(&point).await.expect("unmounted");
    assert_eq!(host.run.called(), [format!("umount {point}")]);
}

#[tokio::test]
async fn what_somebody_else_has_mounted_is_left_alone() {
    let host = Host::new();
    let point = host.point();
    host.mounted(&format!("55 27 8:5 / {point} rw - ext4 /dev/sdb1 rw\n"));
    let error = host
        .mounts
        .mount(&host.target())
        .await
        .expect_err("in the way");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    let error = host.mounts.unmount(&point).await;
    assert_eq!(
        error.expect_err("not ours").trouble(),
        Trouble::ForeignInTheWay
    );
    assert_eq!(host.run.called(), [""; 0]);
}

#[tokio::test]
async fn a_filesystem_in_use_is_not_unmounted_and_says_so() {
    let host = Host::new();
    let point = host.point();
    host.mounts.mount(&host.target()).await.expect("mounted");
    host.mounted(&format!("55 27 147:7 / {point} rw - gfs2 /dev/drbd7 rw\n"));
    host.run
        .fault("umount", failed(32, "umount: /srv/images: target is busy."));
    let error = host.mounts.unmount(&point).await.expect_err("busy");
    assert_eq!(error.trouble(), Trouble::InUse);
    assert_eq!(host.sees().await[0].owner, Owner::Ours("images".into()));
}

#[tokio::test]
async fn filesystems_are_made_where_nothing_is_and_nowhere_else() {
    let host = Host::new();
    host.mounts.make(&filesystem("gfs2")).await.expect("made");
    host.mounts.make(&filesystem("ext4")).await.expect("made");
    host.mounts.make(&filesystem("xfs")).await.expect("made");
    let called = host.run.called();
    let made: Vec<&String> = called
        .iter()
        .filter(|words| words.starts_with("mkfs"))
        .collect();
    assert_eq!(
        made,
        [
            "mkfs.gfs2 -O -p lock_dlm -t anvil:images -j 3 -J 64 /dev/drbd7",
            "mkfs.ext4 -q /dev/drbd7",
            "mkfs.xfs -q /dev/drbd7",
        ]
    );
    let error = host
        .mounts
        .make(&filesystem("ocfs2"))
        .await
        .expect_err("unknown");
    assert_eq!(error.trouble(), Trouble::NotSupported);

    host.run.called();
    let full = include_str!("../../../tests/recorded/lvm/wipefs-member.json");
    host.run.fault("wipefs", fine(full).expect("an outcome"));
    let error = host
        .mounts
        .make(&filesystem("ext4"))
        .await
        .expect_err("not empty");
    assert_eq!(error.trouble(), Trouble::ForeignInTheWay);
    assert_eq!(host.run.called(), ["wipefs --json --no-act /dev/drbd7"]);
}

#[tokio::test]
async fn a_filesystem_that_is_not_mounted_is_not_grown() {
    let host = Host::new();
    host.mounts
        .grow(&filesystem("gfs2"))
        .await
        .expect("nothing to do");
    assert_eq!(host.run.called(), [""; 0]);
}

/// A device with a GFS2 of three journals on it.
fn three_journals(host: &Host) -> PathBuf {
    let path = host.file("device", "");
    let image = File::options().write(true).open(&path).expect("open");
    image.set_len(1 << 30).expect("long enough");
    let recorded = include_str!("../../../tests/recorded/gfs2/superblock-three-journals.txt");
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let (at, hex) = line.split_once(' ').expect("an offset");
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|byte| u8::from_str_radix(&hex[2 * byte..2 * byte + 2], 16).expect("hex"))
            .collect();
        let at = at.parse().expect("a number");
        image.write_all_at(&bytes, at).expect("written");
    }
    path
}

#[tokio::test]
async fn journals_are_added_once_though_the_device_does_not_show_them_yet() {
    let host = Host::new();
    let device = three_journals(&host);
    let mounted = host.has_mounted(&device).await;
    let mut target = filesystem("gfs2");
    target.device = mounted.device;
    host.mounts.grow(&target).await.expect("it has three");
    assert_eq!(host.run.called(), [""; 0]);
    assert_eq!(host.sees().await[0].journals, Some(3));

    target.journals = Some(5);
    host.run
        .fault("gfs2_jadd", failed(1, "No space left on device"));
    host.mounts.grow(&target).await.expect_err("no room");
    assert_eq!(host.sees().await[0].journals, Some(3), "nothing is claimed");
    host.run.called();
    host.mounts.grow(&target).await.expect("grown");
    let point = host.point();
    assert_eq!(host.run.called(), [format!("gfs2_jadd -j 2 -J 64 {point}")]);
    host.mounts.grow(&target).await.expect("it has five");
    assert_eq!(host.run.called(), [""; 0]);
    assert_eq!(host.sees().await[0].journals, Some(5));
}

#[tokio::test]
async fn directories_are_made_inside_and_nowhere_else() {
    let host = Host::new();
    let device = three_journals(&host);
    let mounted = host.has_mounted(&device).await;
    let point = PathBuf::from(host.point());
    let outside = host.file("outside/kept", "");
    let outside = outside.parent().expect("a directory");
    let mut target = filesystem("gfs2");
    target.device = mounted.device;
    target.directories = vec!["files".into(), "guests/images/".into()];
    host.mounts.grow(&target).await.expect("made");
    host.mounts.grow(&target).await.expect("as they are");
    assert!(point.join("files").is_dir() && point.join("guests/images").is_dir());

    symlink(outside, point.join("out")).expect("linked");
    File::create(point.join("file")).expect("made");
    for path in ["out/new", "../new", "file", "file/new"] {
        target.directories = vec![path.into()];
        let error = host.mounts.grow(&target).await.expect_err(path);
        let trouble = error.trouble();
        let refused = [Trouble::ForeignInTheWay, Trouble::Refused].contains(&trouble);
        assert!(refused, "{path}: {error}");
    }
    assert!(!outside.join("new").exists() && !point.join("../new").exists());
}

#[tokio::test]
async fn a_file_of_a_guest_is_looked_for_where_it_is_and_not_behind_a_link() {
    let host = Host::new();
    let device = host.file("device", "");
    let point = PathBuf::from(host.point());
    let wanted = point.join("media/debian.iso");
    let find = |path: &Path| {
        let path = AbsolutePath(path.display().to_string());
        let mounts = host.mounts.clone();
        async move {
            Filesystems::find(&mounts, &path)
                .await
                .map_err(|error| error.trouble())
        }
    };
    assert_eq!(
        find(&wanted).await,
        Err(Trouble::FileMissing),
        "not mounted"
    );
    host.has_mounted(&device).await;
    assert_eq!(find(&wanted).await, Err(Trouble::FileMissing), "not there");
    host.file("srv/images/media/debian.iso", "");
    assert_eq!(find(&wanted).await, Ok(()));
    let secret = host.file("secret", "");
    symlink(&secret, point.join("media/link.iso")).expect("linked");
    assert_eq!(
        find(&point.join("media/link.iso")).await,
        Err(Trouble::Refused)
    );
    symlink(&wanted, point.join("media/latest.iso")).expect("linked");
    assert_eq!(find(&point.join("media/latest.iso")).await, Ok(()));
    assert_eq!(find(&point.join("media")).await, Err(Trouble::Refused));
}

#[tokio::test]
async fn quotas_are_switched_while_it_is_mounted_and_what_the_kernel_refuses_is_shown() {
    let host = Host::new();
    let device = host.file("device", "");
    let mut target = host.has_mounted(&device).await;
    let (point, device) = (host.point(), device.display().to_string());
    host.file("sys/fs/gfs2/anvil:images/id", "147:7\n");
    assert_eq!(host.sees().await[0].quota, Some(QuotaMode::Ignored));
    target.options = vec!["noatime".into(), "quota=on".into()];
    host.mounts.remount(&target).await.expect("done");
    assert_eq!(
        host.run.called(),
        [format!(
            "mount -t gfs2 -o remount,noatime,quota=on {device} {point}"
        )]
    );
    host.mounted(&format!(
        "55 27 147:7 / {point} rw,noatime - gfs2 {device} rw,quota=on\n"
    ));
    let seen = host.sees().await;
    assert_eq!(seen[0].quota, Some(QuotaMode::Enforced));
    assert_eq!(seen[0].options.as_ref(), Some(&target.options));

    target.options = vec!["noatime".into()];
    host.run.fault("remount", failed(32, "mount point is busy"));
    host.mounts
        .remount(&target)
        .await
        .expect("it goes on as it is");
    assert_eq!(
        host.run.called(),
        [format!(
            "mount -t gfs2 -o remount,noatime,quota=off {device} {point}"
        )]
    );
    let seen = host.sees().await;
    let refused = seen[0].refused.as_deref().expect("it says so");
    assert!(refused.contains("busy"), "{refused}");
    assert_eq!(seen[0].options.as_ref(), Some(&target.options), "once");
}

fn check(number: u64, repair: bool) -> CheckTarget {
    CheckTarget {
        owner: "images".into(),
        device: AbsolutePath("/dev/drbd7".into()),
        filesystem: "gfs2".into(),
        number,
        repair,
    }
}

fn ends(host: &Host, lines: &[&str], code: i32) {
    let sender = host.run.lines();
    for line in lines {
        sender.send(Ok((*line).to_owned())).expect("followed");
    }
    let words = String::new();
    let end = CommandError::Ended { code, words };
    sender.send(Err(end)).expect("followed");
}

#[tokio::test]
async fn a_check_is_made_once_under_its_number_and_its_end_is_kept() {
    let host = Host::new();
    ends(&host, &[], 0);
    host.mounts.check(&check(1, false)).await.expect("checked");
    host.mounts.check(&check(1, false)).await.expect("known");
    assert_eq!(host.run.followed(), ["fsck.gfs2 -q -n /dev/drbd7"]);
    let seen = host.mounts.checks_seen();
    assert_eq!(
        (seen[0].number, seen[0].result),
        (1, Some(CheckResult::Clean))
    );
    assert_eq!(seen[0].message, None);

    let lines = ["Found unlinked inode at 1234", "", "Fixed it"];
    ends(&host, &lines, 1);
    host.mounts.check(&check(2, true)).await.expect("checked");
    assert_eq!(host.run.followed(), ["fsck.gfs2 -q -y /dev/drbd7"]);
    let seen = &host.mounts.checks_seen()[0];
    assert_eq!(seen.result, Some(CheckResult::Repaired));
    assert_eq!(
        seen.message.as_deref(),
        Some("Found unlinked inode at 1234; Fixed it")
    );

    for (number, code, result) in [
        (3, 4, CheckResult::Damaged),
        (4, 8, CheckResult::Broken),
        (5, 32, CheckResult::Broken),
    ] {
        ends(&host, &["words"], code);
        host.mounts
            .check(&check(number, true))
            .await
            .expect("ended");
        assert_eq!(host.mounts.checks_seen()[0].result, Some(result), "{code}");
    }
    let sender = host.run.lines();
    sender
        .send(Err(CommandError::Killed { signal: 9 }))
        .expect("followed");
    host.mounts.check(&check(6, true)).await.expect("ended");
    let seen = &host.mounts.checks_seen()[0];
    assert_eq!(
        seen.result,
        Some(CheckResult::Broken),
        "killed in its middle"
    );
    assert!(
        seen.message
            .as_deref()
            .is_some_and(|text| text.contains("signal 9"))
    );
}

#[tokio::test]
async fn files_that_a_lost_host_had_open_when_they_were_deleted_are_no_damage() {
    let host = Host::new();
    let left = [
        "Found unlinked inode at 56035 (0xdae3)",
        "Unlinked inode left unlinked",
    ];
    let mut lines = left.repeat(4);
    ends(&host, &lines, 4);
    host.mounts.check(&check(1, false)).await.expect("checked");
    let seen = &host.mounts.checks_seen()[0];
    assert_eq!(seen.result, Some(CheckResult::Clean));
    let words = seen.message.as_deref().expect("they are told");
    assert!(
        words.starts_with("files that were deleted") && words.ends_with("(4)"),
        "{words}"
    );

    lines.insert(
        0,
        "Block 1234 is marked as data in the bitmap, and nobody has it",
    );
    ends(&host, &lines, 4);
    host.mounts.check(&check(2, false)).await.expect("checked");
    let seen = &host.mounts.checks_seen()[0];
    assert_eq!(seen.result, Some(CheckResult::Damaged), "there is more");

    ends(&host, &left, 8);
    host.mounts.check(&check(3, false)).await.expect("ended");
    let seen = &host.mounts.checks_seen()[0];
    assert_eq!(seen.result, Some(CheckResult::Broken), "it did not end");
}

#[tokio::test]
async fn a_check_that_could_not_begin_has_no_result_and_none_is_made_of_what_is_mounted() {
    let host = Host::new();
    let missing = || CommandError::Missing {
        program: "fsck.gfs2",
    };
    host.run.lines().send(Err(missing())).expect("followed");
    let error = host
        .mounts
        .check(&check(1, true))
        .await
        .expect_err("missing");
    assert_eq!(error.trouble(), Trouble::NotInstalled);
    assert!(error.to_string().contains("gfs2-utils"), "{error}");
    assert_eq!(host.mounts.checks_seen(), []);

    host.run.followed();
    host.mounted("55 27 147:7 / /elsewhere rw - gfs2 /dev/drbd7 rw\n");
    let error = host
        .mounts
        .check(&check(1, true))
        .await
        .expect_err("in use");
    assert_eq!(error.trouble(), Trouble::InUse);
    assert_eq!(host.run.followed(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_check_of_a_former_daemon_is_waited_for_and_made_anew() {
    let host = Host::new();
    host.file(
        "run/checks.json",
        r#"{"images":{"number":1,"device":"/dev/drbd7","result":null,"message":null}}"#,
    );
    assert!(
        !host.mounts.checks_seen()[0].runs,
        "it has ended, and nobody knows how"
    );
    host.file("proc/77/cmdline", "/sbin/fsck.gfs2\0-q\0-y\0/dev/drbd7\0");
    assert!(host.mounts.checks_seen()[0].runs);
    ends(&host, &[], 0);
    let target = check(1, true);
    let checking = host.mounts.check(&target);
    tokio::pin!(checking);
    let early = tokio::time::timeout(std::time::Duration::from_secs(60), &mut checking).await;
    assert!(early.is_err(), "the first one is at work still");
    assert_eq!(host.run.followed(), [""; 0]);
    std::fs::remove_dir_all(host.directory.path().join("proc/77")).expect("it ends");
    checking.await.expect("checked");
    assert_eq!(host.run.followed(), ["fsck.gfs2 -q -y /dev/drbd7"]);
}
