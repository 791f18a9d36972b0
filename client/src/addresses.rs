use std::sync::Arc;

use rustls::ClientConfig;
use tokio::sync::Mutex;
use tonic::transport::Channel;

use crate::{Unreachable, dial};

/// The addresses of a cluster's members, and the connection to the one that is used. They are tried in order, and the first that
/// answers is used until it is left.
#[derive(Debug)]
pub struct Addresses {
    endpoints: Vec<String>,
    current: Mutex<Option<Connection>>,
}

/// An open connection.
#[derive(Debug, Clone)]
pub struct Connection {
    endpoint: usize,
    /// What calls go over.
    pub channel: Channel,
}

impl Addresses {
    /// Connects to nobody yet.
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            current: Mutex::new(None),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// Where a connection goes.
    #[must_use]
    pub fn of(&self, connection: &Connection) -> &str {
        &self.endpoints[connection.endpoint]
    }

    /// The connection that is used, or one to the first that answers.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn connection(&self, tls: &Arc<ClientConfig>) -> Result<Connection, Unreachable> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref() {
            return Ok(connection.clone());
        }
        self.connect_from(0, tls, &mut current).await
    }

    /// Uses another one next time: this one cannot help.
    pub async fn leave(&self, left: &Connection, tls: &Arc<ClientConfig>) {
        let mut current = self.current.lock().await;
        // Somebody else may have left it before.
        if current
            .as_ref()
            .is_none_or(|connection| connection.endpoint != left.endpoint)
        {
            return;
        }
        *current = None;
        // When nobody else answers either, the next call says so.
        let _ = self
            .connect_from(left.endpoint + 1, tls, &mut current)
            .await;
    }

    /// Uses another one next time than now.
    pub async fn leave_current(&self, tls: &Arc<ClientConfig>) {
        let connection = self.current.lock().await.clone();
        if let Some(connection) = connection {
            self.leave(&connection, tls).await;
        }
    }

    /// Begins anew with the first one.
    pub async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// Tries every one once, beginning with `start`.
    async fn connect_from(
        &self,
        start: usize,
        tls: &Arc<ClientConfig>,
        current: &mut Option<Connection>,
    ) -> Result<Connection, Unreachable> {
        let mut attempts = Vec::new();
        for step in 0..self.endpoints.len() {
            let endpoint = (start + step) % self.endpoints.len();
            match dial(&self.endpoints[endpoint], tls).await {
                Ok(channel) => {
                    let connection = Connection { endpoint, channel };
                    *current = Some(connection.clone());
                    return Ok(connection);
                }
                Err(reason) => attempts.push((self.endpoints[endpoint].clone(), reason)),
            }
        }
        Err(Unreachable::new(attempts))
    }
}
