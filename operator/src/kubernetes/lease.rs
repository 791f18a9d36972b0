//! Which of the replicas works: the holder of a Lease in the operator's namespace.
//!
//! As in Kubernetes' own controllers, a replica never compares clocks: a lease is over when it has been seen unchanged for its
//! whole duration. Two replicas may believe for a moment that they lead, which does no harm: every step is one that the other
//! would take too, and each of them is bound to the state that it was decided on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::watch;

use crate::{health::Health, metrics::Metrics};

/// The name of the Lease.
pub const LEASE: &str = "quorate-operator";

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long a lease lasts that is not renewed.
    pub lease: Duration,
    /// After what time without a renewal the holder stops.
    pub give_up: Duration,
    /// How often it is renewed, or looked at.
    pub renew: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            give_up: Duration::from_secs(10),
            renew: Duration::from_secs(2),
        }
    }
}

/// One replica's view of the Lease.
pub(crate) struct Election {
    api: Api<Lease>,
    identity: String,
    times: Times,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    /// The last state that was seen, and since when.
    seen: Option<(Option<String>, Instant)>,
}

/// What is to be done about the Lease.
#[derive(Debug, Clone, PartialEq)]
enum Claim {
    /// There is none yet.
    Create,
    /// It is ours, or is over.
    Take,
    /// Somebody else holds it.
    Wait,
}

impl Election {
    /// A candidate.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        identity: String,
        times: Times,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            times,
            health,
            metrics,
            seen: None,
        }
    }

    /// Takes part until nobody wants to know any more, telling `leads` whether this replica leads.
    pub(crate) async fn run(mut self, leads: watch::Sender<bool>) {
        let mut renewed = None;
        loop {
            // An answer that takes too long is none.
            let attempt = tokio::time::timeout(self.times.give_up / 2, self.attempt()).await;
            let held = match attempt {
                Ok(Ok(held)) => {
                    self.health.reached(true);
                    if held {
                        renewed = Some(Instant::now());
                    }
                    held
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the lease cannot be had"
                    );
                    self.may_still_lead(*leads.borrow(), renewed)
                }
                Err(_) => {
                    tracing::warn!("the kube-apiserver does not answer about the lease");
                    self.may_still_lead(*leads.borrow(), renewed)
                }
            };
            let changed = leads.send_if_modified(|leads| std::mem::replace(leads, held) != held);
            if changed {
                self.metrics.leads(held);
                tracing::info!(leads = held, identity = self.identity, "the lease");
            }
            tokio::select! {
                () = tokio::time::sleep(self.times.renew) => {}
                () = leads.closed() => break,
            }
        }
        if *leads.borrow() {
            self.hand_over().await;
        }
    }

    fn may_still_lead(&self, leads: bool, renewed: Option<Instant>) -> bool {
        let fresh = renewed.is_some_and(|at: Instant| at.elapsed() < self.times.give_up);
        if !fresh {
            self.health.reached(false);
        }
        leads && fresh
    }

    /// Tries once to get or to keep the Lease.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(LEASE).await?;
        let version = found
            .as_ref()
            .and_then(|lease| lease.metadata.resource_version.clone());
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, Instant::now()));
        }
        let unchanged_for = self
            .seen
            .as_ref()
            .map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
        let written = match claim(found.is_some(), spec, &self.identity, unchanged_for) {
            Claim::Wait => return Ok(false),
            Claim::Create => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(LEASE.to_owned()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(self.held(None)),
                };
                self.api.create(&PostParams::default(), &lease).await
            }
            Claim::Take => {
                let mut lease = found.unwrap_or_default();
                lease.spec = Some(self.held(lease.spec.as_ref()));
                self.api
                    .replace(LEASE, &PostParams::default(), &lease)
                    .await
            }
        };
        match written {
            Ok(_) => Ok(true),
            // Another replica was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mut spec = before.cloned().unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(-1).saturating_add(1));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds =
            Some(i32::try_from(self.times.lease.as_secs().max(1)).unwrap_or(i32::MAX));
        spec
    }

    /// Lets the other replica begin at once.
    async fn hand_over(&self) {
        let handed = async {
            let mut lease = self.api.get(LEASE).await?;
            let ours = lease
                .spec
                .as_ref()
                .and_then(|spec| spec.holder_identity.as_ref())
                == Some(&self.identity);
            if let (true, Some(spec)) = (ours, &mut lease.spec) {
                spec.holder_identity = None;
                self.api
                    .replace(LEASE, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<_, kube::Error>(())
        };
        match tokio::time::timeout(self.times.give_up / 2, handed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(
                error = &error as &dyn std::error::Error,
                "the lease was not handed over and runs out"
            ),
            Err(_) => tracing::info!("the lease was not handed over and runs out"),
        }
    }
}

fn claim(exists: bool, spec: Option<&LeaseSpec>, me: &str, unchanged_for: Duration) -> Claim {
    if !exists {
        return Claim::Create;
    }
    let holder = spec
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default();
    let lasts = spec
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(Duration::ZERO, Duration::from_secs);
    if holder.is_empty() || holder == me || unchanged_for > lasts {
        Claim::Take
    } else {
        Claim::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_another_is_taken_only_when_it_was_not_renewed_for_its_whole_time() {
        let spec = LeaseSpec {
            holder_identity: Some("a".to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        let seconds = Duration::from_secs;
        assert_eq!(claim(false, None, "b", seconds(0)), Claim::Create);
        assert_eq!(claim(true, Some(&spec), "a", seconds(0)), Claim::Take);
        assert_eq!(claim(true, Some(&spec), "b", seconds(15)), Claim::Wait);
        assert_eq!(claim(true, Some(&spec), "b", seconds(16)), Claim::Take);
        let free = LeaseSpec {
            holder_identity: None,
            ..spec
        };
        assert_eq!(claim(true, Some(&free), "b", seconds(0)), Claim::Take);
    }
}
