//! Guests by libvirt.
//!
//! Every act has a connection of its own: one that hangs is given up without holding back another (`docs/adr/0006`). What is ours is
//! written in the definitions themselves ([`ownership`]); a domain without our words is never touched.

mod adjust;
mod archive;
mod change;
mod console;
mod driver;
mod failure;
mod moving;
mod ownership;
mod raw;
mod render;
mod seen;
mod watch;

use crate::drivers::SecretValue;
use quorate_crds::Name;
use quorate_libvirt::{Connection, Events, RpcError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// The channel that the agent inside listens on.
const AGENT: &str = "org.qemu.guest_agent.0";

/// How long a call may take. QEMU is given half a minute to die, by libvirt itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// How libvirt is reached, here and from the other hosts. `libvirt` in `node.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Sockets to try, the preferred one first.
    pub sockets: Vec<PathBuf>,
    /// The driver.
    pub uri: String,
    /// How this host's libvirt reaches another's; `{}` is its address.
    pub peer: String,
    /// Whether a guest's memory is encrypted on its way.
    pub encrypted: bool,
    /// Where old definitions are kept.
    pub definitions: PathBuf,
    /// Where what their consoles say is kept.
    pub consoles: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sockets: vec![
                PathBuf::from("/run/libvirt/virtqemud-sock"),
                PathBuf::from("/run/libvirt/libvirt-sock"),
            ],
            uri: "qemu:///system".to_owned(),
            peer: "qemu+tls://{}/system".to_owned(),
            encrypted: true,
            definitions: PathBuf::from("/var/lib/quorate-node/definitions"),
            consoles: PathBuf::from("/var/log/libvirt/qemu"),
        }
    }
}

impl Settings {
    async fn connect(&self) -> Result<(Connection, Events), RpcError> {
        let there = self.sockets.iter().find(|socket| socket.exists());
        let socket = there.or(self.sockets.last()).cloned().unwrap_or_default();
        Connection::open(&socket, &self.uri, PATIENCE).await
    }
}

/// The guests of this host.
#[derive(Debug)]
pub struct LibvirtGuests {
    settings: Settings,
    /// The passwords of their screens. They are given to what runs, and are never in a definition.
    passwords: Mutex<BTreeMap<Name, SecretValue>>,
}

impl LibvirtGuests {
    /// With these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            passwords: Mutex::default(),
        }
    }
}
