//! Everything else that a guest has: screen, console, agent, watchdog.

use super::machine;
use crate::drivers::GuestTarget;
use quorate_crds::{
    AgentUse, DisplayProtocol, Hypervisor, VideoModel, VirtualMachineSpec, WatchdogAction,
};
use quorate_libvirt::Element;
use std::path::Path;

/// Free slots of a PCI Express machine, for what is plugged in while it runs.
const SPARE_SLOTS: usize = 4;
/// Devices that every guest has: balloon, random numbers, serial ports of the agent, USB, SCSI, the screen's card.
const BUILT_IN: usize = 6;

pub(super) fn others(target: &GuestTarget, consoles: &Path) -> Vec<Element> {
    let spec = &target.spec;
    let xen = matches!(
        spec.hypervisor,
        Hypervisor::Xen | Hypervisor::XenParavirtual
    );
    let mut all = Vec::new();
    if !xen && machine(spec).is_some_and(|machine| machine.contains("q35")) {
        all.extend(slots(spec));
    }
    if spec.serial_console {
        all.extend(console(target, consoles));
    }
    if spec.agent != AgentUse::Never && !xen {
        all.push(
            Element::new("channel").with("type", "unix").child(
                Element::new("target")
                    .with("type", "virtio")
                    .with("name", super::super::AGENT),
            ),
        );
    }
    all.extend(screen(spec));
    if let Some(action) = spec.guest_watchdog {
        all.push(Element::new("watchdog").with("model", "i6300esb").with(
            "action",
            match action {
                WatchdogAction::Reset => "reset",
                WatchdogAction::PowerOff => "poweroff",
                WatchdogAction::Pause => "pause",
            },
        ));
    }
    if !xen {
        all.push(Element::new("memballoon").with("model", "virtio"));
        all.push(
            Element::new("rng").with("model", "virtio").child(
                Element::new("backend")
                    .with("model", "random")
                    .holding("/dev/urandom"),
            ),
        );
        // A guest whose kernel panics says so.
        all.push(Element::new("panic").with("model", "isa"));
    }
    all
}

/// A slot for every device, and some more. They are numbered from the root: libvirt takes no other order.
fn slots(spec: &VirtualMachineSpec) -> impl Iterator<Item = Element> {
    let bridge = |index: usize, model: &str| {
        Element::new("controller")
            .with("type", "pci")
            .with("index", index)
            .with("model", model)
    };
    let taken = BUILT_IN + spec.disks.len() + spec.nics.len();
    std::iter::once(bridge(0, "pcie-root"))
        .chain((1..=taken + SPARE_SLOTS).map(move |index| bridge(index, "pcie-root-port")))
}

/// A serial console, whose output is also kept in a file.
fn console(target: &GuestTarget, consoles: &Path) -> Vec<Element> {
    let log = consoles.join(format!("{}-console.log", target.name));
    let log = log.display();
    if target.spec.hypervisor == Hypervisor::XenParavirtual {
        return vec![Element::new("console").with("type", "pty")];
    }
    vec![
        Element::new("serial")
            .with("type", "pty")
            .child(Element::new("log").with("file", log).with("append", "on"))
            .child(
                Element::new("target")
                    .with("type", "isa-serial")
                    .with("port", 0),
            ),
    ]
}

fn screen(spec: &VirtualMachineSpec) -> Vec<Element> {
    let protocol = match spec.display.protocol {
        DisplayProtocol::None => {
            return vec![Element::new("video").child(Element::new("model").with("type", "none"))];
        }
        DisplayProtocol::Vnc => "vnc",
        DisplayProtocol::Spice => "spice",
    };
    let mut all = Vec::new();
    if spec.display.tablet && spec.hypervisor != Hypervisor::XenParavirtual {
        all.push(
            Element::new("input")
                .with("type", "tablet")
                .with("bus", "usb"),
        );
    }
    // On loopback: it is reached through Quorate only.
    let mut graphics = Element::new("graphics")
        .with("type", protocol)
        .with("autoport", "yes")
        .with("listen", "127.0.0.1");
    if spec.display.password.is_some() {
        // Nobody gets in until what runs is given the password, which is never in the definition: that lies on disk.
        graphics.set("passwd", "");
    }
    all.push(graphics);
    all.push(Element::new("video").child(Element::new("model").with(
        "type",
        match spec.display.video {
            VideoModel::Vga => "vga",
            VideoModel::Cirrus => "cirrus",
            VideoModel::Virtio => "virtio",
            VideoModel::Qxl => "qxl",
        },
    )));
    all
}
