//! Heartbeats: small authenticated datagrams between a host's lease process and the members.
//!
//! A *beat* goes from the host to every member on every ring; the leader answers with a *grant*, which renews the
//! host's lease. Both have a fixed size and are encoded without allocating, because a host that swaps must still be
//! able to send them. The node counts its lease from the moment it sent the beat that is answered, so that a grant which
//! was long on its way gives nothing away.

use ring::hmac;
use thiserror::Error;

/// The length of a key.
pub const KEY_LENGTH: usize = 32;
/// The largest datagram of this protocol.
pub const MAX_LENGTH: usize = 192;

const MAGIC: [u8; 4] = *b"QHB1";
const TAG_LENGTH: usize = 32;
const NAME_LENGTH: usize = 63;
const BEAT: u8 = 1;
const GRANT: u8 = 2;
const BEAT_LENGTH: usize = 4 + 1 + 1 + 1 + NAME_LENGTH + 8 + 8 + 1 + TAG_LENGTH;
const GRANT_LENGTH: usize = 4 + 1 + 1 + 8 + 8 + 8 + 4 + 8 + 8 + TAG_LENGTH;

/// Why a datagram is not one of ours. Nothing is ever answered to such a one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DatagramError {
    /// Another protocol, version or length.
    #[error("the datagram is not a heartbeat of this version")]
    Foreign,
    /// Its checksum is wrong: another cluster, another incarnation, or forged.
    #[error("the heartbeat is not authentic")]
    NotAuthentic,
    /// A host's name is longer than a heartbeat can carry.
    #[error("a host's name has at most {NAME_LENGTH} bytes")]
    LongName,
}

/// Authenticates the heartbeats of one incarnation of one host.
#[derive(Clone)]
pub struct HeartbeatKey(hmac::Key);

impl HeartbeatKey {
    /// The key that a registration handed out.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The key of an incarnation, from a secret that all members share: every member derives the same one.
    #[must_use]
    pub fn derive(secret: &[u8], node: &str, incarnation: u64) -> [u8; KEY_LENGTH] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
        context.update(b"quorate heartbeat\0");
        context.update(node.as_bytes());
        context.update(&[0]);
        context.update(&incarnation.to_be_bytes());
        let mut key = [0; KEY_LENGTH];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

impl std::fmt::Debug for HeartbeatKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HeartbeatKey(..)")
    }
}

/// How a host's daemon is, as its lease process sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonState {
    /// Its loops advance.
    Well,
    /// It closed its connection to the lease process in order: it is being restarted.
    Restarting,
    /// Its loops do not advance, or it died.
    Stuck,
}

/// What a host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat<'a> {
    /// The ring's number: the place of the address in the member's list.
    pub ring: u8,
    /// The host's name.
    pub node: &'a str,
    /// Its incarnation.
    pub incarnation: u64,
    /// Counts this incarnation's beats, over all rings. A grant names the beat it answers.
    pub sequence: u64,
    /// How its daemon is.
    pub daemon: DaemonState,
}

/// What the leader answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The ring on which the beat came.
    pub ring: u8,
    /// The beat that is answered.
    pub sequence: u64,
    /// The leader's term. A grant of an older term than one already seen is ignored.
    pub term: u64,
    /// The leader.
    pub member: u64,
    /// The lease, counted from the sending of the beat. 0: heard, but no lease.
    pub lease_ms: u32,
    /// Records of older plan generations give no right to activate anything.
    pub lowest_valid_generation: u64,
    /// The incarnation that is meant.
    pub incarnation: u64,
}

struct Writer<'a> {
    to: &'a mut [u8; MAX_LENGTH],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.to[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn seal(mut self, key: &HeartbeatKey) -> usize {
        let tag = hmac::sign(&key.0, &self.to[..self.at]);
        self.put(tag.as_ref());
        self.at
    }
}

struct Reader<'a> {
    from: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DatagramError> {
        let (head, rest) = self
            .from
            .split_at_checked(length)
            .ok_or(DatagramError::Foreign)?;
        self.from = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, DatagramError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, DatagramError> {
        let bytes = self.take(4)?.try_into();
        Ok(u32::from_be_bytes(
            bytes.map_err(|_| DatagramError::Foreign)?,
        ))
    }

    fn u64(&mut self) -> Result<u64, DatagramError> {
        let bytes = self.take(8)?.try_into();
        Ok(u64::from_be_bytes(
            bytes.map_err(|_| DatagramError::Foreign)?,
        ))
    }
}

fn opened(datagram: &[u8], kind: u8, length: usize) -> Result<Reader<'_>, DatagramError> {
    if datagram.len() != length || datagram[..4] != MAGIC || datagram[4] != kind {
        return Err(DatagramError::Foreign);
    }
    Ok(Reader {
        from: &datagram[5..],
    })
}

fn authentic(datagram: &[u8], key: &HeartbeatKey) -> Result<(), DatagramError> {
    let (body, tag) = datagram
        .split_at_checked(datagram.len().saturating_sub(TAG_LENGTH))
        .ok_or(DatagramError::Foreign)?;
    hmac::verify(&key.0, body, tag).map_err(|_| DatagramError::NotAuthentic)
}

