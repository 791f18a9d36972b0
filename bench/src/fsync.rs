//! Whether a cluster really reaches the disk: the system calls of its members are counted while it
//! acknowledges a few writes. A store that answers before a majority has synced is not a peer.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;

use crate::peer::{Peer, Result};

/// How many sync calls the members made together for each of `writes` sequential writes.
///
/// Fails when fewer members than a majority synced as often as there were writes.
pub(crate) async fn per_write<P: Peer>(peer: &P, writes: usize, directory: &Path) -> Result<f64> {
    let mut tracers = Vec::new();
    for pid in peer.processes() {
        let output = directory.join(format!("sync-{pid}.trace"));
        let tracer = Command::new("strace")
            .args([
                "-f",
                "-q",
                "-e",
                "trace=fsync,fdatasync,sync_file_range,pwritev2",
                "-o",
            ])
            .arg(&output)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("strace does not start: {error} (Debian: apt-get install strace)")
            })?;
        wait_until_traced(pid).await?;
        tracers.push((tracer, output));
    }
    let value = Bytes::from(vec![b'x'; 256]);
    for write in 0..writes {
        peer.put(0, write, value.clone()).await?;
    }
    let mut counts = Vec::new();
    for (mut tracer, output) in tracers {
        Command::new("kill")
            .args(["-INT", &tracer.id().to_string()])
            .status()?;
        tracer.wait()?;
        let text = std::fs::read_to_string(&output)?;
        counts.push(
            text.lines()
                .filter(|line| line.contains("sync(") && !line.contains("unfinished"))
                .count(),
        );
    }
    let majority = counts.len() / 2 + 1;
    if counts.iter().filter(|count| **count >= writes).count() < majority {
        return Err(format!("{} acknowledged {writes} writes with {counts:?} syncs: it does not fsync on a majority", peer.name()).into());
    }
    Ok(counts.iter().sum::<usize>() as f64 / writes as f64)
}

async fn wait_until_traced(pid: u32) -> Result<()> {
    for _ in 0..100 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let tracer = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"))
            .unwrap_or("0")
            .trim();
        if tracer != "0" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(
        format!("strace could not attach to {pid}: it needs root, or kernel.yama.ptrace_scope=0")
            .into(),
    )
}

/// Resident memory of all members together, in MiB.
pub(crate) fn resident_mib<P: Peer>(peer: &P) -> Result<f64> {
    Ok(memory_mib(peer, RESIDENT)?.iter().sum())
}

/// The memory that a process has now, in the kernel's words.
pub(crate) const RESIDENT: &str = "VmRSS:";
/// The most that it ever had.
pub(crate) const MOST_RESIDENT: &str = "VmHWM:";

/// One of these figures of each member.
pub(crate) fn memory_mib<P: Peer>(peer: &P, figure: &str) -> Result<Vec<f64>> {
    let of = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure));
        let kib = line.ok_or_else(|| format!("no {figure}"))?;
        Ok(kib.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    peer.processes().into_iter().map(of).collect()
}
