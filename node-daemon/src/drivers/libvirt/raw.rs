//! The escape hatch: a fragment of libvirt's XML that is merged over the rendered one.
//!
//! The fragment is a `<domain>`. Its attributes replace those of the same name. An element of it is merged into the rendered one
//! of the same name, or added where there is none; text replaces text. Among devices there are many of one name: a
//! disk is the same when its `<target dev>` is, a card when its `<mac address>` is, anything when its `<alias name>` is; the emulator,
//! the balloon, the screen, the card of the screen and the watchdog are there once. Every other device is added.

use super::render::RenderError;
use quorate_libvirt::{Element, Node};

const ONCE: [&str; 5] = ["emulator", "memballoon", "graphics", "video", "watchdog"];
const MANY: [&str; 4] = ["boot", "timer", "feature", "vcpupin"];

pub(super) fn merged(mut domain: Element, fragment: &str) -> Result<Element, RenderError> {
    let fragment = Element::read(fragment).map_err(|error| {
        RenderError::Raw(
            std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        )
    })?;
    if fragment.name != "domain" {
        return Err(RenderError::NotADomain(fragment.name));
    }
    merge(&mut domain, &fragment);
    Ok(domain)
}

fn merge(base: &mut Element, over: &Element) {
    for (name, value) in &over.attributes {
        base.set(name, value);
    }
    let text = over.text();
    if !text.is_empty() {
        base.nodes.retain(|node| matches!(node, Node::Element(_)));
        base.nodes.push(Node::Text(text));
    }
    let devices = base.name == "devices";
    for child in over.elements() {
        // Whose it is, is not for a fragment to say.
        if child.name == "metadata" {
            continue;
        }
        let same = base.elements_mut().find(|known| {
            known.name == child.name
                && if devices {
                    same_device(known, child)
                } else {
                    !MANY.contains(&child.name.as_str())
                }
        });
        match same {
            Some(known) => merge(known, child),
            None => base.nodes.push(Node::Element(child.clone())),
        }
    }
}

fn same_device(known: &Element, other: &Element) -> bool {
    let equal = |path: &str, attribute: &str| {
        let value = |device: &Element| {
            device
                .find(&[path])
                .and_then(|element| element.attribute(attribute))
                .map(str::to_owned)
        };
        value(other).is_some_and(|value_of_other| value(known) == Some(value_of_other))
    };
    ONCE.contains(&known.name.as_str())
        || equal("alias", "name")
        || (known.name == "disk" && equal("target", "dev"))
        || (known.name == "interface" && equal("mac", "address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Element {
        Element::read(
            "<domain type='kvm'><metadata><own/></metadata><cpu mode='host-model'><topology cores='2'/></cpu><devices>\
             <disk><driver cache='none'/><target dev='vda'/></disk><memballoon model='virtio'/></devices></domain>",
        )
        .expect("well-formed")
    }

    #[test]
    fn a_fragment_changes_what_it_names_and_leaves_the_rest() {
        let merged = merged(
            base(),
            "<domain type='qemu'><metadata><other/></metadata><cpu mode='custom'><model>x</model></cpu><devices>\
             <disk><driver cache='writeback'/><target dev='vda'/></disk><disk><target dev='vdb'/></disk>\
             <memballoon model='none'/><tpm/></devices></domain>",
        )
        .expect("merged");
        assert_eq!(merged.attribute("type"), Some("qemu"));
        assert!(merged.find(&["metadata", "own"]).is_some());
        assert!(merged.find(&["metadata", "other"]).is_none());
        assert_eq!(
            merged.find(&["cpu"]).and_then(|cpu| cpu.attribute("mode")),
            Some("custom")
        );
        assert!(merged.find(&["cpu", "topology"]).is_some());
        let devices = merged.find(&["devices"]).expect("there");
        assert_eq!(devices.all("disk").count(), 2);
        assert_eq!(
            devices
                .find(&["disk", "driver"])
                .and_then(|driver| driver.attribute("cache")),
            Some("writeback")
        );
        let balloons: Vec<_> = devices
            .all("memballoon")
            .map(|device| device.attribute("model"))
            .collect();
        assert_eq!(balloons, [Some("none")]);
        assert!(devices.find(&["tpm"]).is_some());
    }

    #[test]
    fn what_is_no_domain_is_refused_with_the_reason() {
        let error = merged(base(), "<devices/>").expect_err("refused");
        assert_eq!(error, RenderError::NotADomain("devices".into()));
        let error = merged(base(), "<domain>").expect_err("refused");
        assert!(error.to_string().contains("rawDomain"), "{error}");
    }
}
