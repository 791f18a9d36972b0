//! The same against a real kernel, in a network namespace of its own. It needs root; without it, it says so and passes, but
//! not under CI. Bonds and VLANs need a kernel that has them: the machine room's has.

mod cards;
mod elsewhere;
mod firewall;
mod probes;

use elsewhere::until;
use quorate_network::keeper::{Directory, Keeper, Trouble};
use quorate_network::kernel::Kernel;
use quorate_network::model::{BondMode, BondOptions, BridgeOptions, Host, Kind, LacpRate, Mark};
use quorate_network::netlink::{Machine, Watch};
use quorate_network::plan::steps;
use quorate_network::{Card, Wanted};
use std::path::Path;
use std::process::Command;

/// Set in the process that is in the namespace.
const INSIDE: &str = "QUORATE_TEST_INSIDE_NAMESPACE";

/// Runs the test of that name once more, in a namespace with four cards. Says whether this is that run.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        for card in 0..4 {
            let (card, far) = (format!("card{card}"), format!("far{card}"));
            ip(&format!("link add {card} type veth peer name {far}"));
            ip(&format!("link set {far} up"));
        }
        return true;
    }
    let allowed = Command::new("unshare")
        .args(["--net", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        let words = "no network namespace can be made here: it takes root and unshare";
        assert!(std::env::var_os("CI").is_none(), "{words}");
        println!("skipped: {words}");
        return false;
    }
    let own = std::env::current_exe().expect("this program");
    // The kernel's tree of devices shows the namespace in which it was mounted.
    let script = r#"mount -t sysfs sysfs /sys && exec "$0" "$@""#;
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script])
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("it runs");
    let words = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{words}");
    assert!(output.status.success(), "{words}{errors}");
    false
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).output();
    status.is_ok_and(|output| output.status.success())
}

/// What `ip` says, for eyes that are not ours.
fn said(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    String::from_utf8(output.expect("ip runs").stdout).expect("text")
}

fn network(name: &str, cards: &[&str], address: &str) -> Wanted {
    Wanted {
        network: name.to_owned(),
        cards: cards
            .iter()
            .map(|device| Card {
                name: format!("nic-{device}"),
                mac: None,
                path: None,
                device: Some((*device).to_owned()),
            })
            .collect(),
        parent: None,
        bond: None,
        vlan: None,
        bridge: None,
        mtu: 1500,
        addresses: vec![address.parse().expect("an address")],
        gateway: None,
        guard: None,
        rollback_after: 30_000,
    }
}

/// What can be configured; carriers come and go.
fn configured(mut host: Host) -> Host {
    for link in host.links.values_mut() {
        link.seen = quorate_network::model::Seen::default();
    }
    host
}

/// Applies it, and holds the model to what the kernel made of it.
fn applied(keeper: &mut Keeper<Machine, Directory>, wanted: &Wanted, now: u64) {
    let mut foreseen = Machine.observe().expect("seen");
    let former = keeper.records().given(&wanted.network);
    let layout = wanted.layout(&foreseen, &former).expect("possible");
    for step in steps(&foreseen.clone(), &layout.desired).expect("possible") {
        println!("{step}");
        for change in &step.changes {
            foreseen.change(change).expect("possible");
        }
    }
    keeper.apply(wanted, now).expect("applied");
    let mut shown = configured(Machine.observe().expect("seen"));
    let mut foreseen = configured(foreseen);
    for host in [&mut shown, &mut foreseen] {
        // The first card gives a port of a bridge its cost, by its speed.
        for link in host.links.values_mut() {
            link.path_cost = None;
            // What a card that leaves a bond gets back, the kernel has remembered since it joined.
            if link.master.is_none() && link.mark == Mark::None {
                link.mtu = 0;
            }
        }
    }
    assert_eq!(shown.links, foreseen.links);
    assert_eq!(shown.routes, foreseen.routes);
}

fn keeper(dir: &Path) -> Keeper<Machine, Directory> {
    Keeper::begin(Machine, Directory(dir.to_owned()), "this boot", 0).expect("it begins")
}

