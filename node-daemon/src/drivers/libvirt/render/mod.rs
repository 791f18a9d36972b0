//! A guest's definition, rendered from its manifest. The same manifest gives the same text on every host, except for what is
//! the host's own: devices, bridges.

mod devices;
mod disks;
mod nics;
mod processor;

pub(super) use disks::{alias as disk_alias, disk};
pub(super) use nics::{alias as nic_alias, nic};

use super::ownership::Ownership;
use super::raw;
use crate::drivers::GuestTarget;
use quorate_crds::{DiskBus, Firmware, GuestClock, Hypervisor, OnCrash, Size, VirtualMachineSpec};
use quorate_libvirt::Element;
use std::collections::BTreeMap;
use std::path::Path;
use thiserror::Error;

/// Why a manifest cannot become a definition.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RenderError {
    /// A size is none.
    #[error("{field} is {found:?}, allowed: a size such as 2Gi")]
    Size {
        /// Where.
        field: &'static str,
        /// What is there.
        found: String,
    },
    /// The raw fragment is no XML.
    #[error("rawDomain cannot be read: {0}")]
    Raw(String),
    /// The raw fragment is something else.
    #[error("rawDomain begins with <{0}>, allowed: <domain>")]
    NotADomain(String),
    /// The planner has not said where a disk is.
    #[error("nobody says where disk {0} is on this host")]
    NoSource(String),
    /// A list of processors is none.
    #[error("cpu.pin is {0:?}, allowed: numbers and ranges such as 1-3,5")]
    Processors(String),
    /// Too few processors for as many as are dedicated.
    #[error("cpu.dedicated needs {wanted} processors in cpu.pin, and there are {found}")]
    TooFew {
        /// How many it needs.
        wanted: u32,
        /// How many there are.
        found: usize,
    },
}

/// What a guest's devices were called before: a disk stays where the guest has found it, whatever comes and goes beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Names of disks, by alias.
    pub(super) names: BTreeMap<String, String>,
    /// Addresses of devices, by alias.
    pub(super) addresses: BTreeMap<String, Element>,
}

impl Kept {
    /// From a former definition.
    pub(super) fn of(domain: &Element) -> Self {
        let mut kept = Self::default();
        for device in domain
            .find(&["devices"])
            .into_iter()
            .flat_map(Element::elements)
        {
            let Some(alias) = device
                .find(&["alias"])
                .and_then(|alias| alias.attribute("name"))
            else {
                continue;
            };
            if !alias.starts_with("ua-") {
                continue;
            }
            if let Some(name) = device
                .find(&["target"])
                .and_then(|target| target.attribute("dev"))
                && device.name == "disk"
            {
                kept.names.insert(alias.to_owned(), name.to_owned());
            }
            if let Some(address) = device.find(&["address"]) {
                kept.addresses.insert(alias.to_owned(), address.clone());
            }
        }
        kept
    }

    fn place(&self, alias: &str, device: Element) -> Element {
        let device = device.child(Element::new("alias").with("name", alias));
        match self.addresses.get(alias) {
            Some(address) => device.child(address.clone()),
            None => device,
        }
    }
}

/// Who a guest is on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The domain's name.
    pub(super) name: String,
    /// The domain's UUID.
    pub(super) uuid: String,
}

impl Identity {
    /// As Quorate itself names it.
    pub(super) fn of(target: &GuestTarget) -> Self {
        Self {
            name: target.name.to_string(),
            uuid: uuid(&target.uid),
        }
    }
}

