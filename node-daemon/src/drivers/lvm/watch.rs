//! Notices that volume groups, logical volumes or disks have changed, whoever changed them: LVM leaves a copy of its
//! metadata after every change, and udev makes and removes the names of disks and of what is active.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// What changes together is one change.
const SETTLE: Duration = Duration::from_millis(50);

/// Directories in which something appears, changes or goes when LVM's state does.
pub(super) fn places() -> Vec<PathBuf> {
    ["/etc/lvm/backup", "/dev/mapper", "/dev/disk/by-id"]
        .map(PathBuf::from)
        .into()
}

/// Watches directories.
pub(super) struct Watcher {
    /// No pipe, but read like one: what comes out of it says that something has happened, and its words are not needed.
    events: Receiver,
}

impl Watcher {
    pub(super) fn start(places: &[PathBuf]) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // Not what is only opened and closed: LVM does that with the names of devices when it looks.
        let what =
            WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM;
        let mut watched = 0;
        for place in places {
            match inotify::add_watch(&events, place, what) {
                Ok(_) => watched += 1,
                // A host without such disks or without groups yet.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if watched == 0 {
            return Err(io::Error::other("there is nothing to watch on this host"));
        }
        Ok(Self {
            events: Receiver::from_owned_fd_unchecked(events)?,
        })
    }

    /// Returns when something has changed, and what belongs to it has settled.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        let mut events = [0; 4096];
        if self.events.read(&mut events).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tokio::time::sleep(SETTLE).await;
        // What came meanwhile is told by this change already.
        loop {
            match self.events.try_read(&mut events) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_copy_of_the_metadata_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = [directory.path().to_owned(), PathBuf::from("/nonexistent")];
        let mut watcher = Watcher::start(&places).expect("one of them is there");
        for _ in 0..3 {
            std::fs::write(directory.path().join("draft"), "metadata").expect("written");
            std::fs::rename(directory.path().join("draft"), directory.path().join("vg0"))
                .expect("named");
            watcher.changed().await.expect("noticed");
        }
    }

    #[tokio::test]
    async fn a_look_that_opens_what_is_there_is_no_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let control = directory.path().join("control");
        std::fs::write(&control, "").expect("written");
        let mut watcher = Watcher::start(&[directory.path().to_owned()]).expect("watched");
        let opened = std::fs::File::options().write(true).open(&control);
        drop(opened.expect("opened for writing"));
        std::fs::write(directory.path().join("new"), "").expect("something new");
        watcher.changed().await.expect("noticed");
        drop(
            std::fs::File::options()
                .write(true)
                .open(&control)
                .expect("opened"),
        );
        let again = tokio::time::timeout(SETTLE * 4, watcher.changed()).await;
        assert!(again.is_err(), "nothing has changed since");
    }

    #[test]
    fn a_host_without_any_of_it_says_so() {
        assert!(Watcher::start(&[PathBuf::from("/nonexistent")]).is_err());
    }
}
