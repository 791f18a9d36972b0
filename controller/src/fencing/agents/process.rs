//! One agent process: fed on its standard input, bounded in time and output, and ended with all it has started.

use std::{io, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

use super::{answer::Ended, request::AgentFailure};

/// What is kept of each output; the rest is read and thrown away.
const KEPT: usize = 256 * 1024;
/// How long outputs may stay open after the agent and its group have ended, by somebody who left the group.
const LINGERING: Duration = Duration::from_millis(500);

/// Runs a program to its end, or to the end of its time.
pub(super) async fn run(
    program: &Path,
    arguments: &[&str],
    input: &str,
    patience: Duration,
) -> Result<Ended, AgentFailure> {
    let mut group = Group::start(program, arguments).map_err(|error| {
        AgentFailure::Refused(format!("{} cannot be started: {error}", program.display()))
    })?;
    let Some(ended) = timeout(patience, group.finish(input))
        .await
        .ok()
        .transpose()
        .map_err(|error| AgentFailure::Failed(format!("the agent's process was lost: {error}")))?
    else {
        return Err(AgentFailure::TimedOut(patience));
    };
    Ok(ended)
}

/// An agent and everything it has started, as far as that stayed in its process group. Killed when dropped.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn start(program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Ok(Self { child, id })
    }

    async fn finish(&mut self, input: &str) -> io::Result<Ended> {
        let stdin = self.child.stdin.take();
        let (mut output, mut complaints) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // An agent that reads nothing is no error: its exit code says what it did.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let mut read = Box::pin(async {
            tokio::join!(
                keep(stdout, &mut output),
                keep(stderr, &mut complaints),
                feed
            );
        });
        let status = tokio::select! {
            biased;
            status = self.child.wait() => {
                let status = status?;
                // Whoever is left in the group must not hold its outputs open, or act when it is thought over.
                kill(self.id);
                // What a process outside the group still holds open is not waited for.
                let _ = timeout(LINGERING, &mut read).await;
                status
            }
            () = &mut read => self.child.wait().await?,
        };
        drop(read);
        kill(self.id.take());
        Ok(Ended {
            code: status.code(),
            output: String::from_utf8_lossy(&output).into_owned(),
            complaints: String::from_utf8_lossy(&complaints).into_owned(),
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill(self.id.take());
    }
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        // A group that has ended already cannot be killed.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

async fn keep(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}
