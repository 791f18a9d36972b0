//! The driver of guests of this host, one act a call, for tests in the lab: `guest_hands VERB [JSON]`. Prints what it saw as JSON, a
//! guest a line.

use quorate_crds::scalar::{AbsolutePath, IpAddress, Label};
use quorate_crds::{Name, ShutdownMethod, VirtualMachineSpec};
use quorate_node_daemon::drivers::{
    DiskSource, GuestTarget, Guests, LibvirtGuests, LibvirtSettings, SendTo, StartAs,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

#[derive(Deserialize)]
struct Target {
    name: Name,
    epoch: u64,
    spec: VirtualMachineSpec,
    disks: BTreeMap<String, String>,
    /// The other side of a move.
    peer: Option<Name>,
    address: Option<String>,
}

type Failure = Box<dyn Error + Send + Sync>;

fn target(read: &Target) -> GuestTarget {
    GuestTarget {
        name: read.name.clone(),
        uid: "5c1f6a5e-0000-4000-8000-000000000002".to_owned(),
        spec: Arc::new(read.spec.clone()),
        generation: 1,
        epoch: read.epoch,
        disks: read
            .disks
            .iter()
            .map(|(disk, path)| DiskSource {
                disk: Label(disk.clone()),
                path: AbsolutePath(path.clone()),
            })
            .collect(),
        nics: Vec::new(),
        display_password: None,
    }
}

async fn act(guests: &LibvirtGuests, verb: &str, text: Option<&str>) -> Result<(), Failure> {
    let whole =
        || -> Result<Target, Failure> { Ok(serde_json::from_str(text.ok_or("it needs JSON")?)?) };
    let name = || -> Result<Name, Failure> { Ok(Name(text.ok_or("it needs a name")?.to_owned())) };
    let peer = |read: &Target| read.peer.clone().ok_or("it needs a peer");
    match verb {
        "observe" => {
            for seen in guests.observe().await? {
                println!("{}", serde_json::to_string(&seen)?);
            }
        }
        "define" => guests.define(&target(&whole()?)).await?,
        "start" => guests.start(&name()?, StartAs::Running).await?,
        "pause" => guests.pause(&name()?).await?,
        "resume" => guests.resume(&name()?).await?,
        "shut-down" => guests.shut_down(&name()?, ShutdownMethod::Any).await?,
        "destroy" => guests.destroy(&name()?).await?,
        "forget" => guests.forget(&name()?).await?,
        "cancel-send" => guests.cancel_send(&name()?).await?,
        "receive" => {
            let read = whole()?;
            guests.receive(&target(&read), &peer(&read)?).await?;
        }
        "send" => {
            let read = whole()?;
            let to = SendTo {
                node: peer(&read)?,
                addresses: read.address.clone().map(IpAddress).into_iter().collect(),
                bandwidth: None,
            };
            guests.send(&target(&read), &to).await?;
        }
        other => return Err(format!("{other} is no act").into()),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let guests = LibvirtGuests::new(LibvirtSettings {
        // The lab has no certificates for libvirt.
        peer: "qemu+tcp://{}/system".to_owned(),
        encrypted: false,
        ..LibvirtSettings::default()
    });
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let verb = arguments.first().ok_or("which act?")?;
    act(&guests, verb, arguments.get(1).map(String::as_str)).await
}
