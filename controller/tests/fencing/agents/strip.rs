//! A switched outlet strip that speaks SNMP, as `fence_apc_snmp` expects it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use quorate_lab::pdu::{Held, Objects, Oid, Reply, answer};
use tokio::{net::UdpSocket, task::JoinHandle};

pub(super) const COMMUNITY: &str = "very-private";
const OBJECT_ID: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 2, 0];
const RACK_PDU: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 3, 4, 5];
const CONTROL: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 3, 1, 1, 4];
const STATE: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 12, 3, 5, 1, 1, 4];
const ON: i32 = 1;

/// The outlets: whether each is on, and whether it can be switched.
#[derive(Default)]
pub(super) struct Outlets {
    pub(super) on: BTreeMap<u32, bool>,
    pub(super) stuck: bool,
    pub(super) silent: bool,
    pub(super) orders: usize,
}

impl Objects for Outlets {
    fn get(&self, oid: &Oid) -> Option<Held> {
        if oid.0 == OBJECT_ID {
            return Some(Held::ObjectId(Oid(RACK_PDU.to_vec())));
        }
        let rest = oid
            .0
            .strip_prefix(STATE)
            .or_else(|| oid.0.strip_prefix(CONTROL))?;
        let [number] = rest else { return None };
        self.on
            .get(number)
            .map(|on| Held::Integer(if *on { ON } else { 2 }))
    }

    fn next(&self, oid: &Oid) -> Option<Oid> {
        let tables = [CONTROL, STATE].into_iter().flat_map(|table| {
            self.on
                .keys()
                .map(move |number| Oid([table, &[*number]].concat()))
        });
        [Oid(OBJECT_ID.to_vec())]
            .into_iter()
            .chain(tables)
            .filter(|candidate| candidate > oid)
            .min()
    }

    fn set(&mut self, oid: &Oid, value: i32) -> bool {
        let Some([number]) = oid.0.strip_prefix(CONTROL) else {
            return false;
        };
        self.orders += 1;
        let stuck = self.stuck;
        match self.on.get_mut(number) {
            Some(_) if stuck => true,
            Some(on) => {
                *on = value == ON;
                true
            }
            None => false,
        }
    }
}

pub(super) struct Strip {
    pub(super) port: u16,
    outlets: Arc<Mutex<Outlets>>,
    serving: JoinHandle<()>,
}

impl Strip {
    /// A strip with eight outlets that are on.
    pub(super) async fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let port = socket.local_addr().expect("its number").port();
        let outlets = Arc::new(Mutex::new(Outlets {
            on: (1..=8).map(|number| (number, true)).collect(),
            ..Outlets::default()
        }));
        let served = Arc::clone(&outlets);
        let serving = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                let reply = {
                    let mut outlets = served.lock().expect("whole");
                    if outlets.silent {
                        continue;
                    }
                    answer(&buffer[..length], COMMUNITY.as_bytes(), &mut *outlets)
                };
                if let Reply::Answer(bytes) = reply {
                    // The peer may have given up.
                    let _ = socket.send_to(&bytes, peer).await;
                }
            }
        });
        Self {
            port,
            outlets,
            serving,
        }
    }

    pub(super) fn outlets(&self) -> MutexGuard<'_, Outlets> {
        self.outlets.lock().expect("whole")
    }
}

impl Drop for Strip {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
