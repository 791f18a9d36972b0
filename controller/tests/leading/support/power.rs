//! Fence devices that switch the stories' machines.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_controller::fencing::agents::{
    Action, AgentFailure, AgentReport, AgentRequest, Agents, Power,
};
use quorate_crds::AgentMetadata;
use tokio::time::sleep;

use super::host::Host;

/// How long a device takes for an answer.
const ANSWER: Duration = Duration::from_millis(200);

/// One board in each machine, called `bmc-` and its name.
#[derive(Clone)]
pub(crate) struct Boards {
    hosts: Vec<Host>,
    broken: Arc<Mutex<BTreeSet<String>>>,
    /// They say what is asked for and do nothing: their cables are another machine's.
    swapped: Arc<Mutex<BTreeSet<String>>>,
    /// What was asked, beside how things are.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Boards {
    pub(crate) fn of(hosts: &[Host]) -> Self {
        Self {
            hosts: hosts.to_vec(),
            broken: Arc::default(),
            swapped: Arc::default(),
            asked: Arc::default(),
        }
    }

    pub(crate) fn break_board(&self, host: &str, broken: bool) {
        let mut all = self.broken.lock().expect("not poisoned");
        if broken {
            all.insert(host.to_owned());
        } else {
            all.remove(host);
        }
    }

    pub(crate) fn swap_cables(&self, host: &str) {
        let mut all = self.swapped.lock().expect("not poisoned");
        all.insert(host.to_owned());
    }

    /// The machines that were told to go off or on, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

impl Agents for Boards {
    fn run(&self, _member: &str, request: AgentRequest) -> BoxFuture<'static, AgentReport> {
        let boards = self.clone();
        async move {
            sleep(ANSWER).await;
            let name = request.device.trim_start_matches("bmc-").to_owned();
            if boards.broken.lock().expect("not poisoned").contains(&name) {
                return Err(AgentFailure::Failed("the board does not answer".to_owned()));
            }
            let host = boards.hosts.iter().find(|host| host.name == name);
            let host = host.expect("every board is in a machine");
            if matches!(request.action, Action::Off | Action::On) {
                let asked = format!("{} {name}", request.action);
                boards.asked.lock().expect("not poisoned").push(asked);
            }
            if boards.swapped.lock().expect("not poisoned").contains(&name) {
                return Ok(Power::Off);
            }
            Ok(match request.action {
                Action::Off => {
                    host.switch_off();
                    Power::Unknown
                }
                Action::On => {
                    host.switch_on();
                    Power::Unknown
                }
                Action::Status if host.powered() => Power::On,
                Action::Status => Power::Off,
                Action::Monitor => Power::Unknown,
            })
        }
        .boxed()
    }

    fn describe(&self, _agent: &str) -> BoxFuture<'static, Result<AgentMetadata, AgentFailure>> {
        async { Ok(AgentMetadata::default()) }.boxed()
    }
}
