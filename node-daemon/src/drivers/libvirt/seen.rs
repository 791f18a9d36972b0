//! What libvirt says of a domain, as the daemon understands it.

use super::AGENT;
use super::change::pending;
use super::ownership::Ownership;
use super::render::nic_alias;
use crate::drivers::{GuestDoing, GuestSeen, HowEnded, Owner, WhyPaused};
use quorate_crds::scalar::{Duration, Label, MacAddress, Size};
use quorate_crds::{
    AgentStatus, DisplayProtocol, DisplayStatus, GuestNicStatus, GuestResources, MigrationProgress,
};
use quorate_libvirt::{Element, JobKind, JobStats, State, Value, find};

/// `VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN` and `…_OUT`.
const COMING: u64 = 4;
const GOING: u64 = 5;

/// Everything that was asked about a domain.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) state: State,
    /// As it is defined.
    pub(super) defined: Element,
    /// As it runs.
    pub(super) live: Option<Element>,
    /// What goes on at it.
    pub(super) job: Option<JobStats>,
}

pub(super) fn active(state: State) -> bool {
    state.state != State::OFF
}

impl Found {
    pub(super) fn seen(&self) -> GuestSeen {
        let Some(ours) = Ownership::of(&self.defined) else {
            return self.foreign();
        };
        let running = self
            .live
            .as_ref()
            .and_then(Ownership::of)
            .and_then(|live| live.spec);
        let pending_changes = match (&running, &ours.spec) {
            (Some(running), Some(wanted)) => pending(running, wanted),
            _ => Vec::new(),
        };
        let shown = self.live.as_ref();
        GuestSeen {
            doing: self.doing(Some(&ours)),
            epoch: Some(ours.epoch),
            generation: Some(ours.generation),
            pending_changes,
            migration: self.leaving(),
            nics: shown.map(nics).unwrap_or_default(),
            agent: shown.and_then(agent),
            display: shown.and_then(display),
            resources: shown.map(resources),
            owner: Owner::Ours(ours.name),
            domain: self.name.clone(),
        }
    }

    fn foreign(&self) -> GuestSeen {
        GuestSeen {
            domain: self.name.clone(),
            owner: Owner::Foreign,
            epoch: None,
            generation: None,
            doing: self.doing(None),
            pending_changes: Vec::new(),
            migration: None,
            nics: Vec::new(),
            agent: None,
            display: None,
            resources: None,
        }
    }

    fn operation(&self) -> Option<u64> {
        let job = self.job.as_ref()?;
        if !matches!(job.kind, JobKind::Bounded | JobKind::Unbounded) {
            return None;
        }
        find(&job.params, "operation").and_then(Value::number)
    }

    fn leaving(&self) -> Option<MigrationProgress> {
        if self.operation() != Some(GOING) {
            return None;
        }
        let number = |name| {
            let job = self.job.as_ref()?;
            find(&job.params, name).and_then(Value::number)
        };
        let (total, left) = (number("memory_total"), number("memory_remaining"));
        let percent = match (total, left) {
            (Some(total), Some(left)) if total > 0 => {
                u32::try_from(total.saturating_sub(left).saturating_mul(100) / total).ok()
            }
            _ => None,
        };
        let size = |bytes: u64| Size(format!("{}Ki", bytes >> 10));
        Some(MigrationProgress {
            migration: None,
            percent: percent.map(|percent| percent.min(100)),
            total: total.map(size),
            remaining: left.map(size),
            downtime: number("downtime").map(|milliseconds| Duration(format!("{milliseconds}ms"))),
        })
    }

    fn doing(&self, ours: Option<&Ownership>) -> GuestDoing {
        match self.state.state {
            State::OFF => GuestDoing::Off(self.ended(ours)),
            State::SHUTDOWN => GuestDoing::Stopping,
            State::PAUSED => self.paused(ours),
            State::RUNNING | State::BLOCKED | State::SUSPENDED => GuestDoing::Running,
            // A crashed one that is kept has its disks open; and what libvirt does not say is not taken for off.
            _ => GuestDoing::Paused(WhyPaused::Unknown),
        }
    }