impl<'a> Beat<'a> {
    /// Writes the datagram and returns its length.
    pub fn encode(
        &self,
        key: &HeartbeatKey,
        to: &mut [u8; MAX_LENGTH],
    ) -> Result<usize, DatagramError> {
        let name = self.node.as_bytes();
        if name.len() > NAME_LENGTH {
            return Err(DatagramError::LongName);
        }
        let mut padded = [0; NAME_LENGTH];
        padded[..name.len()].copy_from_slice(name);
        let mut writer = Writer { to, at: 0 };
        writer.put(&MAGIC);
        writer.put(&[BEAT, self.ring, u8::try_from(name.len()).unwrap_or(0)]);
        writer.put(&padded);
        writer.put(&self.incarnation.to_be_bytes());
        writer.put(&self.sequence.to_be_bytes());
        writer.put(&[match self.daemon {
            DaemonState::Well => 0,
            DaemonState::Restarting => 1,
            DaemonState::Stuck => 2,
        }]);
        Ok(writer.seal(key))
    }

    /// Reads a datagram whose sender is not proven yet: `node` and `incarnation` say which key must open it. Call
    /// [`Beat::verify`] before anything in it is believed.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, DatagramError> {
        let mut reader = opened(datagram, BEAT, BEAT_LENGTH)?;
        let ring = reader.u8()?;
        let length = usize::from(reader.u8()?);
        let padded = reader.take(NAME_LENGTH)?;
        let name = padded.get(..length).ok_or(DatagramError::Foreign)?;
        Ok(Self {
            ring,
            node: std::str::from_utf8(name).map_err(|_| DatagramError::Foreign)?,
            incarnation: reader.u64()?,
            sequence: reader.u64()?,
            daemon: match reader.u8()? {
                0 => DaemonState::Well,
                1 => DaemonState::Restarting,
                2 => DaemonState::Stuck,
                _ => return Err(DatagramError::Foreign),
            },
        })
    }

    /// Whether whoever holds the key sent exactly this.
    pub fn verify(datagram: &[u8], key: &HeartbeatKey) -> Result<(), DatagramError> {
        opened(datagram, BEAT, BEAT_LENGTH)?;
        authentic(datagram, key)
    }
}

impl Grant {
    /// Writes the datagram and returns its length.
    pub fn encode(&self, key: &HeartbeatKey, to: &mut [u8; MAX_LENGTH]) -> usize {
        let mut writer = Writer { to, at: 0 };
        writer.put(&MAGIC);
        writer.put(&[GRANT, self.ring]);
        writer.put(&self.sequence.to_be_bytes());
        writer.put(&self.term.to_be_bytes());
        writer.put(&self.member.to_be_bytes());
        writer.put(&self.lease_ms.to_be_bytes());
        writer.put(&self.lowest_valid_generation.to_be_bytes());
        writer.put(&self.incarnation.to_be_bytes());
        writer.seal(key)
    }

    /// Reads a datagram that `key` authenticates.
    pub fn decode(datagram: &[u8], key: &HeartbeatKey) -> Result<Self, DatagramError> {
        let mut reader = opened(datagram, GRANT, GRANT_LENGTH)?;
        authentic(datagram, key)?;
        Ok(Self {
            ring: reader.u8()?,
            sequence: reader.u64()?,
            term: reader.u64()?,
            member: reader.u64()?,
            lease_ms: reader.u32()?,
            lowest_valid_generation: reader.u64()?,
            incarnation: reader.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(incarnation: u64) -> HeartbeatKey {
        HeartbeatKey::new(&HeartbeatKey::derive(b"secret", "an1", incarnation))
    }

    #[test]
    fn a_beat_and_its_grant_survive_the_wire_and_nothing_else_passes() {
        let beat = Beat {
            ring: 1,
            node: "an1",
            incarnation: 7,
            sequence: 99,
            daemon: DaemonState::Restarting,
        };
        let mut buffer = [0; MAX_LENGTH];
        let length = beat.encode(&key(7), &mut buffer).expect("a short name");
        let sent = &buffer[..length];
        assert_eq!(Beat::decode(sent), Ok(beat));
        assert_eq!(Beat::verify(sent, &key(7)), Ok(()));
        assert_eq!(
            Beat::verify(sent, &key(8)),
            Err(DatagramError::NotAuthentic),
            "another incarnation's key"
        );
        for bit in 0..length * 8 {
            let mut bent = sent.to_vec();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Beat::verify(&bent, &key(7)).is_err(), "bit {bit} was bent");
        }
        for cut in 0..length {
            assert_eq!(Beat::decode(&sent[..cut]), Err(DatagramError::Foreign));
        }

        let grant = Grant {
            ring: 1,
            sequence: 99,
            term: 4,
            member: 2,
            lease_ms: 9_000,
            lowest_valid_generation: 12,
            incarnation: 7,
        };
        let length = grant.encode(&key(7), &mut buffer);
        assert_eq!(Grant::decode(&buffer[..length], &key(7)), Ok(grant));
        assert!(Grant::decode(&buffer[..length], &key(6)).is_err());
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused_and_not_cut() {
        let mut buffer = [0; MAX_LENGTH];
        let long = "n".repeat(NAME_LENGTH + 1);
        let beat = Beat {
            ring: 0,
            node: &long,
            incarnation: 1,
            sequence: 1,
            daemon: DaemonState::Well,
        };
        assert_eq!(
            beat.encode(&key(1), &mut buffer),
            Err(DatagramError::LongName)
        );
    }
}
