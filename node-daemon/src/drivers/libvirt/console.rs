//! The way to a guest's console and screen.

use super::LibvirtGuests;
use super::failure::unseen;
use super::seen::active;
use crate::drivers::{DriverError, Guests, Line, Trouble};
use quorate_crds::Name;
use quorate_libvirt::{ErrorCode, RpcError, flags};
use std::error::Error;
use std::time::Duration;
use tokio::net::TcpStream;

/// How often, and after how long, a console that somebody has is tried again.
const TRIES: usize = 8;
const AGAIN: Duration = Duration::from_millis(250);
/// What is held for a side that is slower.
const ON_THE_WAY: usize = 64 << 10;

impl LibvirtGuests {
    pub(super) async fn serial(&self, guest: &Name, force: bool) -> Result<Line, DriverError> {
        let what = format!("open the console of guest {guest}");
        let libvirt = self.connect(&what).await?;
        let own = self.must(&libvirt, guest, &what).await?;
        let state = libvirt
            .state(&own.domain)
            .await
            .map_err(|error| unseen(&what, error))?;
        if !active(state) {
            return Err(off(&what));
        }
        if own.defined.find(&["devices", "serial"]).is_none()
            && own.defined.find(&["devices", "console"]).is_none()
        {
            return Err(DriverError::lasting(
                Trouble::NotSupported,
                format!("cannot {what}: it has none; set serialConsole and restart it"),
            ));
        }
        let flags = if force { flags::console::FORCE } else { 0 };
        let mut tries = 1;
        let mut opened = libvirt.console(&own.domain, None, flags).await;
        // Whoever had it before may just have gone: libvirt learns that from his connection.
        while tries < TRIES && opened.as_ref().is_err_and(is_taken) {
            tokio::time::sleep(AGAIN).await;
            tries += 1;
            let libvirt = self.connect(&what).await?;
            opened = libvirt.console(&own.domain, None, flags).await;
        }
        let stream = opened.map_err(|error| taken(&what, error))?;
        let (line, other) = tokio::io::duplex(ON_THE_WAY);
        let guest = guest.clone();
        tokio::spawn(async move {
            if let Err(error) = stream.carry(other).await {
                tracing::info!(%guest, error = &error as &dyn Error, "its console was broken off");
            }
        });
        Ok(Box::new(line))
    }

    pub(super) async fn picture(&self, guest: &Name) -> Result<Line, DriverError> {
        let what = format!("open the screen of guest {guest}");
        let all = self.observe().await?;
        let seen = all.iter().find(|seen| seen.owner.object() == Some(guest));
        if !seen.is_some_and(|seen| seen.doing.active()) {
            return Err(off(&what));
        }
        let port = seen
            .and_then(|seen| seen.display.as_ref())
            .and_then(|display| display.port)
            .and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else {
            return Err(DriverError::lasting(
                Trouble::NotSupported,
                format!("cannot {what}: it has none; set display and restart it"),
            ));
        };
        // On loopback, where nobody but this host gets.
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(DriverError::passing(
                Trouble::Refused,
                format!("cannot {what}: nothing answers at its port {port}"),
            )
            .because(error)),
        }
    }
}

fn off(what: &str) -> DriverError {
    DriverError::passing(
        Trouble::GuestNotRunning,
        format!("cannot {what}: it does not run here"),
    )
}

/// libvirt has no code of its own for a console that somebody has open.
fn is_taken(error: &RpcError) -> bool {
    error.code() == Some(ErrorCode::OPERATION_FAILED)
        && error.to_string().contains("console session exists")
}

fn taken(what: &str, error: RpcError) -> DriverError {
    if is_taken(&error) {
        return DriverError::passing(
            Trouble::InUse,
            format!("cannot {what}: somebody on its host has it open, by `virsh console`"),
        )
        .because(error);
    }
    unseen(what, error)
}
