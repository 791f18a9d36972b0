//! POSIX and OFD locks on cluster filesystems.
//!
//! The kernel hands each of them to a program, and lets nobody who asks be killed before there is an answer. This release
//! has no owner of such locks for a whole cluster, so each is refused at once: nobody hangs, and nobody believes that a
//! lock holds which other hosts do not see. `flock` is the kernel's own, and holds in the whole cluster.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Weak;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::Shared;
use crate::locks::record;

/// udev moves it into a directory of its own.
const PLACES: [&str; 2] = ["/dev/misc/dlm_plock", "/dev/dlm_plock"];
/// Until the device is there, and after it was lost.
const AGAIN: Duration = Duration::from_secs(1);

/// Answers until the lock manager of this host is given up.
pub(super) fn answer(shared: Weak<Shared>) {
    tokio::spawn(async move {
        while let Some(shared) = shared.upgrade() {
            let ours = shared.noted().is_ok_and(|notes| !notes.spaces.is_empty());
            drop(shared);
            // Where nothing of ours is mounted, another program may answer.
            if ours && let Err(error) = serve().await {
                tracing::warn!(%error, "questions for POSIX locks are not answered at present");
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
}

async fn serve() -> io::Result<()> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = PLACES.iter().find_map(|place| {
        let mut how = File::options();
        how.read(true).write(true).custom_flags(nonblocking);
        how.open(place).ok()
    });
    let Some(mut answers) = opened else {
        return Ok(());
    };
    // No pipe, but read like one: each read is one question.
    let mut questions = Receiver::from_owned_fd_unchecked(answers.try_clone()?.into())?;
    loop {
        let mut question = [0; record::LENGTH];
        if questions.read(&mut question).await? < record::LENGTH {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(answer) = record::not_supported(&question) {
            answers.write_all(&answer)?;
        }
    }
}
