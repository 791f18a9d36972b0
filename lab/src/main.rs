//! The machine room's command: builds a room, shows it, and reaches into it.

mod arguments;
mod guide;
mod hands;
mod terminal;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use quorate_lab::cache::Cache;
use quorate_lab::cluster::{self, Packages};
use quorate_lab::description::{Description, Feed};
use quorate_lab::request::{Request, RoomStatus};
use quorate_lab::{LabError, PASSWORD, Progress, Room, Rooms, USER, explain};

use crate::arguments::{Arguments, Command, Place, PowerAction, Up};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("quorate-lab: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, LabError> {
    let room = || open(arguments.room.as_deref());
    match arguments.command {
        Command::Image => make_image()?,
        Command::Up(wish) => up(wish)?,
        Command::Down => down(&room()?)?,
        Command::Status { json } => status(arguments.room.as_deref(), json)?,
        Command::Exec { host, command } => {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            return Ok(exit_code(room()?.host(host.0).attach(&words)?));
        }
        Command::Shell { host } => return terminal::shell(room()?.host(host.0)).map(exit_code),
        Command::Copy { from, to } => copy(&room()?, &from, &to)?,
        Command::Desk { command } => return desk(&room()?, &command),
        Command::Console { host } => follow(&room()?, Some(format!("{} console", host.name())))?,
        Command::Timeline { follow: true } => follow(&room()?, None)?,
        Command::Timeline { follow: false } => {
            for entry in room()?.timeline(0)? {
                say(&entry.to_string());
            }
        }
        Command::Power { host, action } => power(&room()?, host.0, action)?,
        Command::Do(hand) => hand.carry_out(&room()?)?,
        Command::Clean { cache } => clean(cache)?,
        Command::Supervise { directory } => supervise(&directory)?,
        Command::Hold { control, host } => hold(&control, host)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The room that is meant: the named one, or the only one.
fn open(name: Option<&str>) -> Result<Room, LabError> {
    if let Some(name) = name {
        return Room::open(name);
    }
    let running = Rooms::from_environment().running()?;
    match running.as_slice() {
        [only] => Room::open(only),
        [] => Err(LabError::Refused(
            "no room runs; `quorate-lab up` starts one".to_owned(),
        )),
        several => {
            let names = several.join(", ");
            Err(LabError::Refused(format!(
                "several rooms run: {names}; name one with --room"
            )))
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, LabError> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|source| LabError::File {
        doing: "start",
        path: "the runtime".into(),
        source,
    })
}

fn own_agent() -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| "quorate-lab".into());
    own.with_file_name("quorate-lab-agent")
}

fn make_image() -> Result<(), LabError> {
    let progress = Progress::aloud();
    let standard = Description::default();
    let cache = Cache::from_environment();
    let agent = own_agent();
    let template = quorate_lab::prepare(
        &cache,
        standard.memory_mib,
        &standard.data_disks_mib,
        &agent,
        &progress,
    );
    let template = runtime()?.block_on(template)?;
    progress.step(&format!(
        "image and template are in {}",
        cache.directory().display()
    ));
    say(&template.image.root().display().to_string());
    Ok(())
}

fn up(wish: Up) -> Result<(), LabError> {
    // What is missing is said before minutes have passed.
    let packages = wish.packages.as_deref().map(Packages::find).transpose()?;
    let mut description = match &wish.file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| LabError::File {
                doing: "read",
                path: path.clone(),
                source,
            })?;
            Description::from_yaml(&text)?
        }
        None => Description::default(),
    };
    description.hosts = wish.hosts.unwrap_or(description.hosts);
    description.name = wish.name.unwrap_or(description.name);
    let progress = Progress::aloud();
    let room = Room::start(&description, &progress)?;
    if let Some(packages) = packages {
        let context = cluster::found(&room, &packages, &progress)?;
        if !wish.apply.is_empty() {
            let given: Vec<String> = wish
                .apply
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            progress.step(&format!("quorate apply -f {}", given.join(" -f ")));
            say(&cluster::apply(&room, &wish.apply)?);
        }
        cluster::enlist(&room, &progress)?;
        cluster::carry_guests_everywhere(&room, &progress)?;
        progress.step("the cluster is ready");
        say(&cluster::quorate(room.host(1), "cluster status")?);
        guide::print_cluster(&context);
    }
    guide::print(&room)?;
    wait_for_end(&room)?;
    eprintln!("ending the room");
    Ok(())
}

/// Until Ctrl-C, `quorate-lab down`, or the end of the room by itself.
fn wait_for_end(room: &Room) -> Result<(), LabError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|source| LabError::File {
            doing: "listen to",
            path: "signals".into(),
            source,
        })
    };
    runtime()?.block_on(async {
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hang_up = listen(SignalKind::hangup())?;
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = hang_up.recv() => return Ok(()),
                _ = every_second.tick() => {
                    if room.status().is_err() {
                        return Ok(());
                    }
                }
            }
        }
    })
}

