//! A cluster of one member that fences with real agents: a real store, the coordinator and its shell.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use quorate_controller::fencing::{
    CallRunAgent, Fencing, Grants, MemberAgents, agents::LocalAgents,
};
use quorate_crds::{FenceOperation, FenceOperationStatus};
use quorate_identity::SystemClock;
use quorate_proto::member::v1::{RunAgentReply, RunAgentRequest};
use quorate_store::{
    Bucket, Genesis, Key, Member, Store, StoreConfig, Transaction, Write, disk::sim::SimDisk,
    transport::sim::SimNet,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

struct NoOthers;

impl CallRunAgent for NoOthers {
    fn run_agent(
        &self,
        _: &str,
        _: RunAgentRequest,
    ) -> BoxFuture<'static, Result<RunAgentReply, String>> {
        async { Err("there is no other member".to_owned()) }.boxed()
    }
}

struct NoLeases;

impl Grants for NoLeases {
    fn last_possible_grant(&self, _: &str) -> Option<Instant> {
        None
    }
}

pub(super) struct Cluster {
    store: Store,
    fencing: JoinHandle<()>,
}

impl Cluster {
    pub(super) async fn new(agents: LocalAgents) -> Self {
        let net = SimNet::new(1);
        let genesis = Genesis {
            cluster_id: "cluster".into(),
            history_id: "history".into(),
            member: Member {
                name: "alpha".into(),
                addresses: vec!["alpha:1".into()],
                feature_level: quorate_proto::FEATURE_LEVEL,
                witness: false,
            },
        };
        let store = Store::create(
            StoreConfig::default(),
            SimDisk::new(1).mount(),
            net.transport(1),
            genesis,
        )
        .await
        .expect("a store");
        net.attach(1, store.receiver());
        store.barrier().await.expect("a leader");
        let fencing = Fencing {
            store: store.clone(),
            agents: Arc::new(MemberAgents::new(
                "alpha".into(),
                agents,
                Arc::new(NoOthers),
            )),
            grants: Arc::new(NoLeases),
            clock: Arc::new(SystemClock),
            tell: Arc::new(|_| {}),
            member: "alpha".into(),
        };
        let mut leadership = store.leadership();
        let elected = leadership.wait_for(|now| now.is_self).await;
        let term = elected.expect("the store runs").term;
        let fencing = tokio::spawn(async move { fencing.lead(term).await });
        Self { store, fencing }
    }

    pub(super) async fn put(&self, bucket: &str, name: &str, spec: Value, status: Value) {
        let kind = match bucket {
            "clusters" => "Cluster",
            "nodes" => "Node",
            "fencedevices" => "FenceDevice",
            _ => "FenceOperation",
        };
        let object = json!({
            "apiVersion": "quorate.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "generation": 1},
            "spec": spec,
            "status": status,
        });
        let write = Write::Put {
            key: Key::new(Bucket::new(bucket), name),
            value: object.to_string().into(),
            expires_at_ms: None,
        };
        let transaction = Transaction {
            conditions: Vec::new(),
            writes: vec![write],
        };
        self.store.propose(transaction).await.expect("stored");
    }

    /// Waits until an operation's status is so.
    pub(super) async fn until(
        &self,
        operation: &str,
        is_so: impl Fn(&FenceOperationStatus) -> bool,
    ) -> FenceOperationStatus {
        let wait = async {
            loop {
                let status = self.status(operation);
                if is_so(&status) {
                    return status;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        match timeout(Duration::from_secs(300), wait).await {
            Ok(status) => status,
            Err(_) => panic!("{operation} stays as it is: {:#?}", self.status(operation)),
        }
    }

    fn status(&self, operation: &str) -> FenceOperationStatus {
        let key = Key::new(Bucket::new("fenceoperations"), operation);
        let stored = self.store.view().get(&key).expect("stored");
        let object: FenceOperation = serde_json::from_slice(&stored.value).expect("readable");
        object.status.unwrap_or_default()
    }

    /// The words of everything that is stored.
    pub(super) fn everything_stored(&self) -> String {
        let view = self.store.view();
        ["clusters", "nodes", "fencedevices", "fenceoperations"]
            .into_iter()
            .flat_map(|bucket| view.list(&Bucket::new(bucket), None, usize::MAX))
            .map(|(_, stored)| String::from_utf8_lossy(&stored.value).into_owned())
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.fencing.abort();
    }
}
