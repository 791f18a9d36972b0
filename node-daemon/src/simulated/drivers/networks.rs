use quorate_crds::{BondLinkStatus, LinkState, Name, NetworkHostStatus};

use super::{Host, unexpected};
use crate::drivers::{Doing, Hints, NetworkSeen, NetworkTarget, Networks};
use crate::simulated::room::{HostCall, NetworkCall, Reply};

impl Networks for Host {
    fn observe(&self) -> Doing<'_, Vec<NetworkSeen>> {
        Box::pin(async move {
            match self.call(HostCall::Networks(NetworkCall::Observe)).await? {
                Reply::Networks(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.hints()
    }

    fn apply<'a>(&'a self, target: &'a NetworkTarget) -> Doing<'a, ()> {
        let links = target.assignment.nics.iter().map(|nic| BondLinkStatus {
            nic: nic.clone(),
            state: Some(LinkState::Up),
            failures: None,
            flapping: None,
            speed: None,
            half_duplex: None,
            errors: None,
        });
        let status = NetworkHostStatus {
            node: Name(self.name.clone()),
            state: Some(LinkState::Up),
            device: Some(target.assignment.device.clone()),
            address: target.assignment.address.clone(),
            mtu: None,
            active_nic: target.assignment.nics.first().map(ToString::to_string),
            links: links.collect(),
            macs: Vec::new(),
            firewall: None,
            message: Some("SIMULATED".to_owned()),
        };
        self.act(HostCall::Networks(NetworkCall::Apply {
            network: target.name.to_string(),
            status,
        }))
    }

    fn keep<'a>(&'a self, network: &'a Name) -> Doing<'a, ()> {
        self.act(HostCall::Networks(NetworkCall::Keep {
            network: network.to_string(),
        }))
    }

    fn take_back<'a>(&'a self, network: &'a Name, _why: &'a str) -> Doing<'a, ()> {
        // Nothing here is ever unfit.
        self.act(HostCall::Networks(NetworkCall::Remove {
            network: network.to_string(),
        }))
    }

    fn remove<'a>(&'a self, network: &'a Name) -> Doing<'a, ()> {
        self.act(HostCall::Networks(NetworkCall::Remove {
            network: network.to_string(),
        }))
    }
}
