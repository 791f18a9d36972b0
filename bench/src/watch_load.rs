//! Many watchers over the Kubernetes face while there are many changes: who waits how long, whether everybody is told
//! everything once, and what it costs the member in memory.
//!
//! The watchers begin at the version of one list; a thousand lists at once would be another measurement. All of them watch
//! one member, the leader, which is the hardest for it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, FuturesUnordered},
};
use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

use crate::{
    fsync::{MOST_RESIDENT, RESIDENT, memory_mib},
    load::percentiles,
    payload,
    peer::{Peer, Result},
    quorate::{MARK, Quorate},
    rest::{Events, Rest},
    table::Table,
};

/// Watch many objects many times while they change.
#[derive(Args, Clone, Copy)]
pub(crate) struct WatchLoad {
    /// How many watch all objects, each over a connection of its own.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// How many objects there are: Secrets, which a member must open before it tells of them.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    /// Changes per second.
    #[arg(long, default_value_t = 100)]
    rate: usize,
    /// For so long.
    #[arg(long, default_value_t = 60)]
    seconds: usize,
}

const PLURAL: &str = "secrets";
/// Connections that are opened at the same time, so that the member's bound on handshakes from one source is not met.
const AT_ONCE: usize = 32;
/// Writers, so that one that waits for the disk does not hold up the next change.
const WRITERS: usize = 8;
/// After the last change every watcher must have it within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// When each change was sent.
type Sent = Arc<[OnceLock<Instant>]>;

/// What one watcher has seen.
struct Seen {
    /// How often it was told of each change.
    times: Vec<u8>,
    /// From before the change was sent until it arrived.
    after: Vec<Duration>,
}

/// Runs it and adds its rows.
pub(crate) async fn run(quorate: &mut Quorate, table: &mut Table, load: WatchLoad) -> Result<()> {
    quorate.connect(WRITERS).await?;
    quorate.prepare(load.objects, &payload(256)).await?;
    let rest = quorate.rest()?;
    let version = rest.version(PLURAL).await?;
    let before = memory_mib(quorate, RESIDENT)?;

    let changes = load.rate * load.seconds;
    let sent: Sent = (0..changes).map(|_| OnceLock::new()).collect();
    let arrived = Arc::new(AtomicUsize::new(0));
    let (over, ended) = watch::channel(());
    let mut watchers = JoinSet::new();
    for events in open(&rest, &version, load.watchers).await? {
        watchers.spawn(follow(events, sent.clone(), arrived.clone(), ended.clone()));
    }
    let watching = memory_mib(quorate, RESIDENT)?;

    let begin = Instant::now();
    let mut writes = write(quorate, load, &sent).await?;
    let took = begin.elapsed();
    let wanted = changes * load.watchers;
    while arrived.load(Ordering::Relaxed) < wanted && begin.elapsed() < took + PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = memory_mib(quorate, RESIDENT)?;
    let most = memory_mib(quorate, MOST_RESIDENT)?;
    over.send_replace(());
    let mut latencies = told_once(watchers, wanted).await?;

    // The member that is watched is the one that has grown.
    let grown = |at: &usize| after[*at] - before[*at];
    let watched = (0..after.len())
        .max_by(|a, b| grown(a).total_cmp(&grown(b)))
        .ok_or("no members")?;
    let (write_p50, write_p99) = percentiles(&mut writes);
    let (p50, p99) = percentiles(&mut latencies);
    let worst = latencies.last().map_or(f64::NAN, Duration::as_secs_f64) * 1e3;
    let per_second = changes as f64 / took.as_secs_f64();
    for (figure, unit, value) in [
        ("changes", "1/s", per_second),
        ("a change is acknowledged, p50", "ms", write_p50),
        ("a change is acknowledged, p99", "ms", write_p99),
        ("a change arrives, p50", "ms", p50),
        ("a change arrives, p99", "ms", p99),
        ("a change arrives, the last", "ms", worst),
        ("member before", "MiB", before[watched]),
        ("member once they watch", "MiB", watching[watched]),
        ("member after", "MiB", after[watched]),
        ("member at most", "MiB", most[watched]),
    ] {
        table.alone(format!("{} watchers, {figure}", load.watchers), unit, value);
    }
    Ok(())
}

async fn open(rest: &Rest, version: &str, watchers: usize) -> Result<Vec<Events>> {
    let opening = (0..watchers).map(|_| rest.watch(PLURAL, version));
    stream::iter(opening)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Changes objects at an even pace, however long each change takes; returns how long each took.
async fn write(quorate: &Quorate, load: WatchLoad, sent: &Sent) -> Result<Vec<Duration>> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(load.rate)?);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writing = FuturesUnordered::new();
    let mut took = Vec::with_capacity(sent.len());
    for (change, at) in sent.iter().enumerate() {
        loop {
            tokio::select! {
                _ = pace.tick() => break,
                Some(written) = writing.next() => took.push(written?),
            }
        }
        let begin = Instant::now();
        at.set(begin).map_err(|_| "a change was sent twice")?;
        let key = change % load.objects;
        writing.push(async move {
            quorate.mark(change, key, change).await?;
            Result::Ok(begin.elapsed())
        });
    }
    while let Some(written) = writing.next().await {
        took.push(written?);
    }
    Ok(took)
}

async fn follow(
    mut events: Events,
    sent: Sent,
    arrived: Arc<AtomicUsize>,
    mut over: watch::Receiver<()>,
) -> Result<Seen> {
    over.mark_unchanged();
    let mut seen = Seen {
        times: vec![0; sent.len()],
        after: Vec::with_capacity(sent.len()),
    };
    loop {
        let take = |event: &[u8]| {
            let begun = marked(event).and_then(|change| Some((change, sent.get(change)?.get()?)));
            if let Some((change, begun)) = begun {
                seen.after.push(begun.elapsed());
                seen.times[change] = seen.times[change].saturating_add(1);
                arrived.fetch_add(1, Ordering::Relaxed);
            }
        };
        let goes_on = tokio::select! {
            more = events.next(take) => more?,
            _ = over.changed() => return Ok(seen),
        };
        if !goes_on {
            return Err("a watch has ended".into());
        }
    }
}

/// Which change an event tells of.
fn marked(event: &[u8]) -> Option<usize> {
    let mark = format!("\"{MARK}\":\"");
    let at = event
        .windows(mark.len())
        .position(|window| window == mark.as_bytes())?;
    let digits = event[at + mark.len()..]
        .split(|byte| *byte == b'"')
        .next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How long everything took to arrive, if everybody was told everything once.
async fn told_once(mut watchers: JoinSet<Result<Seen>>, wanted: usize) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(wanted);
    let (mut never, mut again) = (0_usize, 0_usize);
    while let Some(seen) = watchers.join_next().await {
        let seen = seen??;
        never += seen.times.iter().filter(|times| **times == 0).count();
        again += seen.times.iter().filter(|times| **times > 1).count();
        latencies.extend(seen.after);
    }
    if never + again > 0 {
        return Err(format!(
            "of {wanted} events {never} were never told and {again} more than once"
        )
        .into());
    }
    Ok(latencies)
}
