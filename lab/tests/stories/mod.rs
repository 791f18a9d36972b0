//! What is told of the room.

mod above;
mod broken_off;
mod cables;
mod commands;
mod counting;
mod desk;
mod disks;
mod failing;
mod fencing;
mod guests;
mod guests_by_driver;
mod host_daemons;
mod kernel;
mod ledger;
mod leftovers;
mod links;
mod linux;
mod networks;
pub(crate) mod packages;
pub(crate) mod pair;
mod pdus;
mod power;
mod recovery;
mod servers;
mod shared;
mod shared_guest;
mod shared_locks;
mod shared_stress;
mod storage;
mod systemd;
mod witness;

use std::thread;
use std::time::{Duration, Instant};

use self::pair::service;
use quorate_lab::counter::Said;
use quorate_lab::{LabError, Output, Room};

/// Where a story plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In a room with two hosts that it shares.
    TwoHosts,
    /// It makes its own rooms.
    Alone,
    /// The same, and it needs Quorate's Debian packages.
    Packages,
    /// In a room that it shares, whose two hosts are a cluster from those packages.
    Pair,
}

/// The smallest set that a story belongs to; the larger ones have it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// Three stories at most, for every test run on a machine that can.
    Smoke,
    /// Ten minutes at most.
    Quick,
    /// Everything.
    All,
}

/// One story.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) stage: Stage,
    pub(crate) set: Set,
    pub(crate) tell: fn(Option<&Room>),
}

macro_rules! stories {
    ($all:ident: $($stage:ident $set:ident $module:ident :: $name:ident;)*) => {
        pub(crate) const $all: &[Story] = &[$(Story {
            name: stringify!($name),
            stage: Stage::$stage,
            set: Set::$set,
            tell: |room| stories!(@ $stage $module::$name room),
        }),*];
    };
    (@ TwoHosts $module:ident :: $name:ident $room:ident) => {
        $module::$name($room.expect("a story of this stage has a room"))
    };
    (@ Pair $module:ident :: $name:ident $room:ident) => {
        stories!(@ TwoHosts $module::$name $room)
    };
    (@ Packages $module:ident :: $name:ident $room:ident) => {
        stories!(@ Alone $module::$name $room)
    };
    (@ Alone $module:ident :: $name:ident $room:ident) => {{
        debug_assert!($room.is_none());
        $module::$name()
    }};
}

