//! A host that obeys its plan, and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::StreamExt;
use quorate_controller::hosts::DeskError;
use quorate_crds::NodePlan;
use quorate_proto::{
    heartbeat::{Beat, DaemonState, Grant, HeartbeatKey, MAX_LENGTH},
    host::v1::{FollowRequest, PlanUpdate, RecordReport, RegisterRequest, ReportRequest},
};
use serde_json::json;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use super::wire::Wire;

/// How often it beats.
const BEAT: Duration = Duration::from_millis(250);
/// What it takes to start or stop a guest.
const WORK: Duration = Duration::from_millis(100);
/// A machine that gets power is back after this long.
const BOOT: Duration = Duration::from_secs(30);

/// A machine that obeys.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) number: u16,
    wire: Wire,
    life: Arc<Mutex<Life>>,
}

struct Life {
    powered: bool,
    boots: u32,
    /// Nothing that it says arrives anywhere.
    cut: bool,
    /// It says that its daemon is being restarted.
    restarting: bool,
    incarnation: u64,
    key: Option<HeartbeatKey>,
    sequence: u64,
    guests: BTreeSet<String>,
    lease_until: Option<Instant>,
    /// The last refusal, for people.
    told: String,
    running: Option<AbortHandle>,
}

impl Host {
    pub(crate) fn new(name: &str, number: u16, wire: Wire) -> Self {
        let life = Life {
            powered: false,
            boots: 0,
            cut: false,
            restarting: false,
            incarnation: 0,
            key: None,
            sequence: 0,
            guests: BTreeSet::new(),
            lease_until: None,
            told: String::new(),
            running: None,
        };
        Self {
            name: name.to_owned(),
            number,
            wire,
            life: Arc::new(Mutex::new(life)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("not poisoned")
    }

    pub(crate) fn boot_id(&self) -> String {
        format!("{}-boot-{}", self.name, self.lock().boots)
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.lock().incarnation
    }

    pub(crate) fn guests(&self) -> BTreeSet<String> {
        self.lock().guests.clone()
    }

    pub(crate) fn powered(&self) -> bool {
        self.lock().powered
    }

    pub(crate) fn has_lease(&self) -> bool {
        self.lock()
            .lease_until
            .is_some_and(|until| until > Instant::now())
    }

    pub(crate) fn told(&self) -> String {
        self.lock().told.clone()
    }

    /// All of its networks are cut, or whole again.
    pub(crate) fn cut(&self, cut: bool) {
        self.lock().cut = cut;
    }

    /// Its daemon says that it is being restarted.
    pub(crate) fn restart_daemon(&self, restarting: bool) {
        self.lock().restarting = restarting;
    }

    /// It gets power, and boots for a while if it had been on before.
    pub(crate) fn switch_on(&self) {
        let mut life = self.lock();
        if life.powered {
            return;
        }
        let boot = if life.boots == 0 {
            Duration::ZERO
        } else {
            BOOT
        };
        life.powered = true;
        life.boots += 1;
        life.incarnation = 0;
        life.key = None;
        life.sequence = 0;
        let host = self.clone();
        let task = tokio::spawn(async move {
            sleep(boot).await;
            host.live().await;
        });
        life.running = Some(task.abort_handle());
    }

    /// The power is gone, and everything that ran with it.
    pub(crate) fn switch_off(&self) {
        let mut life = self.lock();
        life.powered = false;
        life.guests.clear();
        life.lease_until = None;
        if let Some(running) = life.running.take() {
            running.abort();
        }
    }

    async fn live(self) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().beat());
        tasks.spawn(self.clone().hear());
        tasks.spawn(self.obey());
        while tasks.join_next().await.is_some() {}
    }

    async fn beat(self) {
        let mut ticks = tokio::time::interval(BEAT);
        loop {
            ticks.tick().await;
            let mut datagram = [0; MAX_LENGTH];
            for ring in 0..2 {
                let length = {
                    let mut life = self.lock();
                    life.sequence += 1;
                    let beat = Beat {
                        ring,
                        node: &self.name,
                        incarnation: life.incarnation,
                        sequence: life.sequence,
                        daemon: if life.restarting {
                            DaemonState::Restarting
                        } else {
                            DaemonState::Well
                        },
                    };
                    let key = life.key.as_ref().filter(|_| !life.cut);
                    key.map(|key| beat.encode(key, &mut datagram).expect("a short name"))
                };
                if let Some(length) = length {
                    self.wire.say(self.number, &datagram[..length]);
                }
            }
        }
    }

