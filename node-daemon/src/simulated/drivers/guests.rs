use quorate_crds::{Name, ShutdownMethod};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Host, LOOK_EVERY, bytes, unexpected};
use crate::drivers::{
    Doing, DriverError, GuestSeen, GuestTarget, Guests, Hints, Line, SendTo, StartAs, Trouble,
};
use crate::simulated::room::{Definition, GuestCall, HostCall, Reply};

impl Host {
    fn guest(&self, call: GuestCall) -> Doing<'_, ()> {
        self.act(HostCall::Guests(call))
    }

    /// Refuses when the guest does not run here.
    async fn running(&self, guest: &Name) -> Result<(), DriverError> {
        let all = Guests::observe(self).await?;
        let here = all
            .iter()
            .any(|seen| seen.owner.object() == Some(guest) && seen.doing.active());
        if here {
            return Ok(());
        }
        Err(DriverError::passing(
            Trouble::GuestNotRunning,
            format!("guest {guest} does not run on {}", self.name),
        ))
    }
}

fn definition(target: &GuestTarget) -> Definition {
    Definition {
        epoch: target.epoch,
        generation: target.generation,
        memory: bytes(&target.spec.memory),
        cpus: target.spec.cpus,
        disks: target
            .disks
            .iter()
            .map(|disk| disk.path.to_string())
            .collect(),
    }
}

impl Guests for Host {
    fn observe(&self) -> Doing<'_, Vec<GuestSeen>> {
        Box::pin(async move {
            match self.call(HostCall::Guests(GuestCall::Observe)).await? {
                Reply::Guests(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.hints()
    }

    fn define<'a>(&'a self, target: &'a GuestTarget) -> Doing<'a, ()> {
        self.guest(GuestCall::Define {
            guest: target.name.to_string(),
            definition: definition(target),
        })
    }

    fn start<'a>(&'a self, guest: &'a Name, how: StartAs) -> Doing<'a, ()> {
        self.guest(GuestCall::Start {
            guest: guest.to_string(),
            paused: how == StartAs::Paused,
        })
    }

    fn pause<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        self.guest(GuestCall::Pause {
            guest: guest.to_string(),
        })
    }

    fn resume<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        self.guest(GuestCall::Resume {
            guest: guest.to_string(),
        })
    }

    fn shut_down<'a>(&'a self, guest: &'a Name, _method: ShutdownMethod) -> Doing<'a, ()> {
        self.guest(GuestCall::ShutDown {
            guest: guest.to_string(),
        })
    }

    fn destroy<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        self.guest(GuestCall::Destroy {
            guest: guest.to_string(),
        })
    }

    fn receive<'a>(&'a self, target: &'a GuestTarget, from: &'a Name) -> Doing<'a, ()> {
        self.guest(GuestCall::Receive {
            guest: target.name.to_string(),
            from: from.to_string(),
            definition: definition(target),
        })
    }

    fn send<'a>(&'a self, target: &'a GuestTarget, to: &'a SendTo) -> Doing<'a, ()> {
        Box::pin(async move {
            let mut first = true;
            loop {
                let call = GuestCall::Send {
                    guest: target.name.to_string(),
                    to: to.node.to_string(),
                    first,
                };
                match self.call(HostCall::Guests(call)).await {
                    Ok(Reply::Waiting) => tokio::time::sleep(LOOK_EVERY).await,
                    Ok(Reply::Unknown) => {
                        return Err(DriverError::unclear(
                            Trouble::MigrationFailed,
                            format!("the last reply of {} was lost", to.node),
                        ));
                    }
                    Ok(_) => return Ok(()),
                    Err(error) if error.trouble() == Trouble::GuestNotRunning => {
                        return Err(DriverError::passing(
                            Trouble::MigrationFailed,
                            error.to_string(),
                        ));
                    }
                    Err(error) => return Err(error),
                }
                first = false;
            }
        })
    }

    fn cancel_send<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        self.guest(GuestCall::CancelSend {
            guest: guest.to_string(),
        })
    }

    fn forget<'a>(&'a self, guest: &'a Name) -> Doing<'a, ()> {
        self.guest(GuestCall::Forget {
            guest: guest.to_string(),
        })
    }

    fn console<'a>(&'a self, guest: &'a Name, _force: bool) -> Doing<'a, Line> {
        Box::pin(async move {
            self.running(guest).await?;
            let (own, other) = tokio::io::duplex(4096);
            tokio::spawn(pretend(self.clone(), guest.clone(), other));
            Ok(Box::new(own) as Line)
        })
    }

    fn screen<'a>(&'a self, guest: &'a Name) -> Doing<'a, Line> {
        Box::pin(async move {
            Err(DriverError::lasting(
                Trouble::NotSupported,
                format!("SIMULATED: guest {guest} has no screen; it does not exist"),
            ))
        })
    }
}

/// Nobody is inside: what is typed comes back.
async fn pretend(host: Host, guest: Name, mut line: DuplexStream) {
    let hello = format!(
        "SIMULATED: guest {guest} on {}. Nobody is inside; what you type comes back.\r\n",
        host.name
    );
    if line.write_all(hello.as_bytes()).await.is_err() {
        return;
    }
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut typed = [0; 256];
    loop {
        tokio::select! {
            read = line.read(&mut typed) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => if line.write_all(&typed[..read]).await.is_err() { return },
            },
            _ = look.tick() => if host.running(&guest).await.is_err() { return },
        }
    }
}