stories! { STORIES:
    TwoHosts Quick commands::a_command_has_its_streams_and_its_exit_code;
    TwoHosts Quick commands::a_large_file_arrives_whole;
    TwoHosts Smoke commands::two_hosts_from_one_template_are_two_hosts;
    TwoHosts Quick commands::the_command_line_shows_the_room_and_reaches_into_it;
    TwoHosts Quick commands::every_hand_and_its_undo_are_on_the_command_line;
    TwoHosts Smoke cables::a_cut_cable_loses_its_carrier_and_the_bond_fails_over;
    TwoHosts Quick cables::a_black_hole_keeps_its_carrier_and_swallows_everything;
    TwoHosts Quick cables::a_dead_switch_takes_all_its_cables_and_comes_back_bouncing;
    TwoHosts All cables::a_disturbed_cable_is_late_and_loses;
    TwoHosts Quick cables::what_is_broken_stays_so_over_a_power_cycle;
    TwoHosts Quick disks::a_failing_disk_returns_errors_until_it_is_healed;
    TwoHosts All disks::a_slow_disk_is_slow_until_it_is_healed;
    TwoHosts All disks::a_full_file_system_refuses_to_write_until_there_is_room;
    TwoHosts All disks::logical_volumes_come_and_go_with_their_names;
    TwoHosts Quick kernel::a_killed_process_is_gone_until_it_is_revived;
    TwoHosts Quick kernel::a_stepped_clock_is_set_right_again_by_the_hardware;
    TwoHosts Quick kernel::a_frozen_host_answers_nobody_until_it_thaws;
    TwoHosts Quick kernel::a_hung_kernel_answers_nobody_and_its_bmc_switches_it_off;
    TwoHosts All kernel::the_watchdog_resets_a_hung_host;
    TwoHosts All kernel::a_crashed_kernel_says_so_and_boots_again;
    TwoHosts All kernel::an_unfed_watchdog_resets_the_host;
    TwoHosts Quick power::a_host_lives_on_one_feed_and_dies_without_both;
    TwoHosts All power::the_power_button_shuts_down_and_starts_and_cuts_when_held;
    TwoHosts Smoke servers::fence_ipmilan_switches_a_host_from_its_peer;
    TwoHosts Quick servers::fence_ipmilan_fails_as_with_a_real_bmc;
    TwoHosts Quick servers::a_lying_bmc_lets_the_agents_succeed_while_the_host_runs_on;
    TwoHosts Quick servers::fence_redfish_switches_a_host_and_fails_as_with_a_real_bmc;
    TwoHosts Quick servers::fence_redfish_does_not_succeed_on_an_unreachable_bmc;
    TwoHosts Quick pdus::fence_apc_snmp_takes_the_power_when_both_outlets_are_off;
    TwoHosts Quick pdus::fence_apc_snmp_fails_as_with_a_real_pdu;
    TwoHosts Quick pdus::welded_relays_let_the_agent_succeed_while_the_host_runs_on;
    TwoHosts Quick networks::bonds_vlans_and_bridges_live_in_its_kernel;
    TwoHosts All guests::a_counter_migrates_over_dual_primary_drbd_without_missing_a_count;
    TwoHosts All linux::a_linux_guest_moves_with_libvirt_and_shuts_down_at_its_button;
    TwoHosts All storage::a_volume_is_made_written_cut_off_caught_up_grown_and_removed;
    TwoHosts All storage::when_both_sides_have_written_one_is_kept_aside_and_given_up;
    TwoHosts All storage::a_volume_made_from_a_snapshot_holds_what_that_holds;
    TwoHosts All above::a_volume_group_on_a_replicated_device_is_used_by_both_hosts_each_its_part;
    TwoHosts All guests_by_driver::a_guest_moves_there_and_back_and_its_libvirts_die_and_it_is_never_two;
    Alone Quick guests::a_counter_goes_on_from_its_disk_when_it_is_started_again;
    Alone Quick guests::a_counter_boots_from_a_virtio_disk_and_goes_on_from_it;
    Alone Quick guests::a_counter_does_not_say_what_its_disk_has_refused;
    Alone Quick guests::a_counter_goes_on_from_its_disk_when_one_request_has_failed;
    Alone Quick guests::two_counters_on_one_disk_are_found_out;
    Alone All linux::a_linux_guest_counts_until_its_button_and_goes_on_from_its_disk;
    Alone All systemd::a_host_under_systemd_runs_units_and_shuts_down_at_its_button;
    Packages All packages::packages_install_run_upgrade_and_go_as_debian_expects;
    Packages All packages::members_from_packages_come_back_after_a_loss_of_mains;
    Packages All fencing::a_lost_host_is_shot_by_its_cluster_with_the_first_device_that_proves_it;
    Packages All recovery::a_guest_goes_on_elsewhere_with_all_it_was_told_is_written_when_its_host_loses_power;
    Packages All recovery::a_guest_on_a_part_of_a_replicated_volume_goes_on_elsewhere_with_all_it_was_told_is_written;
    Packages All links::cables_switches_and_wrong_manifests_fence_nobody_and_leave_no_host_cut_off;
    Packages All broken_off::a_change_that_is_broken_off_leaves_the_old_network_or_the_new_one;
    Packages All witness::a_witness_alone_is_not_missed_and_without_it_and_a_host_a_person_decides;
    Packages All shared::a_shared_filesystem_survives_the_loss_of_a_host_that_writes_to_it;
    Packages All shared_guest::a_guest_whose_disk_is_a_file_moves_while_it_runs_and_goes_on_when_its_host_is_lost;
    Packages All shared_locks::programs_on_two_hosts_lock_pieces_of_one_file_whatever_daemons_and_hosts_are_lost;
    Packages All shared_stress::a_shared_filesystem_is_whole_after_ten_minutes_of_stress_and_the_loss_of_a_host;
    Pair All pair::the_crash_of_a_half_is_survived_by_the_other;
    Pair All pair::a_half_whose_board_dies_with_it_is_proven_off_by_its_outlets;
    Pair All pair::of_two_halves_that_are_cut_apart_one_is_shot;
    Pair All pair::a_half_that_hears_and_is_not_heard_is_shot;
    Pair All pair::a_half_that_hangs_and_wakes_while_it_is_shot_does_nothing_more;
    Pair All pair::a_pair_that_lost_all_power_goes_on_when_both_are_back;
    Pair All pair::nobody_goes_on_while_no_device_can_prove_the_other_half_off;
    Pair All service::a_guest_goes_on_over_the_network_when_the_disk_below_it_fails;
    Pair All service::a_guest_that_dies_is_started_again_twice_and_then_elsewhere;
    Pair All service::a_host_is_emptied_and_taken_out_and_comes_back_and_no_guest_restarts;
    Pair All service::storage_that_was_stopped_counts_for_nothing_until_it_has_caught_up;
    Pair All service::no_guest_notices_which_daemons_are_killed;
    Pair All service::when_both_halves_have_written_a_person_says_which_data_is_given_up;
    Alone Quick leftovers::rooms_that_end_leave_nothing_behind;
    Alone Quick leftovers::a_room_that_is_interrupted_or_put_down_leaves_nothing_behind;
    Alone Quick leftovers::a_room_that_fails_to_start_is_built_once_more_and_says_so;
    Alone Quick leftovers::a_failed_story_prints_and_keeps_what_happened_and_the_next_does_too;
    Alone All leftovers::two_rooms_do_not_disturb_each_other;
    Alone Quick leftovers::rooms_that_are_killed_leave_nothing_that_clean_does_not_remove;
    Alone Quick leftovers::what_is_killed_while_it_fills_the_cache_leaves_nothing_that_clean_does_not_remove;
}

