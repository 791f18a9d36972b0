//! Network cards.

use super::{BootOrder, Kept, hash};
use crate::drivers::GuestTarget;
use quorate_crds::scalar::Label;
use quorate_crds::{GuestNic, NicModel};
use quorate_libvirt::Element;

/// What libvirt calls it.
pub(crate) fn alias(nic: &Label) -> String {
    format!("ua-nic-{nic}")
}

pub(super) fn all<'a>(
    target: &'a GuestTarget,
    order: &'a BootOrder,
    kept: &'a Kept,
) -> impl Iterator<Item = Element> + 'a {
    target
        .spec
        .nics
        .iter()
        .map(|card| order.mark(&alias(&card.name), nic(target, card, kept)))
}

/// A hardware address of our own: locally administered, made from the guest's uid and the card's name, so that it
/// is the same on every host and for ever.
fn address(uid: &str, nic: &Label) -> String {
    let bytes = hash(&format!("{uid}/{nic}"), 3).to_be_bytes();
    format!(
        "52:54:{:02x}:{:02x}:{:02x}:{:02x}",
        bytes[0], bytes[1], bytes[2], bytes[3]
    )
}

/// A card alone, to plug it in.
pub(crate) fn nic(target: &GuestTarget, card: &GuestNic, kept: &Kept) -> Element {
    let bridge = target
        .nics
        .iter()
        .find(|source| source.nic == card.name)
        .map_or(card.network.as_str(), |source| &source.bridge);
    let mac = card
        .mac
        .as_ref()
        .map_or_else(|| address(&target.uid, &card.name), ToString::to_string);
    let mut element = Element::new("interface")
        .with("type", "bridge")
        .child(Element::new("mac").with("address", mac))
        .child(Element::new("source").with("bridge", bridge))
        .child(Element::new("model").with(
            "type",
            match card.model {
                NicModel::Virtio => "virtio",
                NicModel::E1000e => "e1000e",
                NicModel::Rtl8139 => "rtl8139",
                NicModel::Xen => "netfront",
            },
        ));
    if !card.connected {
        element = element.child(Element::new("link").with("state", "down"));
    }
    kept.place(&alias(&card.name), element)
}
