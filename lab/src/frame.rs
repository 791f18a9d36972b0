//! What the room and the agent inside a host say to each other over the virtio-serial port.
//!
//! The port is a plain byte stream that outlives both ends: a host is reset in the middle of a frame, a template is
//! restored with a reader that waits for the rest of one. Every frame therefore begins with a mark, and
//! [`Decoder`] skips whatever does not.

/// The name of the port, the same in QEMU's command line and in the host.
pub const PORT_NAME: &str = "dev.quorate.lab";

/// No frame carries more than this; a longer stream is cut into several.
pub const MAX_PAYLOAD: usize = 32 * 1024;

/// How many bytes of a command's standard input may be on their way before the agent has taken them.
pub const STDIN_WINDOW: usize = 256 * 1024;

const MARK: [u8; 4] = *b"QLab";
const HEADER: usize = 13;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Room to agent: are you there?
    Ping = 1,
    /// Room to agent: run the command whose arguments are separated by NUL.
    Exec = 2,
    /// Room to agent: bytes for the command's standard input.
    Stdin = 3,
    /// Room to agent: the standard input ends here.
    StdinEnd = 4,
    /// Room to agent: kill the command.
    Kill = 5,
    /// Agent to room: I have just started.
    Hello = 16,
    /// Agent to room: yes.
    Pong = 17,
    /// Agent to room: bytes from the command's standard output.
    Stdout = 18,
    /// Agent to room: bytes from the command's standard error.
    Stderr = 19,
    /// Agent to room: the command has ended; four bytes of exit code.
    Exit = 20,
    /// Agent to room: so many bytes (four-byte number) of standard input were taken.
    Taken = 21,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Ping,
            2 => Kind::Exec,
            3 => Kind::Stdin,
            4 => Kind::StdinEnd,
            5 => Kind::Kill,
            16 => Kind::Hello,
            17 => Kind::Pong,
            18 => Kind::Stdout,
            19 => Kind::Stderr,
            20 => Kind::Exit,
            21 => Kind::Taken,
            _ => return None,
        })
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub kind: Kind,
    /// The command that it belongs to; 0 where none is meant.
    pub command: u32,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame; the payload is at most [`MAX_PAYLOAD`] bytes long.
    #[must_use]
    pub fn new(kind: Kind, command: u32, payload: impl Into<Vec<u8>>) -> Frame {
        let payload = payload.into();
        debug_assert!(payload.len() <= MAX_PAYLOAD);
        Frame {
            kind,
            command,
            payload,
        }
    }

    /// A frame that carries one number.
    #[must_use]
    pub fn number(kind: Kind, command: u32, number: u32) -> Frame {
        Frame::new(kind, command, number.to_le_bytes())
    }

    /// The number that the payload is, when it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<u32> {
        Some(u32::from_le_bytes(self.payload.as_slice().try_into().ok()?))
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.extend_from_slice(&MARK);
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.command.to_le_bytes());
        let length = u32::try_from(self.payload.len()).expect("a payload is at most 32 KiB long");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Finds the frames in a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            self.skip_to_mark();
            let header: &[u8; HEADER] = self.pending.first_chunk()?;
            let kind = Kind::from_byte(header[4]);
            let command = u32::from_le_bytes([header[5], header[6], header[7], header[8]]);
            let length =
                u32::from_le_bytes([header[9], header[10], header[11], header[12]]) as usize;
            let Some(kind) = kind.filter(|_| length <= MAX_PAYLOAD) else {
                self.pending.drain(..1);
                continue;
            };
            if self.pending.len() < HEADER + length {
                return None;
            }
            let payload = self.pending[HEADER..HEADER + length].to_vec();
            self.pending.drain(..HEADER + length);
            return Some(Frame {
                kind,
                command,
                payload,
            });
        }
    }

    fn skip_to_mark(&mut self) {
        let whole = self
            .pending
            .windows(MARK.len())
            .position(|window| window == MARK);
        let start = whole.unwrap_or_else(|| {
            // The end may be the beginning of a mark.
            (1..MARK.len())
                .rev()
                .find(|&n| self.pending.ends_with(&MARK[..n]))
                .map_or(self.pending.len(), |n| self.pending.len() - n)
        });
        self.pending.drain(..start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_cut_off_by_a_reset_does_not_hide_what_follows() {
        let mut decoder = Decoder::default();
        let hello = Frame::new(Kind::Hello, 0, *b"boot");
        decoder.feed(b"console noise QLa");
        decoder.feed(b"xQLab\xff\xff\xff\xff\xff\xff\xff\xff\xff");
        decoder.feed(&hello.encode());
        assert_eq!(decoder.next_frame(), Some(hello));
        assert_eq!(decoder.next_frame(), None);
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            cut in 1_usize..40,
        ) {
            let frames: Vec<Frame> = payloads
                .into_iter()
                .map(|payload| Frame::new(Kind::Stdout, 7, payload))
                .collect();
            let stream: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.feed(piece);
                while let Some(frame) = decoder.next_frame() {
                    found.push(frame);
                }
            }
            prop_assert_eq!(found, frames);
        }
    }
}
