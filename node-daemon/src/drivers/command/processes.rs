//! Programs as processes of this host.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Command, CommandError, Ended, Run};

/// More than any report of a host.
const MOST: usize = 16 << 20;
/// Longer than any line that a state has.
const LONGEST_LINE: u64 = 64 << 10;
/// What a program that has ended may have left in its pipes is read within this, also when a child of it holds them.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// Where programs are looked for, whatever the daemon's own environment says.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts real processes.
#[derive(Debug)]
pub(crate) struct Processes {
    path: String,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            path: PATH.to_owned(),
        }
    }
}

/// A process group that does not outlive whoever waits for it.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(
    path: &str,
    command: &Command,
    stdout: Stdio,
    stderr: Stdio,
) -> Result<(Child, Group), CommandError> {
    let program = command.program;
    let found = path
        .split(':')
        .map(|directory| std::path::Path::new(directory).join(program))
        .find(|file| file.exists())
        .ok_or(CommandError::Missing { program })?;
    let child = tokio::process::Command::new(found)
        .args(&command.arguments)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CommandError::NotStarted { program, source })?;
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    Ok((child, Group(group)))
}

fn code_of(status: ExitStatus) -> Result<i32, CommandError> {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(code),
        (None, signal) => Err(CommandError::Killed {
            signal: signal.unwrap_or(0),
        }),
    }
}

/// The next piece of a pipe; none at its end.
async fn piece(pipe: &mut Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let Some(open) = pipe else {
        return std::future::pending().await;
    };
    let mut buffer = vec![0; 16 << 10];
    let length = open.read(&mut buffer).await?;
    buffer.truncate(length);
    if length == 0 {
        *pipe = None;
    }
    Ok(buffer)
}

