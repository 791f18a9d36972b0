//! The daemons of a host under systemd, on a host that is a member of its cluster as well.

use quorate_lab::Room;
use quorate_lab::cluster::{self, Packages, quorate};

use crate::stories::packages::{eventually, exposure, property};

/// Both units keep their exposure at or below this, on systemd-analyze's scale of 10. The daemon makes networks, volumes and
/// guests for the whole machine and cannot be shut in; the lease process can.
const EXPOSURES: [(&str, f64); 2] = [("quorate-lease", 4.0), ("quorate-node", 9.0)];

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
        host.run("systemctl is-active quorate-lease quorate-node; true")
            .expect("asked"),
        "inactive\ninactive",
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
    for (place, wanted) in [
        ("/etc/quorate/node", "root:root 700"),
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
    let before = incarnation().expect("known");

    packages.install(host).expect("upgraded while it runs");

    eventually_online(room);
    assert_eq!(pid("quorate-lease"), lease, "the lease goes on");
    assert_ne!(pid("quorate-node"), daemon, "dpkg has restarted the daemon");
    assert_eq!(incarnation().expect("known"), before);
}
