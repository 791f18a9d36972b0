use std::time::Duration;

use bytes::Bytes;
use quorate_store::{Bucket, Key, Outcome, Store, StoreError, Transaction, Write};

use crate::{check::Ledger, executor::Random};

/// Where clients write that stand in for people.
pub(crate) const BUCKET: &str = "notes";

/// Somebody who writes now and then through one member, and remembers what was acknowledged.
pub(crate) async fn write(member: String, store: Store, ledger: Ledger, mut random: Random) {
    let mut count = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(random.between(200, 3_000))).await;
        count += 1;
        let text = format!("note {count} through {member}");
        let transaction = Transaction {
            conditions: Vec::new(),
            writes: vec![Write::Put {
                key: Key::new(Bucket::new(BUCKET), format!("note-{}", random.below(20))),
                value: Bytes::from(text.clone()),
                expires_at_ms: None,
            }],
        };
        match store.propose(transaction).await {
            Ok(Outcome::Committed { revision, .. }) => ledger.acknowledge(revision, text),
            Ok(Outcome::Refused(_)) | Err(StoreError::Unknown { .. }) => {}
            Err(error) if error.is_retryable() => {}
            // The store stops.
            Err(_) => return,
        }
    }
}
