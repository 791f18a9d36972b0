//! The one port: all services, and the Kubernetes face beside them, behind TLS.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::Stream;
use quorate_identity::{Authority, Clock, Keyring};
use quorate_proto::{
    api::v1::{
        cluster_server::ClusterServer, consoles_server::ConsolesServer,
        identity_server::IdentityServer, objects_server::ObjectsServer,
        planning_server::PlanningServer,
    },
    host::v1::{hosts_server::HostsServer, relay_server::RelayServer, visits_server::VisitsServer},
    member::v1::members_server::MembersServer,
};
use quorate_store::{MemberId, Store, transport::RaftService};
use tokio::sync::watch;
use tonic::{
    Extensions, Request, Status, service::interceptor::InterceptedService, transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::StartError;
use crate::{
    api::{Cluster, Front, Objects},
    brain::Brain,
    consoles::{ConsolesService, Reception, VisitsService},
    fencing::RunAgentDesk,
    foresight::Planning,
    hosts::HostsService,
    identity_service::IdentityService,
    members::MembersService,
    relay::{RelayService, Rounds},
    rest::{Face, RestLayer},
    tls::{Connection, ConnectionInfo},
    tokens::{JoinLimiter, JoinTokens},
};

/// The largest request; an object is at most half of it.
const MAX_REQUEST: usize = 4 << 20;
/// The largest request to the one service that strangers may call; a certificate request is a few KiB.
const MAX_STRANGERS_REQUEST: usize = 128 << 10;
/// A connection on which nothing comes back for this long is dead.
const SILENCE: Duration = Duration::from_secs(20);
/// Calls that one connection may have open; what a caller may have is counted elsewhere.
const STREAMS: u32 = 4_096;
/// Enough for a link with much delay not to throttle replication or a list.
const WINDOW: u32 = 8 << 20;
/// How long calls under way may take to finish when the member stops. Watches never finish.
const GRACE: Duration = Duration::from_secs(2);
/// The name under which the health service tells whether a leader is known, and so whether anything but
/// stale reads can be answered.
const LEADER: &str = "quorate.leader";

/// What the services are made of.
pub(super) struct Parts {
    pub(super) front: Front,
    pub(super) authority: Arc<Authority>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) brain: Brain,
    pub(super) agents: Arc<RunAgentDesk>,
}

/// Serves `incoming` until `stopping` says so.
pub(super) fn serve(
    parts: Parts,
    incoming: impl Stream<Item = Result<Connection, Infallible>> + Send + 'static,
    stopping: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
    let front = parts.front;
    let store = front.engine.store().clone();
    let tokens = JoinTokens::new(
        store.clone(),
        front.access.clone(),
        parts.authority.hash(),
        parts.clock.clone(),
    );
    let identity = IdentityService {
        store: store.clone(),
        authority: parts.authority,
        keyring: parts.keyring,
        access: front.access.clone(),
        tokens: tokens.clone(),
        limiter: JoinLimiter::new(std::time::Instant::now()),
        audit: front.audit.clone(),
        clock: parts.clock,
    };
    let hosts = HostsService::new(parts.brain.desk().clone(), front.admittance.clone());
    let reception = Reception::default();
    let visits = VisitsService::new(reception.clone(), front.admittance.clone());
    let consoles = ConsolesService::new(front.clone(), reception);
    let relay = RelayService::new(Rounds::default(), front.admittance.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(quorate_proto::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| StartError::Io {
            what: "the contract's descriptors are not readable".into(),
            source: std::io::Error::other(error),
        })?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let health_loop = tokio::spawn(report_health(reporter, store.clone()));

    let rest = RestLayer::new(Face::new(front.clone(), stopping.clone()));
    let server = Server::builder()
        // Many clients of the Kubernetes face speak nothing newer.
        .accept_http1(true)
        .http2_keepalive_interval(Some(SILENCE))
        .http2_keepalive_timeout(Some(SILENCE))
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .layer(rest)
        .add_service(
            ObjectsServer::new(Objects::new(front.clone())).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            PlanningServer::new(Planning::new(front.clone(), parts.brain.clone()))
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(HostsServer::new(hosts).max_decoding_message_size(MAX_REQUEST))
        .add_service(VisitsServer::new(visits).max_decoding_message_size(MAX_STRANGERS_REQUEST))
        .add_service(RelayServer::new(relay).max_decoding_message_size(MAX_STRANGERS_REQUEST))
        .add_service(ConsolesServer::new(consoles).max_decoding_message_size(MAX_STRANGERS_REQUEST))
        .add_service(
            MembersServer::new(MembersService::new(parts.brain.clone(), parts.agents))
                .max_decoding_message_size(MAX_STRANGERS_REQUEST),
        )
        .add_service(
            ClusterServer::new(Cluster::new(front, tokens, parts.brain))
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(IdentityServer::new(identity).max_decoding_message_size(MAX_STRANGERS_REQUEST))
        .add_service(RaftService::server(store.receiver(), calling_member))
        .add_service(health)
        .add_service(InterceptedService::new(reflection, known_callers));

    Ok(async move {
        let mut asked = stopping.clone();
        let stop = async move {
            // An error means that nobody is left who could ask.
            let _ = asked.wait_for(|stop| *stop).await;
        };
        let mut overdue = stopping;
        let overdue = async move {
            let _ = overdue.wait_for(|stop| *stop).await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = server.serve_with_incoming_shutdown(incoming, stop) => {
                if let Err(error) = served {
                    tracing::error!(%error, "the server ended");
                }
            }
            () = overdue => {}
        }
        health_loop.abort();
    })
}

/// Which member calls, from its certificate. Its dates do not count, see [`super::connect`].
fn calling_member(extensions: &Extensions) -> Result<MemberId, Status> {
    extensions
        .get::<ConnectionInfo>()
        .and_then(|connection| connection.peer.as_ref())
        .and_then(|peer| peer.subject.member_id())
        .ok_or_else(|| Status::permission_denied("only members of the cluster are heard here"))
}

/// What the API looks like is told to whoever has a certificate.
fn known_callers(request: Request<()>) -> Result<Request<()>, Status> {
    let known = request
        .extensions()
        .get::<ConnectionInfo>()
        .is_some_and(|connection| connection.peer.is_some());
    if known {
        Ok(request)
    } else {
        Err(Status::unauthenticated(
            "this call needs a client certificate and none was shown; get one with `quorate join`",
        ))
    }
}

async fn report_health(reporter: HealthReporter, store: Store) {
    let mut leadership = store.leadership();
    loop {
        let status = if leadership.borrow_and_update().leader.is_some() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status(LEADER, status).await;
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