/// A uid is a UUID; any other text gives one that is always the same.
fn uuid(uid: &str) -> String {
    let plain: String = uid.chars().filter(|character| *character != '-').collect();
    if plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return uid.to_ascii_lowercase();
    }
    let (first, second) = (hash(uid, 1), hash(uid, 2));
    let digits = format!("{first:016x}{second:016x}");
    format!(
        "{}-{}-4{}-8{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}

/// FNV-1a: the same for ever, on every host.
pub(super) fn hash(text: &str, salt: u64) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325_u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    text.bytes().fold(seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(super) fn kibibytes(field: &'static str, size: &Size) -> Result<u64, RenderError> {
    size.parse()
        .ok()
        .and_then(|quantity| quantity.as_u64())
        .map(|bytes| bytes >> 10)
        .ok_or_else(|| RenderError::Size {
            field,
            found: size.to_string(),
        })
}

/// The whole definition.
pub(super) fn domain(
    target: &GuestTarget,
    identity: &Identity,
    ownership: &Ownership,
    kept: &Kept,
    consoles: &Path,
) -> Result<Element, RenderError> {
    let spec = &target.spec;
    let memory = kibibytes("memory", &spec.memory)?;
    let most = match &spec.max_memory {
        Some(most) => kibibytes("maxMemory", most)?.max(memory),
        None => memory,
    };
    let size = |name: &str, size: u64| Element::new(name).with("unit", "KiB").holding(size);
    let mut domain = Element::new("domain")
        .with("type", kind(spec.hypervisor))
        .child(Element::new("name").holding(&identity.name))
        .child(Element::new("uuid").holding(&identity.uuid))
        .child(Element::new("metadata").child(ownership.prefixed()))
        .child(size("memory", most))
        .child(size("currentMemory", memory))
        .children(processor::processors(spec)?)
        .child(system(spec))
        .child(features(spec))
        .children(processor::model(spec))
        .child(clock(spec))
        .child(Element::new("on_poweroff").holding("destroy"))
        .child(Element::new("on_reboot").holding("restart"))
        // Rule R12: whatever ends it, it is not started again behind the planner's back.
        .child(
            Element::new("on_crash").holding(match spec.recovery.on_crash {
                OnCrash::Preserve => "preserve",
                OnCrash::Restart | OnCrash::Stop => "destroy",
            }),
        );
    let order = BootOrder::of(spec);
    let mut all = Element::new("devices");
    for disk in disks::all(target, &order, kept)? {
        all = all.child(disk);
    }
    for card in nics::all(target, &order, kept) {
        all = all.child(card);
    }
    domain = domain.child(all.children(devices::others(target, consoles)));
    match &spec.raw_domain {
        Some(fragment) => raw::merged(domain, fragment),
        None => Ok(domain),
    }
}

fn kind(hypervisor: Hypervisor) -> &'static str {
    match hypervisor {
        Hypervisor::Kvm => "kvm",
        Hypervisor::Qemu => "qemu",
        Hypervisor::Xen | Hypervisor::XenParavirtual => "xen",
    }
}

pub(super) fn machine(spec: &VirtualMachineSpec) -> Option<&str> {
    match (&spec.machine, spec.hypervisor) {
        (Some(machine), _) => Some(machine),
        (None, Hypervisor::Xen | Hypervisor::XenParavirtual) => None,
        // The newer machine has no IDE.
        (None, _) if spec.disks.iter().any(|disk| disk.bus == DiskBus::Ide) => Some("pc"),
        (None, _) => Some("q35"),
    }
}

fn system(spec: &VirtualMachineSpec) -> Element {
    let mut kind = Element::new("type").with("arch", "x86_64");
    if let Some(machine) = machine(spec) {
        kind.set("machine", machine);
    }
    let kind = kind.holding(match spec.hypervisor {
        Hypervisor::XenParavirtual => "linux",
        _ => "hvm",
    });
    let mut system = Element::new("os");
    if spec.firmware != Firmware::Bios {
        system.set("firmware", "efi");
    }
    system = system.child(kind);
    if spec.firmware == Firmware::UefiSecure {
        let on = |name: &str| {
            Element::new("feature")
                .with("enabled", "yes")
                .with("name", name)
        };
        system = system
            .child(Element::new("firmware").children([on("enrolled-keys"), on("secure-boot")]))
            .child(Element::new("loader").with("secure", "yes"));
    }
    if BootOrder::of(spec).is_empty() && spec.hypervisor != Hypervisor::XenParavirtual {
        for source in &spec.boot {
            system = system.child(Element::new("boot").with(
                "dev",
                match source {
                    quorate_crds::BootSource::Disk => "hd",
                    quorate_crds::BootSource::Cdrom => "cdrom",
                    quorate_crds::BootSource::Network => "network",
                },
            ));
        }
    }
    system
}

fn features(spec: &VirtualMachineSpec) -> Element {
    let mut features = Element::new("features");
    if spec.hypervisor != Hypervisor::XenParavirtual {
        features = features
            .child(Element::new("acpi"))
            .child(Element::new("apic"));
    }
    if spec.firmware == Firmware::UefiSecure {
        features = features.child(Element::new("smm").with("state", "on"));
    }
    features
}

fn clock(spec: &VirtualMachineSpec) -> Element {
    let clock = Element::new("clock").with(
        "offset",
        match spec.clock {
            GuestClock::Utc => "utc",
            GuestClock::Localtime => "localtime",
        },
    );
    if spec.hypervisor != Hypervisor::Kvm {
        return clock;
    }
    let timer = |name: &str| Element::new("timer").with("name", name);
    clock
        .child(timer("rtc").with("tickpolicy", "catchup"))
        .child(timer("pit").with("tickpolicy", "delay"))
        .child(timer("hpet").with("present", "no"))
}

/// Which devices it starts from, when the manifest says so of single ones: libvirt wants all of them in one row.
#[derive(Clone, Debug, Default)]
pub(super) struct BootOrder(Vec<String>);

impl BootOrder {
    pub(super) fn of(spec: &VirtualMachineSpec) -> Self {
        use quorate_crds::{BootSource, DiskDevice};
        let rank = |source: BootSource| {
            spec.boot
                .iter()
                .position(|known| *known == source)
                .unwrap_or(spec.boot.len())
        };
        let disks = spec.disks.iter().filter_map(|disk| {
            let source = match disk.device {
                DiskDevice::Disk => BootSource::Disk,
                DiskDevice::Cdrom => BootSource::Cdrom,
            };
            Some((rank(source), disk.boot_order?, disk_alias(&disk.name)))
        });
        let nics = spec.nics.iter().filter_map(|nic| {
            Some((
                rank(BootSource::Network),
                nic.boot_order?,
                nic_alias(&nic.name),
            ))
        });
        let mut all: Vec<_> = disks.chain(nics).collect();
        all.sort();
        Self(all.into_iter().map(|(_, _, alias)| alias).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn mark(&self, alias: &str, device: Element) -> Element {
        match self.0.iter().position(|known| known == alias) {
            Some(place) => device.child(Element::new("boot").with("order", place + 1)),
            None => device,
        }
    }
}

#[cfg(test)]
mod tests;
