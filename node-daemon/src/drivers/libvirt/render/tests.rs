//! One golden file per feature: the manifest's spec, and beside it the definition. `UPDATE_GENERATED=1` writes them anew.

use super::*;
use crate::drivers::{DiskSource, NicSource};
use quorate_crds::Name;
use quorate_crds::scalar::AbsolutePath;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const CONSOLES: &str = "/var/log/libvirt/qemu";
const UID: &str = "5c1f6a5e-0000-4000-8000-000000000001";

pub(in super::super) fn target(spec: VirtualMachineSpec) -> GuestTarget {
    let disks = spec
        .disks
        .iter()
        .filter_map(|disk| {
            let path = match (&disk.volume, &disk.file, &disk.media) {
                (Some(volume), _, _) => format!("/dev/drbd/by-res/{volume}/0"),
                (_, Some(file), _) => format!("/srv/images/{}", file.path),
                (_, _, Some(media)) => media.replace("media://", "/srv/media/"),
                _ if disk.empty => return None,
                _ => format!("/dev/drbd/by-res/web-{}/0", disk.name),
            };
            Some(DiskSource {
                disk: disk.name.clone(),
                path: AbsolutePath(path),
            })
        })
        .collect();
    let nics = spec
        .nics
        .iter()
        .map(|nic| NicSource {
            nic: nic.name.clone(),
            bridge: format!("{}-br", nic.network),
        })
        .collect();
    GuestTarget {
        name: Name("web".into()),
        uid: UID.to_owned(),
        spec: Arc::new(spec),
        generation: 3,
        epoch: 7,
        disks,
        nics,
        display_password: None,
    }
}

fn ours(target: &GuestTarget) -> Ownership {
    Ownership {
        name: target.name.clone(),
        epoch: target.epoch,
        generation: target.generation,
        begun: None,
        arriving: None,
        spec: None,
    }
}

fn rendered(spec: VirtualMachineSpec, kept: &Kept) -> Result<Element, RenderError> {
    let target = target(spec);
    domain(
        &target,
        &Identity::of(&target),
        &ours(&target),
        kept,
        Path::new(CONSOLES),
    )
}

fn spec(yaml: &str) -> VirtualMachineSpec {
    serde_saphyr::from_str(yaml).expect("a spec")
}

#[test]
fn every_feature_is_rendered_as_it_was() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/drivers/libvirt/render/golden");
    let mut features = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&directory).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        features += 1;
        let yaml = fs::read_to_string(&path).expect("readable");
        let found = rendered(spec(&yaml), &Kept::default())
            .expect("rendered")
            .to_string();
        let golden = path.with_extension("xml");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&golden, &found).expect("written");
        }
        if fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", golden.display()));
        }
    }
    assert!(
        features >= 8,
        "{features} features in {}",
        directory.display()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_disk_stays_where_the_guest_has_found_it() {
    let three = spec(
        "{memory: 1Gi, disks: [{name: a, volume: a}, {name: b, volume: b}, {name: c, volume: c}]}",
    );
    let before = rendered(three, &Kept::default()).expect("rendered");
    let kept = Kept::of(&before);
    let fewer = spec("{memory: 1Gi, disks: [{name: new, volume: n}, {name: c, volume: c}]}");
    let after = rendered(fewer, &kept).expect("rendered");
    let names: Vec<_> = after
        .find(&["devices"])
        .expect("there")
        .all("disk")
        .filter_map(|disk| {
            Some((
                disk.find(&["serial"])?.text(),
                disk.find(&["target"])?.attribute("dev")?.to_owned(),
            ))
        })
        .collect();
    assert_eq!(
        names,
        [("new".into(), "vda".into()), ("c".into(), "vdc".into())]
    );
}

#[test]
fn an_address_that_libvirt_has_chosen_is_kept() {
    let one = "{memory: 1Gi, nics: [{name: eth0, network: ifn}]}";
    let mut before = rendered(spec(one), &Kept::default()).expect("rendered");
    let card = before
        .elements_mut()
        .find(|element| element.name == "devices")
        .and_then(|devices| {
            devices
                .elements_mut()
                .find(|device| device.name == "interface")
        })
        .expect("a card");
    *card = card.clone().child(
        Element::new("address")
            .with("type", "pci")
            .with("slot", "0x07"),
    );
    let after = rendered(spec(one), &Kept::of(&before)).expect("rendered");
    let address = after
        .find(&["devices", "interface", "address"])
        .expect("kept");
    assert_eq!(address.attribute("slot"), Some("0x07"));
}

#[test]
fn a_machine_and_a_card_are_the_same_for_ever() {
    assert_eq!(uuid(UID), UID);
    let made = uuid("not a uuid");
    assert_eq!(made, uuid("not a uuid"));
    assert_eq!(made.len(), 36);
    assert_ne!(made, uuid("another"));
}

#[test]
fn what_cannot_be_rendered_says_why() {
    let no_source = GuestTarget {
        disks: Vec::new(),
        ..target(spec("{memory: 1Gi, disks: [{name: system, volume: v}]}"))
    };
    let error = domain(
        &no_source,
        &Identity::of(&no_source),
        &ours(&no_source),
        &Kept::default(),
        Path::new(CONSOLES),
    );
    assert_eq!(error, Err(RenderError::NoSource("system".into())));
    let error = rendered(spec("{memory: much}"), &Kept::default()).expect_err("no size");
    assert!(error.to_string().contains("much"), "{error}");
    let error = rendered(
        spec("{memory: 1Gi, cpus: 3, cpu: {dedicated: true, pin: '1-2'}}"),
        &Kept::default(),
    );
    assert_eq!(
        error,
        Err(RenderError::TooFew {
            wanted: 3,
            found: 2
        })
    );
}
