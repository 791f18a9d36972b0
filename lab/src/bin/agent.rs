//! The room's hand inside a host: runs commands that arrive over a virtio-serial port.
//!
//! It needs no network, so that it answers whatever a test does to the cables, and it keeps nothing: a host that is
//! restored from a template finds it waiting for the next frame.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use frame::{Decoder, Frame, Kind, MAX_PAYLOAD, PORT_NAME};

// Not from the library: templates are kept by the hash of this program, which therefore changes with nothing else.
#[path = "../frame.rs"]
#[expect(dead_code, unreachable_pub, reason = "the room's side uses the rest")]
mod frame;

/// How often to look again while nobody holds the other end of the port.
const IDLE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("quorate-lab-agent {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-lab-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<()> {
    let mut input = File::options().read(true).write(true).open(find_port()?)?;
    let port = Port(Arc::new(Mutex::new(input.try_clone()?)));
    port.send(&Frame::new(Kind::Hello, 0, []));
    let mut commands = Commands {
        port,
        running: HashMap::new(),
    };
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; MAX_PAYLOAD];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => thread::sleep(IDLE),
            Ok(count) => decoder.feed(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        while let Some(frame) = decoder.next_frame() {
            commands.handle(frame);
        }
    }
}

fn find_port() -> std::io::Result<PathBuf> {
    for entry in std::fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == PORT_NAME {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    Err(std::io::Error::new(
        ErrorKind::NotFound,
        format!(
            "this machine has no virtio-serial port named {PORT_NAME}; only a host of the lab has one"
        ),
    ))
}

/// The writing side of the port.
#[derive(Clone)]
struct Port(Arc<Mutex<File>>);

impl Port {
    /// A frame that cannot be written is dropped: nobody is there to read it.
    fn send(&self, frame: &Frame) {
        let bytes = frame.encode();
        let mut file = lock(&self.0);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn say(&self, kind: Kind, command: u32, text: &str) {
        self.send(&Frame::new(kind, command, text.as_bytes()));
    }
}

struct Running {
    stdin: Option<Sender<Vec<u8>>>,
    process_group: u32,
}

struct Commands {
    port: Port,
    running: HashMap<u32, Running>,
}

impl Commands {
    fn handle(&mut self, frame: Frame) {
        let id = frame.command;
        match frame.kind {
            Kind::Ping => self.port.send(&Frame::new(Kind::Pong, 0, [])),
            Kind::Exec => self.start(id, &frame.payload),
            Kind::Stdin => {
                if let Some(stdin) = self
                    .running
                    .get(&id)
                    .and_then(|command| command.stdin.as_ref())
                {
                    // The receiver is gone when the command does not read any more; that is its affair.
                    let _ = stdin.send(frame.payload);
                }
            }
            Kind::StdinEnd => {
                if let Some(command) = self.running.get_mut(&id) {
                    command.stdin = None;
                }
            }
            Kind::Kill => {
                if let Some(command) = self.running.get(&id) {
                    let _ = Command::new("kill")
                        .args(["-KILL", "--", &format!("-{}", command.process_group)])
                        .status();
                }
            }
            Kind::Hello | Kind::Pong | Kind::Stdout | Kind::Stderr | Kind::Exit | Kind::Taken => {}
        }
    }

    fn start(&mut self, id: u32, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload);
        let mut arguments = text.split('\0');
        let program = arguments.next().unwrap_or_default();
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        match spawned {
            Ok(child) => {
                let (stdin, bytes) = channel();
                self.running.insert(
                    id,
                    Running {
                        stdin: Some(stdin),
                        process_group: child.id(),
                    },
                );
                attend(child, id, bytes, self.port.clone());
            }
            Err(error) => {
                self.port.say(
                    Kind::Stderr,
                    id,
                    &format!("cannot start {program:?}: {error}\n"),
                );
                self.port.send(&Frame::number(Kind::Exit, id, 127));
            }
        }
    }
}

/// Carries a command's streams until it has ended.
fn attend(mut child: Child, id: u32, stdin: Receiver<Vec<u8>>, port: Port) {
    if let Some(mut pipe) = child.stdin.take() {
        let port = port.clone();
        thread::spawn(move || {
            for bytes in stdin {
                let taken = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let written = pipe.write_all(&bytes);
                port.send(&Frame::number(Kind::Taken, id, taken));
                if written.is_err() {
                    return;
                }
            }
        });
    }
    let stdout = child
        .stdout
        .take()
        .map(|pipe| carry(pipe, Kind::Stdout, id, port.clone()));
    let stderr = child
        .stderr
        .take()
        .map(|pipe| carry(pipe, Kind::Stderr, id, port.clone()));
    thread::spawn(move || {
        for reader in [stdout, stderr].into_iter().flatten() {
            let _ = reader.join();
        }
        let code = match child.wait() {
            // A shell's way of telling a signal.
            Ok(status) => status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal)),
            Err(_) => None,
        };
        let code = code
            .and_then(|code| u32::try_from(code).ok())
            .unwrap_or(255);
        port.send(&Frame::number(Kind::Exit, id, code));
    });
}

fn carry(
    mut pipe: impl Read + Send + 'static,
    kind: Kind,
    id: u32,
    port: Port,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; MAX_PAYLOAD];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            port.send(&Frame::new(kind, id, &buffer[..count]));
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
