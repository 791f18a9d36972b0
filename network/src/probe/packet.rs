//! What is asked and answered: ICMP, which every kernel answers by itself, also while no daemon of ours runs there.

use std::net::IpAddr;

/// Before what we send, so that our own is told from everybody else's.
const MAGIC: [u8; 4] = *b"QPRB";
const HEADER: usize = 8;
const MARK: usize = 4 + 8 + 4;
const IP4: usize = 20;
const IP6: usize = 40;
const DAY: i64 = 86_400_000;

/// A question. `nonce` is this process's, so that nobody answers what he was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo {
    pub(super) nonce: u64,
    pub(super) number: u32,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What was sent came back.
    Echo(Echo),
    /// The other one's clock, in milliseconds since midnight, and what was sent along.
    Clock { number: u16, at: u32 },
}

/// The datagram that asks an address of that family, so that the whole packet has `size` bytes.
pub(super) fn echo(to: IpAddr, echo: Echo, size: usize) -> Vec<u8> {
    let (kind, header) = match to {
        IpAddr::V4(_) => (8, IP4),
        IpAddr::V6(_) => (128, IP6),
    };
    let length = size.saturating_sub(header).max(HEADER + MARK);
    let mut bytes = vec![0; length];
    bytes[0] = kind;
    bytes[6..8].copy_from_slice(&(echo.number as u16).to_be_bytes());
    bytes[8..12].copy_from_slice(&MAGIC);
    bytes[12..20].copy_from_slice(&echo.nonce.to_be_bytes());
    bytes[20..24].copy_from_slice(&echo.number.to_be_bytes());
    seal(to, bytes)
}

/// The datagram that asks for the time of day. Only the older protocol knows such a question.
pub(super) fn clock(number: u16, id: u16, now: u32) -> Vec<u8> {
    let mut bytes = vec![0; HEADER + 12];
    bytes[0] = 13;
    bytes[4..6].copy_from_slice(&id.to_be_bytes());
    bytes[6..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..12].copy_from_slice(&now.to_be_bytes());
    seal(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), bytes)
}

/// Reads what came to a socket of the family of `from`; none when it is not an answer to one of ours.
pub(super) fn read(from: IpAddr, bytes: &[u8], id: u16) -> Option<Answer> {
    let body = match from {
        // The kernel hands out the packet with its header here, and without it there.
        IpAddr::V4(_) => bytes.get(usize::from(bytes.first()? & 15) * 4..)?,
        IpAddr::V6(_) => bytes,
    };
    match (from, body.first()?) {
        (IpAddr::V4(_), 0) | (IpAddr::V6(_), 129) => {
            let mark = body.get(HEADER..HEADER + MARK)?;
            (mark[..4] == MAGIC).then_some(())?;
            Some(Answer::Echo(Echo {
                nonce: u64::from_be_bytes(mark[4..12].try_into().ok()?),
                number: u32::from_be_bytes(mark[12..16].try_into().ok()?),
            }))
        }
        (IpAddr::V4(_), 14) => {
            let word = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
            (word(4)? == id).then_some(())?;
            let at = u32::from_be_bytes(body.get(16..20)?.try_into().ok()?);
            // The highest bit says that it is not the time of day.
            (at >> 31 == 0).then_some(())?;
            let number = word(6)?;
            Some(Answer::Clock { number, at })
        }
        _ => None,
    }
}

/// By how much `theirs` is ahead of `ours`, both in milliseconds since midnight, over midnight too.
pub(super) fn ahead(theirs: u32, ours: u32) -> i64 {
    let apart = (i64::from(theirs) - i64::from(ours)).rem_euclid(DAY);
    if apart > DAY / 2 { apart - DAY } else { apart }
}

/// Adds the checksum, which the kernel does for the newer protocol.
fn seal(to: IpAddr, mut bytes: Vec<u8>) -> Vec<u8> {
    if to.is_ipv4() {
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.fold(0, u32::wrapping_add);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_echo_is_as_large_as_asked_and_is_known_again() {
        let asked = Echo {
            nonce: 0x0123_4567_89ab_cdef,
            number: 70_000,
        };
        let sent = echo(HERE, asked, 1500);
        assert_eq!(sent.len() + IP4, 1500);
        assert_eq!(checksum(&sent), 0, "the sum over all of it");
        // As the other kernel sends it back, with the header in front.
        let mut back = vec![0x45; IP4];
        back.extend(&sent);
        back[IP4] = 0;
        assert_eq!(read(HERE, &back, 7), Some(Answer::Echo(asked)));
        back[IP4] = 8;
        assert_eq!(read(HERE, &back, 7), None, "a question is no answer");
        for cut in 0..IP4 + HEADER + MARK {
            assert_eq!(read(HERE, &back[..cut], 7), None, "{cut} bytes");
        }
    }

    #[test]
    fn clocks_are_compared_over_midnight() {
        assert_eq!(ahead(5_000, 2_000), 3_000);
        assert_eq!(ahead(2_000, 5_000), -3_000);
        assert_eq!(ahead(1_000, 86_399_000), 2_000);
        assert_eq!(ahead(86_399_000, 1_000), -2_000);
    }

    #[test]
    fn a_clock_that_says_something_else_than_the_time_is_not_believed() {
        let mut back = vec![0x45; IP4];
        back.extend(clock(3, 7, 1_000));
        back[IP4] = 14;
        back[IP4 + 16..IP4 + 20].copy_from_slice(&4_000_u32.to_be_bytes());
        let said = Answer::Clock {
            number: 3,
            at: 4_000,
        };
        assert_eq!(read(HERE, &back, 7), Some(said));
        assert_eq!(read(HERE, &back, 8), None, "somebody else asked");
        back[IP4 + 16] |= 0x80;
        assert_eq!(read(HERE, &back, 7), None);
    }
}
