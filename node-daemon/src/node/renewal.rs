use crate::link::GrpcLink;
use quorate_identity::{Clock, Credentials, KeyRequest, LiveCredentials};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the clock is looked at; it may be set meanwhile.
const LOOK: Duration = Duration::from_secs(3600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(60);

/// Keeps the host's certificate valid. One that has expired still buys the next.
pub(super) struct Renewal {
    pub(super) link: GrpcLink,
    pub(super) credentials: Arc<LiveCredentials>,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
}

impl Renewal {
    pub(super) async fn run(self) {
        loop {
            let wait = if self.clock.now() < self.credentials.current().renew_at() {
                LOOK
            } else {
                match self.renew().await {
                    Ok(()) => LOOK,
                    Err(error) => {
                        tracing::warn!(
                            error = &*error as &dyn Error,
                            "the host's certificate was not renewed yet"
                        );
                        AGAIN
                    }
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn renew(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let key = KeyRequest::generate()?;
        let reply = self.link.renew(key.request()).await?;
        let renewed = Credentials::from_pem(&reply.certificate, key.key())?;
        renewed.save(&self.certificate, &self.key)?;
        tracing::info!(
            until = %renewed.peer().not_after,
            "the host's certificate was renewed"
        );
        self.credentials.replace(renewed);
        // Members judge every call by the certificate that its connection was opened with.
        self.link.reconnect();
        Ok(())
    }
}
