//! A guest, as libvirt names it and as it stands.

use crate::xdr::{Decoder, Encoder, XdrError};
use std::fmt;

/// A domain's UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub [u8; 16]);

impl fmt::Display for DomainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DomainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name on the host.
    pub name: String,
    /// Its UUID.
    pub uuid: DomainId,
    /// The number of this run; -1 while it is off.
    pub id: i32,
}

impl Domain {
    pub(crate) fn encode(&self, encoder: Encoder) -> Encoder {
        encoder.string(&self.name).fixed(&self.uuid.0).int(self.id)
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, XdrError> {
        let name = decoder.string()?;
        let mut uuid = [0; 16];
        uuid.copy_from_slice(decoder.fixed(16)?);
        Ok(Self {
            name,
            uuid: DomainId(uuid),
            id: decoder.int()?,
        })
    }
}

/// What a domain does, and why: libvirt's numbers, as `virDomainState` and the enumerations of reasons have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it does.
    pub state: i32,
    /// Why.
    pub reason: i32,
}

impl State {
    /// No state.
    pub const NONE: i32 = 0;
    /// It runs.
    pub const RUNNING: i32 = 1;
    /// It waits for something.
    pub const BLOCKED: i32 = 2;
    /// It stands still.
    pub const PAUSED: i32 = 3;
    /// It is going down.
    pub const SHUTDOWN: i32 = 4;
    /// It is off.
    pub const OFF: i32 = 5;
    /// It has crashed, and is kept.
    pub const CRASHED: i32 = 6;
    /// It sleeps.
    pub const SUSPENDED: i32 = 7;

    /// Why it stands still: somebody asked.
    pub const PAUSED_USER: i32 = 1;
    /// It is being moved.
    pub const PAUSED_MIGRATION: i32 = 2;
    /// A disk gave an error.
    pub const PAUSED_IO_ERROR: i32 = 5;
    /// It is going down.
    pub const PAUSED_SHUTTING_DOWN: i32 = 8;
    /// It has crashed, and is kept.
    pub const PAUSED_CRASHED: i32 = 10;
    /// It is being started.
    pub const PAUSED_STARTING_UP: i32 = 11;

    /// Why it is off: it was shut down.
    pub const OFF_SHUTDOWN: i32 = 1;
    /// Somebody switched it off.
    pub const OFF_DESTROYED: i32 = 2;
    /// It crashed.
    pub const OFF_CRASHED: i32 = 3;
    /// It was moved.
    pub const OFF_MIGRATED: i32 = 4;
    /// It could not be started.
    pub const OFF_FAILED: i32 = 6;
    /// libvirt itself ended it.
    pub const OFF_DAEMON: i32 = 8;
}
