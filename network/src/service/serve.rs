use super::{Answer, Question, Word};
use crate::keeper::{Keeper, Shelf, Trouble};
use crate::kernel::Kernel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Whoever connects and does not speak must not keep a deadline waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// No question is longer.
const LONGEST: u64 = 1 << 20;

/// How often what could not be brought up or taken back is tried again.
const AGAIN: u64 = 1_000;

/// Milliseconds since the boot, also those that the machine slept.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000 + nanoseconds / 1_000_000
}

/// What names this boot.
///
/// # Errors
/// When the kernel does not say.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Answers questions and keeps deadlines, for ever.
#[derive(Debug)]
pub struct Server<K, S> {
    keeper: Keeper<K, S>,
    listener: UnixListener,
}

impl<K: Kernel, S: Shelf> Server<K, S> {
    /// Listens at that path; what a former process left there is replaced.
    ///
    /// # Errors
    /// When the path cannot be used.
    pub fn listen(keeper: Keeper<K, S>, path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { keeper, listener })
    }

    /// Waits for one question or deadline, and does what it asks for.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn turn(&mut self) -> io::Result<()> {
        let due = self.keeper.due();
        let wait = due.map(|due| pause(due, now())).map(|wait| Timespec {
            tv_sec: i64::try_from(wait / 1_000).unwrap_or(1),
            tv_nsec: i64::try_from(wait % 1_000 * 1_000_000).unwrap_or(0),
        });
        let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
        match poll(&mut ready, wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.answer(stream) {
                        tracing::warn!(%error, "a question was not understood");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error.into()),
        }
        if due.is_some() {
            self.keeper.tick(now());
        }
        Ok(())
    }

    fn answer(&mut self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new((&stream).take(LONGEST)).read_line(&mut line)?;
        let question: Question = serde_json::from_str(&line)?;
        let outcome = match &question {
            Question::Apply(wanted) => self.keeper.apply(wanted, now()),
            Question::Keep(network) => self.keeper.keep(network),
            Question::Remove(network) => self.keeper.remove(network, now()),
            Question::TakeBack(network, why) => self.keeper.give_up(network, why),
        };
        let answer = match outcome {
            Ok(()) => Answer::Done,
            Err(trouble) => Answer::Refused(Word::from(&trouble), words(&trouble)),
        };
        tracing::info!(?answer, "asked");
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        stream.write_all(&line)
    }
}

/// How long nothing has to be done, in milliseconds. What is overdue was tried and did not succeed: not at once again.
fn pause(due: u64, now: u64) -> u64 {
    match due.saturating_sub(now) {
        0 => AGAIN,
        left => left.min(AGAIN),
    }
}

/// With everything that lies behind it: a source does not cross a socket.
fn words(trouble: &Trouble) -> String {
    let mut words = trouble.to_string();
    let mut behind = trouble.source();
    while let Some(error) = behind {
        words.push_str(": ");
        words.push_str(&error.to_string());
        behind = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_met_to_the_millisecond_and_what_failed_is_not_tried_at_once_again() {
        assert_eq!(pause(5_000, 4_993), 7);
        assert_eq!(pause(35_000, 5_000), AGAIN, "it is looked every second");
        assert_eq!(pause(5_000, 5_000), AGAIN);
        assert_eq!(
            pause(0, 5_000),
            AGAIN,
            "what waits for a card is always due"
        );
    }
}
