//! Power: outlets, boards, power buttons, watchdogs, and what becomes of a machine without it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    MachineRoom,
    layout::{DeviceKind, MachineLayout},
    refusal::Refusal,
    request::{Changed, FenceCall, PowerReply},
};

/// What a machine's kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kernel {
    /// There is no power, or it is switched off.
    Off,
    /// It starts.
    Booting,
    /// It runs.
    Running,
    /// It panicked: nothing runs any more, and it stays so.
    Crashed,
    /// No process gets anywhere, but guests still run and what they write still reaches the disks. The worst that a lost
    /// host can be.
    Hung,
}

impl Kernel {
    /// Whether guests execute and replication answers.
    #[must_use]
    pub fn executes(self) -> bool {
        matches!(self, Self::Running | Self::Hung)
    }
}

/// How a fence device behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceBehaviour {
    /// As it should.
    #[default]
    Works,
    /// It answers every action with a failure.
    Fails,
    /// It says that it acted, and does nothing; `status` tells the truth.
    ActsNot,
    /// It says that it acted, does nothing, and says off when it is asked.
    Lies,
    /// It does not answer.
    Unreachable,
    /// It works, after this time.
    Slow(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) kind: DeviceKind,
    pub(crate) behaviour: DeviceBehaviour,
    /// Outlets that are switched off.
    pub(crate) off: std::collections::BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct WatchdogState {
    pub(crate) timeout: Option<Duration>,
    pub(crate) fed: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) layout: MachineLayout,
    /// The cords are in.
    pub(crate) mains: bool,
    /// The power button, as the board sees it.
    pub(crate) switched_on: bool,
    pub(crate) kernel: Kernel,
    pub(crate) boots: u64,
    pub(crate) up_at: Duration,
    pub(crate) watchdog: WatchdogState,
    pub(crate) powered: bool,
}

impl MachineRoom {
    /// Whether current reaches the machine's power supplies.
    pub(crate) fn has_power(&self, machine: &str) -> bool {
        let mains = self
            .machines
            .get(machine)
            .is_some_and(|machine| machine.mains);
        let mut cords = self.devices.values().flat_map(|device| match &device.kind {
            DeviceKind::Outlets(plugs) => plugs
                .iter()
                .filter(|(_, feeds)| feeds.as_str() == machine)
                .map(|(plug, _)| !device.off.contains(plug))
                .collect::<Vec<_>>(),
            DeviceKind::Board(_) => Vec::new(),
        });
        let first = cords.next();
        // Without any switched outlet it is plugged into the wall.
        mains && (first.is_none_or(|on| on) || cords.any(|on| on))
    }

    /// The boot id of the machine's present, or last, boot.
    #[must_use]
    pub fn boot_id(&self, machine: &str) -> Option<String> {
        let number = self.machines.keys().position(|name| name == machine)?;
        let boots = self.machines.get(machine)?.boots;
        Some(format!(
            "{:08x}-0000-4000-8000-{number:04x}{boots:08x}",
            self.seed
        ))
    }

