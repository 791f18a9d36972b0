//! Processors: how many, how they look, where they run.

use super::RenderError;
use quorate_crds::{CpuModel, Hypervisor, VirtualMachineSpec};
use quorate_libvirt::Element;

/// What KVM can give on every processor of the last fifteen years, and what current systems need at least.
const BASELINE: &str = "Nehalem";

pub(super) fn processors(spec: &VirtualMachineSpec) -> Result<Vec<Element>, RenderError> {
    let most = spec.max_cpus.unwrap_or(spec.cpus).max(spec.cpus);
    let mut count = Element::new("vcpu").with("placement", "static");
    let pin = spec.cpu.pin.as_ref().map(|pin| pin.as_str());
    if let Some(pin) = pin {
        count.set("cpuset", pin);
    }
    if most > spec.cpus {
        count.set("current", spec.cpus);
    }
    let mut elements = vec![count.holding(most)];
    let mut tuning = Element::new("cputune");
    if spec.cpu.weight != 100 {
        tuning = tuning.child(Element::new("shares").holding(spec.cpu.weight));
    }
    if spec.cpu.dedicated
        && let Some(pin) = pin
    {
        let processors = listed(pin)?;
        if processors.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(RenderError::TooFew {
                wanted: most,
                found: processors.len(),
            });
        }
        for (own, host) in (0..most).zip(processors) {
            let pair = Element::new("vcpupin")
                .with("vcpu", own)
                .with("cpuset", host);
            tuning = tuning.child(pair);
        }
    }
    if !tuning.nodes.is_empty() {
        elements.push(tuning);
    }
    Ok(elements)
}

/// `1-3,5,^2`, one by one.
fn listed(set: &str) -> Result<Vec<u32>, RenderError> {
    let wrong = || RenderError::Processors(set.to_owned());
    let mut all = Vec::new();
    for part in set.split(',') {
        if let Some(out) = part.strip_prefix('^') {
            let out: u32 = out.parse().map_err(|_| wrong())?;
            all.retain(|processor| *processor != out);
            continue;
        }
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let from: u32 = from.trim().parse().map_err(|_| wrong())?;
        let to: u32 = to.trim().parse().map_err(|_| wrong())?;
        if to < from || to - from > 4096 {
            return Err(wrong());
        }
        all.extend(from..=to);
    }
    Ok(all)
}

pub(super) fn model(spec: &VirtualMachineSpec) -> Option<Element> {
    if matches!(
        spec.hypervisor,
        Hypervisor::Xen | Hypervisor::XenParavirtual
    ) {
        return None;
    }
    let emulated = spec.hypervisor == Hypervisor::Qemu;
    let named = |model: &str| {
        Element::new("cpu")
            .with("mode", "custom")
            .with("match", "exact")
            .with("check", "partial")
            .child(
                Element::new("model")
                    .with("fallback", "forbid")
                    .holding(model),
            )
    };
    let mut cpu = match (&spec.cpu.named_model, spec.cpu.model) {
        (Some(model), _) => named(model),
        (None, CpuModel::Host) if emulated => Element::new("cpu").with("mode", "maximum"),
        (None, CpuModel::Host) => Element::new("cpu")
            .with("mode", "host-passthrough")
            .with("check", "none")
            .with("migratable", "on"),
        // What a host emulates does not hang on its processor.
        (None, CpuModel::Common) if emulated => named("qemu64"),
        // libvirt writes down what this host has, and refuses a move to one that has less.
        (None, CpuModel::Common) => Element::new("cpu")
            .with("mode", "host-model")
            .with("check", "partial"),
        (None, CpuModel::Baseline) => named(BASELINE),
    };
    if let Some(topology) = &spec.cpu.topology {
        cpu = cpu.child(
            Element::new("topology")
                .with("sockets", topology.sockets)
                .with("dies", 1)
                .with("cores", topology.cores)
                .with("threads", topology.threads),
        );
    }
    Some(cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(listed("1-3,5,^2"), Ok(vec![1, 3, 5]));
        for wrong in ["", "x", "3-1", "0-99999", "1,,2"] {
            assert!(listed(wrong).is_err(), "{wrong}");
        }
    }
}
