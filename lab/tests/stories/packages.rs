//! Our Debian packages on hosts: under systemd as on real ones, and under the room's own process 1.

use std::path::PathBuf;
use std::time::Duration;

use quorate_lab::cluster::{self, Packages, quorate};
use quorate_lab::description::{Description, Init};
use quorate_lab::request::HostState;
use quorate_lab::{Host, Progress, Room};

use crate::stories::{AFTER_A_BOOT, host_daemons};

/// The unit's sandbox keeps its exposure at or below this, on systemd-analyze's scale of 10.
const EXPOSURE: f64 = 2.0;

/// How long a member may take for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// Something to keep.
const ROLE: &str = "apiVersion: quorate.dev/v1alpha1\nkind: Role\nmetadata:\n  name: kept\nspec:\n  rules:\n  - kinds: [virtualmachines]\n    verbs: [get]\n";

/// Where the packages are, or nothing when they have not been built.
pub(crate) fn built() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| {
        // target/debug/deps/room-…
        let target = own.ancestors().nth(3)?;
        Some(target.join("debian"))
    });
    let directory = std::env::var_os("QUORATE_LAB_PACKAGES")
        .map(PathBuf::from)
        .or(beside)?;
    Packages::find(&directory).is_ok().then_some(directory)
}

pub(super) fn packages() -> Packages {
    let directory = built().expect("the story is skipped where no packages are built");
    Packages::find(&directory).expect("they were there just now")
}

fn room(name: &str, hosts: u8, init: Init) -> Room {
    let name = format!("{name}-{}", std::process::id());
    let description = Description {
        data_disks_mib: vec![64, 64],
        init,
        ..Description::named(&name).hosts(hosts)
    };
    Room::start(&description, &Progress::aloud()).expect("a room")
}

pub(super) fn eventually(room: &Room, condition: &str, command: &str) -> String {
    room.eventually(condition, PATIENCE, |room| room.host(1).run(command))
        .expect("it comes about")
}

pub(super) fn property(host: Host<'_>, unit: &str, name: &str) -> String {
    host.run(&format!(
        "systemctl show --value --property={name} {unit}.service"
    ))
    .expect("a unit")
}

/// How much of the host a unit could reach, on systemd-analyze's scale of 10.
pub(super) fn exposure(host: Host<'_>, unit: &str) -> f64 {
    let verdict = host
        .run(&format!(
            "systemd-analyze security --no-pager {unit}.service | tail -1"
        ))
        .expect("an analysis");
    let exposure = verdict
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no figure in {verdict:?}"));
    println!("    exposure of {unit}: {exposure} of 10");
    exposure
}

pub(crate) fn packages_install_run_upgrade_and_go_as_debian_expects() {
    let packages = packages();
    let room = room("packages", 1, Init::Systemd);
    let host = room.host(1);

    packages
        .install(host)
        .expect("dpkg installs them without a mirror");
    assert_eq!(
        host.run("systemctl is-enabled quorated; systemctl is-active quorated; true")
            .expect("asked"),
        "disabled\ninactive",
        "nothing starts before there is a cluster"
    );
    assert_eq!(
        host.run("getent passwd quorate | cut -d : -f 6,7")
            .expect("a user"),
        "/var/lib/quorate:/usr/sbin/nologin"
    );

    quorate(host, "init --cluster-name packages --address 10.20.0.1").expect("founded");
    cluster::start_member(host).expect("Type=notify: started means that it said so");
    eventually(&room, "it leads", "HOME=/root quorate cluster status");
    assert_eq!(property(host, "quorated", "Type"), "notify");
    assert_eq!(
        host.run("ps -o user= -C quorated").expect("it runs"),
        "quorate"
    );
    assert_modes(host);
    assert_sandbox(host);

    host.write_file(ROLE.as_bytes(), "/root/role.yaml", 0o644)
        .expect("written");
    quorate(host, "apply -f /root/role.yaml").expect("applied");
    let before = property(host, "quorated", "MainPID");
    packages.install(host).expect("upgraded with data there");
    eventually(
        &room,
        "the member is back with its data",
        "HOME=/root quorate get role kept",
    );
    assert_ne!(
        property(host, "quorated", "MainPID"),
        before,
        "dpkg has restarted it"
    );

    host_daemons::run_beside_the_member(&room);
    host_daemons::watchdog_guards_what_is_to_be_recovered(&room);
    host_daemons::upgrade(&room, &packages);

    host.run("dpkg --remove quorated quorate-node quorate")
        .expect("removed");
    for program in [
        "quorated",
        "quorate-node",
        "quorate-lease",
        "quorate-network",
    ] {
        host.run(&format!(
            "! pgrep -x {program} && test ! -e /usr/bin/{program}"
        ))
        .expect("the daemons are stopped and gone");
    }
    let said = host
        .run("dpkg --purge quorated quorate-node 2>&1")
        .expect("purged");
    for directory in ["/var/lib/quorate", "/etc/quorate", "/etc/quorate/node"] {
        assert!(said.contains(&format!("{directory} is kept")), "{said}");
        host.run(&format!("test -n \"$(ls -A {directory})\""))
            .expect("the cluster's state is for a person to delete");
    }

    packages.install(host).expect("installed again");
    host.run("systemctl start quorated quorate-node")
        .expect("started");
    eventually(
        &room,
        "the data is there again",
        "HOME=/root quorate get role kept",
    );
    host_daemons::eventually_online(&room);
}

