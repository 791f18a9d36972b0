//! Staying connected to one member: the next connection, and when it is due.

use super::dial;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A member of a former release does not know what is asked of it.
const MUCH_LATER: Duration = Duration::from_secs(60);
/// Then the connection is opened anew, with the certificate that is in use by then.
const LONG: Duration = Duration::from_secs(3600);

/// A connection to a member, over whichever ring.
pub(super) async fn connect(member: &[String], tls: &Arc<ClientConfig>) -> Option<Channel> {
    for address in member {
        if let Ok(channel) = dial::dial(address, tls).await {
            return Some(channel);
        }
    }
    None
}

/// Works over a connection until the member ends it, for long at most; returns how long to wait before the next one: `again`, when
/// the member made the end. `what` is opened anew then, for the log.
pub(super) async fn work(
    member: &[String],
    (what, again): (&'static str, Duration),
    work: impl Future<Output = Status>,
) -> Duration {
    match tokio::time::timeout(LONG, work).await {
        Ok(status) if status.code() == Code::Unimplemented => MUCH_LATER,
        Ok(status) => {
            tracing::debug!(?member, %status, what, "it is opened anew");
            again
        }
        Err(_) => Duration::ZERO,
    }
}
