use quorate_proto::heartbeat::{Beat, DaemonState, Grant, HeartbeatKey, MAX_LENGTH};
use std::net::UdpSocket;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

pub(crate) const KEY: [u8; 32] = [9; 32];
const LEASE_MS: u32 = 60_000;

/// What a member hears. It grants a lease for every beat.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) address: String,
    heard: Arc<(Mutex<Vec<Heard>>, Condvar)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Never less than the boot-time clock's milliseconds when the beat was sent.
    pub(crate) sequence: u64,
    pub(crate) ring: u8,
    pub(crate) daemon: DaemonState,
}

impl Member {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        let member = Self {
            address: format!("127.0.0.1:{port}"),
            heard: Arc::default(),
        };
        let heard = Arc::clone(&member.heard);
        std::thread::spawn(move || listen(&socket, &heard));
        member
    }

    /// The same, reached by a name that must be looked up.
    pub(crate) fn by_name(&self) -> String {
        self.address.replace("127.0.0.1", "localhost")
    }

    /// Waits until what was heard is such.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let (heard, more) = &*self.heard;
        let guard = heard.lock().expect("unpoisoned");
        let (guard, waited) = more
            .wait_timeout_while(guard, Duration::from_secs(120), |heard| !so(heard))
            .expect("unpoisoned");
        assert!(!waited.timed_out(), "never {what}: {:?}", guard.last());
        guard.clone()
    }

    /// From now on.
    pub(crate) fn forget(&self) {
        self.heard.0.lock().expect("unpoisoned").clear();
    }
}

fn listen(socket: &UdpSocket, heard: &(Mutex<Vec<Heard>>, Condvar)) {
    let key = HeartbeatKey::new(&KEY);
    let mut buffer = [0; MAX_LENGTH];
    let mut answer = [0; MAX_LENGTH];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        Beat::verify(&buffer[..length], &key).expect("authentic");
        let beat = Beat::decode(&buffer[..length]).expect("a beat");
        let grant = Grant {
            ring: beat.ring,
            sequence: beat.sequence,
            term: 1,
            member: 1,
            lease_ms: LEASE_MS,
            lowest_valid_generation: 4,
            incarnation: beat.incarnation,
        };
        let length = grant.encode(&key, &mut answer);
        socket.send_to(&answer[..length], from).expect("sent");
        heard.0.lock().expect("unpoisoned").push(Heard {
            sequence: beat.sequence,
            ring: beat.ring,
            daemon: beat.daemon,
        });
        heard.1.notify_all();
    }
}
