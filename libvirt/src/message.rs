//! Messages: a length, a header, and what the procedure says.

use crate::xdr::{Decoder, Encoder, XdrError};
use thiserror::Error;

/// The largest message that either side sends, its length not counted.
const LARGEST: u32 = 32 << 20;
/// The bytes of a header.
const HEADER: u32 = 24;
/// The bytes of the length in front.
const LENGTH: u32 = 4;

/// A message that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Its length is impossible.
    #[error("a message says that it is {0} bytes long, allowed: 28 to 33554436")]
    Length(u32),
    /// Its header is impossible.
    #[error("a message's header is wrong")]
    Header(#[source] XdrError),
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody asks.
    Call,
    /// The answer.
    Reply,
    /// Something has happened.
    Event,
    /// Part of a stream.
    Stream,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well; of a stream: its end.
    Good,
    /// An error follows.
    Failed,
    /// More of the stream follows.
    Continues,
}

/// What is in front of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The procedure.
    pub procedure: i32,
    /// The kind.
    pub kind: Kind,
    /// The number of the call.
    pub serial: u32,
    /// How it went.
    pub status: Status,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What is in front.
    pub header: Header,
    /// What the procedure says.
    pub body: Vec<u8>,
}

impl Message {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.body.len())
            .unwrap_or(LARGEST)
            .saturating_add(HEADER + LENGTH);
        let header = &self.header;
        let mut bytes = Encoder::new()
            .uint(length)
            .uint(header.program)
            .uint(header.version)
            .int(header.procedure)
            .uint(match header.kind {
                Kind::Call => 0,
                Kind::Reply => 1,
                Kind::Event => 2,
                Kind::Stream => 3,
            })
            .uint(header.serial)
            .uint(match header.status {
                Status::Good => 0,
                Status::Failed => 1,
                Status::Continues => 2,
            })
            .into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// How many bytes follow a length.
    ///
    /// # Errors
    /// When no message is so long, or so short.
    pub fn remaining(length: [u8; 4]) -> Result<usize, MessageError> {
        let length = u32::from_be_bytes(length);
        if !(HEADER + LENGTH..=LARGEST + LENGTH).contains(&length) {
            return Err(MessageError::Length(length));
        }
        Ok(usize::try_from(length - LENGTH).unwrap_or(usize::MAX))
    }

    /// From what follows the length.
    ///
    /// # Errors
    /// When it is no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut decoder = Decoder::new(bytes);
        let header = header(&mut decoder).map_err(MessageError::Header)?;
        Ok(Self {
            header,
            body: decoder.rest().to_vec(),
        })
    }
}

fn header(decoder: &mut Decoder<'_>) -> Result<Header, XdrError> {
    Ok(Header {
        program: decoder.uint()?,
        version: decoder.uint()?,
        procedure: decoder.int()?,
        kind: match decoder.uint()? {
            0 => Kind::Call,
            1 => Kind::Reply,
            2 => Kind::Event,
            3 => Kind::Stream,
            other => return Err(unknown("a message's type", other, "0 to 3")),
        },
        serial: decoder.uint()?,
        status: match decoder.uint()? {
            0 => Status::Good,
            1 => Status::Failed,
            2 => Status::Continues,
            other => return Err(unknown("a message's status", other, "0 to 2")),
        },
    })
}

fn unknown(what: &'static str, found: u32, allowed: &'static str) -> XdrError {
    XdrError::OutOfRange {
        what,
        found: found.into(),
        allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_read_as_it_was_sent() {
        let message = Message {
            header: Header {
                program: 7,
                version: 1,
                procedure: 34,
                kind: Kind::Reply,
                serial: 9,
                status: Status::Failed,
            },
            body: vec![1, 2, 3, 4],
        };
        let bytes = message.encode();
        let length = [bytes[0], bytes[1], bytes[2], bytes[3]];
        assert_eq!(Message::remaining(length), Ok(28));
        assert_eq!(Message::decode(&bytes[4..]), Ok(message));
    }

    #[test]
    fn an_impossible_length_is_refused() {
        for length in [0, 27, (32 << 20) + 5, u32::MAX] {
            assert_eq!(
                Message::remaining(length.to_be_bytes()),
                Err(MessageError::Length(length))
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_foreign(bytes: Vec<u8>) {
            let _ = Message::decode(&bytes);
        }
    }
}
