//! `make bench`: Quorate and the distribution's etcd, three members each, on the same disk, in one run.
//!
//! Machines are noisy, so only figures of one run are compared: both clusters are measured one after
//! the other for every row, with the same number of clients, connections and keys, the same kind of
//! TLS, and after a check that both really sync a majority's disks before they answer.

mod apply_cost;
mod certificates;
mod etcd;
mod fsync;
mod load;
mod peer;
mod quorate;
mod rest;
mod table;
mod watch_load;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::{Parser, Subcommand};

use crate::{
    certificates::Certificates,
    etcd::Etcd,
    load::{Work, percentiles},
    peer::{Peer, Result, Sort},
    quorate::Quorate,
    table::Table,
    watch_load::WatchLoad,
};

/// Compare Quorate with etcd on this machine.
#[derive(Parser)]
struct Arguments {
    /// The `quorated` to measure.
    #[arg(long, default_value = "target/release/quorated")]
    quorated: PathBuf,
    /// Where both clusters keep their data; the same disk for both.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Seconds per row and peer, after a warm-up of a fifth of that.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many objects the listing and the memory rows have.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Only the cost of one apply, without etcd.
    #[arg(long)]
    apply_only: bool,
    /// Only this, without etcd.
    #[command(subcommand)]
    only: Option<Only>,
}

#[derive(Subcommand)]
enum Only {
    /// Many watchers over the Kubernetes face while there are many changes.
    WatchLoad(WatchLoad),
}

/// Keys that the put and get rows work on.
const KEYS: usize = 1000;
const CLIENTS: [usize; 3] = [1, 64, 1000];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.directory)?;
    let scratch = tempfile::tempdir_in(&arguments.directory)?;
    let mut table = Table::default();
    let mut quorate = Quorate::start(&arguments.quorated, scratch.path()).await?;
    if let Some(Only::WatchLoad(load)) = arguments.only {
        return watch_load::run(&mut quorate, &mut table, load).await;
    }
    if arguments.apply_only {
        return apply_cost::run(&quorate, &mut table, arguments.objects).await;
    }
    let certificates = Certificates::make(scratch.path())?;
    let etcd = Etcd::start(scratch.path(), &certificates).await?;
    let mut peers = (Arc::new(quorate), Arc::new(etcd));

    let small = payload(256);
    peers.0.prepare(KEYS, &small).await?;
    peers.1.prepare(KEYS, &small).await?;
    let ours = fsync::per_write(&*peers.0, 20, scratch.path()).await?;
    let theirs = fsync::per_write(&*peers.1, 20, scratch.path()).await?;
    table.less(
        "syncs per sequential write, all members",
        "calls",
        ours,
        theirs,
    );

    let duration = Duration::from_secs(arguments.seconds);
    for (size, value) in [("256 B", payload(256)), ("4 KiB", payload(4096))] {
        for clients in CLIENTS {
            compare(
                &mut peers,
                &mut table,
                Work::Put,
                &format!("put {size}"),
                clients,
                &value,
                duration,
            )
            .await?;
        }
    }
    for clients in CLIENTS {
        compare(
            &mut peers,
            &mut table,
            Work::Get,
            "linearizable get",
            clients,
            &small,
            duration,
        )
        .await?;
    }
    connect(&mut peers, 10).await?;
    let ours = delivery(&*peers.0).await?;
    let theirs = delivery(&*peers.1).await?;
    table.less("a write reaches 100 watchers, p50", "ms", ours.0, theirs.0);
    table.less("a write reaches 100 watchers, p99", "ms", ours.1, theirs.1);

    peers.0.prepare(arguments.objects, &small).await?;
    peers.1.prepare(arguments.objects, &small).await?;
    let guests = peers.0.make_guests(arguments.objects).await?;
    peers.1.keep_guests(&guests).await?;
    for (what, sort) in [("Secrets", Sort::Keys), ("guests", Sort::Guests)] {
        let ours = listing(&*peers.0, arguments.objects, sort).await?;
        let theirs = listing(&*peers.1, arguments.objects, sort).await?;
        table.less(
            format!("list {} {what}, p50", arguments.objects),
            "ms",
            ours,
            theirs,
        );
    }
    let (ours, theirs) = (
        fsync::resident_mib(&*peers.0)?,
        fsync::resident_mib(&*peers.1)?,
    );
    table.less(
        format!("memory with {} objects, 3 members", 2 * arguments.objects),
        "MiB",
        ours,
        theirs,
    );
    drop(peers.1);

    drop(peers.0);
    let scratch = tempfile::tempdir_in(&arguments.directory)?;
    let quorate = Quorate::start(&arguments.quorated, scratch.path()).await?;
    apply_cost::run(&quorate, &mut table, arguments.objects).await
}

/// One load on both peers, one after the other.
async fn compare(
    peers: &mut (Arc<Quorate>, Arc<Etcd>),
    table: &mut Table,
    work: Work,
    what: &str,
    clients: usize,
    value: &Bytes,
    duration: Duration,
) -> Result<()> {
    connect(peers, load::connections_for(clients)).await?;
    let ours = load::run(&peers.0, work, clients, KEYS, value, duration).await?;
    let theirs = load::run(&peers.1, work, clients, KEYS, value, duration).await?;
    let row = |figure: &str| format!("{what}, {clients} clients, {figure}");
    table.more(row("rate"), "1/s", ours.per_second, theirs.per_second);
    table.less(row("p50"), "ms", ours.p50_ms, theirs.p50_ms);
    table.less(row("p99"), "ms", ours.p99_ms, theirs.p99_ms);
    Ok(())
}

async fn connect(peers: &mut (Arc<Quorate>, Arc<Etcd>), connections: usize) -> Result<()> {
    let in_use = "a load run returns only when its clients have ended";
    Arc::get_mut(&mut peers.0)
        .ok_or(in_use)?
        .connect(connections)
        .await?;
    Arc::get_mut(&mut peers.1)
        .ok_or(in_use)?
        .connect(connections)
        .await
}

/// From before a put until each of a hundred watchers has it.
async fn delivery<P: Peer>(peer: &P) -> Result<(f64, f64)> {
    const WATCHERS: usize = 100;
    const WRITES: usize = 50;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let tasks = peer.watch(WATCHERS, sender).await?;
    let mut latencies = Vec::with_capacity(WATCHERS * WRITES);
    for write in 0..WRITES {
        let begin = Instant::now();
        peer.put(0, write, payload(256)).await?;
        for _ in 0..WATCHERS {
            let arrived = tokio::time::timeout(Duration::from_secs(10), seen.recv())
                .await?
                .ok_or("watchers ended")?;
            latencies.push(arrived - begin);
        }
    }
    for task in tasks {
        task.abort();
    }
    Ok(percentiles(&mut latencies))
}

async fn listing<P: Peer>(peer: &P, expected: usize, what: Sort) -> Result<f64> {
    let mut latencies = Vec::new();
    for _ in 0..10 {
        let begin = Instant::now();
        let found = peer.list(0, what).await?;
        latencies.push(begin.elapsed());
        if found != expected {
            return Err(format!("{} listed {found} of {expected} objects", peer.name()).into());
        }
    }
    Ok(percentiles(&mut latencies).0)
}

/// Bytes that are also valid base64 and do not repeat, so that no layer can shorten them.
fn payload(size: usize) -> Bytes {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static ROUND: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let mut state = ROUND
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        DIGITS[(state % 64) as usize]
    };
    (0..size).map(|_| next()).collect()
}
