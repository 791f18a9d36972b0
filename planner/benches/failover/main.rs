//! How long planning takes after the loss of a host, and when nothing changed; beside it Pacemaker's
//! scheduler on an equivalent cluster information base, where `crm_simulate` is installed.
//!
//! `cargo bench -p quorate-planner` prints one table. Figures of different machines, and of different
//! runs on a busy one, cannot be compared; those of one run can.

mod cluster;
mod pacemaker;

use cluster::Cluster;
use std::io::Write;
use std::time::{Duration, Instant};

/// Guests, and hosts that carry them.
const SIZES: [(usize, usize); 3] = [(100, 3), (1_000, 16), (10_000, 100)];
/// How often each figure is taken; the median is printed.
const TIMES: usize = 15;

struct Row {
    guests: usize,
    hosts: usize,
    recovered: usize,
    failure: Duration,
    unchanged: Duration,
    report: Duration,
    lost: Cluster,
}

fn main() {
    // Only `cargo bench` says so; others, such as `cargo test --benches`, want to know that it runs.
    let only_once = !std::env::args().any(|argument| argument == "--bench");
    let sizes = if only_once { &SIZES[..1] } else { &SIZES[..] };
    let times = if only_once { 1 } else { TIMES };
    println!(
        "{:>7} {:>6} {:>10} {:>14} {:>16} {:>16} {:>16} {:>10}",
        "guests",
        "hosts",
        "recovered",
        "host lost, ms",
        "n log n allows",
        "nothing new, ms",
        "a report, us",
        "pacemaker"
    );
    let mut first: Option<(usize, Duration)> = None;
    for (guests, hosts) in sizes {
        let row = measure(*guests, *hosts, times);
        let (least, base) = *first.get_or_insert((row.guests, row.failure));
        print(&row, least, base);
        let theirs = match only_once {
            true => None,
            false => pacemaker::schedule(&row.lost),
        };
        print_beside(&row, theirs);
    }
}

fn measure(guests: usize, hosts: usize, times: usize) -> Row {
    let settled = Cluster::settled(guests, hosts);
    let unchanged = median(times, || settled.plan());
    let report = settled.report_cost(times);
    let lost = settled.without_first_host();
    let recovered = lost.plan().records.iter().filter(|it| is_guest(it)).count();
    let failure = median(times, || lost.plan());
    Row {
        guests,
        hosts,
        recovered,
        failure,
        unchanged,
        report,
        lost,
    }
}

fn is_guest(record: &quorate_crds::NodePlan) -> bool {
    let assignment = record.spec.assignment.as_ref();
    assignment.is_some_and(|it| it.guest.is_some() && it.active)
}

fn median<T>(times: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut taken: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(work());
            start.elapsed()
        })
        .collect();
    taken.sort();
    taken[taken.len() / 2]
}

fn print(row: &Row, least: usize, base: Duration) {
    let cost = |guests: usize| guests as f64 * (guests as f64).ln();
    let allowed = base.as_secs_f64() * 1e3 * cost(row.guests) / cost(least);
    let ours = row.failure.as_secs_f64() * 1e3;
    print!(
        "{:>7} {:>6} {:>10} {:>14.3} {:>16.3} {:>16.3} {:>16.3}",
        row.guests,
        row.hosts,
        row.recovered,
        ours,
        allowed,
        row.unchanged.as_secs_f64() * 1e3,
        row.report.as_secs_f64() * 1e6
    );
    // A broken pipe only means that nobody reads on.
    let _ = std::io::stdout().flush();
}

fn print_beside(row: &Row, theirs: Option<Duration>) {
    match theirs {
        Some(time) => println!(
            "   {:.1} ms, {:.0}x",
            time.as_secs_f64() * 1e3,
            time.as_secs_f64() / row.failure.as_secs_f64()
        ),
        None => println!("   -"),
    }
}
