//! `quorated`: one member of a Quorate cluster.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use quorate_controller::{dev, restore, run, takeover};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "quorated", version, about = "One member of a Quorate cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Write the log as JSON, one object per line
    #[arg(long, global = true)]
    log_json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the member that `quorate init` or `quorate join` has set up
    Run {
        /// The member's configuration
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/etc/quorate/quorated.yaml"
        )]
        config: PathBuf,
    },
    /// Run a whole cluster on this machine, for trying things out
    Dev(dev::DevOptions),
    /// Found a new cluster from a backup; this machine becomes its first member
    Restore {
        /// The backup, as `quorate cluster backup` wrote it
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The member's configuration; its data directory must be empty, its keys must be those of the cluster that was backed up
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/etc/quorate/quorated.yaml"
        )]
        config: PathBuf,
    },
    /// Let this member, which must be stopped, go on alone: a person has seen that all other voters are off
    Takeover {
        /// A machine that is off; once for each other voter
        #[arg(long, value_name = "NODE")]
        verified_off: Vec<String>,
        /// The member's configuration
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/etc/quorate/quorated.yaml"
        )]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    quorate_program::begin(arguments.log_json, "info,openraft=error");
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quorated: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(carry_out(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorated: {}", quorate_program::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Run { config } => run::run(&config).await?,
        Command::Dev(options) => dev::dev(options).await?,
        Command::Restore { from, config } => restore::restore(&from, &config).await?,
        Command::Takeover {
            verified_off,
            config,
        } => takeover::by_person(&config, &verified_off).await?,
    }
    Ok(())
}
