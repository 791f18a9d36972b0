//! SNMP versions 1 and 2c: one request in, one answer out.

use super::ber::{
    BerError, INTEGER, NULL, OBJECT_ID, OCTET_STRING, Oid, Reader, SEQUENCE, integer, wrap,
    write_integer, write_oid,
};

const GET: u8 = 0xa0;
const GET_NEXT: u8 = 0xa1;
const RESPONSE: u8 = 0xa2;
const SET: u8 = 0xa3;
const VERSION_1: i32 = 0;
const VERSION_2C: i32 = 1;
const END_OF_VIEW: u8 = 0x82;
const NO_SUCH_INSTANCE: u8 = 0x81;

/// A value that the device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A number.
    Integer(i32),
    /// Text.
    Text(String),
    /// The name of another object.
    ObjectId(Oid),
}

/// What a device must know to be asked.
pub trait Objects {
    /// The value of exactly this object.
    fn get(&self, oid: &Oid) -> Option<Held>;
    /// The first object after this one.
    fn next(&self, oid: &Oid) -> Option<Oid>;
    /// Changes an object; false when it cannot be changed to this.
    fn set(&mut self, oid: &Oid, value: i32) -> bool;
}

/// What to do with a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Send this.
    Answer(Vec<u8>),
    /// Say nothing, as a real device does: the reason is for the log alone.
    Silence(String),
}

/// Answers one datagram. A wrong community gets no answer, like anything that is not SNMP.
pub fn answer(datagram: &[u8], community: &[u8], objects: &mut dyn Objects) -> Reply {
    match try_answer(datagram, community, objects) {
        Ok(reply) => reply,
        Err(error) => Reply::Silence(format!("not SNMP: {error}")),
    }
}

fn try_answer(
    datagram: &[u8],
    community: &[u8],
    objects: &mut dyn Objects,
) -> Result<Reply, BerError> {
    let mut message = Reader(Reader(datagram).expect(SEQUENCE)?);
    let version = message.integer()?;
    if version != VERSION_1 && version != VERSION_2C {
        return Ok(Reply::Silence(format!(
            "SNMP version {version} is not spoken here, only 1 and 2c"
        )));
    }
    let said = message.expect(OCTET_STRING)?;
    if said != community {
        return Ok(Reply::Silence("wrong community".to_owned()));
    }
    let (kind, body) = message.any()?;
    let mut body = Reader(body);
    let request_id = body.integer()?;
    body.integer()?;
    body.integer()?;
    let mut bindings = Reader(body.expect(SEQUENCE)?);
    let mut answers = Vec::new();
    let mut failure = None;
    let mut index = 0;
    while !bindings.is_empty() {
        index += 1;
        let mut binding = Reader(bindings.expect(SEQUENCE)?);
        let oid = binding.oid()?;
        let (tag, value) = binding.any()?;
        let binding = match kind {
            GET => objects
                .get(&oid)
                .map(|held| (oid.clone(), held))
                .ok_or(NO_SUCH_INSTANCE),
            GET_NEXT => objects
                .next(&oid)
                .and_then(|next| objects.get(&next).map(|held| (next, held)))
                .ok_or(END_OF_VIEW),
            SET if tag == INTEGER => {
                let value = integer(value)?;
                if objects.set(&oid, value) {
                    Ok((oid.clone(), Held::Integer(value)))
                } else {
                    Err(NO_SUCH_INSTANCE)
                }
            }
            SET => Err(NO_SUCH_INSTANCE),
            other => {
                return Ok(Reply::Silence(format!(
                    "request kind {other:#04x} is not known"
                )));
            }
        };
        answers.push(match binding {
            Ok((oid, held)) => write_binding(&oid, &encode(&held)),
            Err(exception) if version == VERSION_2C && kind != SET => {
                write_binding(&oid, &wrap(exception, &[]))
            }
            Err(_) => {
                failure = failure.or(Some(index));
                write_binding(&oid, &wrap(NULL, &[]))
            }
        });
    }
    // 2: no such name; 17: not writable, which version 1 does not have.
    let status = match failure {
        None => 0,
        Some(_) if version == VERSION_1 => 2,
        Some(_) => 17,
    };
    let body = [
        write_integer(request_id),
        write_integer(status),
        write_integer(failure.unwrap_or(0)),
        wrap(SEQUENCE, &answers.concat()),
    ];
    let message = [
        write_integer(version),
        wrap(OCTET_STRING, said),
        wrap(RESPONSE, &body.concat()),
    ];
    Ok(Reply::Answer(wrap(SEQUENCE, &message.concat())))
}

