//! The other face of the same BMC: as much of Redfish as the stock `fence_redfish` uses, over HTTPS with a password.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Bmc, PASSWORD, USER};
use crate::error::{LabError, OnFile, explain};
use crate::request::BmcMood;

const ROOT: &str = "/redfish/v1";
const SYSTEMS: &str = "/redfish/v1/Systems";
const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
const LARGEST_BODY: usize = 64 * 1024;

pub(super) async fn serve(bmc: Arc<Bmc>) -> Result<(), LabError> {
    let tls = TlsAcceptor::from(Arc::new(self_signed(&bmc.address())?));
    let address = format!("{}:443", bmc.address());
    let listener = TcpListener::bind(&address).await.on("bind", &address)?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                continue;
            };
            tokio::spawn(attend(Arc::clone(&bmc), tls.clone(), stream, peer));
        }
    });
    Ok(())
}

/// A certificate that nobody has signed, as BMCs come from the factory.
fn self_signed(address: &str) -> Result<ServerConfig, LabError> {
    let broken =
        |error: String| LabError::Refused(format!("cannot make the BMC's certificate: {error}"));
    let made = rcgen::generate_simple_self_signed([address.to_owned()])
        .map_err(|error| broken(error.to_string()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
        })
        .map_err(|error| broken(error.to_string()))
}

async fn attend(bmc: Arc<Bmc>, tls: TlsAcceptor, stream: TcpStream, peer: SocketAddr) {
    if bmc.mood() == BmcMood::Unreachable || !bmc.is_powered().await {
        // The peer waits, as it does for a machine that is not there.
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        return;
    }
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let bmc = Arc::clone(&bmc);
        async move { Ok::<_, Infallible>(answer(&bmc, request, peer).await) }
    });
    // A peer that hangs up in the middle is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(bmc: &Bmc, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
    if !knows_password(&request) {
        bmc.log(format!(
            "{} is refused over Redfish: wrong user or password",
            peer.ip()
        ));
        let mut response = reply(StatusCode::UNAUTHORIZED, &problem("wrong user or password"));
        response.headers_mut().insert(
            WWW_AUTHENTICATE,
            hyper::header::HeaderValue::from_static("Basic realm=\"bmc\""),
        );
        return response;
    }
    let path = request.uri().path().trim_end_matches('/').to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, ROOT) => reply(
            StatusCode::OK,
            &json!({ "@odata.id": ROOT, "Systems": { "@odata.id": SYSTEMS } }),
        ),
        (&Method::GET, SYSTEMS) => {
            let members = json!([{ "@odata.id": SYSTEM }]);
            reply(
                StatusCode::OK,
                &json!({ "@odata.id": SYSTEMS, "Members@odata.count": 1, "Members": members }),
            )
        }
        (&Method::GET, SYSTEM) => {
            bmc.log(format!("{} asks for its state over Redfish", peer.ip()));
            system(bmc).await
        }
        (&Method::POST, RESET) => {
            let body = Limited::new(request.into_body(), LARGEST_BODY)
                .collect()
                .await;
            let body: Option<Value> = body
                .ok()
                .and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
            let kind = body
                .as_ref()
                .and_then(|body| body["ResetType"].as_str())
                .unwrap_or_default();
            bmc.log(format!("{} asks for {kind:?} over Redfish", peer.ip()));
            reset(bmc, kind).await
        }
        _ => reply(StatusCode::NOT_FOUND, &problem("no such resource")),
    }
}

fn knows_password(request: &Request<Incoming>) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|given| given.as_bytes() == expected.as_bytes())
}

async fn system(bmc: &Bmc) -> Response<Full<Bytes>> {
    match bmc.chassis_power("status").await {
        Ok(text) => {
            let state = if text.trim_end().ends_with("on") {
                "On"
            } else {
                "Off"
            };
            let reset = json!({ "target": RESET, "ResetType@Redfish.AllowableValues": RESETS.map(|(kind, _)| kind) });
            let actions = json!({ "#ComputerSystem.Reset": reset });
            let body =
                json!({ "@odata.id": SYSTEM, "Id": "1", "PowerState": state, "Actions": actions });
            reply(StatusCode::OK, &body)
        }
        Err(error) => reply(
            StatusCode::INTERNAL_SERVER_ERROR,
            &problem(&explain(&error)),
        ),
    }
}

/// Redfish's words and IPMI's.
const RESETS: [(&str, &str); 5] = [
    ("On", "on"),
    ("ForceOff", "off"),
    ("GracefulShutdown", "soft"),
    ("ForceRestart", "reset"),
    ("PowerCycle", "cycle"),
];

async fn reset(bmc: &Bmc, kind: &str) -> Response<Full<Bytes>> {
    let Some((_, command)) = RESETS.into_iter().find(|(name, _)| *name == kind) else {
        return reply(
            StatusCode::BAD_REQUEST,
            &problem("this ResetType is not among the allowable values"),
        );
    };
    match bmc.chassis_power(command).await {
        Ok(_) => reply(StatusCode::OK, &json!({})),
        Err(error) => reply(
            StatusCode::INTERNAL_SERVER_ERROR,
            &problem(&explain(&error)),
        ),
    }
}

fn problem(message: &str) -> Value {
    json!({ "error": { "code": "Base.1.0.GeneralError", "message": message } })
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}
