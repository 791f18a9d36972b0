use crate::hosts::{address, bare};
use quorate_network::model::{BondOptions, BridgeOptions, Change, Host, Mark};
use quorate_network::plan::{Refusal, steps};
use quorate_network::{Card, Wanted};

fn network(name: &str, cards: &[&str]) -> Wanted {
    Wanted {
        network: name.to_owned(),
        cards: cards
            .iter()
            .map(|device| Card {
                name: (*device).to_owned(),
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
        addresses: vec![address("10.20.0.1/16")],
        gateway: None,
        guard: None,
        rollback_after: 30_000,
    }
}

fn bonded(name: &str, cards: &[&str]) -> Wanted {
    Wanted {
        bond: Some((format!("bond-{name}"), BondOptions::default())),
        ..network(name, cards)
    }
}

fn shown(host: &Host, wanted: &Wanted) -> Vec<String> {
    let layout = wanted.layout(host, &[]).expect("possible");
    let steps = steps(host, &layout.desired).expect("possible");
    steps.iter().map(ToString::to_string).collect()
}

fn after(host: &Host, wanted: &Wanted) -> Host {
    let layout = wanted.layout(host, &[]).expect("possible");
    let mut host = host.clone();
    for step in steps(&host, &layout.desired).expect("possible") {
        for change in &step.changes {
            host.change(change).expect("possible");
        }
    }
    host
}

#[test]
fn a_bond_gets_a_bridge_without_the_address_ever_being_nowhere() {
    let host = after(&bare(), &bonded("ifn", &["eth4", "eth5"]));
    let with_bridge = Wanted {
        bridge: Some(("br-ifn".to_owned(), BridgeOptions::default(), 19)),
        ..bonded("ifn", &["eth4", "eth5"])
    };
    assert_eq!(
        shown(&host, &with_bridge),
        [
            "make the bridge br-ifn",
            "switch br-ifn on",
            "take 10.20.0.1/16 off bond-ifn, put bond-ifn into br-ifn, give br-ifn the address 10.20.0.1/16",
        ]
    );
}

#[test]
fn a_new_card_joins_before_the_old_one_goes() {
    let host = after(&bare(), &bonded("bcn", &["eth0", "eth1"]));
    assert_eq!(
        shown(&host, &bonded("bcn", &["eth0", "eth2"])),
        [
            "mark eth2 as the network bcn's",
            "put eth2 into bond-bcn, switch eth2 on",
            "take eth1 out of what it is in",
            "take the mark off eth1",
        ]
    );
}

#[test]
fn what_is_so_already_is_taken_over_and_what_is_not_is_shown() {
    let mut host = after(&bare(), &bonded("bcn", &["eth0", "eth1"]));
    for link in host.links.values_mut() {
        link.mark = Mark::None;
    }
    let same = shown(&host, &bonded("bcn", &["eth0", "eth1"]));
    assert!(
        same.iter().all(|step| step.starts_with("mark ")),
        "{same:?}"
    );

    let other = Wanted {
        mtu: 9000,
        ..bonded("bcn", &["eth0", "eth1"])
    };
    let refusal = other.layout(&host, &[]).expect_err("it is somebody else's");
    let Refusal::Foreign { link, .. } = &refusal else {
        panic!("{refusal}");
    };
    assert_eq!(link, "bond-bcn");
    let words = refusal.to_string();
    assert!(words.contains("set the MTU of bond-bcn to 9000"), "{words}");
}

#[test]
fn a_card_that_the_host_is_reached_over_is_not_taken() {
    let mut host = bare();
    let own = address("192.0.2.7/24");
    let changes = [
        Change::Up("eth0".to_owned()),
        Change::AddAddress("eth0".to_owned(), own),
    ];
    for change in changes {
        host.change(&change).expect("possible");
    }
    let refusal = bonded("bcn", &["eth0", "eth1"])
        .layout(&host, &[])
        .expect_err("it is in use");
    assert!(matches!(refusal, Refusal::Foreign { .. }), "{refusal}");
}

#[test]
fn a_card_of_another_network_is_waited_for() {
    let host = after(&bare(), &bonded("sn", &["eth2", "eth3"]));
    let only = network("bcn", &["eth2"]).layout(&host, &[]);
    assert!(matches!(only, Err(Refusal::Waits(_))), "{only:?}");
    let one_of_two = Wanted {
        addresses: vec![address("10.30.0.1/16")],
        ..bonded("bcn", &["eth0", "eth2"])
    };
    let layout = one_of_two.layout(&host, &[]).expect("eth0 is free");
    assert_eq!(layout.without.len(), 1);
    assert!(!layout.desired.links.contains_key("eth2"));
}

#[test]
fn a_bridge_with_a_guest_on_it_stays() {
    let bridged = Wanted {
        bridge: Some(("br-ifn".to_owned(), BridgeOptions::default(), 19)),
        ..bonded("ifn", &["eth4", "eth5"])
    };
    let mut host = after(&bare(), &bridged);
    let mut tap = crate::hosts::card();
    tap.master = Some("br-ifn".to_owned());
    host.links.insert("vnet0".to_owned(), tap);
    let refusal = Wanted::removal("ifn", &host, &[]).expect_err("a guest is on it");
    assert_eq!(
        refusal.to_string(),
        "br-ifn cannot be taken away: vnet0 is on it"
    );
}

#[test]
fn an_address_changes_within_its_subnet_in_one_breath() {
    let host = after(&bare(), &network("bcn", &["eth0"]));
    let moved = Wanted {
        addresses: vec![address("10.20.0.2/16")],
        ..network("bcn", &["eth0"])
    };
    let layout = moved
        .layout(&host, &[address("10.20.0.1/16")])
        .expect("possible");
    let steps: Vec<String> = steps(&host, &layout.desired)
        .expect("possible")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        steps,
        ["take 10.20.0.1/16 off eth0, give eth0 the address 10.20.0.2/16"]
    );
}

#[test]
fn a_card_that_is_not_there_is_named_beside_those_that_are() {
    let mut host = bare();
    host.links
        .retain(|name, _| name == "eth0" || name == "eth1");
    for (name, number) in [("eth0", 1), ("eth1", 2)] {
        let seen = &mut host.links.get_mut(name).expect("there").seen;
        seen.mac = Some(format!("52:54:00:00:00:0{number}"));
        seen.path = Some(format!("pci-0000:0{number}:00.0"));
    }
    let mut wanted = network("sn", &["eth9"]);
    wanted.cards[0].name = "sn1".to_owned();
    let refused = wanted.layout(&host, &[]).expect_err("there is no eth9");
    assert_eq!(
        refused.to_string(),
        "no card is sn1 (eth9): plug it in, or correct Node.spec.nics; this host has eth0 (52:54:00:00:00:01, \
         pci-0000:01:00.0), eth1 (52:54:00:00:00:02, pci-0000:02:00.0)"
    );
}
