//! What must hold at every step, whatever devices answer.

use std::time::Duration;

use quorate_controller::fencing::{Run, StatusWrite, agents::Action};
use quorate_crds::{
    Cluster, Evidence, EvidenceKind, FenceDeviceState, FenceOperation, FencePhase, Node,
};

use super::World;

/// A lease and the time-out of a watchdog, as the stories declare them.
const LEASE_AND_WATCHDOG: Duration = Duration::from_secs(40);

impl World {
    fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Rules about what an agent is asked.
    pub(super) fn check_run(&mut self, run: &Run) {
        let request = &run.request;
        let Some(node) = request.node.clone() else {
            return;
        };
        if !matches!(request.action, Action::Off | Action::On) {
            return;
        }
        let cluster: Cluster = self.objects.read("clusters", "cluster");
        let on_victim = cluster.spec.members.iter().any(|member| {
            member.name.as_str() == run.member
                && member
                    .node
                    .as_ref()
                    .is_some_and(|host| host.as_str() == node)
        });
        if on_victim {
            let (member, action) = (&run.member, request.action);
            self.violate(format!(
                "{member} runs {action} against its own machine {node}"
            ));
        }
        match request.action {
            Action::On => self.check_on(&node, &request.device),
            _ => self.check_off(&node, run),
        }
    }

    fn check_on(&mut self, node: &str, device: &str) {
        let committed = self.operations_on(node).iter().any(|operation| {
            let status = operation.status.as_ref();
            status.and_then(|status| status.phase) == Some(FencePhase::Succeeded)
        });
        if !committed {
            self.violate(format!(
                "{device} gives power to {node} before its fencing is committed"
            ));
        }
    }

    /// Levels in their order, the first first, after the last the first again.
    fn check_off(&mut self, node: &str, run: &Run) {
        let device = self.fence_device(&run.request.device);
        let state = device.status.and_then(|status| status.state);
        if state == Some(FenceDeviceState::Contradicted) {
            self.violate(format!(
                "{} was contradicted and is told to switch off",
                run.request.device
            ));
        }
        let host: Node = self.objects.read("nodes", node);
        let levels: Vec<Vec<&str>> = host
            .spec
            .fencing
            .levels
            .iter()
            .map(|level| {
                level
                    .devices
                    .iter()
                    .map(|target| target.device.as_str())
                    .collect()
            })
            .filter(|devices: &Vec<&str>| devices.iter().any(|device| *device != "self"))
            .collect();
        let level_of = |device: &str| levels.iter().position(|devices| devices.contains(&device));
        let Some(level) = level_of(&run.request.device) else {
            return;
        };
        let former = self
            .asked
            .iter()
            .rev()
            .find(|asked| asked.action == Action::Off && asked.term == run.request.term)
            .and_then(|asked| level_of(&asked.device));
        let next = former.map_or(0, |former| (former + 1) % levels.len());
        if ![former, Some(next)].contains(&Some(level)) && !self.contradicted_lately {
            let found = format!("level {level} of {node} follows level {former:?}");
            self.violate(found);
        }
    }

    /// Rules about what is stored.
    pub(super) fn check_write(&mut self, write: &StatusWrite) {
        let Some(evidence) = write.fields.get("evidence") else {
            return;
        };
        let Ok(evidence) = serde_json::from_value::<Evidence>(evidence.clone()) else {
            return;
        };
        let operation: FenceOperation = self.objects.read("fenceoperations", &write.name);
        let node: Node = self.objects.read("nodes", operation.spec.node.as_str());
        let Some(level) = node
            .spec
            .fencing
            .levels
            .iter()
            .find(|level| Some(&level.name.0) == evidence.level.as_ref())
        else {
            return;
        };
        if !matches!(
            evidence.kind,
            EvidenceKind::Devices | EvidenceKind::Watchdog
        ) {
            return;
        }
        for target in &level.devices {
            let name = target.device.as_str();
            if name == "self" {
                let granted = self.leases.0.get(operation.spec.node.as_str()).copied();
                if granted.is_none_or(|granted| self.now < granted + LEASE_AND_WATCHDOG) {
                    self.violate(format!(
                        "{} counts as off before its watchdog has fired",
                        operation.spec.node
                    ));
                }
                continue;
            }
            let now = self.now;
            let device = self.devices.entry(name.to_owned()).or_default();
            device.catch_up(now);
            if !device.is_off(&target.plug) {
                self.violate(format!(
                    "level {} counts as off, and {name} is on",
                    level.name
                ));
            }
        }
    }

    fn operations_on(&self, node: &str) -> Vec<FenceOperation> {
        self.objects
            .names("fenceoperations")
            .into_iter()
            .map(|name| self.objects.read::<FenceOperation>("fenceoperations", name))
            .filter(|operation| operation.spec.node.as_str() == node)
            .collect()
    }
}
