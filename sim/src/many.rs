//! Many seeds, each in a process of its own, and what is made of those that fail.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    mistakes::Planted,
    run::{Failover, Report},
    seeds::Seeds,
};

/// Why a seed could not be run at all. The same seed fails in the same way.
#[derive(Debug, Error)]
pub enum ChildError {
    /// The process was not started.
    #[error("the simulation's process cannot be started")]
    Start(#[source] io::Error),
    /// It ended without a report.
    #[error("the simulation ended with {status} and without a report: {said}")]
    NoReport {
        /// How it ended.
        status: String,
        /// The last that it said.
        said: String,
    },
}

/// How seeds are run.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The program.
    pub program: PathBuf,
    /// The mistake that is planted, if any.
    pub mistake: Option<&'static Planted>,
    /// How many processes run at once.
    pub jobs: usize,
    /// Whether the first seed that fails ends it all.
    pub stop_at_first: bool,
    /// No seed is begun after this.
    pub time: Option<Duration>,
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds ran.
    pub seeds: u64,
    /// How many were skipped, because others were asked for.
    pub skipped: u64,
    /// The first that was neither run nor skipped.
    pub unseen: u64,
    /// Simulated time of all together.
    pub simulated: Duration,
    /// Real time.
    pub took: Duration,
    /// Processor time of the runs, as far as they know it.
    pub busy: Duration,
    /// Messages and decisions.
    pub events: u64,
    /// How often each rule was looked at.
    pub checks: BTreeMap<String, u64>,
    /// Recoveries, from the loss of a host to its guest's next start.
    pub failovers: Vec<Failover>,
    /// What failed, with the seed.
    pub failed: Vec<(u64, Vec<String>)>,
}

impl Runner {
    /// The command that runs one seed again.
    #[must_use]
    pub fn replay(&self, seed: u64, without: &[usize]) -> String {
        let mut words = vec![
            self.program.display().to_string(),
            "run".to_owned(),
            format!("--seed {seed}"),
        ];
        if !without.is_empty() {
            words.push(format!("--without {}", list(without)));
        }
        words.extend(
            self.mistake
                .map(|planted| format!("--mistake {}", planted.name)),
        );
        words.push("--tell".to_owned());
        words.join(" ")
    }

    /// Runs one seed in a process of its own.
    ///
    /// # Errors
    /// When it gives no report.
    pub fn one(&self, seed: u64, without: &[usize]) -> Result<Report, ChildError> {
        let mut command = self.command(seed);
        if !without.is_empty() {
            command.args(["--without", &list(without)]);
        }
        report_of(command)
    }

    /// Runs the cluster and the trouble of a seed in which the mistake shows, without the mistake.
    ///
    /// # Errors
    /// When it gives no report.
    pub fn sound(&self, seed: u64) -> Result<Report, ChildError> {
        let mut command = self.command(seed);
        command.arg("--unplanted");
        report_of(command)
    }

    fn command(&self, seed: u64) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["run", "--seed", &seed.to_string()]);
        if let Some(planted) = self.mistake {
            command.args(["--mistake", planted.name]);
        }
        command
    }

    /// Runs these seeds, and tells about each that is done.
    pub fn many(
        &self,
        seeds: Seeds,
        tell: impl Fn(u64, &Result<Report, ChildError>) + Sync,
    ) -> Summary {
        let (seeds, stop) = (Mutex::new(seeds), AtomicBool::new(false));
        let summary = Mutex::new(Summary::default());
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let late = self.time.is_some_and(|time| began.elapsed() > time);
                        if late || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let seed = seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some(seed) = seed else { return };
                        let result = self.one(seed, &[]);
                        tell(seed, &result);
                        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                        summary.add(seed, result);
                        if self.stop_at_first && !summary.failed.is_empty() {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seeds = seeds.into_inner().unwrap_or_else(PoisonError::into_inner);
        (summary.skipped, summary.unseen) = (seeds.skipped(), seeds.unseen());
        summary.took = began.elapsed();
        summary.failed.sort();
        summary
    }

    /// The first seed that finds the planted mistake by one of the rules that it breaks, with what was found.
    ///
    /// # Errors
    /// When a seed gives no report.
    pub fn find(&self, planted: &Planted) -> Result<Option<(u64, String)>, ChildError> {
        for seed in 1..=planted.within {
            let report = self.one(seed, &[])?;
            let found = report.violations.iter().find(|violation| {
                let rule = violation.split(':').next();
                rule.is_some_and(|rule| planted.breaks.contains(&rule))
            });
            if let Some(found) = found {
                return Ok(Some((seed, found.clone())));
            }
        }
        Ok(None)
    }

    /// The fewest faults with which the seed still fails in the same way: the numbers that may be left out.
    pub fn shrink(&self, seed: u64, report: &Report) -> Vec<usize> {
        let wrong = report.broken_rules();
        let mut without = Vec::new();
        let mut step = report.faults.len().div_ceil(2).max(1);
        loop {
            let mut shrunk = false;
            let all: Vec<usize> = (0..report.faults.len()).collect();
            let kept: Vec<usize> = all.into_iter().filter(|n| !without.contains(n)).collect();
            for part in kept.chunks(step) {
                let mut fewer: Vec<usize> = without.iter().chain(part).copied().collect();
                fewer.sort_unstable();
                let Ok(report) = self.one(seed, &fewer) else {
                    continue;
                };
                if report
                    .broken_rules()
                    .iter()
                    .any(|rule| wrong.contains(rule))
                {
                    without = fewer;
                    shrunk = true;
                }
            }
            if !shrunk && step == 1 {
                return without;
            }
            if !shrunk {
                step = step.div_ceil(2);
            }
        }
    }
}

/// Works through `all` in their order, so many at once.
pub fn each<'a, T: Sync>(all: &'a [T], at_once: usize, work: impl Fn(&'a T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

impl Summary {
    fn add(&mut self, seed: u64, result: Result<Report, ChildError>) {
        self.seeds += 1;
        match result {
            Ok(report) => {
                self.simulated += Duration::from_millis(report.simulated_ms);
                self.busy += Duration::from_millis(report.took_ms);
                self.events += report.events;
                for (rule, count) in report.checks {
                    *self.checks.entry(rule).or_default() += count;
                }
                self.failovers.extend(report.failovers);
                if !report.violations.is_empty() {
                    self.failed.push((seed, report.violations));
                }
            }
            Err(error) => self.failed.push((seed, vec![error.to_string()])),
        }
    }
}

fn report_of(mut command: Command) -> Result<Report, ChildError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(ChildError::Start)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let report = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    report.ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = errors.lines().rev().take(4).collect();
        ChildError::NoReport {
            status: output.status.to_string(),
            said: last.into_iter().rev().collect::<Vec<_>>().join("; "),
        }
    })
}

fn list(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(",")
}
