//! `quorate vm console`: a guest's serial console on this terminal.

use std::{
    io::{self, IsTerminal, Read, Write},
    thread,
};

use quorate_proto::api::v1::{ConsoleDevice, ConsoleOpen, ConsoleVisitor};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use crate::{
    client::{Input, Output, Screen},
    error::CliError,
    output::age,
    session::Session,
};

/// Ctrl-], as with telnet and virsh.
const LEAVE: u8 = 0x1d;
/// What is read of the keyboard at once.
const KEYS: usize = 4096;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ctrl-] leaves the console; everything else that is typed goes to the guest, Ctrl-C too.\nWhat the end of a \
                  pipe leaves unsaid is no end: `quorate vm console web </dev/null` shows the console until the guest ends."
)]
pub(crate) struct Args {
    /// The guest
    #[arg(value_name = "NAME")]
    name: String,
    /// Send away whoever is there
    #[arg(long)]
    force: bool,
    /// Only show who is at the guest's console and screen
    #[arg(long, conflicts_with = "force")]
    who: bool,
}

pub(crate) async fn run(session: &Session, args: &Args) -> Result<(), CliError> {
    let client = session.client().await?;
    let attached = client
        .attach(&ConsoleOpen {
            guest: args.name.clone(),
            device: ConsoleDevice::Serial.into(),
            force: args.force,
            only_look: args.who,
        })
        .await?;
    let opened = &attached.opened;
    if args.who {
        for visitor in &opened.others {
            session.console.line(&describe(visitor))?;
        }
        if opened.others.is_empty() {
            let nobody = format!("nobody is at the console or the screen of {}", args.name);
            session.console.note(&nobody);
        }
        return Ok(());
    }
    session.console.note(&format!(
        "connected to the console of virtualmachine/{} on {}; Ctrl-] leaves it",
        args.name, opened.node
    ));
    for visitor in &opened.others {
        session
            .console
            .note(&format!("also there: {}", describe(visitor)));
    }
    let (input, screen) = attached.split();
    let raw = Raw::begin();
    let ended = converse(&input, screen).await;
    drop(raw);
    let reason = ended?;
    session.console.note("");
    session.console.note(&match reason {
        Some(reason) => format!("the console is closed: {reason}"),
        None => format!("left the console of virtualmachine/{}", args.name),
    });
    Ok(())
}

pub(super) fn describe(visitor: &ConsoleVisitor) -> String {
    let device = match visitor.device() {
        ConsoleDevice::Screen => "screen",
        ConsoleDevice::Serial | ConsoleDevice::Unspecified => "console",
    };
    let since = age::short(visitor.seconds.try_into().unwrap_or(i64::MAX));
    format!("{} at the {device} for {since}", visitor.user)
}

/// Until the guest's side ends, with its reason, or the person leaves.
async fn converse(input: &Input, mut screen: Screen) -> Result<Option<String>, CliError> {
    let mut keys = keyboard();
    let mut typing = true;
    loop {
        tokio::select! {
            output = screen.next() => match output? {
                Output::Data(data) => show(&data)?,
                Output::End(reason) => return Ok(Some(reason)),
            },
            typed = keys.recv(), if typing => {
                let Some(mut typed) = typed else {
                    typing = false;
                    continue;
                };
                let leave = typed.iter().position(|key| *key == LEAVE);
                typed.truncate(leave.unwrap_or(typed.len()));
                // When nobody listens any more, the other side says why.
                if !typed.is_empty() && !input.send(typed).await {
                    typing = false;
                }
                if leave.is_some() {
                    return Ok(None);
                }
            }
        }
    }
}

fn show(data: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(data)
        .and_then(|()| out.flush())
        .map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Local {
                doing: "cannot write the output".to_owned(),
                source,
            },
        })
}

/// A thread of its own, which ends with the program: reading a keyboard cannot be given up.
fn keyboard() -> mpsc::Receiver<Vec<u8>> {
    let (sender, keys) = mpsc::channel(1);
    thread::spawn(move || {
        let mut typed = [0; KEYS];
        loop {
            match io::stdin().lock().read(&mut typed) {
                Ok(0) => return,
                Ok(read) => {
                    if sender.blocking_send(typed[..read].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    keys
}

/// A keyboard that gives every key as it is, until this is dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn begin() -> Self {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Self(None);
        }
        let before = tcgetattr(&stdin).ok();
        if let Some(mut raw) = before.clone() {
            raw.make_raw();
            // A terminal that refuses is used line by line.
            let _ = tcsetattr(&stdin, OptionalActions::Flush, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}
