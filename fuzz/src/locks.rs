//! Locks of programs: what the kernel asks, and what other hosts say.

use quorate_node_daemon::locks::record::{self, Record};
use quorate_node_daemon::locks::{Answer, Envelope, Host};

pub(crate) const WORDS: &[&[u8]] = &[
    br#"{"filesystem":77,"packet":{"generation":1,"word":"Hello"}}"#,
    br#"{"filesystem":77,"packet":{"generation":1,"word":{"Welcome":{"arbiter":3}}}}"#,
    br#"{"filesystem":77,"packet":{"generation":1,"word":{"Items":{"session":{"arbiter":1,"life":1,"count":1},"first":0,"items":[{"Has":{"file":5,"token":9,"part":{"range":[0,9],"mode":"Exclusive","pid":7}}},"Whole",{"Lock":{"number":4,"wish":{"file":5,"token":8,"part":{"range":[0,18446744073709551615],"mode":"Shared","pid":7}},"wait":true}},{"Released":{"file":5,"token":9,"range":[3,4]}},{"Taken":4},{"Over":4}]}}}}"#,
    br#"{"filesystem":77,"packet":{"generation":1,"word":{"Outcomes":{"session":{"arbiter":1,"life":1,"count":1},"heard":2,"outcomes":[[0,"Offered"],[1,"Busy"],[2,{"Found":null}]]}}}}"#,
];

/// What a host says, to one that decides and to one that asks.
pub(crate) fn word(bytes: &[u8]) {
    let Ok(mut envelope) = Envelope::from_bytes(bytes) else {
        return;
    };
    let again = envelope.to_bytes().expect("what was read can be written");
    let read = Envelope::from_bytes(&again).expect("what was written can be read");
    assert_eq!(read, envelope);
    envelope.packet.generation = 1;
    for (own, other) in [(1, 2), (2, 1)] {
        let mut host = Host::new(own, []);
        host.resume(false);
        host.start(1, &[1, 2]);
        host.effects();
        for _ in 0..2 {
            host.receive(other, &envelope.packet);
            host.tick();
            host.effects();
        }
    }
}

/// What the kernel asks.
pub(crate) fn question(bytes: &[u8]) {
    let mut asked: Record = [0; record::LENGTH];
    for (to, from) in asked.iter_mut().zip(bytes) {
        *to = *from;
    }
    let Ok(question) = record::question(&asked) else {
        return;
    };
    let filesystem = record::filesystem(&asked);
    if let Some(answer) = record::answer(filesystem, &question, Answer::Done) {
        assert_eq!(record::question(&answer), Ok(question));
    }
}

/// A lock that waits, and a close.
pub(crate) const QUESTIONS: &[&[u8]] = &[
    &[
        1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 56, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 77, 0,
        0, 0, 25, 24, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4,
        5, 6, 7, 8,
    ],
    &[
        1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 56, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 77, 0,
        0, 0, 25, 24, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255,
        127, 1, 2, 3, 4, 5, 6, 7, 8,
    ],
];
