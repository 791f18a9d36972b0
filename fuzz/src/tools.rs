//! What the programs of a host say.

use quorate_node_daemon::drivers::{drbd, lvm};

pub(crate) fn lvm_report(data: &[u8]) {
    lvm::read_report(&String::from_utf8_lossy(data));
}

pub(crate) fn drbd_events(data: &[u8]) {
    drbd::read_events(&String::from_utf8_lossy(data));
}