fn down(room: &Room) -> Result<(), LabError> {
    room.stop()?;
    let begun = Instant::now();
    while room.status().is_ok() {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(LabError::TimedOut {
                condition: format!("the end of the room {:?}", room.name()),
                after: begun.elapsed(),
                last_seen: "it still answers".to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn status(room: Option<&str>, json: bool) -> Result<(), LabError> {
    let names = match room {
        Some(name) => vec![name.to_owned()],
        None => Rooms::from_environment().running()?,
    };
    if names.is_empty() {
        say("no room runs; `quorate-lab up` starts one");
    }
    for name in names {
        let room = Room::open(&name)?;
        let status = room.status()?;
        if json {
            let text = serde_json::to_string_pretty(&status)
                .map_err(|error| LabError::Refused(error.to_string()))?;
            say(&text);
        } else {
            print_status(&status, room.memory_kib()?);
        }
    }
    Ok(())
}

fn print_status(status: &RoomStatus, memory_kib: u64) {
    let switch = |on: bool| if on { "on" } else { "OFF" };
    let pdu = |answers: bool| if answers { "answers" } else { "SILENT" };
    let up = status.up_after_ms.map_or_else(
        || "not all up yet".to_owned(),
        |ms| format!("all up after {:.1} s", ms as f64 / 1000.0),
    );
    say(&format!(
        "room {}  {}  {up}  age {} s  memory {} MiB   switch a {}  b {}   {} {}  {} {}",
        status.name,
        status.accelerator,
        status.age_ms / 1000,
        memory_kib / 1024,
        switch(status.switches[0]),
        switch(status.switches[1]),
        Feed::A.pdu_name(),
        pdu(status.pdus[0]),
        Feed::B.pdu_name(),
        pdu(status.pdus[1]),
    ));
    say(&format!(
        "{:<7} {:<11} {:<9} {:>6} {:<6} {:<11} FAULTS",
        "HOST", "CALLED", "STATE", "STARTS", "FEEDS", "BMC"
    ));
    for host in &status.hosts {
        let feeds: String = host
            .feeds
            .iter()
            .zip(['A', 'B'])
            .map(|(on, name)| if *on { name } else { '-' })
            .collect();
        let state = if host.frozen {
            "frozen".to_owned()
        } else {
            host.state.to_string()
        };
        let bmc = serde_json::to_string(&host.bmc).unwrap_or_default();
        let faults: Vec<&str> = host
            .bad_cables
            .iter()
            .chain(&host.bad_disks)
            .map(String::as_str)
            .collect();
        say(&format!(
            "{:<7} {:<11} {:<9} {:>6} {:<6} {:<11} {}",
            host.name,
            host.called,
            state,
            host.starts,
            feeds,
            bmc.trim_matches('"'),
            faults.join(", "),
        ));
    }
}

fn copy(room: &Room, from: &Place, to: &Place) -> Result<(), LabError> {
    match (from, to) {
        (Place::Here(from), Place::There(host, to)) => room.host(host.0).copy_in(from, to),
        (Place::There(host, from), Place::Here(to)) => room.host(host.0).copy_out(from, to),
        _ => Err(LabError::Refused(
            "one of the two is a file of a host, as in node1:/root/file, the other one of this machine".to_owned(),
        )),
    }
}

fn desk(room: &Room, command: &[String]) -> Result<ExitCode, LabError> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| LabError::Refused("say which program to run at the desk".to_owned()))?;
    let status = room
        .desk(program)?
        .args(arguments)
        .status()
        .map_err(|source| LabError::File {
            doing: "start",
            path: program.into(),
            source,
        })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn follow(room: &Room, source: Option<String>) -> Result<(), LabError> {
    let mut seen = 0;
    loop {
        let entries = room.timeline(seen)?;
        seen += entries.len();
        for entry in entries {
            match &source {
                Some(source) if *source == entry.source => say(&entry.text),
                Some(_) => {}
                None => say(&entry.to_string()),
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn power(room: &Room, host: u8, action: PowerAction) -> Result<(), LabError> {
    let host = room.host(host);
    let chassis = match action {
        PowerAction::On => "on",
        PowerAction::Off => "off",
        PowerAction::Cycle => "cycle",
        PowerAction::Reset => "reset",
        PowerAction::Status => "status",
        PowerAction::Button => return host.press_button(),
        PowerAction::LongButton => return host.hold_button(),
    };
    let address = host.bmc_address();
    let arguments = [
        "-I", "lanplus", "-C", "3", "-H", &address, "-U", USER, "-P", PASSWORD, "chassis", "power",
        chassis,
    ];
    let output = room.at_desk("ipmitool", &arguments)?;
    if output.code != 0 {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(LabError::Room(format!(
            "the BMC at {address} did not do it: {complaint}"
        )));
    }
    say(String::from_utf8_lossy(&output.stdout).trim());
    Ok(())
}

fn clean(all: bool) -> Result<(), LabError> {
    let rooms = Rooms::from_environment();
    for name in rooms.reap()? {
        say(&format!("removed what the room {name} had left behind"));
    }
    let cache = Cache::from_environment();
    for draft in cache.reap()? {
        say(&format!("removed what was never finished: {draft}"));
    }
    if all {
        // A room that runs starts each host anew from there.
        rooms.while_none_runs(|| cache.clean())?;
        say(&format!(
            "removed the cache in {}",
            cache.directory().display()
        ));
    }
    Ok(())
}

fn supervise(directory: &Path) -> Result<(), LabError> {
    let runtime = runtime()?;
    let ended = runtime.block_on(quorate_lab::supervise(directory));
    // A read of standard input may still be waiting in a thread of its own.
    runtime.shutdown_background();
    ended
}

/// The program that the BMC starts for the host: it runs as long as the host is on.
fn hold(control: &Path, host: u8) -> Result<(), LabError> {
    use std::io::Read;
    let failed = |source| LabError::File {
        doing: "talk over",
        path: control.into(),
        source,
    };
    let mut stream = std::os::unix::net::UnixStream::connect(control).map_err(failed)?;
    let line = serde_json::to_string(&Request::Hold { host })
        .map_err(|error| LabError::Refused(error.to_string()))?;
    stream
        .write_all(format!("{line}\n").as_bytes())
        .map_err(failed)?;
    stream
        .read_to_end(&mut Vec::new())
        .map(drop)
        .map_err(failed)
}

/// Prints a line; whoever closes the pipe has read enough.
fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

fn exit_code(code: u32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