    async fn hear(self) {
        let mut inbox = self.wire.host(self.number);
        while let Some(datagram) = inbox.recv().await {
            let mut life = self.lock();
            let key = life.key.clone().filter(|_| !life.cut);
            let granted = key.and_then(|key| Grant::decode(&datagram, &key).ok());
            if let Some(grant) = granted.filter(|grant| grant.lease_ms > 0) {
                let lease = Duration::from_millis(grant.lease_ms.into());
                life.lease_until = Some(Instant::now() + lease);
            }
        }
    }

    /// Registers, follows its plan and obeys it, again and again.
    async fn obey(self) {
        loop {
            if let Err(error) = self.serve().await {
                self.lock().told = error.to_string();
            }
            sleep(Duration::from_millis(300)).await;
        }
    }

    fn reaches(&self) -> Option<quorate_controller::brain::Brain> {
        if self.lock().cut {
            None
        } else {
            self.wire.leader()
        }
    }

    async fn serve(&self) -> Result<(), DeskError> {
        let Some(leader) = self.reaches() else {
            return Ok(());
        };
        let request = RegisterRequest {
            boot_id: self.boot_id(),
            incarnation: self.incarnation(),
            feature_level: quorate_proto::FEATURE_LEVEL,
            number: 0,
            facts: json!({"capacity": {"memory": "64Gi", "cpus": 16}})
                .to_string()
                .into(),
        };
        let reply = leader.desk().register(&self.name, request).await?;
        {
            let mut life = self.lock();
            life.incarnation = reply.incarnation;
            let key = reply
                .heartbeat_key
                .as_ref()
                .try_into()
                .expect("a whole key");
            life.key = Some(HeartbeatKey::new(key));
        }
        let incarnation = reply.incarnation;
        let mut updates = leader
            .desk()
            .follow(&self.name, FollowRequest { incarnation })
            .await?;
        while let Some(update) = updates.next().await {
            if self.lock().cut {
                return Ok(());
            }
            self.act(update?, incarnation).await?;
        }
        Ok(())
    }

    async fn act(&self, update: PlanUpdate, incarnation: u64) -> Result<(), DeskError> {
        let plans: Vec<NodePlan> = update
            .records
            .iter()
            .map(|record| serde_json::from_slice(record).expect("a record"))
            .collect();
        let mut said = BTreeMap::new();
        let mut generation = 0;
        for plan in plans
            .iter()
            .filter(|plan| plan.spec.incarnation == incarnation)
        {
            generation = generation.max(plan.spec.plan_generation);
            let Some(assignment) = &plan.spec.assignment else {
                continue;
            };
            sleep(WORK).await;
            let active = assignment.active;
            if assignment.object.kind == "VirtualMachine" {
                let guest = assignment.object.name.to_string();
                let mut life = self.lock();
                if active {
                    life.guests.insert(guest);
                } else {
                    life.guests.remove(&guest);
                }
            }
            let presence = if active { "Running" } else { "Absent" };
            let status = json!({
                "observedPlanGeneration": plan.spec.plan_generation,
                "released": !active,
                "conditions": [{
                    "type": "Converged", "status": "True", "reason": "AsAssigned", "message": "",
                    "lastTransitionTime": "2026-03-01T12:00:00Z",
                }],
                "guest": (assignment.guest.is_some()).then(|| json!({"presence": presence})),
            });
            let name = plan.metadata.name.clone().expect("a name");
            said.insert(name, status.to_string());
        }
        if generation == 0 {
            return Ok(());
        }
        loop {
            let records = said.iter().map(|(record, status)| RecordReport {
                record: record.clone(),
                status: status.clone().into(),
            });
            let request = ReportRequest {
                incarnation,
                records: records.collect(),
                accepted_plan_generation: generation,
                ..ReportRequest::default()
            };
            if let Some(leader) = self.reaches() {
                match leader.desk().report(&self.name, request).await {
                    Ok(_) => return Ok(()),
                    Err(error @ DeskError::IncarnationOver { .. }) => return Err(error),
                    // Whoever leads next is told the same.
                    Err(_) => {}
                }
            }
            sleep(Duration::from_millis(300)).await;
        }
    }
}