fn write_binding(oid: &Oid, value: &[u8]) -> Vec<u8> {
    wrap(SEQUENCE, &[write_oid(oid), value.to_vec()].concat())
}

fn encode(held: &Held) -> Vec<u8> {
    match held {
        Held::Integer(value) => write_integer(*value),
        Held::Text(text) => wrap(OCTET_STRING, text.as_bytes()),
        Held::ObjectId(oid) => {
            debug_assert_eq!(write_oid(oid)[0], OBJECT_ID);
            write_oid(oid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct OneObject(i32);

    fn oid(last: u32) -> Oid {
        Oid(vec![1, 3, 6, last])
    }

    impl Objects for OneObject {
        fn get(&self, asked: &Oid) -> Option<Held> {
            (*asked == oid(5)).then_some(Held::Integer(self.0))
        }
        fn next(&self, asked: &Oid) -> Option<Oid> {
            (*asked < oid(5)).then(|| oid(5))
        }
        fn set(&mut self, asked: &Oid, value: i32) -> bool {
            let known = *asked == oid(5);
            if known {
                self.0 = value;
            }
            known
        }
    }

    fn request(version: i32, community: &str, kind: u8, asked: &Oid, value: &[u8]) -> Vec<u8> {
        let bindings = wrap(SEQUENCE, &write_binding(asked, value));
        let body = [
            write_integer(77),
            write_integer(0),
            write_integer(0),
            bindings,
        ]
        .concat();
        let message = [
            write_integer(version),
            wrap(OCTET_STRING, community.as_bytes()),
            wrap(kind, &body),
        ];
        wrap(SEQUENCE, &message.concat())
    }

    #[test]
    fn an_outlet_is_read_and_switched() {
        let mut device = OneObject(1);
        let set = request(VERSION_1, "private", SET, &oid(5), &write_integer(2));
        assert!(matches!(
            answer(&set, b"private", &mut device),
            Reply::Answer(_)
        ));
        assert_eq!(device.0, 2);
        let get = request(VERSION_1, "private", GET, &oid(5), &wrap(NULL, &[]));
        let expected = request(VERSION_1, "private", RESPONSE, &oid(5), &write_integer(2));
        assert_eq!(
            answer(&get, b"private", &mut device),
            Reply::Answer(expected)
        );
    }

    #[test]
    fn a_wrong_community_is_met_with_silence_and_changes_nothing() {
        let mut device = OneObject(1);
        let set = request(VERSION_1, "public", SET, &oid(5), &write_integer(2));
        assert_eq!(
            answer(&set, b"private", &mut device),
            Reply::Silence("wrong community".to_owned())
        );
        assert_eq!(device.0, 1);
    }

    #[test]
    fn a_walk_ends_as_each_version_wants_it() {
        let mut device = OneObject(1);
        let next = request(VERSION_2C, "private", GET_NEXT, &oid(5), &wrap(NULL, &[]));
        let end = request(
            VERSION_2C,
            "private",
            RESPONSE,
            &oid(5),
            &wrap(END_OF_VIEW, &[]),
        );
        assert_eq!(answer(&next, b"private", &mut device), Reply::Answer(end));
        let next = request(VERSION_1, "private", GET_NEXT, &oid(5), &wrap(NULL, &[]));
        let Reply::Answer(bytes) = answer(&next, b"private", &mut device) else {
            panic!("an answer is due")
        };
        let no_such_name = [write_integer(77), write_integer(2), write_integer(1)].concat();
        assert!(
            bytes
                .windows(no_such_name.len())
                .any(|window| window == no_such_name)
        );
    }

    proptest! {
        #[test]
        fn no_datagram_makes_the_device_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&bytes, b"private", &mut OneObject(1));
        }

        #[test]
        fn no_broken_request_makes_the_device_panic(cut in 0_usize..60, at in 0_usize..60, byte: u8) {
            let mut bytes = request(VERSION_1, "private", GET, &oid(5), &wrap(NULL, &[]));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = answer(&bytes, b"private", &mut OneObject(1));
        }
    }
}