fn assert_modes(host: Host<'_>) {
    for (place, wanted) in [
        ("/etc/quorate", "quorate:quorate 700"),
        ("/etc/quorate/pki", "quorate:quorate 700"),
        ("/var/lib/quorate", "quorate:quorate 700"),
        ("/var/log/quorate", "quorate:quorate 700"),
    ] {
        let found = host
            .run(&format!("stat -c '%U:%G %a' {place}"))
            .expect("it is there");
        assert_eq!(found, wanted, "{place}");
    }
    let said = host
        .run("journalctl --no-pager --boot --unit quorated.service")
        .expect("a journal");
    assert!(said.contains("Started quorated.service"), "{said}");
    assert!(
        !said.contains("mode is different"),
        "the unit and the package mean other modes: {said}"
    );
    let open = host
        .run("find /etc/quorate/pki /var/lib/quorate -type f -perm /077 ! -name '*.crt'")
        .expect("looked");
    assert_eq!(open, "", "nobody else may read keys or data");
}

fn assert_sandbox(host: Host<'_>) {
    let exposure = exposure(host, "quorated");
    assert!(exposure <= EXPOSURE, "{exposure}");
    for (name, wanted) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateDevices", "yes"),
        ("CapabilityBoundingSet", ""),
    ] {
        assert_eq!(property(host, "quorated", name), wanted, "{name}");
    }
    let capabilities = host
        .run("grep CapEff /proc/$(pgrep -x quorated)/status | cut -f 2")
        .expect("the kernel's own view");
    assert_eq!(capabilities, "0000000000000000");
}

pub(crate) fn members_from_packages_come_back_after_a_loss_of_mains() {
    let room = room("members", 3, Init::Script);
    let context =
        cluster::found(&room, &packages(), &Progress::aloud()).expect("a cluster of three");
    let members = quorate(room.host(1), "cluster members").expect("listed");
    for (name, role) in [
        ("node1", "leader"),
        ("node2", "voter"),
        ("node3", "witness"),
    ] {
        let line = members
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("{name} is not among\n{members}"));
        assert!(line.to_lowercase().contains(role), "{line}");
    }

    room.host(2)
        .copy_in(&context, "/root/.config/quorate/config.yaml")
        .expect("the administrator goes to node2");
    room.host(2)
        .write_file(ROLE.as_bytes(), "/root/role.yaml", 0o644)
        .expect("written");

    room.host(1).lose_mains().expect("dark");
    room.eventually("the others take over", PATIENCE, |room| {
        quorate(room.host(2), "apply -f /root/role.yaml")
    })
    .expect("writes go on with two of three");
    room.host(1).restore_mains().expect("power");
    room.eventually("node1 is up", AFTER_A_BOOT, |room| {
        match room.host(1).state().map_err(|error| error.to_string())? {
            HostState::Up => Ok(()),
            other => Err(format!("it is {other}")),
        }
    })
    .expect("up");
    eventually(
        &room,
        "node1 knows what was written while it was dark",
        "HOME=/root quorate get role kept",
    );
}
