use crate::cables::Cables;
use crate::hosts::{address, bare, cables, card, mischief, networks};
use proptest::prelude::*;
use quorate_network::model::{Address, Change, Host, Kind, Link};
use quorate_network::plan::{Desired, Refusal, Step, next, steps};
use quorate_network::{Layout, Wanted};
use std::collections::BTreeMap;

/// `PROPTEST_CASES=5000 cargo test --release …` looks longer; it takes the place of this.
const CASES: u32 = 400;

/// More steps than any change of one network has.
const MOST: usize = 100;

/// What this network needs on that host: its layout, or what is left when it goes.
fn desired(
    host: &Host,
    name: &str,
    wanted: Option<&Wanted>,
    former: &[Address],
) -> Result<Layout, Refusal> {
    match wanted {
        Some(wanted) => wanted.layout(host, former),
        None => Wanted::removal(name, host, former).map(|desired| Layout {
            desired,
            without: Vec::new(),
        }),
    }
}

/// Goes to the end, one step at a time, each from what is there by then.
fn carry_out(host: &Host, desired: &Desired) -> (Host, Vec<(Step, Host)>) {
    let mut host = host.clone();
    let mut passed = Vec::new();
    while let Some(step) = next(&host, desired) {
        for change in &step.changes {
            host.change(change)
                .expect("the kernel does what is planned");
        }
        passed.push((step, host.clone()));
        assert!(passed.len() < MOST, "it does not come to rest: {passed:#?}");
    }
    (host, passed)
}

/// The networks of a host, made one after the other.
fn made(networks: &[Wanted]) -> Host {
    let mut host = bare();
    for wanted in networks {
        match wanted.layout(&host, &[]) {
            Ok(layout) => host = carry_out(&host, &layout.desired).0,
            // The network below takes only smaller packets: one that is not made.
            Err(Refusal::Waits(_)) => {}
            Err(refusal) => panic!("{refusal}"),
        }
    }
    host
}

/// A guest's TAP in every bridge, an address of somebody else's, and a bridge of somebody else's.
fn with_foreign(mut host: Host) -> Host {
    let bridges: Vec<String> = host
        .links
        .iter()
        .filter(|(_, link)| matches!(link.kind, Kind::Bridge(_)))
        .map(|(name, _)| name.clone())
        .collect();
    for (number, bridge) in bridges.into_iter().enumerate() {
        let tap = Link {
            kind: Kind::Other("tun".to_owned()),
            up: true,
            master: Some(bridge),
            path_cost: Some(100),
            ..card()
        };
        host.links.insert(format!("vnet{number}"), tap);
    }
    let foreign = Link {
        kind: Kind::Bridge(quorate_network::model::BridgeOptions::default()),
        addresses: vec![address("192.168.7.1/24")],
        up: true,
        ..card()
    };
    host.links.insert("virbr0".to_owned(), foreign);
    if let Some(link) = host.links.get_mut("bond-net1") {
        link.addresses.push(address("172.16.0.9/32"));
    }
    host
}

fn foreign(host: &Host) -> BTreeMap<String, Link> {
    host.links
        .iter()
        .filter(|(name, _)| name.starts_with("vnet") || *name == "virbr0")
        .map(|(name, link)| (name.clone(), link.clone()))
        .collect()
}

