//! Everything else that a guest has: screen, console, agent, watchdog.

use super::machine;
use crate::drivers::GuestTarget;
use quorate_crds::{
    AgentUse, DisplayProtocol, Hypervisor, VideoModel, VirtualMachineSpec, WatchdogAction,
};
use quorate_libvirt::Element;

/// Free slots of a PCI Express machine, for what is plugged in while it runs.
const SPARE_SLOTS: usize = 4;

pub(super) fn others(target: &GuestTarget) -> Vec<Element> {
    let spec = &target.spec;
    let xen = matches!(spec.hypervisor, Hypervisor::Xen | Hypervisor::XenParavirtual);
    let mut all = Vec::new();
    if !xen && machine(spec).is_some_and(|machine| machine.contains("q35")) {
        let slot = Element::new("controller")
            .with("type", "pci")
            .with("model", "pcie-root-port");
        all.extend(std::iter::repeat_n(slot, SPARE_SLOTS));
    }
    if spec.serial_console {
        all.extend(console(target));
    }
    if spec.agent != AgentUse::Never && !xen {
        all.push(
            Element::new("channel")
                .with("type", "unix")
                .child(
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
        all.push(Element::new("rng").with("model", "virtio").child(
            Element::new("backend").with("model", "random").holding("/dev/urandom"),
        ));
        // A guest whose kernel panics says so.
        all.push(Element::new("panic").with("model", "isa"));
    }
    all
}

/// A serial console, whose output is also kept in a file.
fn console(target: &GuestTarget) -> Vec<Element> {
    let log = format!("/var/log/libvirt/qemu/{}-console.log", target.name);
    if target.spec.hypervisor == Hypervisor::XenParavirtual {
        return vec![Element::new("console").with("type", "pty")];
    }
    vec![
        Element::new("serial")
            .with("type", "pty")
            .child(Element::new("log").with("file", log).with("append", "on"))
            .child(Element::new("target").with("type", "isa-serial").with("port", 0)),
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
        all.push(Element::new("input").with("type", "tablet").with("bus", "usb"));
    }
    // On loopback: it is reached through Quorate only. A password is never in the definition, which lies on disk.
    all.push(
        Element::new("graphics")
            .with("type", protocol)
            .with("autoport", "yes")
            .with("listen", "127.0.0.1"),
    );
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
