//! What is open, as others find it. It takes `nft`; without it, it says so and passes, but not under CI.

use crate::elsewhere::Elsewhere;
use crate::{inside, ip};
use quorate_network::firewall::{Guard, Nft, NftError, Opening, Table, Target, Transport};
use quorate_network::kernel::Kernel;
use quorate_network::netlink::Machine;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

fn nft(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut to = child.stdin.take().expect("its input");
    to.write_all(input.as_bytes()).expect("written");
    drop(to);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "nft {arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn only_what_is_open_is_open() {
    if matches!(Nft::default().mark(), Err(NftError::NotInstalled)) {
        let words = "nft is not installed here";
        assert!(std::env::var_os("CI").is_none(), "{words}");
        println!("skipped: {words}");
        return;
    }
    if !inside("firewall::only_what_is_open_is_open") {
        return;
    }
    let peer = Elsewhere::with(&["far0"]);
    peer.ip("addr add 10.20.0.2/16 dev far0");
    let guest = Elsewhere::with(&["far1"]);
    guest.ip("addr add 10.255.0.9/16 dev far1");
    guest.ip("route add default via 10.255.0.1");
    for (card, address) in [("card0", "10.20.0.1/16"), ("card1", "10.255.0.1/16")] {
        assert!(ip(&format!("addr add {address} dev {card}")));
        assert!(ip(&format!("link set {card} up")));
    }
    let _api = TcpListener::bind("0.0.0.0:7443").expect("free");
    let _other = TcpListener::bind("0.0.0.0:9999").expect("free");
    let foreign =
        "table inet foreign {\n chain input {\n type filter hook input priority 10;\n }\n}\n";
    nft(&["-f", "-"], foreign);
    assert!(peer.connects("10.20.0.1", 9999), "nothing is closed yet");
    assert!(guest.connects("10.20.0.1", 7443), "nor to guests");

    let cluster = Guard {
        openings: vec![Opening {
            protocol: Transport::Tcp,
            first: 7443,
            last: 7443,
            sources: vec!["10.20.0.0/16".parse().expect("a subnet")],
        }],
        closed_to_guests: true,
    };
    let outside = Guard {
        openings: vec![Opening {
            protocol: Transport::Tcp,
            first: 9999,
            last: 9999,
            sources: Vec::new(),
        }],
        closed_to_guests: false,
    };
    let own = ["10.20.0.1/16".parse().expect("an address")];
    let both = [
        Target {
            network: "bcn",
            device: "card0",
            addresses: &own,
            guard: &cluster,
        },
        Target {
            network: "ifn",
            device: "card1",
            addresses: &[],
            guard: &outside,
        },
    ];
    let table = Table::of(&both);
    Machine.guard(&table).expect("taken");
    assert_eq!(Machine.firewall().expect("seen"), table.mark);
    assert!(peer.connects("10.20.0.1", 7443));
    assert!(peer.is_kept_out("10.20.0.1", 9999), "closed");
    assert!(guest.connects("10.255.0.1", 9999));
    assert!(
        guest.is_kept_out("10.255.0.1", 7443),
        "no port of the cluster's"
    );
    assert!(
        guest.is_kept_out("10.20.0.1", 9999),
        "the cluster's address is not reached from there, whatever is open"
    );

    // Once more, for another text: it takes the place of the first as a whole.
    let table = Table::of(&both[..1]);
    Machine.guard(&table).expect("taken");
    assert_eq!(Machine.firewall().expect("seen"), table.mark);
    assert!(guest.connects("10.255.0.1", 7443), "nobody speaks of it");

    // What nft does not take changes nothing.
    let broken = Table {
        mark: None,
        text: table.text.replace("drop", "dorp"),
    };
    let refused = Machine.guard(&broken).expect_err("no such word");
    assert!(matches!(refused, NftError::Refused(_)), "{refused}");
    assert_eq!(Machine.firewall().expect("seen"), table.mark);

    Machine.guard(&Table::of(&[])).expect("taken");
    assert_eq!(Machine.firewall().expect("seen"), None);
    assert!(peer.connects("10.20.0.1", 9999));
    let left = nft(&["list", "tables"], "");
    assert_eq!(left.trim(), "table inet foreign");
}
