//! Live migration. This host's libvirt speaks to the other's by itself, so that no daemon of ours is in its way; the guest stays paused
//! at the other side (rule R1) until the daemon there is told that this side has let go.

use super::LibvirtGuests;
use super::driver::Own;
use crate::drivers::{DriverError, GuestTarget, SendTo, Trouble};
use quorate_crds::scalar::IpAddress;
use quorate_libvirt::{Connection, Domain, JobKind, Param, RpcError, State, Value, flags};
use std::time::Duration;

const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl LibvirtGuests {
    /// The other side must define it under the same identity, and knows only what Quorate itself gives.
    pub(super) fn may_move(&self, target: &GuestTarget) -> Result<(), DriverError> {
        match &target.spec.adopt {
            Some(domain) => Err(DriverError::lasting(
                Trouble::NotSupported,
                format!(
                    "guest {} was taken over from domain {domain}, whose identity only its own host knows: it cannot move while it runs",
                    target.name
                ),
            )),
            None => Ok(()),
        }
    }

    pub(super) async fn send_away(
        &self,
        target: &GuestTarget,
        to: &SendTo,
    ) -> Result<(), DriverError> {
        let what = format!("send guest {} to {}", target.name, to.node);
        let libvirt = self.connect(&what).await?;
        let Some(own) = self.own(&libvirt, &target.name, &what).await? else {
            return Err(DriverError::passing(
                Trouble::MigrationFailed,
                format!("cannot {what}: it is not here"),
            ));
        };
        let mut last = None;
        for address in addresses(to) {
            let sent = tokio::select! {
                sent = self.send_by(&libvirt, &own, target, to, &address) => sent,
                never = self.limit_downtime(&own.domain, target) => match never {},
            };
            let Err(error) = sent else { return Ok(()) };
            let state = match self.settings.connect().await {
                Ok((libvirt, _)) => libvirt.state(&own.domain).await,
                Err(error) => Err(error),
            };
            match state {
                Ok(State {
                    state: State::OFF,
                    reason: State::OFF_MIGRATED,
                }) => return Ok(()),
                // As far as this host knows it is at the other side, and only the end was not heard.
                Ok(State {
                    state: State::PAUSED,
                    reason: State::PAUSED_MIGRATION,
                }) => return Ok(()),
                Ok(State {
                    state: State::RUNNING,
                    ..
                }) if error.surely_nothing() => {
                    last = Some(error);
                }
                Ok(_) => {
                    return Err(DriverError::unclear(
                        Trouble::MigrationFailed,
                        format!("cannot {what}"),
                    )
                    .because(error));
                }
                Err(looking) => {
                    tracing::debug!(error = %looking, "after {what}: libvirt cannot be asked");
                    return Err(DriverError::unclear(
                        Trouble::MigrationFailed,
                        format!("cannot {what}"),
                    )
                    .because(error));
                }
            }
        }
        let failure = DriverError::passing(Trouble::MigrationFailed, format!("cannot {what}"));
        Err(match last {
            Some(error) => failure.because(error),
            None => failure,
        })
    }

    async fn send_by(
        &self,
        libvirt: &Connection,
        own: &Own,
        target: &GuestTarget,
        to: &SendTo,
        address: &str,
    ) -> Result<(), RpcError> {
        let uri = self.settings.peer.replace("{}", address);
        let mut parameters = vec![Param::text("migrate_uri", format!("tcp://{address}"))];
        if let Some(bandwidth) = &to.bandwidth
            && let Some(bytes) = bandwidth
                .parse()
                .ok()
                .and_then(|quantity| quantity.as_u64())
        {
            let mebibytes = (bytes >> 20).max(1);
            parameters.push(Param::new("bandwidth", Value::UnsignedLong(mebibytes)));
        }
        let mut how = flags::migrate::LIVE
            | flags::migrate::PEER_TO_PEER
            | flags::migrate::PAUSED
            | flags::migrate::CHANGE_PROTECTION
            | flags::migrate::ABORT_ON_ERROR
            | flags::migrate::AUTO_CONVERGE;
        if target.spec.migration.compress {
            how |= flags::migrate::COMPRESSED;
        }
        if self.settings.encrypted {
            how |= flags::migrate::TLS;
            parameters.push(Param::text("tls.destination", to.node.to_string()));
        }
        libvirt.migrate(&own.domain, &uri, &parameters, how).await
    }

    /// Tells how long it may stand still at the end, once it is on its way. Never ends.
    async fn limit_downtime(
        &self,
        domain: &Domain,
        target: &GuestTarget,
    ) -> std::convert::Infallible {
        let longest = target.spec.migration.max_downtime.parse();
        let milliseconds = longest
            .ok()
            .and_then(|longest| u64::try_from(longest.as_millis()).ok());
        let Some(milliseconds) = milliseconds else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match self.try_to_limit(domain, milliseconds).await {
                Ok(true) => return std::future::pending().await,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the longest standstill is libvirt's own"),
            }
        }
    }

    async fn try_to_limit(&self, domain: &Domain, milliseconds: u64) -> Result<bool, RpcError> {
        let (libvirt, _) = self.settings.connect().await?;
        let job = libvirt.job(domain).await?;
        if !matches!(job.kind, JobKind::Bounded | JobKind::Unbounded) {
            return Ok(false);
        }
        libvirt.set_max_downtime(domain, milliseconds).await?;
        Ok(true)
    }
}

/// As they stand in a URI.
fn addresses(to: &SendTo) -> Vec<String> {
    if to.addresses.is_empty() {
        return vec![to.node.to_string()];
    }
    let written = |address: &IpAddress| {
        let address = address.to_string();
        if address.contains(':') {
            format!("[{address}]")
        } else {
            address
        }
    };
    to.addresses.iter().map(written).collect()
}
