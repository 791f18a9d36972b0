//! Both sides and the replicas between them.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use quorate_operator::{
    Operator,
    config::{ClusterConfig, Config},
    kubernetes::Times,
    metrics::{Metrics, Side},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use tracing_subscriber::EnvFilter;

use crate::{
    apiserver::Apiserver,
    cluster::{Cluster, Person},
    rights::{Rights, deployed, manifests},
};

pub(crate) const NAMESPACE: &str = "quorate-system";
/// As in deploy/kubernetes.
const CREDENTIALS: &str = "quorate-east";
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);
const USER: &str = "kubernetes-operator";

pub(crate) struct World {
    pub(crate) kube: Apiserver,
    pub(crate) cluster: Cluster,
    pub(crate) admin: Person,
    /// A second cluster, where there is one.
    pub(crate) west: Option<Cluster>,
    replicas: Vec<Replica>,
    /// The figures of all replicas, also of those that have ended.
    figures: Vec<Arc<Metrics>>,
}

struct Replica {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    /// One cluster, and one replica whose certificate is new.
    pub(crate) async fn start() -> Self {
        Self::with_certificate_for(365 * DAY).await
    }

    /// One cluster, and one replica whose certificate expires after `left`.
    pub(crate) async fn with_certificate_for(left: SignedDuration) -> Self {
        let mut world = Self::without_operator(left).await;
        world.add_replica("first");
        world
    }

    /// One cluster, and nobody who works on it.
    pub(crate) async fn without_replica() -> Self {
        Self::without_operator(365 * DAY).await
    }

    /// Two clusters, east and west, and one replica for both.
    pub(crate) async fn of_two_clusters() -> Self {
        let mut world = Self::without_operator(365 * DAY).await;
        let west = Cluster::start().await;
        allow(&west.admin().await).await;
        let secret = west.credentials("quorate-west", USER, 365 * DAY);
        world.kube.apply("", "secrets", NAMESPACE, secret);
        world.west = Some(west);
        world.add_replica("first");
        world
    }

    async fn without_operator(left: SignedDuration) -> Self {
        // Another test of this process may have been first.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::from_env("QUORATE_LOG"))
            .with_test_writer()
            .try_init();
        let cluster = Cluster::start().await;
        let admin = cluster.admin().await;
        allow(&admin).await;
        let kube = Apiserver::start(Rights::deployed()).await;
        let secret = cluster.credentials(CREDENTIALS, USER, left);
        kube.apply("", "secrets", NAMESPACE, secret);
        Self {
            kube,
            cluster,
            admin,
            west: None,
            replicas: Vec::new(),
            figures: Vec::new(),
        }
    }

    pub(crate) fn add_replica(&mut self, name: &str) {
        let uri = format!("http://{}", self.kube.address);
        let client = kube::Client::try_from(kube::Config::new(uri.parse().expect("an address")));
        let metrics = Arc::<Metrics>::default();
        let clusters = [("east", Some(&self.cluster)), ("west", self.west.as_ref())];
        let clusters = clusters.into_iter().filter_map(|(name, cluster)| {
            Some(ClusterConfig {
                name: name.to_owned(),
                endpoints: vec![cluster?.address()],
                credentials_secret: format!("quorate-{name}"),
            })
        });
        let operator = Operator {
            client: client.expect("a client"),
            namespace: NAMESPACE.to_owned(),
            identity: name.to_owned(),
            config: Config {
                clusters: clusters.collect(),
                default_cluster: None,
            },
            times: Times {
                lease: Duration::from_secs(6),
                give_up: Duration::from_secs(4),
                renew: Duration::from_millis(100),
            },
            metrics: metrics.clone(),
            health: Arc::default(),
        };
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(operator.run(async {
            ended.await.expect("somebody ends it");
        }));
        self.replicas.push(Replica { end, task });
        self.figures.push(metrics);
    }

    /// Ends the oldest replica as kubelet does.
    pub(crate) async fn end_replica(&mut self) {
        let replica = self.replicas.remove(0);
        replica.end.send(()).expect("it runs");
        replica.task.await.expect("it ends in order");
    }

    /// What all replicas have written to clusters.
    pub(crate) fn writes_to_cluster(&self) -> u64 {
        let figures = self.figures.iter();
        figures
            .map(|figures| figures.writes_to(Side::Cluster))
            .sum()
    }

    /// Returns once so many writes have been counted. A write can be seen in the cluster before whoever wrote it hears of that.
    pub(crate) async fn until_written(&self, writes: u64) {
        while self.writes_to_cluster() < writes {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Somebody applies an object in Kubernetes.
    pub(crate) fn apply(&self, resource: &str, object: Value) {
        self.kube.apply("quorate.dev", resource, "", object);
    }

    /// What was written to `name` in Kubernetes over HTTP, that is by the operator.
    pub(crate) fn writes_about(&self, name: &str) -> Vec<String> {
        let writes = self.kube.writes();
        let about = |write: &String| {
            let path = write.split(' ').nth(1).expect("a path");
            path.split('/').nth(1) == Some(name)
        };
        writes.into_iter().filter(about).collect()
    }

    /// Returns when the operator has done what there was to do, for a network `name` that comes last.
    pub(crate) async fn settle(&self, name: &str) {
        self.apply("networks", network(name, json!({})));
        self.kube.until_synced("networks", name, "Synced").await;
    }
}

/// Gives the operator's user its role in a cluster.
async fn allow(admin: &Person) {
    for manifest in manifests(&deployed("rights-in-the-cluster.yaml")) {
        admin.apply(&manifest).await;
    }
}

/// A network, and what else its spec says.
pub(crate) fn network(name: &str, spec: Value) -> Value {
    let mut network = json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "Network",
        "metadata": {"name": name},
        "spec": {"addressing": "None"},
    });
    for (field, value) in spec.as_object().expect("fields") {
        network["spec"][field] = value.clone();
    }
    network
}
