//! The product's transport: two members on loopback with real disks, and frames that are refused.

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use quorate_store::{
    Genesis, Member, MemberId, Store, StoreConfig,
    disk::RealDisk,
    transport::{
        Connect, Frame, GrpcTransport, Peer, RaftService, Receive, Transport, TransportError,
    },
};
use support::{HISTORY, genesis, grant, key, member, put, revision};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

/// Connections without TLS.
struct Plain;

impl Connect for Plain {
    fn connect(&self, _: MemberId, address: &str) -> BoxFuture<'static, Result<Channel, String>> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        async move {
            let endpoint = endpoint.map_err(|e| e.to_string())?;
            endpoint.connect().await.map_err(|e| e.to_string())
        }
        .boxed()
    }
}

fn transport() -> Arc<dyn Transport> {
    Arc::new(GrpcTransport::new(Arc::new(Plain)))
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

/// Serves a member to one other, whose certificate every caller is taken to have shown.
fn serve(listener: TcpListener, receive: Arc<dyn Receive>, caller: MemberId) {
    let service = RaftService::server(receive, move |_| Ok(caller));
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
}

fn disk() -> (TempDir, Arc<RealDisk>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::open(directory.path()).expect("an empty directory");
    (directory, Arc::new(disk))
}

/// A member that leads goes on to lead, however busy this machine is.
fn patient() -> StoreConfig {
    StoreConfig {
        propose_timeout: Duration::from_secs(60),
        ..StoreConfig::default().waiting_for_leaders(Duration::from_secs(30))
    }
}

fn at(name: &str, address: &str) -> Member {
    Member {
        addresses: vec![address.to_owned()],
        ..member(name)
    }
}

/// The first member, served to the second.
async fn first() -> (Store, String, TempDir) {
    let (listener, address) = listen().await;
    let (directory, disk) = disk();
    let genesis = Genesis {
        member: at("m1", &address),
        ..genesis()
    };
    let store = Store::create(patient(), disk, transport(), genesis)
        .await
        .expect("a new cluster starts");
    serve(listener, store.receiver(), 2);
    (store, address, directory)
}

#[tokio::test]
async fn two_members_on_real_disks_replicate_forward_and_read() {
    let (one, _, _keep) = first().await;
    let (listener, address) = listen().await;
    let (_directory, disk) = disk();
    let id = one.allocate_member_id().await.expect("it leads");
    let two = Store::join(patient(), disk, transport(), grant(id))
        .await
        .expect("a new member starts");
    serve(listener, two.receiver(), 1);
    one.add_learner(id, at("m2", &address))
        .await
        .expect("it is added");
    one.promote(id).await.expect("it caught up");

    for n in 0..50 {
        let store = if n % 2 == 0 { &one } else { &two };
        let written = store.propose(put(&format!("name-{n}"), "1")).await;
        revision(&written.expect("both are well"));
    }
    for store in [&one, &two] {
        assert_eq!(store.barrier().await.expect("both are well"), 50);
        assert_eq!(store.view().count(&key("").bucket), 50);
    }
    two.shutdown().await;
    one.shutdown().await;
}

fn frame(from: MemberId) -> Frame {
    Frame {
        history_id: HISTORY.into(),
        from,
        start_counter: 1,
        format: 1,
        // A question for the read barrier, which has no body.
        method: 7,
        body: Bytes::new(),
        to_start: 0,
        pledge: None,
    }
}

#[tokio::test]
async fn the_second_address_is_tried_and_a_frame_in_anothers_name_is_refused() {
    let (store, address, _keep) = first().await;
    // Nobody else is given the port, and nobody listens there.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let nobody = closed.local_addr().expect("it is bound").to_string();
    let peer = Peer {
        id: 1,
        addresses: vec![nobody.clone(), address],
    };
    let net = transport();
    let patience = Duration::from_secs(30);

    let answer = net.call(peer.clone(), frame(2), patience).await;
    assert_eq!(answer.expect("the second address answers").from, 1);

    let error = net.call(peer, frame(3), patience).await;
    let error = error.expect_err("the certificate is another member's");
    assert!(matches!(error, TransportError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("member 2's"), "{error}");

    let unreachable = Peer {
        id: 1,
        addresses: vec![nobody],
    };
    let error = net.call(unreachable, frame(2), patience).await;
    let error = error.expect_err("nobody listens there");
    assert!(
        matches!(error, TransportError::Unreachable { .. }),
        "nothing can have been done: {error}"
    );
    store.shutdown().await;
}
