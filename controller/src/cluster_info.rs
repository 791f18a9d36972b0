//! What a cluster knows of itself beside its membership.

use bytes::Bytes;
use quorate_store::{Bucket, Condition, Key, Store, StoreError, Transaction, View, Write};
use serde::{Deserialize, Serialize};

/// Where it is stored, out of reach of the API.
const BUCKET: &str = "_cluster";
const NAME: &str = "info";

/// Written when the cluster is founded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// What people call the cluster.
    pub name: String,
}

impl ClusterInfo {
    /// What is stored; empty in a cluster that is still being founded.
    pub fn read(view: &View) -> Self {
        view.get(&key())
            .and_then(|stored| serde_json::from_slice(&stored.value).ok())
            .unwrap_or_default()
    }

    /// Stores it unless something is stored already.
    pub(crate) async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let value = serde_json::to_vec(self).map_err(|error| StoreError::Io(error.into()))?;
        let transaction = Transaction {
            conditions: vec![Condition::Absent(key())],
            writes: vec![Write::Put {
                key: key(),
                value: Bytes::from(value),
                expires_at_ms: None,
            }],
        };
        store.propose(transaction).await.map(|_| ())
    }
}

fn key() -> Key {
    Key::new(Bucket::new(BUCKET), NAME)
}
