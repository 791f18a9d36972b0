//! A room in the hands of a test or a person.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::Output;
use crate::cache::Cache;
use crate::description::{Description, Feed, host_name};
use crate::error::{LabError, OnFile, explain};
use crate::exec::Session;
use crate::host::Host;
use crate::power::PduMood;
use crate::progress::Progress;
use crate::records;
use crate::request::{Answer, Hand, HostState, HostStatus, Request, RoomStatus};
use crate::rooms::Rooms;
use crate::supervisor::{CONTROL, ORDERS, Orders};
use crate::template::Template;
use crate::timeline::Entry;

/// The variable that names the program `quorate-lab` where it is not beside the running one.
pub const PROGRAM_VARIABLE: &str = "QUORATE_LAB_PROGRAM";

/// How long a room may take until its hosts are up, also under systemd on a machine where many compile; one that has ended is noticed at once.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// How long its supervisor may take before it makes hosts.
const READY_PATIENCE: Duration = Duration::from_secs(180);

/// How long a room may take to end by itself before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// How long a switch that comes up stays on or off before it changes its mind; the kernels at its cables see it.
const BOUNCE: Duration = Duration::from_millis(500);

/// A running room. The one that [`Room::start`] returns ends the room when it is dropped.
#[derive(Debug)]
pub struct Room {
    name: String,
    place: PathBuf,
    timelines: PathBuf,
    /// The outermost process and the pipe that keeps the room alive; only who started it has them.
    owned: Option<Child>,
}

impl Room {
    /// Builds a room and waits until all of its hosts are up. A room that fails to start is built once more, and says so.
    pub fn start(description: &Description, progress: &Progress) -> Result<Room, LabError> {
        description.check()?;
        let program = program()?;
        let agent = program.with_file_name("quorate-lab-agent");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .on("start", "the runtime")?;
        let template = runtime.block_on(crate::prepare(
            &Cache::from_environment(),
            description.memory_mib,
            &description.data_disks_mib,
            &agent,
            progress,
        ))?;
        let rooms = Rooms::from_environment();
        let start = || Room::try_start(&program, &rooms, description, &template, progress);
        match start() {
            // Another room of this name, or a machine that lacks something, is no failure of this one.
            Err(error @ (LabError::Refused(_) | LabError::Missing { .. })) => Err(error),
            Err(error) => {
                eprintln!(
                    "the room {} failed to start and is built once more: {}",
                    description.name,
                    explain(&error)
                );
                start()
            }
            Ok(room) => Ok(room),
        }
    }

    fn try_start(
        program: &Path,
        rooms: &Rooms,
        description: &Description,
        template: &Template,
        progress: &Progress,
    ) -> Result<Room, LabError> {
        progress.step(&format!("starting {} hosts", description.hosts));
        let (place, guard) = rooms.claim(&description.name)?;
        let orders = Orders {
            description: description.clone(),
            template: template.clone(),
        };
        let text =
            serde_json::to_string(&orders).map_err(|error| LabError::Refused(error.to_string()))?;
        fs::write(place.join(ORDERS), text).on("write", place.join(ORDERS))?;
        let child = spawn(program, &place)?;
        fs::write(place.join("pid"), child.id().to_string()).on("write", place.join("pid"))?;
        let mut room = Room {
            name: description.name.clone(),
            place,
            timelines: rooms.timelines(),
            owned: Some(child),
        };
        let started = room.wait_until_ready().and_then(|()| {
            drop(guard);
            room.wait_until_up()
        });
        if let Err(error) = started {
            records::keep(&room, &room.timelines);
            return Err(error);
        }
        progress.step("all hosts are up");
        Ok(room)
    }

    /// A room that somebody else has started.
    pub fn open(name: &str) -> Result<Room, LabError> {
        let rooms = Rooms::from_environment();
        let room = Room {
            name: name.to_owned(),
            place: rooms.place(name),
            timelines: rooms.timelines(),
            owned: None,
        };
        room.status()?;
        Ok(room)
    }

