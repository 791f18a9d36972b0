//! What a card runs at, and what went through it.

use crate::elsewhere::{Elsewhere, until};
use crate::{inside, ip};
use quorate_network::kernel::Kernel;
use quorate_network::model::Seen;
use quorate_network::netlink::Machine;
use std::net::UdpSocket;

fn seen(card: &str) -> Seen {
    let host = Machine.observe().expect("seen");
    host.links.get(card).expect("it is there").seen.clone()
}

#[test]
fn a_card_tells_its_speed_and_how_much_went_through_it() {
    if !inside("cards::a_card_tells_its_speed_and_how_much_went_through_it") {
        return;
    }
    let unplugged = seen("card0");
    assert!(!unplugged.carrier);
    assert_eq!(
        unplugged.speed, None,
        "without a signal it runs at no speed"
    );

    let other = Elsewhere::with(&["far0"]);
    other.ip("addr add 10.20.0.2/16 dev far0");
    ip("link set card0 up");
    ip("addr add 10.20.0.1/16 dev card0");
    until("plugged in", || seen("card0").carrier);
    let plugged = seen("card0");
    let speed = (plugged.speed, plugged.half_duplex);
    assert_eq!(speed, (Some(10_000), Some(false)), "as veth says");

    let before = plugged.packets.expect("counted");
    assert_eq!(plugged.errors, Some(0));
    let socket = UdpSocket::bind("10.20.0.1:0").expect("bound");
    // The first ones wait until it is known who has the address.
    until("counted", || {
        // Nobody listens there, and the other host says so.
        for _ in 0..10 {
            let _ = socket.send_to(b"hello", "10.20.0.2:9");
        }
        seen("card0").packets.is_some_and(|now| now > before + 50)
    });
}

#[test]
fn an_address_that_another_machine_has_first_is_found() {
    if !inside("cards::an_address_that_another_machine_has_first_is_found") {
        return;
    }
    let other = Elsewhere::with(&["far0"]);
    other.ip("addr add fd00::1/64 dev far0 nodad");
    ip("link set card0 up");
    until("plugged in", || seen("card0").carrier);
    ip("addr add fd00::1/64 dev card0");
    ip("addr add fd00::2/64 dev card0");
    let doubled = ["fd00::1/64".parse().expect("an address")];
    until("found", || seen("card0").doubled == doubled);
}