fn check(before: &Host, passed: &[(Step, Host)], cables: &Cables) -> Result<(), TestCaseError> {
    let Some((_, end)) = passed.last() else {
        return Ok(());
    };
    let kept = cables.reach_leader(before) && cables.reach_leader(end);
    for (step, after) in passed {
        prop_assert_eq!(foreign(before), foreign(after), "{}", step);
        for (name, link) in &before.links {
            if let Some(now) = after.links.get(name) {
                let somebodys = address("172.16.0.9/32");
                prop_assert_eq!(
                    link.addresses.contains(&somebodys),
                    now.addresses.contains(&somebodys),
                    "{}: {}",
                    name,
                    step
                );
            }
        }
        prop_assert!(
            !kept || cables.reach_leader(after),
            "the way to the leader is lost: {step}\nbefore {before:#?}\nafter {after:#?}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn any_host_comes_to_any_networks(
        old in networks(),
        new in networks(),
        cables in cables(),
        mischief in mischief(),
    ) {
        let mut host = with_foreign(made(&old));
        for change in &mischief {
            // A bridge with a guest on it is not taken away under the guest.
            let carries = host.members(change.link()).any(|(name, _)| name.starts_with("vnet"));
            if !(carries && matches!(change, Change::Delete(_))) {
                let _ = host.change(change);
            }
        }
        let mut names: Vec<String> = old.iter().chain(&new).map(|it| it.network.clone()).collect();
        names.sort();
        names.dedup();
        let mut waiting = names.clone();
        for _ in 0..=names.len() {
            let mut left = Vec::new();
            for name in &waiting {
                let wanted = new.iter().find(|it| it.network == *name);
                let former: Vec<Address> = old.iter().filter(|it| it.network == *name)
                    .flat_map(|it| it.addresses.clone()).collect();
                match desired(&host, name, wanted, &former) {
                    Ok(layout) => {
                        let (end, passed) = carry_out(&host, &layout.desired);
                        check(&host, &passed, &cables)?;
                        prop_assert_eq!(next(&end, &layout.desired), None);
                        // What was foreseen is what came.
                        let foreseen = steps(&host, &layout.desired).expect("possible");
                        let done: Vec<Step> = passed.into_iter().map(|(step, _)| step).collect();
                        prop_assert_eq!(foreseen, done);
                        host = end;
                        if !layout.without.is_empty() {
                            left.push(name.clone());
                        }
                    }
                    // A guest sits on its bridge, or a network on its bond.
                    Err(Refusal::InUse { .. }) => left.push(name.clone()),
                    Err(Refusal::Waits(_)) => left.push(name.clone()),
                    Err(refusal) => prop_assert!(false, "{}: {}", name, refusal),
                }
            }
            waiting = left;
        }
        for wanted in new.iter().filter(|it| !waiting.contains(&it.network)) {
            let layout = wanted.layout(&host, &[]).expect("it is so already");
            prop_assert_eq!(next(&host, &layout.desired), None);
        }
    }

    #[test]
    fn any_change_can_be_taken_back_at_any_step(
        old in networks(),
        new in networks(),
        cables in cables(),
        place in 0..40_usize,
    ) {
        let host = with_foreign(made(&old));
        for wanted in &new {
            let former: Vec<Address> = old.iter().filter(|it| it.network == wanted.network)
                .flat_map(|it| it.addresses.clone()).collect();
            let Ok(layout) = wanted.layout(&host, &former) else { continue };
            let touched = layout.desired.touched();
            let before = layout.desired.before(&host);
            let (_, passed) = carry_out(&host, &layout.desired);
            let Some((_, midway)) = passed.get(place).or_else(|| passed.last()) else { continue };
            let given: Vec<Address> = wanted.addresses.iter().chain(&former).copied().collect();
            let back = Desired::back(midway, &before, &touched, &given);
            let (end, passed) = carry_out(midway, &back);
            check(midway, &passed, &cables)?;
            prop_assert_eq!(differences(&sorted(host.clone()), &sorted(end)), Vec::<String>::new());
        }
    }
}

/// A host with a bond, which gets a bridge on top, and the leader behind its cards.
fn bond_gets_bridge() -> (Host, Desired, Cables) {
    let bonded = Wanted {
        network: "net0".to_owned(),
        cards: vec![quorate_network::Card {
            name: "nic0".to_owned(),
            mac: None,
            path: None,
            device: Some("eth0".to_owned()),
        }],
        parent: None,
        bond: Some((
            "bond-net0".to_owned(),
            quorate_network::model::BondOptions::default(),
        )),
        vlan: None,
        bridge: None,
        mtu: 1500,
        addresses: vec![address("10.0.0.1/16")],
        gateway: None,
        guard: None,
        rollback_after: 30_000,
    };
    let bridged = Wanted {
        bridge: Some((
            "br-net0".to_owned(),
            quorate_network::model::BridgeOptions::default(),
            19,
        )),
        ..bonded.clone()
    };
    let host = made(&[bonded]);
    let layout = bridged.layout(&host, &[]).expect("possible");
    let leader = "10.0.0.200".parse().expect("an address");
    let cables = Cables([("eth0".to_owned(), [(None, leader)].into())].into());
    (host, layout.desired, cables)
}

#[test]
fn a_switch_in_pieces_is_found_by_the_check() {
    let (host, desired, cables) = bond_gets_bridge();
    let whole = carry_out(&host, &desired).1;
    check(&host, &whole, &cables).expect("nothing is wrong with the plan");

    let mut now = host.clone();
    let mut passed = Vec::new();
    for change in whole.iter().flat_map(|(step, _)| &step.changes) {
        now.change(change).expect("possible");
        let step = Step {
            changes: vec![change.clone()],
        };
        passed.push((step, now.clone()));
    }
    let found = check(&host, &passed, &cables).expect_err("the address is nowhere for a while");
    assert!(found.to_string().contains("the way to the leader is lost"));
}

#[test]
fn a_foreign_interface_that_is_touched_is_found_by_the_check() {
    let (host, desired, cables) = bond_gets_bridge();
    let host = with_foreign(host);
    let mut passed = carry_out(&host, &desired).1;
    let (_, last) = passed.last_mut().expect("steps");
    last.change(&Change::Down("virbr0".to_owned()))
        .expect("possible");
    check(&host, &passed, &cables).expect_err("virbr0 is somebody else's");
}

fn differences(one: &Host, other: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for name in one.links.keys().chain(other.links.keys()) {
        let (before, after) = (one.links.get(name), other.links.get(name));
        if before != after {
            found.push(format!("{name}: {before:?} became {after:?}"));
        }
    }
    if one.routes != other.routes {
        found.push(format!("{:?} became {:?}", one.routes, other.routes));
    }
    found
}

/// Addresses of different subnets have no order.
fn sorted(mut host: Host) -> Host {
    for link in host.links.values_mut() {
        link.addresses.sort();
    }
    host
}
