//! `quorate-sim`: runs simulated clusters, one seed per process.

use clap::{Parser, Subcommand};
use quorate_sim::{executor::Trace, run::run, world::Setup};

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
        /// Print everything that happened.
        #[arg(long)]
        tell: bool,
    },
}

fn main() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    match Arguments::parse().command {
        Command::Run {
            seed,
            without,
            tell,
        } => {
            quorate_sim_entropy::seed(seed);
            let trace = if tell {
                Trace::telling()
            } else {
                Trace::default()
            };
            let report = run(&Setup::of(seed), &without, trace.clone());
            for line in trace.told(0).iter().chain(&report.state).filter(|_| tell) {
                println!("{line}");
            }
            match serde_json::to_string(&report) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("the report cannot be printed: {error}"),
            }
            std::process::exit(i32::from(!report.violations.is_empty()));
        }
    }
}