#[test]
fn a_bridge_comes_changes_and_goes_in_a_real_kernel() {
    if !inside("a_bridge_comes_changes_and_goes_in_a_real_kernel") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut keeper = keeper(dir.path());
    assert!(ip("link add virbr0 type bridge"));
    assert!(ip("address add 192.168.7.1/24 dev virbr0"));
    let watch = Watch::begin().expect("it listens");
    // The kernel tells of the cards' carriers in its own time.
    until("quiet", || !watch.drain().expect("heard"));

    let plain = Wanted {
        gateway: Some("10.20.255.254".parse().expect("an address")),
        ..network("ifn", &["card0"], "10.20.0.1/16")
    };
    applied(&mut keeper, &plain, 0);
    keeper.keep("ifn").expect("kept");
    assert!(watch.drain().expect("heard"), "the kernel said nothing");
    assert!(said("route").contains("default via 10.20.255.254 dev card0 proto 81"));
    assert!(said("link show card0").contains("alias quorate:ifn"));

    let bridged = Wanted {
        bridge: Some(("br-ifn".to_owned(), BridgeOptions::default(), 19)),
        mtu: 1400,
        ..plain.clone()
    };
    applied(&mut keeper, &bridged, 1_000);
    assert!(said("address show br-ifn").contains("10.20.0.1/16"));
    assert!(!said("address show card0").contains("10.20.0.1/16"));
    assert!(said("route").contains("dev br-ifn proto 81"));
    // Nobody keeps it.
    keeper.tick(31_000);
    assert!(!said("link").contains("br-ifn"));
    assert!(said("route").contains("default via 10.20.255.254 dev card0 proto 81"));
    let again = keeper.apply(&bridged, 32_000).expect_err("taken back");
    assert!(matches!(again, Trouble::TakenBack(_)), "{again}");

    let moved = Wanted {
        gateway: plain.gateway,
        ..network("ifn", &["card0"], "10.20.0.9/16")
    };
    applied(&mut keeper, &moved, 40_000);
    keeper.keep("ifn").expect("kept");
    assert!(!said("address show card0").contains("10.20.0.1/16"));

    applied(
        &mut keeper,
        &network("sn", &["card1"], "10.10.0.1/16"),
        50_000,
    );
    keeper.keep("sn").expect("kept");
    keeper.remove("ifn", 60_000).expect("removed");
    assert!(!said("address show card0").contains("10.20"));
    // Nobody keeps it.
    keeper.tick(90_000);
    assert!(said("address show card0").contains("10.20.0.9/16"));
    assert!(said("route").contains("default via 10.20.255.254 dev card0 proto 81"));
    let again = keeper.remove("ifn", 91_000).expect_err("it was put back");
    assert!(matches!(again, Trouble::PutBack(_)), "{again}");
    keeper.apply(&moved, 92_000).expect("it is there");
    keeper.remove("ifn", 93_000).expect("removed");
    keeper.keep("ifn").expect("kept");
    assert!(!said("address show card0").contains("10.20"));
    assert!(!said("route").contains("proto 81"));
    assert!(said("address show virbr0").contains("192.168.7.1/24"));
}

#[test]
fn a_bond_with_vlans_lives_in_a_kernel_that_has_them() {
    if !inside("a_bond_with_vlans_lives_in_a_kernel_that_has_them") {
        return;
    }
    if !ip("link add probe type bond") {
        println!("skipped: this kernel has no bonds; the machine room's has");
        return;
    }
    assert!(ip("link del probe"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut keeper = keeper(dir.path());
    let options = BondOptions {
        primary: Some("nic-card1".to_owned()),
        up_delay: 120_000,
        gratuitous_arps: 3,
        ..BondOptions::default()
    };
    let bonded = Wanted {
        bond: Some(("bond-bcn".to_owned(), options.clone())),
        ..network("bcn", &["card0", "card1"], "10.20.0.1/16")
    };
    applied(&mut keeper, &network("bcn", &["card0"], "10.20.0.1/16"), 0);
    keeper.keep("bcn").expect("kept");
    applied(&mut keeper, &bonded, 0);
    keeper.keep("bcn").expect("kept");
    let words = said("-d link show bond-bcn");
    assert!(words.contains("mode active-backup"), "{words}");
    assert!(words.contains("updelay 120000"), "{words}");
    assert!(words.contains("primary card1"), "{words}");

    let swapped = Wanted {
        mtu: 1600,
        ..Wanted {
            bond: Some((
                "bond-bcn".to_owned(),
                BondOptions {
                    primary: Some("nic-card2".to_owned()),
                    ..options.clone()
                },
            )),
            ..network("bcn", &["card0", "card2"], "10.20.0.1/16")
        }
    };
    applied(&mut keeper, &swapped, 0);
    keeper.keep("bcn").expect("kept");
    let vlan = Wanted {
        cards: Vec::new(),
        parent: Some("bcn".to_owned()),
        vlan: Some(("sn.100".to_owned(), 100)),
        bridge: Some(("br-sn".to_owned(), BridgeOptions::default(), 19)),
        ..network("sn", &[], "10.10.0.1/16")
    };
    applied(&mut keeper, &vlan, 0);
    keeper.keep("sn").expect("kept");
    assert!(said("-d link show sn.100").contains("id 100"));

    let other_mode = Wanted {
        bond: Some((
            "bond-bcn".to_owned(),
            BondOptions {
                mode: BondMode::Lacp,
                primary: None,
                lacp_rate: Some(LacpRate::Fast),
                ..options
            },
        )),
        ..swapped
    };
    applied(&mut keeper, &other_mode, 0);
    assert!(said("-d link show bond-bcn").contains("mode 802.3ad"));
    keeper.tick(31_000);
    assert!(said("-d link show bond-bcn").contains("mode active-backup"));
    let host = Machine.observe().expect("seen");
    let bond = host.links.get("bond-bcn").expect("there");
    assert!(matches!(&bond.kind, Kind::Bond(now) if now.mode == BondMode::ActiveBackup));
}