    /// Follows a change of power, button or outlets.
    pub(crate) fn settle_power(&mut self) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            let power = self.has_power(&name);
            let now = self.now;
            let boot_time = self.settings.boot_time;
            let Some(machine) = self.machines.get_mut(&name) else {
                continue;
            };
            let returned = power && !machine.powered;
            machine.powered = power;
            let runs = machine.kernel != Kernel::Off;
            if runs && !(power && machine.switched_on) {
                machine.kernel = Kernel::Off;
                machine.watchdog = WatchdogState::default();
                self.end_of(&name, "has no power");
            } else if !runs && power && machine.switched_on {
                machine.kernel = Kernel::Booting;
                machine.up_at = now + boot_time;
                let how = if returned { "power is back" } else { "is on" };
                self.note(format!("{name} boots: {how}"));
            }
        }
        self.meet_and_part();
    }

    /// Everything that the machine's kernel held is gone.
    pub(crate) fn end_of(&mut self, machine: &str, why: &str) {
        self.note(format!("{machine} {why}"));
        for volume in self.volumes.values_mut() {
            if let Some(replica) = volume.replicas.get_mut(machine) {
                replica.live = None;
            }
        }
        self.forget_running(machine);
        self.touch(machine, Changed::Anything);
        self.meet_and_part();
    }

    pub(crate) fn press(&mut self, machine: &str, on: bool) -> Result<(), Refusal> {
        self.machine(machine)?.switched_on = on;
        self.settle_power();
        Ok(())
    }

    /// What the machine does after a reset: whatever ran is gone, and it boots.
    pub(crate) fn reset(&mut self, machine: &str, why: &str) -> Result<(), Refusal> {
        let (now, boot_time) = (self.now, self.settings.boot_time);
        let known = self.machine(machine)?;
        if known.kernel == Kernel::Off {
            return Ok(());
        }
        known.kernel = Kernel::Booting;
        known.up_at = now + boot_time;
        known.watchdog = WatchdogState::default();
        self.end_of(machine, why);
        Ok(())
    }

    /// The kernel gets no further: for good, or with guests that go on writing.
    pub(crate) fn stop_kernel(&mut self, machine: &str, how: Kernel) -> Result<(), Refusal> {
        let known = self.machine(machine)?;
        if known.kernel != Kernel::Running {
            return Ok(());
        }
        known.kernel = how;
        if how == Kernel::Hung {
            self.note(format!("{machine} hangs"));
        } else {
            self.end_of(machine, "panics");
        }
        Ok(())
    }

    /// Somebody plugs two cords the wrong way round.
    pub(crate) fn swap_cords(
        &mut self,
        device: &str,
        one: &str,
        other: &str,
    ) -> Result<(), Refusal> {
        if let Some(Device {
            kind: DeviceKind::Outlets(plugs),
            ..
        }) = self.devices.get_mut(device)
            && let (Some(a), Some(b)) = (plugs.get(one).cloned(), plugs.get(other).cloned())
        {
            plugs.insert(one.to_owned(), b);
            plugs.insert(other.to_owned(), a);
            self.settle_power();
            return Ok(());
        }
        Err(Refusal::NotThere(format!(
            "{device} has no outlets {one} and {other} that something is plugged into"
        )))
    }

    pub(crate) fn machine(&mut self, name: &str) -> Result<&mut Machine, Refusal> {
        self.machines
            .get_mut(name)
            .ok_or_else(|| Refusal::NotThere(format!("there is no machine {name} in the room")))
    }

    /// Boots that are over, and watchdogs that were not fed.
    pub(crate) fn run_machines(&mut self) {
        let now = self.now;
        let mut bitten = Vec::new();
        let mut up = Vec::new();
        for (name, machine) in &mut self.machines {
            if machine.kernel == Kernel::Booting && machine.up_at <= now {
                machine.kernel = Kernel::Running;
                machine.boots += 1;
                up.push(name.clone());
            }
            let hungry = machine
                .watchdog
                .timeout
                .is_some_and(|timeout| now > machine.watchdog.fed + timeout);
            if hungry && machine.kernel != Kernel::Off {
                bitten.push(name.clone());
            }
        }
        for name in up {
            self.note(format!("{name} is up"));
            self.touch(&name, Changed::Anything);
        }
        for name in bitten {
            self.watchdogs_fired += 1;
            // The machine is there: it was listed above.
            let _ = self.reset(&name, "is reset by its watchdog");
        }
    }

    /// What a fence agent does.
    pub(crate) fn fence(
        &mut self,
        device: &str,
        plug: &str,
        call: FenceCall,
    ) -> (Result<PowerReply, Refusal>, Duration) {
        let Some(known) = self.devices.get(device).cloned() else {
            let text = format!("there is no fence device {device} in the room");
            return (Err(Refusal::NotThere(text)), Duration::ZERO);
        };
        let unreachable = |text: String| Err(Refusal::Unreachable(text));
        let mut after = self.settings.device_time;
        match known.behaviour {
            DeviceBehaviour::Unreachable => {
                return (
                    unreachable(format!("{device} does not answer")),
                    self.settings.device_timeout,
                );
            }
            DeviceBehaviour::Fails => {
                let text = format!("{device} failed to do it");
                return (Err(Refusal::Busy(text)), after);
            }
            DeviceBehaviour::Slow(time) => after = time,
            _ => {}
        }
        if let DeviceKind::Board(machine) = &known.kind
            && !self.has_power(machine)
        {
            let text = format!("{device} does not answer: {machine} has no mains");
            return (unreachable(text), self.settings.device_timeout);
        }
        let acts = !matches!(
            known.behaviour,
            DeviceBehaviour::ActsNot | DeviceBehaviour::Lies
        );
        let lies = known.behaviour == DeviceBehaviour::Lies;
        let on = match &known.kind {
            DeviceKind::Board(machine) => {
                let machine = machine.clone();
                if let (FenceCall::On | FenceCall::Off, true) = (call, acts)
                    && let Err(refusal) = self.press(&machine, call == FenceCall::On)
                {
                    return (Err(refusal), after);
                }
                self.machines
                    .get(&machine)
                    .is_some_and(|machine| machine.switched_on)
            }
            DeviceKind::Outlets(plugs) => {
                if call != FenceCall::Monitor && !plugs.contains_key(plug) {
                    let text = format!("{device} has no outlet {plug}");
                    return (Err(Refusal::NotThere(text)), after);
                }
                if acts && let Some(known) = self.devices.get_mut(device) {
                    match call {
                        FenceCall::On => known.off.remove(plug),
                        FenceCall::Off => known.off.insert(plug.to_owned()),
                        FenceCall::Status | FenceCall::Monitor => false,
                    };
                }
                self.settle_power();
                !self
                    .devices
                    .get(device)
                    .is_some_and(|known| known.off.contains(plug))
            }
        };
        if matches!(call, FenceCall::On | FenceCall::Off) {
            self.note(format!("{device} {plug}: {call:?}"));
        }
        let reply = if on && !lies {
            PowerReply::On
        } else {
            PowerReply::Off
        };
        (Ok(reply), after)
    }
}
