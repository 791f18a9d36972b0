//! A command that runs in a host, from this side.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::agent::Output;
use crate::error::{LabError, OnFile};
use crate::frame::{Decoder, Frame, Kind, MAX_PAYLOAD};

/// The two directions of a running command.
#[derive(Debug)]
pub(crate) struct Session {
    stream: BufReader<UnixStream>,
    host: String,
}

impl Session {
    pub(crate) fn new(stream: BufReader<UnixStream>, host: String) -> Session {
        Session { stream, host }
    }

    /// A host that says nothing for so long is given up.
    pub(crate) fn patient_for(self, patience: Duration) -> Result<Session, LabError> {
        self.stream
            .get_ref()
            .set_read_timeout(Some(patience))
            .on("set a limit for", &self.host)?;
        Ok(self)
    }

    /// Feeds the command from `input` and collects what it prints.
    pub(crate) fn collect(self, input: impl Read + Send + 'static) -> Result<Output, LabError> {
        let mut output = Output {
            code: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        output.code = self.carry(input, |kind, bytes| match kind {
            Kind::Stdout => output.stdout.extend_from_slice(bytes),
            _ => output.stderr.extend_from_slice(bytes),
        })?;
        Ok(output)
    }

    /// Feeds the command from `input`, shows what it prints as it comes, and returns the exit code.
    pub(crate) fn carry(
        mut self,
        input: impl Read + Send + 'static,
        mut show: impl FnMut(Kind, &[u8]),
    ) -> Result<u32, LabError> {
        let gone = |host: &str| LabError::NotRunning {
            host: host.to_owned(),
            reason: "it was reset or lost its power while the command ran".to_owned(),
        };
        let writer = self
            .stream
            .get_ref()
            .try_clone()
            .map_err(|_| gone(&self.host))?;
        // It ends with the input, or when the command has ended and the socket is closed.
        thread::spawn(move || feed(input, writer));
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; MAX_PAYLOAD];
        loop {
            while let Some(frame) = decoder.next_frame() {
                match frame.kind {
                    Kind::Exit => return frame.as_number().ok_or_else(|| gone(&self.host)),
                    kind => show(kind, &frame.payload),
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => decoder.feed(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(LabError::Room(format!("{} does not answer", self.host)));
                }
                Ok(0) | Err(_) => return Err(gone(&self.host)),
            }
        }
    }
}

fn feed(mut input: impl Read, mut writer: UnixStream) {
    let mut buffer = vec![0; MAX_PAYLOAD];
    while let Ok(count @ 1..) = input.read(&mut buffer) {
        if writer
            .write_all(&Frame::new(Kind::Stdin, 0, &buffer[..count]).encode())
            .is_err()
        {
            return;
        }
    }
    let _ = writer.write_all(&Frame::new(Kind::StdinEnd, 0, []).encode());
}
