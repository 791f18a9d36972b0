//! Disks and drives.

use super::{BootOrder, Kept, RenderError, machine};
use crate::drivers::GuestTarget;
use quorate_crds::scalar::Label;
use quorate_crds::{CacheMode, Disk, DiskBus, DiskDevice, ImageFormat, IoMode};
use quorate_libvirt::Element;
use std::collections::BTreeSet;

/// What libvirt calls it; ours begin with `ua-`, as libvirt wants names of users.
pub(crate) fn alias(disk: &Label) -> String {
    format!("ua-disk-{disk}")
}

pub(super) fn all(
    target: &GuestTarget,
    order: &BootOrder,
    kept: &Kept,
) -> Result<Vec<Element>, RenderError> {
    let mut elements = Vec::new();
    let names = names(target, kept);
    for (disk, name) in target.spec.disks.iter().zip(&names) {
        elements.push(order.mark(&alias(&disk.name), one(target, disk, name, kept)?));
    }
    if target
        .spec
        .disks
        .iter()
        .any(|disk| disk.bus == DiskBus::VirtioScsi)
    {
        elements.push(
            Element::new("controller")
                .with("type", "scsi")
                .with("index", 0)
                .with("model", "virtio-scsi"),
        );
    }
    Ok(elements)
}

/// A disk alone, to plug it in or to change its medium.
pub(crate) fn disk(
    target: &GuestTarget,
    wanted: &Disk,
    kept: &Kept,
) -> Result<Element, RenderError> {
    let place = target
        .spec
        .disks
        .iter()
        .position(|disk| disk.name == wanted.name)
        .ok_or_else(|| RenderError::NoSource(wanted.name.to_string()))?;
    one(target, wanted, &names(target, kept)[place], kept)
}

/// How it is attached in truth: a drive on virtio would be nothing that a system can boot from.
fn bus(target: &GuestTarget, disk: &Disk) -> DiskBus {
    match (disk.bus, disk.device) {
        (DiskBus::Virtio, DiskDevice::Cdrom) if machine(&target.spec) == Some("q35") => {
            DiskBus::Sata
        }
        (DiskBus::Virtio, DiskDevice::Cdrom) => DiskBus::Ide,
        (bus, _) => bus,
    }
}

fn prefix(bus: DiskBus) -> &'static str {
    match bus {
        DiskBus::Virtio => "vd",
        DiskBus::VirtioScsi | DiskBus::Sata => "sd",
        DiskBus::Ide => "hd",
        DiskBus::Xen => "xvd",
    }
}

/// What each disk is called: what it was called before, or the first name that is free.
fn names(target: &GuestTarget, kept: &Kept) -> Vec<String> {
    let former = |disk: &Disk| {
        let name = kept.names.get(&alias(&disk.name))?;
        name.starts_with(prefix(bus(target, disk)))
            .then(|| name.clone())
    };
    let mut taken: BTreeSet<String> = target.spec.disks.iter().filter_map(former).collect();
    let mut names = Vec::new();
    for disk in &target.spec.disks {
        let name = former(disk).unwrap_or_else(|| {
            (0..)
                .map(|number| format!("{}{}", prefix(bus(target, disk)), letters(number)))
                .find(|name| !taken.contains(name))
                .unwrap_or_default()
        });
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// a, b, … z, aa, ab, …
fn letters(mut number: u32) -> String {
    let mut text = String::new();
    loop {
        let letter = u8::try_from(number % 26).unwrap_or(0) + b'a';
        text.insert(0, char::from(letter));
        if number < 26 {
            return text;
        }
        number = number / 26 - 1;
    }
}

fn one(target: &GuestTarget, disk: &Disk, name: &str, kept: &Kept) -> Result<Element, RenderError> {
    let source = target.disks.iter().find(|source| source.disk == disk.name);
    let drive = disk.device == DiskDevice::Cdrom;
    let path = match source {
        Some(source) => Some(source.path.as_str()),
        None if disk.empty => None,
        None => return Err(RenderError::NoSource(disk.name.to_string())),
    };
    let block = disk.volume.is_some() || disk.size.is_some();
    let mut element = Element::new("disk")
        .with("type", if block { "block" } else { "file" })
        .with("device", if drive { "cdrom" } else { "disk" });
    let format = match disk.file.as_ref().map(|file| file.format) {
        Some(ImageFormat::Qcow2) => "qcow2",
        Some(ImageFormat::Raw) | None => "raw",
    };
    let mut driver = Element::new("driver")
        .with("name", "qemu")
        .with("type", format);
    if !drive {
        driver.set(
            "cache",
            match disk.cache {
                CacheMode::None => "none",
                CacheMode::DirectSync => "directsync",
                CacheMode::WriteThrough => "writethrough",
                CacheMode::WriteBack => "writeback",
            },
        );
        // A disk that fails stops the guest, which is noticed; the guest's own system would only see a broken disk.
        driver.set("error_policy", "stop");
        driver.set("rerror_policy", "stop");
        driver.set(
            "io",
            match disk.io {
                IoMode::Native => "native",
                IoMode::Threads => "threads",
                IoMode::IoUring => "io_uring",
            },
        );
        if disk.discard && !disk.read_only {
            driver.set("discard", "unmap");
        }
    }
    element = element.child(driver);
    if let Some(path) = path {
        let attribute = if block { "dev" } else { "file" };
        element = element.child(Element::new("source").with(attribute, path));
    }
    element = element.child(Element::new("target").with("dev", name).with(
        "bus",
        match bus(target, disk) {
            DiskBus::Virtio => "virtio",
            DiskBus::VirtioScsi => "scsi",
            DiskBus::Sata => "sata",
            DiskBus::Ide => "ide",
            DiskBus::Xen => "xen",
        },
    ));
    if drive || disk.read_only {
        element = element.child(Element::new("readonly"));
    }
    if disk.shareable {
        element = element.child(Element::new("shareable"));
    }
    let serial = disk
        .serial
        .clone()
        .unwrap_or_else(|| disk.name.to_string().chars().take(20).collect());
    element = element.child(Element::new("serial").holding(serial));
    Ok(kept.place(&alias(&disk.name), element))
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn disks_are_named_as_linux_names_them() {
        let names: Vec<String> = [0, 25, 26, 701, 702].into_iter().map(letters).collect();
        assert_eq!(names, ["a", "z", "aa", "zz", "aaa"]);
    }
}
