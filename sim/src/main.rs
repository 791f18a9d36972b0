//! `quorate-sim`: runs simulated clusters, one seed per process.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use quorate_sim::{
    executor::Trace,
    many::{Runner, Summary},
    mistakes::{ALL, Planted},
    predict::{Scenario, compare},
    run::{Failover, Story, run},
    seeds::Seeds,
    world::Setup,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Runs whole clusters on simulated time, network, disks and hosts")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one seed and print what came of it as JSON.
    Run {
        /// Decides everything.
        #[arg(long)]
        seed: u64,
        /// Leave out the faults with these numbers.
        #[arg(long, value_delimiter = ',')]
        without: Vec<usize>,
        /// Plant this mistake.
        #[arg(long, value_parser = planted)]
        mistake: Option<&'static Planted>,
        /// Play the cluster and the trouble in which the mistake shows, without the mistake.
        #[arg(long, requires = "mistake")]
        unplanted: bool,
        /// Play the cluster and the faults in this file instead of the seed's.
        #[arg(long)]
        story: Option<PathBuf>,
        /// Print everything that happened.
        #[arg(long)]
        tell: bool,
    },
    /// Ask for a forecast, let what it is about happen, and print both as JSON.
    Predict {
        /// Decides which cluster.
        #[arg(long)]
        seed: u64,
        /// How many hosts, instead of the seed's number.
        #[arg(long)]
        hosts: Option<usize>,
        /// How many members, instead of the seed's number.
        #[arg(long)]
        members: Option<usize>,
        /// How many guests, each with a volume of its own.
        #[arg(long, default_value_t = 3)]
        guests: usize,
        /// Manifests that are applied besides, each in place of the one of the same kind and name.
        #[arg(long)]
        besides: Option<PathBuf>,
        /// This host loses power.
        #[arg(long, conflicts_with = "drain", required_unless_present = "drain")]
        fail: Option<String>,
        /// This host is drained.
        #[arg(long)]
        drain: Option<String>,
    },
    /// Plant every mistake, or one, and see within how many seeds it is found.
    Mistakes {
        /// Only this one.
        #[arg(long, value_parser = planted)]
        mistake: Option<&'static Planted>,
    },
    /// Run many seeds, each in a process of its own, and shrink the faults of those that fail.
    Seeds {
        /// How many. Those that are skipped do not count.
        #[arg(long, default_value_t = 100)]
        count: u64,
        /// The first.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Skip seeds whose clusters have another number of voting members than one of these, as in `--members 2,4`.
        #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number_of_members)]
        members: Vec<usize>,
        /// How many at once.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Begin no seed after so many minutes.
        #[arg(long)]
        minutes: Option<u64>,
        /// Go on when a seed fails.
        #[arg(long)]
        keep_going: bool,
        /// Do not look for the fewest faults with which a seed fails.
        #[arg(long)]
        no_shrink: bool,
    },
}

fn planted(name: &str) -> Result<&'static Planted, String> {
    Planted::find(name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|planted| planted.name).collect();
        format!("no such mistake; there are {}", names.join(", "))
    })
}

fn number_of_members(number: &str) -> Result<usize, String> {
    let there = Setup::numbers_of_members();
    let number = number.parse().ok().filter(|number| there.contains(number));
    number.ok_or_else(|| {
        format!(
            "no seed has a cluster of so many; there are {}",
            list(&there)
        )
    })
}

fn list(numbers: &BTreeSet<usize>) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let trace = match &command {
        Command::Run { tell: true, .. } => Trace::telling(),
        _ => Trace::default(),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .without_time()
        .with_ansi(false);
    if let Command::Run { tell: true, .. } = command {
        let into = trace.clone();
        logs.with_writer(move || Logged(into.clone())).init();
    } else {
        logs.with_writer(io::stderr).init();
    }
    match command {
        Command::Run {
            seed,
            without,
            mistake,
            unplanted,
            story,
            ..
        } => match story.map(|file| Story::read(&file)).transpose() {
            Ok(story) => {
                let story = story.unwrap_or_else(|| Story::of(seed, mistake));
                one(story, mistake.filter(|_| !unplanted), &without, &trace)
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Command::Predict {
            seed,
            hosts,
            members,
            guests,
            besides,
            fail,
            drain,
        } => {
            let usual = Setup::of(seed);
            let besides = match besides.map(|file| manifests(&file)).transpose() {
                Ok(besides) => besides.unwrap_or_default(),
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            };
            let setup = Setup {
                hosts: hosts.unwrap_or(usual.hosts),
                members: members.unwrap_or(usual.members),
                guests,
                faults: 0,
                sharers: 0,
                besides,
                ..usual
            };
            let scenario = match (fail, drain) {
                (Some(host), _) => Scenario::Fail(host),
                (None, host) => Scenario::Drain(host.unwrap_or_default()),
            };
            predict(&setup, &scenario)
        }
        Command::Mistakes { mistake } => mistakes(mistake),
        Command::Seeds {
            count,
            first,
            members,
            jobs,
            minutes,
            keep_going,
            no_shrink,
        } => {
            let runner = Runner {
                program: this_program(),
                mistake: None,
                jobs,
                stop_at_first: !keep_going,
                time: minutes.map(|minutes| Duration::from_secs(60 * minutes)),
            };
            many(
                &runner,
                Seeds::new(first, count).with_members(members),
                !no_shrink,
            )
        }
    }
}

/// The logs of the processes of a run that is told, between what happens at the same time.
struct Logged(Trace);

impl io::Write for Logged {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.say(String::from_utf8_lossy(line).trim());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("quorate-sim"))
}

fn manifests(file: &Path) -> Result<Vec<String>, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text.split("\n---\n").map(str::to_owned).collect())
}

