//! A closed loop of clients: each sends its next request when the last one was answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::peer::{Peer, Result};

/// What a load run showed.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Requests answered per second.
    pub(crate) per_second: f64,
    /// Half of the requests took less, in milliseconds.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred took less, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Replace values.
    Put,
    /// Read values.
    Get,
}

/// How many connections so many clients share: the same rule for every peer.
pub(crate) fn connections_for(clients: usize) -> usize {
    clients.div_ceil(10).clamp(1, 100)
}

/// Run `clients` clients for `duration` after a short warm-up. Every client has keys of its own, so
/// that none waits for another's conflict.
pub(crate) async fn run<P: Peer>(
    peer: &Arc<P>,
    work: Work,
    clients: usize,
    keys: usize,
    value: &Bytes,
    duration: Duration,
) -> Result<Figures> {
    let measuring = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let connections = connections_for(clients);
    let mut tasks = Vec::with_capacity(clients);
    for client in 0..clients {
        let (peer, measuring, stop, value) =
            (peer.clone(), measuring.clone(), stop.clone(), value.clone());
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(4096);
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                let key = (client + round * clients) % keys;
                let key = key - key % clients.min(keys) + client % clients.min(keys);
                let begin = Instant::now();
                match work {
                    Work::Put => {
                        peer.put(client % connections, key % keys, value.clone())
                            .await?
                    }
                    Work::Get => peer.get(client % connections, key % keys).await?,
                }
                if measuring.load(Ordering::Relaxed) {
                    latencies.push(begin.elapsed());
                }
                round += 1;
            }
            Result::Ok(latencies)
        }));
    }
    tokio::time::sleep(duration / 5).await;
    measuring.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    tokio::time::sleep(duration).await;
    let elapsed = begin.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    let (p50_ms, p99_ms) = percentiles(&mut all);
    Ok(Figures {
        per_second: all.len() as f64 / elapsed.as_secs_f64(),
        p50_ms,
        p99_ms,
    })
}

/// The median and the 99th percentile in milliseconds.
pub(crate) fn percentiles(all: &mut [Duration]) -> (f64, f64) {
    all.sort_unstable();
    let at = |share: f64| match all.len() {
        0 => f64::NAN,
        n => all[((n as f64 * share) as usize).min(n - 1)].as_secs_f64() * 1e3,
    };
    (at(0.50), at(0.99))
}
