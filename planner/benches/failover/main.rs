//! How much work planning is after the loss of a host, and when nothing changed; beside it Pacemaker's
//! scheduler on an equivalent cluster information base, where `crm_simulate` is installed. Both are
//! counted in time on a processor, which is what passes on a machine that does nothing else.
//!
//! `cargo bench -p quorate-planner` prints one table; numbers of guests after `--` choose its rows.
//! Figures of different machines, and of different runs on a busy one, cannot be compared; those of
//! one run can.

mod cluster;
mod pacemaker;

use cluster::Cluster;
use rustix::time::{ClockId, clock_gettime};
use std::io::Write;
use std::time::Duration;

/// As in `quorated`, in which the planner runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    news: Duration,
    report: Duration,
    lost: Cluster,
}

fn main() {
    // Only `cargo bench` says so; others, such as `cargo test --benches`, want to know that it runs.
    let only_once = !std::env::args().any(|argument| argument == "--bench");
    let chosen: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let sizes = if only_once { &SIZES[..1] } else { &SIZES[..] };
    let asked = |guests: usize| chosen.is_empty() || chosen.contains(&guests);
    let times = if only_once { 1 } else { TIMES };
    println!(
        "{:>7} {:>6} {:>10} {:>14} {:>16} {:>16} {:>14} {:>13} {:>10}",
        "guests",
        "hosts",
        "recovered",
        "host lost, ms",
        "n log n allows",
        "nothing new, ms",
        "one guest, ms",
        "a report, us",
        "pacemaker"
    );
    let mut first: Option<(usize, Duration)> = None;
    for (guests, hosts) in sizes.iter().filter(|(guests, _)| asked(*guests)) {
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
    let news = settled.news_cost(times);
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
        news,
        report,
        lost,
    }
}

fn is_guest(record: &quorate_crds::NodePlan) -> bool {
    let assignment = record.spec.assignment.as_ref();
    assignment.is_some_and(|it| it.guest.is_some() && it.active)
}

fn median<T>(times: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut taken: Vec<Duration> = (0..times).map(|_| worked(&mut work).0).collect();
    taken.sort();
    taken[taken.len() / 2]
}

/// How long this thread was on a processor for it.
pub(crate) fn worked<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let clock = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::from_secs(time.tv_sec.unsigned_abs())
            + Duration::from_nanos(time.tv_nsec.unsigned_abs())
    };
    let start = clock();
    let result = std::hint::black_box(work());
    (clock().saturating_sub(start), result)
}

fn print(row: &Row, least: usize, base: Duration) {
    let cost = |guests: usize| guests as f64 * (guests as f64).ln();
    let allowed = base.as_secs_f64() * 1e3 * cost(row.guests) / cost(least);
    let ours = row.failure.as_secs_f64() * 1e3;
    print!(
        "{:>7} {:>6} {:>10} {:>14.3} {:>16.3} {:>16.3} {:>14.3} {:>13.3}",
        row.guests,
        row.hosts,
        row.recovered,
        ours,
        allowed,
        row.unchanged.as_secs_f64() * 1e3,
        row.news.as_secs_f64() * 1e3,
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
