use std::path::PathBuf;
use std::sync::Arc;

use quorate_crds::MountState;
use quorate_crds::scalar::AbsolutePath;

use super::{Mounts, Places};
use crate::drivers::command::scripted::{Scripted, failed, fine};
use crate::drivers::{
    FilesystemTarget, Filesystems, LockTable, MountSeen, MountTarget, Owner, Trouble,
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