    fn wait_until_ready(&mut self) -> Result<(), LabError> {
        let stdout = self.owned.as_mut().and_then(|child| child.stdout.take());
        let (said, hear) = mpsc::channel();
        // It ends with the room, whatever that says or does not say.
        thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.map(|stdout| BufReader::new(stdout).read_line(&mut line));
            // Whoever has given up does not listen.
            let _ = said.send(read.transpose().map(|_| line));
        });
        match hear.recv_timeout(READY_PATIENCE) {
            Ok(line) if line.as_deref().is_ok_and(|line| line.trim() == "ready") => Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(LabError::TimedOut {
                condition: "the room to say that it is ready".to_owned(),
                after: READY_PATIENCE,
                last_seen: self.complaint(),
            }),
            _ => Err(LabError::Program {
                command: "quorate-lab supervise".to_owned(),
                status: "no sign that it is ready".to_owned(),
                output: self.complaint(),
            }),
        }
    }

    /// What its supervisor has complained about.
    fn complaint(&self) -> String {
        fs::read_to_string(self.place.join("supervisor.log")).unwrap_or_default()
    }

    fn wait_until_up(&self) -> Result<(), LabError> {
        let begun = Instant::now();
        loop {
            // A room that does not answer any more has ended: no use to wait.
            let hosts = self.status()?.hosts;
            if let Some(host) = hosts.iter().find(|host| is_lost(host)) {
                return Err(LabError::Room(format!("{} is {}", host.name, host.state)));
            }
            let waiting: Vec<String> = hosts
                .iter()
                .filter(|host| host.state != HostState::Up)
                .map(|host| format!("{} is {}", host.name, host.state))
                .collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > START_PATIENCE {
                return Err(LabError::TimedOut {
                    condition: "all hosts to be up".to_owned(),
                    after: begun.elapsed(),
                    last_seen: waiting.join(", "),
                });
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Host 1, 2, …
    #[must_use]
    pub fn host(&self, number: u8) -> Host<'_> {
        Host::new(self, number)
    }

    /// How everything is.
    pub fn status(&self) -> Result<RoomStatus, LabError> {
        match self.ask(&Request::Status)? {
            Answer::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// How much of this computer's memory it has, in KiB: the proportional share of all its processes.
    pub fn memory_kib(&self) -> Result<u64, LabError> {
        match self.ask(&Request::Memory)? {
            Answer::Memory(kib) => Ok(kib),
            other => Err(unexpected(&other)),
        }
    }

    /// Everything that has happened, after so many lines.
    pub fn timeline(&self, after: usize) -> Result<Vec<Entry>, LabError> {
        match self.ask(&Request::Timeline(after))? {
            Answer::Timeline(entries) => Ok(entries),
            other => Err(unexpected(&other)),
        }
    }

    /// Does something to the room.
    pub fn act(&self, hand: Hand) -> Result<(), LabError> {
        match self.ask(&Request::Do(hand))? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// A feed dies, its PDU with it, or comes back.
    pub fn feed(&self, feed: Feed, live: bool) -> Result<(), LabError> {
        self.act(Hand::Feed { feed, live })
    }

    /// A PDU behaves like this from now on.
    pub fn pdu(&self, feed: Feed, mood: PduMood) -> Result<(), LabError> {
        self.act(Hand::Pdu { feed, mood })
    }

    /// Switch `a` or `b` gets power or loses it.
    pub fn switch(&self, switch: char, on: bool) -> Result<(), LabError> {
        self.act(Hand::Switch { switch, on })
    }

    /// A switch that comes up as some do: on and off again a few times before it stays on.
    pub fn bounce_switch(&self, switch: char, times: u32) -> Result<(), LabError> {
        for _ in 0..times {
            self.switch(switch, true)?;
            thread::sleep(BOUNCE);
            self.switch(switch, false)?;
            thread::sleep(BOUNCE);
        }
        self.switch(switch, true)
    }

    /// Writes a line of the test's story into the timeline.
    pub fn note(&self, text: &str) -> Result<(), LabError> {
        self.act(Hand::Note(text.to_owned()))
    }

    /// A program at the operator's desk: on this machine, in the room's network. It ends with the room.
    pub fn desk(&self, program: &str) -> Result<Command, LabError> {
        let path = self.place.join("pid");
        let outer = fs::read_to_string(&path).on("read", &path)?;
        let children = format!("/proc/{0}/task/{0}/children", outer.trim());
        let inner = fs::read_to_string(&children).on("read", &children)?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", inner.trim()))
            .arg(format!("--pid=/proc/{}/ns/pid", inner.trim()))
            .args(["--", program]);
        Ok(command)
    }

    /// Runs a program at the desk to its end.
    pub fn at_desk(&self, program: &str, arguments: &[&str]) -> Result<Output, LabError> {
        let output = self
            .desk(program)?
            .args(arguments)
            .output()
            .on("start", program)?;
        let code = output
            .status
            .code()
            .and_then(|code| u32::try_from(code).ok())
            .unwrap_or(255);
        Ok(Output {
            code,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// Waits until the condition holds; its last complaint is in the error when it does not come about.
    pub fn eventually<T, E: Display>(
        &self,
        condition: &str,
        within: Duration,
        mut look: impl FnMut(&Room) -> Result<T, E>,
    ) -> Result<T, LabError> {
        let begun = Instant::now();
        loop {
            match look(self) {
                Ok(found) => return Ok(found),
                Err(complaint) if begun.elapsed() > within => {
                    return Err(LabError::TimedOut {
                        condition: condition.to_owned(),
                        after: begun.elapsed(),
                        last_seen: complaint.to_string(),
                    });
                }
                Err(_) => thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Waits for a line in the timeline after so many.
    pub fn eventually_logged(
        &self,
        after: usize,
        source: &str,
        words: &str,
        within: Duration,
    ) -> Result<Entry, LabError> {
        self.eventually(&format!("{source:?} says {words:?}"), within, |room| {
            let entries = room.timeline(after).map_err(|error| error.to_string())?;
            let found = entries
                .into_iter()
                .find(|entry| entry.source == source && entry.text.contains(words));
            found.ok_or_else(|| "nothing like it in the timeline".to_owned())
        })
    }

    /// Ends the room, whoever started it.
    pub fn stop(&self) -> Result<(), LabError> {
        match self.ask(&Request::Stop)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn session(&self, host: u8, argv: &[&str]) -> Result<Session, LabError> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let (answer, stream) = self.talk(&Request::Exec { host, argv })?;
        match answer {
            Answer::Done => Ok(Session::new(stream, host_name(host))),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, LabError> {
        self.talk(request).map(|(answer, _)| answer)
    }

    fn talk(&self, request: &Request) -> Result<(Answer, BufReader<UnixStream>), LabError> {
        let gone = |source| LabError::RoomGone {
            room: self.name.clone(),
            source,
        };
        let mut stream = UnixStream::connect(self.place.join(CONTROL)).map_err(gone)?;
        let line =
            serde_json::to_string(request).map_err(|error| LabError::Refused(error.to_string()))?;
        stream
            .write_all(format!("{line}\n").as_bytes())
            .map_err(gone)?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).map_err(gone)?;
        let answer = serde_json::from_str(&line).map_err(|error| gone(error.into()))?;
        Ok((answer, reader))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(mut child) = self.owned.take() else {
            return;
        };
        if thread::panicking() {
            records::keep(self, &self.timelines);
        }
        // Without the pipe the room ends by itself.
        drop(child.stdin.take());
        let begun = Instant::now();
        while begun.elapsed() < END_PATIENCE {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Whatever still runs goes with the process namespace; a room that has ended is not there to be killed.
        let _ = child.kill();
        let _ = child.wait();
        let _ = crate::cache::remove_tree(&self.place);
    }
}

fn spawn(program: &Path, place: &Path) -> Result<Child, LabError> {
    let log = place.join("supervisor.log");
    let errors = File::create(&log).on("create", &log)?;
    Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(program)
        .arg("supervise")
        .arg(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        // Ctrl-C at a terminal is for us; we end the room in order.
        .process_group(0)
        .spawn()
        .on("start", "unshare")
}

/// The program that is the room's supervisor: this one, or the one beside it.
fn program() -> Result<PathBuf, LabError> {
    if let Some(program) = std::env::var_os(PROGRAM_VARIABLE) {
        return Ok(program.into());
    }
    let own = std::env::current_exe().on("find", "/proc/self/exe")?;
    let directories = own.ancestors().skip(1).take(2);
    directories
        .map(|directory| directory.join("quorate-lab"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| LabError::Missing {
            what: format!("the program quorate-lab beside {}", own.display()),
            remedy: format!(
                "build it with `cargo build -p quorate-lab`, or name it in {PROGRAM_VARIABLE}"
            ),
        })
}

/// Whether a host that was switched on will not come up any more.
fn is_lost(host: &HostStatus) -> bool {
    match host.state {
        HostState::Broken(_) => true,
        HostState::Off => host.starts > 0,
        HostState::Starting | HostState::Up => false,
    }
}

fn unexpected(answer: &Answer) -> LabError {
    match answer {
        Answer::Error(text) => LabError::Room(text.clone()),
        other => LabError::Room(format!(
            "the room gave another answer than was asked for: {other:?}"
        )),
    }
}
