//! The hands that pull cords, and the eyes that see what is really so.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use quorate_node_daemon::simulated::room::{Happening, Reply, Request, Truth};
use quorate_node_daemon::simulated::{Room, SocketRoom};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Deed {
    /// Pull both power cords: the board is dead too
    Pull,
    /// Put the power cords back
    Plug,
    /// Press the power button: on
    On,
    /// Press the power button: off
    Off,
    /// Let the kernel panic
    Crash,
    /// Let the kernel hang: no daemon gets anywhere, guests go on writing
    Hang,
    /// Press the reset button
    Reset,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to do
    deed: Deed,
    /// To which machine
    machine: String,
    /// The room's socket
    #[arg(long)]
    room: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The room's socket
    #[arg(long)]
    room: PathBuf,
    /// Everything, as JSON
    #[arg(long)]
    json: bool,
}

fn ask(socket: &Path, request: Request) -> Result<Reply, String> {
    SocketRoom::new(socket)
        .ask_now(request)
        .map_err(|error| {
            format!(
                "no simulated room answers at {}: {error}; is the cluster running?",
                socket.display()
            )
        })?
        .outcome
        .map_err(|refusal| refusal.to_string())
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let machine = arguments.machine.clone();
    let what = match arguments.deed {
        Deed::Pull => Happening::Mains { machine, on: false },
        Deed::Plug => Happening::Mains { machine, on: true },
        Deed::On => Happening::Button { machine, on: true },
        Deed::Off => Happening::Button { machine, on: false },
        Deed::Crash => Happening::Crash(machine),
        Deed::Hang => Happening::Hang(machine),
        Deed::Reset => Happening::Reset(machine),
    };
    ask(&arguments.room, Request::Happen(what))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn show(arguments: &Show) -> Result<ExitCode, String> {
    let Reply::Truth(truth) = ask(&arguments.room, Request::Truth)? else {
        return Err("the simulated room answered something else".to_owned());
    };
    if arguments.json {
        let text = serde_json::to_string_pretty(&truth).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        print!("{}", in_words(&truth));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(truth: &Truth) -> String {
    let mut text = String::new();
    for (name, machine) in &truth.machines {
        let power = if machine.power { "power" } else { "no power" };
        text += &format!("machine {name}: {power}, {:?}\n", machine.kernel);
    }
    for (guest, copies) in &truth.guests {
        for copy in copies {
            let writes = truth.progress.get(guest).map_or(0, |done| done.writes);
            text += &format!(
                "guest {guest} on {}: {:?}, run {}, {writes} writes acknowledged\n",
                copy.host, copy.doing, copy.run
            );
        }
    }
    text
}
