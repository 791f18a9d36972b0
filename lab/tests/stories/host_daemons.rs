//! The daemons of a host under systemd, on a host that is a member of its cluster as well.

use std::ffi::OsStr;
use std::process::Command;

use quorate_lab::Room;
use quorate_lab::cluster::{self, Packages, quorate};

use crate::stories::packages::{eventually, exposure, property};

/// The units keep their exposure at or below this, on systemd-analyze's scale of 10. The daemon makes networks, volumes and
/// guests for the whole machine and cannot be shut in; the lease process and the keeper of
/// networks can.
const EXPOSURES: [(&str, f64); 3] = [
    ("quorate-lease", 4.0),
    ("quorate-network", 4.0),
    ("quorate-node", 9.0),
];

/// A guest that any host can carry, with a translated processor too, and the little that its host has to keep for itself here.
const GUEST: &str = "apiVersion: quorate.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: guarded\nspec:\n  hypervisor: Qemu\n  memory: 64Mi\n  withoutReserve: true\n";
const SMALL_RESERVE: &str =
    r#"patch node node1 -p '{"spec":{"reserve":{"memory":"64Mi","cpus":"1"}}}'"#;

/// Online, as the cluster says.
pub(super) fn eventually_online(room: &Room) {
    eventually(
        room,
        "the host is online",
        "HOME=/root quorate get node node1 -o 'jsonpath={.status.state}' | grep -x Online",
    );
}

pub(super) fn run_beside_the_member(room: &Room) {
    let host = room.host(1);
    assert_eq!(
        host.run("systemctl is-active quorate-lease quorate-network quorate-node; true")
            .expect("asked"),
        "inactive\ninactive\ninactive",
        "nothing starts before the host has joined"
    );

    let token = quorate(host, "cluster join-token create node node1").expect("a token");
    quorate(host, &format!("join {token} --server 10.20.0.1")).expect("joined");
    cluster::start_host(host).expect("Type=notify: started means that they said so");
    eventually_online(room);

    for (unit, most) in EXPOSURES {
        assert_eq!(property(host, unit, "Type"), "notify");
        assert_eq!(
            host.run(&format!("ps -o user= -C {unit}"))
                .expect("it runs"),
            "root"
        );
        let found = exposure(host, unit);
        assert!(found <= most, "{unit}: {found}");
    }
    let capabilities = host
        .run("grep CapEff /proc/$(pgrep -x quorate-lease)/status | cut -f 2")
        .expect("the kernel's own view");
    let capabilities = u64::from_str_radix(&capabilities, 16).expect("a mask");
    assert!(
        capabilities.count_ones() <= 2,
        "the lease process may do {capabilities:#x}"
    );
    let capabilities = host
        .run("grep CapEff /proc/$(pgrep -x quorate-network)/status | cut -f 2")
        .expect("the kernel's own view");
    const NET_ADMIN: u64 = 1 << 12;
    assert_eq!(u64::from_str_radix(&capabilities, 16), Ok(NET_ADMIN));
    for (place, wanted) in [
        ("/etc/quorate/node", "root:root 700"),
        ("/run/quorate-network", "root:root 700"),
        ("/var/lib/quorate-network", "root:root 700"),
        ("/etc/quorate/node/node.key", "root:root 600"),
        ("/run/quorate-node", "root:root 700"),
    ] {
        let found = host
            .run(&format!("stat -c '%U:%G %a' {place}"))
            .expect("it is there");
        assert_eq!(found, wanted, "{place}");
    }
}