async fn run(path: String, command: Command) -> Result<Ended, CommandError> {
    let (mut child, mut group) = start(&path, &command, Stdio::piped(), Stdio::piped())?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut given_up_at = Instant::now() + command.patience;
    let mut status = None;
    while status.is_none() || out.is_some() || err.is_some() {
        tokio::select! {
            read = piece(&mut out) => stdout.extend(read.map_err(CommandError::Lost)?),
            read = piece(&mut err) => stderr.extend(read.map_err(CommandError::Lost)?),
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.map_err(CommandError::Lost)?);
                given_up_at = Instant::now() + AFTERWARDS;
                continue;
            }
            () = sleep_until(given_up_at) => break,
        }
        if stdout.len() + stderr.len() > MOST {
            return Err(CommandError::Endless);
        }
        if status.is_none() {
            given_up_at = Instant::now() + command.patience;
        }
    }
    let Some(status) = status else {
        group.kill();
        // One that hangs in the kernel does not even die; its remains are collected whenever it does.
        let _ = timeout(AFTERWARDS, child.wait()).await;
        return Err(CommandError::Stuck {
            after: command.patience,
        });
    };
    // What it has left running on purpose has left its group.
    group.0 = None;
    Ok(Ended {
        code: code_of(status)?,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// A program whose lines are read.
struct Followed {
    child: Child,
    group: Group,
    lines: BufReader<Box<dyn AsyncRead + Unpin + Send>>,
}

impl Followed {
    async fn next(&mut self) -> Result<String, CommandError> {
        let mut line = Vec::new();
        let read = (&mut self.lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .await
            .map_err(CommandError::Lost)?;
        if read == 0 {
            return Err(self.ended().await);
        }
        if line.last() != Some(&b'\n') && read as u64 == LONGEST_LINE {
            return Err(CommandError::Endless);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn ended(&mut self) -> CommandError {
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Only for the words; the exit code is what counts.
            let _ = timeout(
                AFTERWARDS,
                stderr.take(LONGEST_LINE).read_to_end(&mut words),
            )
            .await;
        }
        let Ok(status) = timeout(AFTERWARDS, self.child.wait()).await else {
            self.group.kill();
            return CommandError::Stuck { after: AFTERWARDS };
        };
        self.group.0 = None;
        match status.map_err(CommandError::Lost).and_then(code_of) {
            Ok(code) => CommandError::Ended {
                code,
                words: String::from_utf8_lossy(&words).trim().to_owned(),
            },
            Err(error) => error,
        }
    }
}

fn follow(path: &str, command: &Command) -> Result<Followed, CommandError> {
    if command.errors_are_lines {
        return follow_both(path, command);
    }
    let (mut child, group) = start(path, command, Stdio::piped(), Stdio::piped())?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| CommandError::Lost(io::Error::other("it has no standard output")))?;
    Ok(Followed {
        child,
        group,
        lines: BufReader::new(Box::new(stdout)),
    })
}

/// Its two outputs are one pipe.
fn follow_both(path: &str, command: &Command) -> Result<Followed, CommandError> {
    let program = command.program;
    let not_started = |source| CommandError::NotStarted { program, source };
    let (reader, writer) = io::pipe().map_err(not_started)?;
    let lines = Receiver::from_owned_fd(reader.into()).map_err(not_started)?;
    let errors = writer.try_clone().map_err(not_started)?;
    let (child, group) = start(path, command, writer.into(), errors.into())?;
    Ok(Followed {
        child,
        group,
        lines: BufReader::new(Box::new(lines)),
    })
}

impl Run for Processes {
    fn run(&self, command: Command) -> BoxFuture<'static, Result<Ended, CommandError>> {
        Box::pin(run(self.path.clone(), command))
    }

    fn follow(&self, command: Command) -> BoxStream<'static, Result<String, CommandError>> {
        match follow(&self.path, &command) {
            Err(error) => stream::once(async move { Err(error) }).boxed(),
            Ok(followed) => stream::unfold(Some(followed), |followed| async move {
                let mut followed = followed?;
                let line = followed.next().await;
                let rest = line.is_ok().then_some(followed);
                Some((line, rest))
            })
            .boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::command::{act, look};
    use crate::drivers::{DriverError, Trouble};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn program(directory: &Path, text: &str) -> Processes {
        let path = directory.join("tool");
        // By way of another name: a file that is open for writing anywhere cannot be executed.
        let draft = directory.join("draft");
        fs::write(&draft, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).expect("executable");
        fs::rename(&draft, &path).expect("named");
        Processes {
            path: format!("{}:{PATH}", directory.display()),
        }
    }

    fn tool() -> Command {
        Command::new("tool", ["one", "two words"])
    }

    #[tokio::test]
    async fn what_a_program_says_is_handed_over_with_its_exit_code() {
        let directory = tempfile::tempdir().expect("a directory");
        let run = program(
            directory.path(),
            "echo \"$# $2 $LC_ALL $HOME\"; echo trouble >&2; cat; exit 3",
        );
        let ended = run.run(tool()).await.expect("it ends");
        assert_eq!(ended.code, 3);
        assert_eq!(ended.stdout, "2 two words C \n");
        assert_eq!(ended.words(), "trouble");
        let error = act(&run, tool()).await.expect_err("exit code 3");
        assert!(matches!(error, DriverError::Passing { .. }), "{error:?}");
        assert!(error.to_string().contains("trouble"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named_with_its_package() {
        let run = Processes {
            path: "/nonexistent".into(),
        };
        let error = look(&run, Command::new("lvm", ["version"]))
            .await
            .expect_err("missing");
        assert_eq!(error.trouble(), Trouble::NotInstalled);
        assert!(matches!(error, DriverError::Lasting { .. }));
        assert!(error.to_string().contains("lvm2"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let directory = tempfile::tempdir().expect("a directory");
        let child = directory.path().join("child");
        let run = program(
            directory.path(),
            &format!("sleep 1000 & echo $! > {}; wait", child.display()),
        );
        let hurried = tool().patience(Duration::from_millis(500));
        let error = act(&run, hurried).await.expect_err("stuck");
        assert_eq!(error.trouble(), Trouble::TimedOut);
        assert!(matches!(error, DriverError::Unclear { .. }), "{error:?}");
        let Ok(child) = fs::read_to_string(&child) else {
            return; // killed before it had one
        };
        let stat = format!("/proc/{}/stat", child.trim());
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn progress_is_what_counts_and_not_the_time_that_it_takes() {
        let directory = tempfile::tempdir().expect("a directory");
        let run = program(
            directory.path(),
            "for i in 1 2 3 4; do echo $i; sleep 0.5; done",
        );
        let patient = tool().patience(Duration::from_millis(1900));
        let ended = run.run(patient).await.expect("it ends");
        assert_eq!(ended.stdout, "1\n2\n3\n4\n");
    }

    #[tokio::test]
    async fn a_program_that_writes_without_end_is_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        let run = program(directory.path(), "exec yes");
        let error = look(&run, tool()).await.expect_err("endless");
        assert_eq!(error.trouble(), Trouble::UnknownAnswer);
        assert!(matches!(error, DriverError::Passing { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_child_that_keeps_the_pipe_does_not_keep_us() {
        let directory = tempfile::tempdir().expect("a directory");
        let run = program(directory.path(), "setsid sleep 5 & echo done");
        let ended = run.run(tool()).await.expect("it ends");
        assert_eq!(ended.stdout, "done\n");
    }

    #[tokio::test]
    async fn lines_are_followed_until_the_end_which_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let run = program(directory.path(), "echo a; echo b; echo why >&2; exit 20");
        let lines: Vec<_> = run.follow(tool()).collect().await;
        let [Ok(a), Ok(b), Err(CommandError::Ended { code, words })] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!((a.as_str(), b.as_str(), *code), ("a", "b", 20));
        assert_eq!(words, "why");
    }

    #[tokio::test]
    async fn what_is_said_as_an_error_can_be_followed_too_however_much_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        // Far more than a pipe takes.
        let run = program(
            directory.path(),
            "echo a; for n in $(seq 20000); do echo \"found $n\" >&2; done; echo b; exit 4",
        );
        let lines: Vec<_> = run.follow(tool().errors_are_lines()).collect().await;
        assert_eq!(lines.len(), 20003);
        let of = |at: usize| lines[at].as_ref().expect("a line").as_str();
        assert_eq!(
            (of(0), of(1), of(20000), of(20001)),
            ("a", "found 1", "found 20000", "b")
        );
        let Some(Err(CommandError::Ended { code: 4, words })) = lines.last() else {
            panic!("{:?}", lines.last())
        };
        assert_eq!(words, "", "they were lines");
    }
}