    fn paused(&self, ours: Option<&Ownership>) -> GuestDoing {
        let arriving = ours.is_some_and(|ours| ours.arriving.is_some());
        let coming = self.operation() == Some(COMING);
        GuestDoing::Paused(match self.state.reason {
            State::PAUSED_SHUTTING_DOWN => return GuestDoing::Stopping,
            _ if coming => WhyPaused::Incoming,
            // On its way away, but not there yet: `migration` says so.
            State::PAUSED_MIGRATION if self.operation() == Some(GOING) => WhyPaused::Unknown,
            State::PAUSED_MIGRATION | State::PAUSED_STARTING_UP if arriving => WhyPaused::Incoming,
            State::PAUSED_MIGRATION => WhyPaused::Sent,
            State::PAUSED_USER if arriving => WhyPaused::Received,
            State::PAUSED_USER | State::PAUSED_STARTING_UP => WhyPaused::Asked,
            State::PAUSED_IO_ERROR => WhyPaused::DiskError,
            _ => WhyPaused::Unknown,
        })
    }

    fn ended(&self, ours: Option<&Ownership>) -> HowEnded {
        if let Some(ours) = ours {
            if ours.begun != Some(ours.epoch) {
                return HowEnded::NeverStarted;
            }
            if ours.arriving.is_some() {
                return HowEnded::Failed;
            }
        }
        match self.state.reason {
            State::OFF_SHUTDOWN => HowEnded::PoweredOff,
            State::OFF_DESTROYED => HowEnded::Destroyed,
            State::OFF_CRASHED => HowEnded::Crashed,
            State::OFF_MIGRATED => HowEnded::Migrated,
            State::OFF_FAILED | State::OFF_DAEMON => HowEnded::Failed,
            _ => HowEnded::Unknown,
        }
    }
}

fn devices<'a>(domain: &'a Element, name: &'a str) -> impl Iterator<Item = &'a Element> {
    domain
        .find(&["devices"])
        .into_iter()
        .flat_map(move |devices| devices.all(name))
}

fn said<'a>(element: &'a Element, path: &[&str], attribute: &str) -> Option<&'a str> {
    element.find(path)?.attribute(attribute)
}

fn nics(domain: &Element) -> Vec<GuestNicStatus> {
    let prefix = nic_alias(&Label(String::new()));
    devices(domain, "interface")
        .filter_map(|card| {
            let name = said(card, &["alias"], "name")?.strip_prefix(&prefix)?;
            Some(GuestNicStatus {
                name: Label(name.to_owned()),
                mac: said(card, &["mac"], "address").map(|mac| MacAddress(mac.to_owned())),
                device: said(card, &["target"], "dev").map(str::to_owned),
            })
        })
        .collect()
}

fn agent(domain: &Element) -> Option<AgentStatus> {
    devices(domain, "channel")
        .filter_map(|channel| channel.find(&["target"]))
        .find(|target| target.attribute("name") == Some(AGENT))
        .map(|target| AgentStatus {
            connected: Some(target.attribute("state") == Some("connected")),
            ..AgentStatus::default()
        })
}

fn display(domain: &Element) -> Option<DisplayStatus> {
    devices(domain, "graphics").find_map(|graphics| {
        let protocol = match graphics.attribute("type")? {
            "vnc" => DisplayProtocol::Vnc,
            "spice" => DisplayProtocol::Spice,
            _ => return None,
        };
        Some(DisplayStatus {
            protocol: Some(protocol),
            port: graphics
                .attribute("port")
                .and_then(|port| port.parse().ok()),
        })
    })
}

fn resources(domain: &Element) -> GuestResources {
    let memory = domain
        .find(&["currentMemory"])
        .filter(|memory| memory.attribute("unit").is_none_or(|unit| unit == "KiB"))
        .map(|memory| Size(format!("{}Ki", memory.text())));
    let cpus = domain.find(&["vcpu"]).and_then(|count| {
        let current = count.attribute("current").map(str::to_owned);
        current.unwrap_or_else(|| count.text()).parse().ok()
    });
    GuestResources { memory, cpus }
}

#[cfg(test)]
mod tests;