/// The watchdog runs while there is something to protect, and no longer: what the host reports is what the kernel says.
pub(super) fn watchdog_guards_what_is_to_be_recovered(room: &Room) {
    let host = room.host(1);
    let reported = "HOME=/root quorate get node node1 -o 'jsonpath={.status.watchdog.armed}'";
    let kernel = "cat /sys/class/watchdog/watchdog0/state";
    assert_eq!(host.run(kernel).expect("a watchdog"), "inactive");

    quorate(host, SMALL_RESERVE).expect("patched");
    host.write_file(GUEST.as_bytes(), "/root/guest.yaml", 0o644)
        .expect("written");
    quorate(host, "apply -f /root/guest.yaml").expect("applied");
    eventually(
        room,
        "the kernel's watchdog runs",
        &format!("{kernel} | grep -x active"),
    );
    let feeder = host
        .run("ls -l /proc/$(pgrep -x quorate-lease)/fd | grep -c /dev/watchdog0")
        .expect("it holds the hardware watchdog");
    assert_eq!(feeder, "1");
    eventually(
        room,
        "the cluster knows",
        &format!("{reported} | grep -x true"),
    );

    quorate(host, "delete vm guarded").expect("deleted");
    eventually(
        room,
        "the kernel's watchdog is stopped",
        &format!("{kernel} | grep -x inactive"),
    );
    eventually(
        room,
        "the cluster knows that too",
        &format!("{reported} | grep -x false"),
    );
    eventually_online(room);
}

/// An upgrade restarts the daemon; the lease process beats on, and the cluster sees the same incarnation.
pub(super) fn upgrade(room: &Room, packages: &Packages) {
    let host = room.host(1);
    let pid = |unit| property(host, unit, "MainPID");
    let incarnation = || quorate(host, "get node node1 -o 'jsonpath={.status.incarnation}'");
    let (lease, daemon) = (pid("quorate-lease"), pid("quorate-node"));
    let network = pid("quorate-network");
    let before = incarnation().expect("known");

    let later = Later::than(packages);
    let said = later
        .packages
        .install(host)
        .expect("upgraded while it runs");
    assert!(
        said.contains(LATER),
        "an upgrade, not the same once more: {said}"
    );
    let version = host.run("dpkg-query -W -f '${Version}' quorate-node");
    assert_eq!(version.expect("installed"), LATER);

    eventually_online(room);
    assert_eq!(pid("quorate-lease"), lease, "the lease goes on");
    assert_ne!(pid("quorate-node"), daemon, "dpkg has restarted the daemon");
    assert_ne!(
        pid("quorate-network"),
        network,
        "and the keeper of networks"
    );
    assert_eq!(incarnation().expect("known"), before);
}

/// Later than any version that is built.
const LATER: &str = "99.0.0-1";

/// The same packages under a later version, as a release would bring them.
struct Later {
    packages: Packages,
    _directory: tempfile::TempDir,
}

impl Later {
    fn than(packages: &Packages) -> Later {
        let directory = tempfile::tempdir().expect("a directory");
        for file in packages.files() {
            let name = file.file_name().expect("a file").to_string_lossy();
            let name = name.split('_').next().expect("a name");
            let tree = directory.path().join(name);
            deb(&[OsStr::new("-R"), file.as_os_str(), tree.as_os_str()]);
            let control = tree.join("DEBIAN/control");
            let text = std::fs::read_to_string(&control).expect("its control file");
            let lines = text.lines().map(|line| match line.split_once(": ") {
                Some(("Version", _)) => format!("Version: {LATER}\n"),
                _ => format!("{line}\n"),
            });
            std::fs::write(&control, lines.collect::<String>()).expect("written");
            let built = directory.path().join(format!("{name}_{LATER}_amd64.deb"));
            deb(&[
                OsStr::new("-Zgzip"),
                OsStr::new("-z1"),
                OsStr::new("-b"),
                tree.as_os_str(),
                built.as_os_str(),
            ]);
        }
        Later {
            packages: Packages::find(directory.path()).expect("all of them"),
            _directory: directory,
        }
    }
}

fn deb(arguments: &[&OsStr]) {
    let output = Command::new("dpkg-deb")
        .args(arguments)
        .output()
        .expect("dpkg is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
