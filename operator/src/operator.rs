//! One replica, from its start to its end.

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::sync::watch;

use crate::{
    config::Config,
    health::Health,
    kubernetes::{Election, Leading, Times},
    metrics::Metrics,
};

/// What is being done when the replica is told to end may take this long: kubelet kills after thirty seconds.
const FINISH: Duration = Duration::from_secs(15);

/// One replica.
pub struct Operator {
    /// The kube-apiserver.
    pub client: Client,
    /// The operator's namespace: its Lease, its credentials, and the Secrets that objects refer to.
    pub namespace: String,
    /// What the replica calls itself; no other one may have this name.
    pub identity: String,
    /// The clusters.
    pub config: Config,
    /// How long leases last.
    pub times: Times,
    /// Its figures.
    pub metrics: Arc<Metrics>,
    /// Whether it can take over.
    pub health: Arc<Health>,
}

impl Operator {
    /// Works whenever it holds the lease, until `end`; then finishes what is being done and hands the lease over.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let (leads, mut leading) = watch::channel(false);
        let election = Election::new(
            self.client.clone(),
            &self.namespace,
            self.identity.clone(),
            self.times,
            self.health.clone(),
            self.metrics.clone(),
        );
        let election = tokio::spawn(election.run(leads));
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                elected = leading.wait_for(|leads| *leads) => if elected.is_err() { break },
            }
            let mut work =
                Leading::begin(&self.client, &self.namespace, &self.config, &self.metrics);
            let ends = tokio::select! {
                () = &mut end => true,
                // Another replica may lead by now: everything ends at once.
                lost = leading.wait_for(|leads| !*leads) => lost.is_err(),
                // What has failed begins anew with the rest.
                () = work.ended() => false,
            };
            if ends {
                if tokio::time::timeout(FINISH, work.finish()).await.is_err() {
                    tracing::warn!("what was being done was not finished in time");
                }
                break;
            }
        }
        // The election hands over when nobody listens any more.
        drop(leading);
        if let Err(error) = election.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the election has failed"
            );
        }
    }
}
