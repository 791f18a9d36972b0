//! The clusters in which mistakes show.

use crate::world::Setup;

pub(super) fn few_hosts(setup: &mut Setup) {
    (setup.hosts, setup.members, setup.guests) = (3, 3, 3);
}

pub(super) fn one_member(setup: &mut Setup) {
    few_hosts(setup);
    setup.members = 1;
}

pub(super) fn watchdogs(setup: &mut Setup) {
    few_hosts(setup);
    setup.watchdog = true;
}

pub(super) fn two_supplies(setup: &mut Setup) {
    few_hosts(setup);
    setup.two_supplies = true;
}

pub(super) fn large_guests(setup: &mut Setup) {
    few_hosts(setup);
    setup.guest_memory = 40;
}

/// Two of the hosts share a filesystem.
pub(super) fn shared_filesystem(setup: &mut Setup) {
    few_hosts(setup);
    setup.sharers = 2;
}

/// Nothing but a filesystem that two of the hosts share: no guest shows first what is wrong.
pub(super) fn shared_filesystem_alone(setup: &mut Setup) {
    shared_filesystem(setup);
    setup.guests = 0;
}

/// Guests that are shut down before they move.
pub(super) fn cold_guests(setup: &mut Setup) {
    few_hosts(setup);
    setup.besides = (1..=setup.guests).map(cold_guest).collect();
}

fn cold_guest(number: usize) -> String {
    format!(
        "apiVersion: quorate.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: vm{number}}}\n\
         spec: {{memory: 2Gi, migration: {{allow: false}}, \
         disks: [{{name: data, volume: data{number}}}]}}\n"
    )
}