fn predict(setup: &Setup, scenario: &Scenario) -> ExitCode {
    let compared = quorate_sim_entropy::seeded(setup.seed, || compare(setup, scenario));
    match compared.map(|found| serde_json::to_string(&found)) {
        Ok(Ok(line)) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("the comparison cannot be printed: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn mistakes(only: Option<&'static Planted>) -> ExitCode {
    let mut missed = 0;
    for planted in ALL
        .iter()
        .filter(|one| only.is_none_or(|only| only.name == one.name))
    {
        let runner = Runner {
            program: this_program(),
            mistake: Some(planted),
            jobs: 1,
            stop_at_first: true,
            time: None,
        };
        match runner.find(planted) {
            Ok(Some((seed, found))) => {
                println!("{:<30} found by seed {seed:>2}: {found}", planted.name);
            }
            Ok(None) => {
                missed += 1;
                println!("{:<30} NOT FOUND in {} seeds", planted.name, planted.within);
            }
            Err(error) => {
                missed += 1;
                println!("{:<30} {error}", planted.name);
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}

fn one(
    story: Story,
    mistake: Option<&'static Planted>,
    without: &[usize],
    trace: &Trace,
) -> ExitCode {
    let seed = story.setup.seed;
    let report = quorate_sim_entropy::seeded(seed, || run(&story, mistake, without, trace.clone()));
    if trace.is_telling() {
        for line in trace.told(0).iter().chain(&report.state) {
            println!("{line}");
        }
    }
    match serde_json::to_string(&report) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("the report cannot be printed: {error}"),
    }
    ExitCode::from(u8::from(!report.violations.is_empty()))
}

fn many(runner: &Runner, seeds: Seeds, shrink: bool) -> ExitCode {
    let members = list(seeds.members());
    let summary = runner.many(seeds, |seed, result| match result {
        Ok(report) if report.violations.is_empty() => {
            tracing::info!(seed, hash = report.hash, "well");
        }
        Ok(report) => {
            println!("seed {seed} fails:");
            for violation in &report.violations {
                println!("  {violation}");
            }
            println!("  again: {}", runner.replay(seed, &[]));
            if !shrink {
                return;
            }
            let without = runner.shrink(seed, report);
            println!("  it takes these faults:");
            let needed = report.faults.iter().enumerate();
            for (_, fault) in needed.filter(|(number, _)| !without.contains(number)) {
                println!("    {fault}");
            }
            println!("  with them alone: {}", runner.replay(seed, &without));
        }
        Err(error) => println!("seed {seed}: {error}"),
    });
    print(&summary);
    if summary.skipped > 0 {
        println!(
            "skipped: {} seeds whose clusters have none of these numbers of members: {members}; the next is {}",
            summary.skipped, summary.unseen
        );
    }
    ExitCode::from(u8::from(!summary.failed.is_empty()))
}

fn print(summary: &Summary) {
    let seconds = summary.busy.as_secs_f64().max(0.001);
    println!(
        "{} seeds, {} failed; {:.0} simulated seconds, {} messages and decisions, in {:.0} s",
        summary.seeds,
        summary.failed.len(),
        summary.simulated.as_secs_f64(),
        summary.events,
        summary.took.as_secs_f64(),
    );
    println!(
        "throughput: {:.0} simulated cluster-seconds per second of one process",
        summary.simulated.as_secs_f64() / seconds
    );
    let checks: Vec<String> = summary
        .checks
        .iter()
        .map(|(rule, count)| format!("{rule} {count}"))
        .collect();
    println!("looked at: {}", checks.join(", "));
    if !summary.failovers.is_empty() {
        let part = |name: &str, of: fn(&Failover) -> u64| {
            let mut all: Vec<u64> = summary.failovers.iter().map(of).collect();
            all.sort_unstable();
            let (half, last) = (all[all.len() / 2], all[all.len() * 99 / 100]);
            println!("  {name:<7} median {half:>6} ms, 99 % below {last:>6} ms");
        };
        println!("{} guests failed over:", summary.failovers.len());
        part("detect", |it| it.detect_ms);
        part("fence", |it| it.fence_ms);
        part("plan", |it| it.plan_ms);
        part("start", |it| it.start_ms);
    }
}
