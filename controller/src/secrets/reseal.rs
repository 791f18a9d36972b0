use quorate_identity::Keyring;
use quorate_store::{Bucket, Condition, Outcome, Store, Transaction, Write};
use serde_json::Value;

use super::{KIND, open, seal};
use crate::error::ApiError;

const PAGE: usize = 256;

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
