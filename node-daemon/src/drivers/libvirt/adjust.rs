//! What is changed while a guest runs: devices, processors, memory, media, cables, and the password of its screen.

use super::change::{Change, changes};
use super::driver::{garbled, mark, refused};
use super::failure::{failed, unseen};
use super::ownership::Ownership;
use super::render::{self, Kept, RenderError};
use crate::drivers::{DriverError, GuestTarget, Trouble};
use quorate_crds::scalar::Label;
use quorate_libvirt::{Connection, Domain, Element, RpcError, flags};
use std::time::Duration;
use tokio::time::Instant;

/// How long a guest may take to let go of a device, or of a drive's tray, before that counts as pending.
const LETTING_GO: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Changes what can be changed while it runs. What fails stays pending, and is said in the log.
pub(super) async fn adjust(
    libvirt: &Connection,
    domain: &Domain,
    target: &GuestTarget,
    kept: &Kept,
    what: &str,
) -> Result<(), DriverError> {
    let live = live(libvirt, domain, what).await?;
    let Some(mut ours) = Ownership::of(&live) else {
        return Ok(());
    };
    let Some(mut running) = ours.spec.take() else {
        return Ok(());
    };
    let mut made = false;
    for change in changes(&running, &target.spec) {
        match apply(libvirt, domain, target, kept, &live, &change).await {
            Ok(true) => {
                change.made(&mut running, &target.spec);
                made = true;
            }
            Ok(false) => tracing::info!(guest = %target.name, ?change, "the guest does not let go"),
            Err(Applying::Rpc(error)) if !error.surely_nothing() => {
                return Err(failed(what, error));
            }
            Err(Applying::Rpc(error)) => {
                tracing::info!(guest = %target.name, ?change, %error, "this waits for a restart");
            }
            Err(Applying::Render(error)) => return Err(refused(what, error)),
        }
    }
    if !made {
        return Ok(());
    }
    ours.spec = Some(running);
    mark(libvirt, domain, &ours, flags::affect::LIVE)
        .await
        .map_err(|error| failed(what, error))
}

enum Applying {
    Rpc(RpcError),
    Render(RenderError),
}

impl From<RpcError> for Applying {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<RenderError> for Applying {
    fn from(error: RenderError) -> Self {
        Self::Render(error)
    }
}

async fn apply(
    libvirt: &Connection,
    domain: &Domain,
    target: &GuestTarget,
    kept: &Kept,
    live: &Element,
    change: &Change,
) -> Result<bool, Applying> {
    const LIVE: u32 = flags::affect::LIVE;
    let spec = &target.spec;
    let disk = |name: &Label| spec.disks.iter().find(|disk| disk.name == *name);
    let nic = |name: &Label| spec.nics.iter().find(|nic| nic.name == *name);
    match change {
        Change::Cpus => libvirt.set_cpus(domain, spec.cpus, LIVE).await?,
        Change::Memory => {
            let memory = render::kibibytes("memory", &spec.memory)?;
            libvirt.set_memory(domain, memory, LIVE).await?;
        }
        Change::Medium(name) => {
            let Some(disk) = disk(name) else {
                return Ok(false);
            };
            let xml = render::disk(target, disk, kept)?.to_string();
            insert(libvirt, domain, &xml).await?;
        }
        Change::PlugDisk(name) => {
            let Some(disk) = disk(name) else {
                return Ok(false);
            };
            let xml = render::disk(target, disk, kept)?.to_string();
            libvirt.attach(domain, &xml, LIVE).await?;
        }
        Change::PlugNic(name) => {
            let Some(nic) = nic(name) else {
                return Ok(false);
            };
            let xml = render::nic(target, nic, kept).to_string();
            libvirt.attach(domain, &xml, LIVE).await?;
        }
        Change::UnplugDisk(name) => {
            return unplug(libvirt, domain, live, &render::disk_alias(name)).await;
        }
        Change::UnplugNic(name) => {
            return unplug(libvirt, domain, live, &render::nic_alias(name)).await;
        }
        Change::Cable(name) => {
            let (Some(device), Some(nic)) = (device(live, &render::nic_alias(name)), nic(name))
            else {
                return Ok(false);
            };
            let mut device = device.clone();
            device
                .nodes
                .retain(|node| !matches!(node, quorate_libvirt::Node::Element(element) if element.name == "link"));
            let state = if nic.connected { "up" } else { "down" };
            let device = device.child(Element::new("link").with("state", state));
            libvirt.update(domain, &device.to_string(), LIVE).await?;
        }
    }
    Ok(true)
}

/// Changes the medium of a drive. A guest that looks at its drives just then, as its firmware does when it starts, closes the
/// tray that was opened for that, or holds it.
async fn insert(libvirt: &Connection, domain: &Domain, xml: &str) -> Result<(), RpcError> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match libvirt.update(domain, xml, flags::affect::LIVE).await {
            Err(error) if error.surely_nothing() && Instant::now() < deadline => {
                tracing::debug!(%error, "the drive's medium is not changed yet");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

fn device<'a>(domain: &'a Element, alias: &str) -> Option<&'a Element> {
    domain.find(&["devices"])?.elements().find(|device| {
        device
            .find(&["alias"])
            .and_then(|known| known.attribute("name"))
            == Some(alias)
    })
}

async fn unplug(
    libvirt: &Connection,
    domain: &Domain,
    live: &Element,
    alias: &str,
) -> Result<bool, Applying> {
    let Some(known) = device(live, alias) else {
        return Ok(true);
    };
    libvirt
        .detach(domain, &known.to_string(), flags::affect::LIVE)
        .await?;
    let gone = async {
        loop {
            let text = libvirt.xml(domain, 0).await?;
            if Element::read(&text).is_ok_and(|live| device(&live, alias).is_none()) {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(LETTING_GO, gone)
        .await
        .unwrap_or(Ok(false))
}

/// Gives what runs its password. The definition, which lies on disk, never has it. VNC knows eight characters.
pub(super) async fn open_screen(
    libvirt: &Connection,
    domain: &Domain,
    password: &[u8],
    what: &str,
) -> Result<(), DriverError> {
    let password = std::str::from_utf8(password).map_err(|_| {
        DriverError::lasting(
            Trouble::Refused,
            format!("cannot {what}: the password of its screen is not text"),
        )
    })?;
    let live = live(libvirt, domain, what).await?;
    let screen = live.find(&["devices", "graphics"]).cloned();
    let Some(screen) = screen else { return Ok(()) };
    let known = match screen.attribute("type") {
        Some("vnc") => password.chars().take(8).collect(),
        _ => password.to_owned(),
    };
    let screen = screen.with("passwd", known);
    libvirt
        .update(domain, &screen.to_string(), flags::affect::LIVE)
        .await
        .map_err(|error| failed(what, error))
}

/// What runs, as it runs.
async fn live(libvirt: &Connection, domain: &Domain, what: &str) -> Result<Element, DriverError> {
    let text = libvirt
        .xml(domain, 0)
        .await
        .map_err(|error| unseen(what, error))?;
    Element::read(&text).map_err(|_| garbled(what))
}
