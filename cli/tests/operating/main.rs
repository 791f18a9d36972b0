//! Commands that steer a cluster, against members, hosts, fence devices and disks that are simulated as programs of their
//! own: what a person types, and what the screen then shows.
//!
//! `UPDATE_GENERATED=1` writes the transcripts anew.

mod consoles;
mod site;
mod transcript;

#[test]
fn a_host_is_emptied_fenced_and_taken_back() {
    transcript::play("hosts");
}

#[test]
fn guests_are_stopped_started_and_moved() {
    transcript::play("guests");
}

#[test]
fn what_would_happen_and_why_things_are_as_they_are_is_told() {
    transcript::play("foresight");
}
