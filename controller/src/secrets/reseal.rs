use std::{sync::Arc, time::Duration};

use quorate_identity::Keyring;
use quorate_store::{Bucket, Condition, Outcome, Store, Transaction, Write};
use serde_json::Value;

use super::{KIND, open, seal};
use crate::error::ApiError;

const PAGE: usize = 256;
const RETRY: Duration = Duration::from_secs(10);

/// Whenever this member comes to lead, seals with the newest key what an older one had sealed. Runs as long as the
/// process; a cluster whose keyring has not changed costs one look at its Secrets.
pub async fn keep_current(store: Store, keyring: Arc<Keyring>) {
    let mut leadership = store.leadership();
    while leadership.wait_for(|now| now.is_self).await.is_ok() {
        match reseal(&store, &keyring).await {
            Ok(resealed) => {
                if resealed > 0 {
                    tracing::info!(resealed, "sealed Secrets with the newest key");
                }
                if leadership.wait_for(|now| !now.is_self).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot seal all Secrets with the newest key; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Seals every Secret with the newest key that is not sealed with it yet, and tells how many those were. After it an
/// older key may be taken out of the keyring.
///
/// May be interrupted and repeated at any time, and run beside other writes: what somebody changes meanwhile is sealed
/// with the newest key by that change.
pub async fn reseal(store: &Store, keyring: &Keyring) -> Result<usize, ApiError> {
    store.barrier().await?;
    let bucket = Bucket::new(KIND);
    let mut resealed = 0;
    let mut after: Option<String> = None;
    loop {
        let page = store.view().list(&bucket, after.as_deref(), PAGE);
        let Some((last, _)) = page.last() else {
            return Ok(resealed);
        };
        after = Some(last.name.to_string());
        for (key, stored) in page {
            let mut object: Value = serde_json::from_slice(&stored.value).map_err(|error| {
                ApiError::Internal(format!("the stored Secret {key} is not readable: {error}"))
            })?;
            if is_current(keyring, &object) {
                continue;
            }
            open(keyring, &mut object)?;
            seal(keyring, &mut object)?;
            let transaction = Transaction {
                conditions: vec![Condition::AtRevision(key.clone(), stored.modified)],
                writes: vec![Write::Put {
                    key,
                    value: object.to_string().into(),
                    expires_at_ms: None,
                }],
            };
            if let Outcome::Committed { .. } = store.propose(transaction).await? {
                resealed += 1;
            }
        }
    }
}

fn is_current(keyring: &Keyring, object: &Value) -> bool {
    let Some(Value::Object(data)) = object.pointer("/spec/data") else {
        return true;
    };
    data.values()
        .filter_map(Value::as_str)
        .all(|text| keyring.is_current(text))
}
