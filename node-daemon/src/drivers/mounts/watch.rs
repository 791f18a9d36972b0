//! Notices cluster filesystems that come and go, and such that shut themselves down. Other filesystems of ours come and go
//! by us alone; when somebody else unmounts one, the slow look finds it.

use std::io;
use std::path::{Path, PathBuf};

use crate::drivers::dlm::{Uevent, Uevents};

/// What is watched.
pub(super) struct Watcher {
    events: Uevents,
    sys: PathBuf,
}

impl Watcher {
    pub(super) fn start(sys: &Path) -> io::Result<Self> {
        Ok(Self {
            events: Uevents::listen()?,
            sys: sys.to_owned(),
        })
    }

    /// Returns when something has changed.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        let event = self.events.next(&["gfs2"]).await?;
        acknowledge(&self.sys, &event);
        Ok(())
    }
}

/// A GFS2 that shuts itself down says so and waits for a word that this was heard, before it lets go of its locks. What it
/// has not written yet it will not write any more.
fn acknowledge(sys: &Path, event: &Uevent) {
    if event.action != "offline" {
        return;
    }
    let word = sys
        .join("fs/gfs2")
        .join(event.name())
        .join("lock_module/withdraw");
    tracing::error!(
        table = event.name(),
        "a cluster filesystem has shut itself down"
    );
    if let Err(error) = std::fs::write(&word, "1") {
        tracing::warn!(%error, path = %word.display(), "it was not told that this was heard");
    }
}
