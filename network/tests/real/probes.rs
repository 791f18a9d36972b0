//! Whether other hosts are reached.

use crate::elsewhere::{Elsewhere, until};
use crate::{inside, ip};
use quorate_network::probe::{Found, Probed, Prober, Reach};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn ways_to_other_hosts_are_found_as_they_are() {
    if !inside("probes::ways_to_other_hosts_are_found_as_they_are") {
        return;
    }
    let an2 = Elsewhere::with(&["far0"]);
    an2.ip("addr add 10.20.0.2/16 dev far0");
    ip("link set card0 up");

    let (tell, told) = mpsc::channel();
    let prober = Prober::begin(move || _ = tell.send(())).expect("a thread");
    let peers = |all: &[(&str, &str)]| -> BTreeMap<String, IpAddr> {
        all.iter()
            .map(|(peer, ip)| ((*peer).to_owned(), address(ip)))
            .collect()
    };
    let probed = Probed {
        own: address("10.20.0.1"),
        mtu: 1_500,
        peers: peers(&[("an2", "10.20.0.2"), ("an3", "10.20.0.3")]),
    };
    prober.probe("bcn", probed.clone());
    let found = |peer: &str| -> Option<Found> {
        prober.found("bcn").into_iter().find(|one| one.peer == peer)
    };
    let reach = |peer: &str| found(peer).and_then(|found| found.reach);
    until("broken while the address is missing", || {
        reach("an2") == Some(Reach::Broken)
    });
    assert!(!prober.hears("bcn"));
    ip("addr add 10.20.0.1/16 dev card0");
    until("heard", || reach("an2") == Some(Reach::Works));
    assert!(prober.hears("bcn"));
    until("broken where nobody is", || {
        reach("an3") == Some(Reach::Broken)
    });
    until("known by its hardware", || {
        found("an2").is_some_and(|found| found.mac.is_some())
    });
    let well = found("an2").expect("it is asked");
    assert_eq!((well.passes, well.ahead), (None, None), "{well:?}");
    assert!(well.round_trip.is_some_and(|most| most <= 256), "{well:?}");
    told.try_recv().expect("it was told of");

    // A change has cut the way: nothing of before counts.
    an2.ip("link set far0 down");
    prober.wait_for_answer("bcn", true);
    until("broken again", || reach("an2") == Some(Reach::Broken));
    assert!(prober.waits_for_answer("bcn"));
    an2.ip("link set far0 up");
    until("heard again", || !prober.waits_for_answer("bcn"));

    // The switch lets no large packets through. A network of which anything else is changed is asked about anew.
    an2.ip("link set far0 mtu 1300");
    prober.probe(
        "bcn",
        Probed {
            mtu: 1_400,
            ..probed
        },
    );
    until("known to pass less", || {
        found("an2").is_some_and(|found| found.passes == Some(1_280))
    });

    // A link that went down has forgotten such addresses.
    an2.ip("addr add fd00::2/64 dev far0 nodad");
    prober.probe(
        "six",
        Probed {
            own: address("fd00::1"),
            mtu: 1_280,
            peers: peers(&[("an2", "fd00::2")]),
        },
    );
    ip("addr add fd00::1/64 dev card0 nodad");
    until("heard over IPv6", || prober.hears("six"));
}
