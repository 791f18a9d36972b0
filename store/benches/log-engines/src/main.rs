//! Measures log engines side by side, on the disk that holds the directory given.
//!
//! ```text
//! cargo run --release -- <directory> [commits per writer [engine]]
//! ```
//!
//! Every commit is one entry that its writer waits for until it is durable; with 64 writers an engine
//! may cover many of them with one sync, if it can. Where the engine leaves batching to its caller, nothing
//! is batched for it. The result is a Markdown table.

// Our own, from its sources; not everything of it is used here.
#[allow(dead_code, unused_imports)]
#[path = "../../../src/disk/mod.rs"]
mod disk;
mod engines;
#[allow(dead_code, unused_imports)]
#[path = "../../../src/log/mod.rs"]
mod log;
mod rot;

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use engines::Engine;

/// What one engine did under one load.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(root) = arguments.next() else {
        eprintln!("usage: log-engines <directory> [commits per writer [engine]]");
        std::process::exit(2);
    };
    let commits = arguments.next().and_then(|count| count.parse().ok());
    let only = arguments.next();
    let root = Path::new(&root);
    let raw = sync_alone(root);
    println!("An fdatasync of 256 B appended to a file, alone: {raw:.0?}\n");
    println!(
        "| engine | 1 × 256 B | 1 × 4 KiB | 64 × 256 B | 64 × 4 KiB | open 100k | size of 100k × 256 B |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, open) in engines::all() {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut row = format!("| {name} ");
        for (writers, size) in [(1, 256), (1, 4096), (64, 256), (64, 4096)] {
            let directory = tempfile::tempdir_in(root).expect("the directory is writable");
            let engine = open(directory.path());
            let each = commits.unwrap_or(if writers == 1 { 4000 } else { 400 });
            let figures = load(engine, writers, size, each);
            row += &format!(
                "| {:.0}/s, {:.0?} / {:.0?} ",
                figures.per_second, figures.p50, figures.p99
            );
        }
        let directory = tempfile::tempdir_in(root).expect("the directory is writable");
        let engine = open(directory.path());
        engine.fill(100_000, &noise(256));
        drop(engine);
        let size = size_of(directory.path());
        let start = Instant::now();
        let engine = open(directory.path());
        assert_eq!(engine.count(), 100_000, "{name} lost entries");
        let opened = start.elapsed();
        drop(engine);
        println!("{row}| {opened:.0?} | {:.1} MiB |", size as f64 / 1048576.0);
    }
    println!();
    rot::table(root);
}

fn load(engine: Arc<dyn Engine>, writers: u64, size: usize, each: u64) -> Figures {
    let payload = noise(size);
    let start = Instant::now();
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (engine, payload) = (engine.clone(), payload.clone());
            thread::spawn(move || {
                let mut times = Vec::new();
                for _ in 0..each {
                    let start = Instant::now();
                    engine.commit(writer, &payload);
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times: Vec<Duration> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("no writer panics"))
        .collect();
    let elapsed = start.elapsed();
    times.sort_unstable();
    Figures {
        per_second: times.len() as f64 / elapsed.as_secs_f64(),
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.take(length).collect()
}

/// What the disk itself takes, for comparison.
fn sync_alone(root: &Path) -> Duration {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(root).expect("the directory is writable");
    let mut times: Vec<Duration> = (0..1000)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[b'x'; 256]).expect("writes");
            file.sync_data().expect("syncs");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[500]
}

/// What is allocated below a directory.
fn size_of(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(directory).expect("readable");
    entries
        .map(|entry| {
            let entry = entry.expect("readable");
            let metadata = entry.metadata().expect("readable");
            if metadata.is_dir() {
                size_of(&entry.path())
            } else {
                metadata.blocks() * 512
            }
        })
        .sum()
}
