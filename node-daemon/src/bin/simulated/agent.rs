//! A fence agent for the devices of the room, with the interface of the fence-agents package: `key=value` on standard
//! input, the state in words and as the exit code.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;

use quorate_node_daemon::simulated::room::{FenceCall, PowerReply, Reply, Request};
use quorate_node_daemon::simulated::{Room, SocketRoom};

const OFF: u8 = 2;
const LATE: u8 = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The agent that it stands for
    name: String,
    /// The room's socket
    #[arg(long)]
    room: PathBuf,
    /// What to do instead of what standard input says: metadata
    #[arg(short = 'o', long)]
    action: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.action.as_deref() == Some("metadata") {
        println!("{}", metadata(&arguments.name));
        return Ok(ExitCode::SUCCESS);
    }
    let mut input = String::new();
    std::io::stdin()
        .read_to_string(&mut input)
        .map_err(|error| format!("cannot read standard input: {error}"))?;
    let value = |name: &str| {
        input.lines().find_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    };
    let ip = value("ip").ok_or("parameter ip is missing")?;
    let plug = value("plug").unwrap_or_default();
    let call = match arguments.action.as_deref().or(value("action")) {
        Some("on") => FenceCall::On,
        Some("off") => FenceCall::Off,
        Some("status") => FenceCall::Status,
        Some("monitor") => FenceCall::Monitor,
        other => {
            return Err(format!(
                "action {} is not among on, off, status, monitor and metadata",
                other.unwrap_or("(none)")
            ));
        }
    };
    let room = SocketRoom::new(&arguments.room);
    let answer = room
        .ask_now(Request::Fence(ip.to_owned(), plug.to_owned(), call))
        .map_err(|error| format!("the simulated room does not answer: {error}"))?;
    if let Some(after) = answer.after {
        sleep(after);
    }
    match (call, answer.outcome) {
        (FenceCall::Status, Ok(Reply::Power(PowerReply::Off))) => {
            println!("Status: OFF");
            Ok(ExitCode::from(OFF))
        }
        (FenceCall::Status, Ok(_)) => {
            println!("Status: ON");
            Ok(ExitCode::SUCCESS)
        }
        (_, Ok(_)) => {
            println!("Success");
            Ok(ExitCode::SUCCESS)
        }
        (_, Err(refusal)) => {
            eprintln!("SIMULATED: {refusal}");
            Ok(ExitCode::from(LATE))
        }
    }
}

fn metadata(name: &str) -> String {
    let parameters = ["action", "ip", "username", "password", "community", "plug"]
        .map(|name| {
            format!(r#"<parameter name="{name}" required="0"><content type="string"/></parameter>"#)
        })
        .join("");
    let actions = ["on", "off", "status", "monitor", "metadata"]
        .map(|name| format!(r#"<action name="{name}"/>"#))
        .join("");
    format!(
        r#"<?xml version="1.0" ?><resource-agent name="{name}" shortdesc="SIMULATED {name}"><longdesc>SIMULATED: switches machines that do not exist.</longdesc><parameters>{parameters}<parameter name="lanplus" required="0"><content type="boolean" default="0"/></parameter></parameters><actions>{actions}</actions></resource-agent>"#
    )
}
