//! Hosts with the distribution's own process 1, for tests of units and packages.

use quorate_lab::description::{Description, Init};
use quorate_lab::request::HostState;
use quorate_lab::{Progress, Room};

use crate::stories::AFTER_A_BOOT;

pub(crate) fn a_host_under_systemd_runs_units_and_shuts_down_at_its_button() {
    let name = format!("systemd-{}", std::process::id());
    let description = Description {
        data_disks_mib: vec![64, 64],
        init: Init::Systemd,
        ..Description::named(&name).hosts(1)
    };
    let progress = Progress::aloud();
    let room = Room::start(&description, &progress).expect("a room");
    println!(
        "    a host with systemd was ready after {:.1} s",
        progress.seconds()
    );
    let host = room.host(1);

    assert_eq!(
        host.run("cat /proc/1/comm").expect("a process 1"),
        "systemd"
    );
    host.run("systemctl is-active dbus.socket systemd-journald.service")
        .expect("they run");
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nDynamicUser=yes\nProtectSystem=strict\n";
    host.write_file(
        unit.as_bytes(),
        "/etc/systemd/system/sandboxed.service",
        0o644,
    )
    .expect("written");
    host.run("systemctl daemon-reload && systemctl start sandboxed.service")
        .expect("a sandboxed unit starts");

    host.press_button().expect("pressed");

    room.eventually("it shuts down in order", AFTER_A_BOOT, |room| {
        let state = room.host(1).state().map_err(|error| error.to_string())?;
        if state == HostState::Off {
            Ok(())
        } else {
            Err(format!("it is {state}"))
        }
    })
    .expect("it shuts down");
    let told = room.timeline(0).expect("a timeline");
    assert!(
        told.iter().any(|entry| entry.text.contains("Power down")),
        "the kernel says so"
    );
}
