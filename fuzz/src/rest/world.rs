//! A face with everything behind it, without a socket: one member on a simulated disk.

use std::sync::Arc;

use futures_util::FutureExt;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use quorate_controller::{
    access::Access,
    api::{Admittance, CallLimits, Front},
    audit::{Audit, Rotation},
    events::Recorder,
    resource::Engine,
    rest::Face,
    tls::ConnectionInfo,
    tokens::AccessTokens,
};
use quorate_identity::{Authority, Credentials, Keyring, Subject, SystemClock};
use quorate_store::{
    Bucket, DiskWork, Genesis, Member, Revision, Store, StoreConfig, View, disk::sim::SimDisk,
    transport::sim::SimNet,
};
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};
use tonic::body::Body;

pub(super) struct World {
    runtime: Runtime,
    face: Face,
    store: Store,
    authority: Authority,
    /// Watches end when it is gone.
    _stop: watch::Sender<bool>,
}

/// What came back, as far as it came at once.
pub(super) struct Answered {
    pub(super) code: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl World {
    pub(super) fn found() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let authority = Authority::create("fuzz", Arc::new(SystemClock)).expect("an authority");
        let (stop, stopping) = watch::channel(false);
        let (store, face) = runtime.block_on(async {
            let store = store().await;
            let keyring = Arc::new(Keyring::generate().expect("a keyring"));
            let engine = Engine::new(store.clone(), keyring);
            let access = Arc::new(Access::new());
            let clock = Arc::new(SystemClock);
            let front = Front {
                engine: engine.clone(),
                access: access.clone(),
                access_tokens: AccessTokens::new(store.clone(), access, clock),
                audit: audit(),
                admittance: Admittance::new(CallLimits {
                    calls_per_second: f64::MAX,
                    ..CallLimits::default()
                }),
                recorder: Recorder::start(engine),
            };
            (store, Face::new(front, stopping))
        });
        Self {
            runtime,
            face,
            store,
            authority,
            _stop: stop,
        }
    }

    /// The connection of a caller with a certificate for `subject`, or without any.
    pub(super) fn connection(&self, subject: Option<&Subject>) -> ConnectionInfo {
        let peer = subject.map(|subject| {
            let own = Credentials::issue(&self.authority, subject, &[]).expect("issued");
            Arc::new(own.peer().clone())
        });
        ConnectionInfo::new(([127, 0, 0, 1], 1).into(), peer)
    }

    /// One request to its answer. Of an answer that goes on it takes what is there.
    pub(super) fn ask(&self, from: &ConnectionInfo, mut request: Request<Body>) -> Answered {
        request.extensions_mut().insert(from.clone());
        self.runtime.block_on(async {
            let (parts, mut body) = self.face.answer(request).await.into_parts();
            let mut read = Vec::new();
            while let Some(Some(frame)) = body.frame().now_or_never() {
                let frame = frame.expect("answers do not break off");
                read.extend(frame.into_data().unwrap_or_default());
            }
            Answered {
                code: parts.status,
                headers: parts.headers,
                body: read,
            }
        })
    }

    /// Creates an object, which must succeed.
    pub(super) fn make(&self, by: &ConnectionInfo, plural: &str, object: &Value) {
        let request = Request::post(format!("/apis/quorate.dev/v1alpha1/{plural}"))
            .body(Body::new(object.to_string()))
            .expect("a request");
        let answered = self.ask(by, request);
        let words = String::from_utf8_lossy(&answered.body);
        assert!(answered.code.is_success(), "{object}: {words}");
    }

    pub(super) fn view(&self) -> View {
        self.store.view()
    }

    /// The names of a kind's objects, each with the revision of its last change.
    pub(super) fn objects(&self, plural: &str) -> Vec<(String, Revision)> {
        let listed = self.view().list(&Bucket::new(plural), None, usize::MAX);
        listed
            .into_iter()
            .map(|(key, stored)| (key.name.to_string(), stored.modified))
            .collect()
    }
}

async fn store() -> Store {
    let net = SimNet::new(1);
    let genesis = Genesis {
        cluster_id: "cluster".to_owned(),
        history_id: "history".to_owned(),
        member: Member {
            name: "m1".to_owned(),
            addresses: vec!["m1:7443".to_owned()],
            witness: false,
            feature_level: 1,
        },
    };
    let config = StoreConfig {
        disk_work: DiskWork::InPlace,
        snapshot_every: 2_000,
        segment_bytes: 1 << 20,
        ..StoreConfig::default()
    };
    let disk = SimDisk::new(1).mount();
    let store = Store::create(config, disk, net.transport(1), genesis).await;
    let store = store.expect("a member on a simulated disk");
    store.barrier().await.expect("it leads");
    store
}

/// A log that nobody will read: its name is gone as soon as it is open.
fn audit() -> Audit {
    let never = Rotation {
        bytes: u64::MAX,
        files: 1,
    };
    let directory = tempfile::tempdir().expect("a directory");
    Audit::open(directory.path(), never).expect("a log")
}
