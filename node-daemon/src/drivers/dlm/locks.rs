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

/// udev moves it into a directory of its own.
const PLACES: [&str; 2] = ["/dev/misc/dlm_plock", "/dev/dlm_plock"];
/// A question and its answer: a `struct dlm_plock_info`.
const LENGTH: usize = 64;
/// In it: whether it asks for nothing any more, and the result.
const FLAGS: usize = 15;
const RESULT: std::ops::Range<usize> = 24..28;
const NOBODY_WAITS: u8 = 1;
/// EOPNOTSUPP.
const NOT_SUPPORTED: i32 = -95;
/// Until the device is there, and after it was lost.
const AGAIN: Duration = Duration::from_secs(1);

/// The answer to one question; none: nobody waits for one.
fn refuse(question: &[u8; LENGTH]) -> Option<[u8; LENGTH]> {
    if question[FLAGS] & NOBODY_WAITS != 0 {
        return None;
    }
    let mut answer = *question;
    answer[RESULT].copy_from_slice(&NOT_SUPPORTED.to_ne_bytes());
    Some(answer)
}

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
        let mut question = [0; LENGTH];
        if questions.read(&mut question).await? < LENGTH {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(answer) = refuse(&question) {
            answers.write_all(&answer)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.1 asks when a process takes a write lock on a whole file.
    fn asked(flags: u8) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = 1;
        bytes[4] = 2;
        bytes[12] = 1;
        bytes[13] = 1;
        bytes[FLAGS] = flags;
        bytes[16..20].copy_from_slice(&568_u32.to_ne_bytes());
        bytes[28..32].copy_from_slice(&77_u32.to_ne_bytes());
        bytes[32..40].copy_from_slice(&71_705_u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn whoever_asks_for_a_lock_is_told_at_once_that_there_is_none() {
        let question = asked(0);
        let answer = refuse(&question).expect("somebody waits");
        assert_eq!(answer[RESULT], NOT_SUPPORTED.to_ne_bytes());
        assert_eq!(
            answer[..24],
            question[..24],
            "the kernel finds it again by these"
        );
        assert_eq!(answer[28..], question[28..]);
    }

    #[test]
    fn a_file_that_was_closed_waits_for_nothing() {
        assert_eq!(refuse(&asked(NOBODY_WAITS)), None);
    }
}