/// With this in the environment those are told that fail.
pub(crate) const FAILING_VARIABLE: &str = "QUORATE_LAB_FAILING";

stories! { FAILING:
    TwoHosts All failing::one_fails_after_a_hand;
    TwoHosts All failing::another_fails_after_a_hand;
}

/// What of this kind the machine has outside of any room.
pub(crate) fn links_and_mounts() -> (Vec<String>, String) {
    let links = std::fs::read_dir("/sys/class/net").expect("a list of links");
    let mut links: Vec<String> = links
        .flatten()
        .map(|link| link.file_name().to_string_lossy().into_owned())
        .collect();
    links.sort();
    (
        links,
        std::fs::read_to_string("/proc/self/mounts").expect("a list of mounts"),
    )
}

/// Long enough for anything that does not boot, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// Long enough for a cold boot on a machine that is busy.
pub(crate) const AFTER_A_BOOT: Duration = Duration::from_secs(600);

/// What a guest has said, as soon as `seen` is content with it.
pub(crate) fn heard_in_time(
    what: &str,
    patience: Duration,
    said: impl Fn() -> Vec<Said>,
    seen: impl Fn(&[Said]) -> bool,
) -> Vec<Said> {
    let begun = Instant::now();
    loop {
        let said = said();
        if seen(&said) {
            return said;
        }
        assert!(
            begun.elapsed() < patience,
            "{what} was never said: {said:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a program succeeded, with what it printed when it did not.
pub(crate) fn succeeded(output: Result<Output, LabError>) -> Result<(), String> {
    let output = output.map_err(|error| error.to_string())?;
    if output.code == 0 {
        return Ok(());
    }
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("exit code {}: {out} {err}", output.code))
}

/// Whether one host reaches an address.
pub(crate) fn reaches(room: &Room, host: u8, address: &str) -> Result<(), String> {
    succeeded(room.host(host).exec(&format!("ping -q -c1 -W1 {address}")))
}

/// The opposite.
pub(crate) fn does_not_reach(room: &Room, host: u8, address: &str) -> Result<(), String> {
    match reaches(room, host, address) {
        Ok(()) => Err(format!("node{host} reaches {address}")),
        Err(_) => Ok(()),
    }
}
