//! What guests see of a network, and what of a host is seen on it.

use crate::scalar::{Cidr, Duration};
use crate::shape::{keyed, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bridge on which guests may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Bridge {
    /// The kernel's name for it. By default the network's name, shortened where it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 15),
        regex(pattern = r"^[a-zA-Z][-a-zA-Z0-9_.]*$")
    )]
    pub name: Option<String>,
    /// Speak the spanning tree protocol.
    pub stp: bool,
    /// How long a port listens before it forwards.
    pub forward_delay: Duration,
    /// How often neighbours are greeted, with STP.
    pub hello_time: Duration,
    /// When a neighbour's word is too old, with STP.
    pub max_age: Duration,
    /// The cost of the way through the bond, with STP.
    #[schemars(range(min = 1, max = 65535))]
    pub path_cost: u32,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            name: None,
            stp: false,
            forward_delay: Duration::from("0s"),
            hello_time: Duration::from("2s"),
            max_age: Duration::from("20s"),
            path_cost: 19,
        }
    }
}

/// Which ports are open on a network, in a table of our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Firewall {
    /// Keep that table. Nothing else on the host is touched.
    pub enabled: bool,
    /// Open besides what the role needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = set)]
    pub open: Vec<FirewallService>,
    /// Further ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = keyed(&["protocol", "port"]))]
    pub ports: Vec<FirewallPort>,
    /// Who may connect. None listed: the subnet's own addresses, and anybody for ports that `ports`
    /// lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = set)]
    pub sources: Vec<Cidr>,
}

impl Default for Firewall {
    fn default() -> Self {
        Self {
            enabled: true,
            open: Vec::new(),
            ports: Vec::new(),
            sources: Vec::new(),
        }
    }
}

/// A service of a host.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum FirewallService {
    /// The API.
    Api,
    /// Heartbeats.
    Heartbeat,
    /// The ports of replicated volumes.
    Replication,
    /// The lock manager of shared filesystems.
    Dlm,
    /// Live migrations.
    Migration,
    /// Guests' displays.
    Display,
    /// Secure shell.
    Ssh,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FirewallPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u32,
}

/// A transport protocol.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}
