use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use quorate_crds::KindInfo;
use quorate_store::Revision;

use crate::error::ApiError;

/// The last few changes as watchers are sent them.
///
/// A change goes to all watchers of its kind within moments. The first one encodes it, which for a Secret
/// means opening it; the others take the same bytes.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<VecDeque<Letter>>);

#[derive(Debug)]
struct Letter {
    change: ChangeId,
    bytes: Bytes,
}

/// Which encoding of which change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeId {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) revision: Revision,
    /// The state before the change, as a watcher sees it whose selection the object has left.
    pub(super) before: bool,
}

impl ChangeId {
    pub(super) fn new(kind: &KindInfo, name: &str, revision: Revision, before: bool) -> Self {
        Self {
            kind: kind.plural,
            name: name.to_owned(),
            revision,
            before,
        }
    }
}

/// Watchers that are further apart than this many changes encode for themselves.
const KEPT: usize = 64;

impl Outbox {
    /// The bytes for `change`, from `encode` unless somebody had them encoded just before.
    pub(super) fn send(
        &self,
        change: ChangeId,
        encode: impl FnOnce() -> Result<Bytes, ApiError>,
    ) -> Result<Bytes, ApiError> {
        if let Some(bytes) = self.find(&change) {
            return Ok(bytes);
        }
        let bytes = encode()?;
        let mut letters = self.letters();
        if letters.len() == KEPT {
            letters.pop_front();
        }
        letters.push_back(Letter {
            change,
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }

    fn find(&self, change: &ChangeId) -> Option<Bytes> {
        let letters = self.letters();
        let letter = letters
            .iter()
            .rev()
            .find(|letter| letter.change == *change)?;
        Some(letter.bytes.clone())
    }

    fn letters(&self) -> std::sync::MutexGuard<'_, VecDeque<Letter>> {
        // What a panic could leave behind is still a list of whole letters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_encoded_once_and_its_two_sides_are_kept_apart() {
        let kind = quorate_crds::find("Secret").expect("a kind");
        let outbox = Outbox::default();
        let after = || ChangeId::new(kind, "a", 7, false);
        let first = outbox.send(after(), || Ok(Bytes::from_static(b"after")));
        let again = outbox.send(after(), || panic!("it was encoded before"));
        let before = outbox.send(ChangeId::new(kind, "a", 7, true), || {
            Ok(Bytes::from_static(b"before"))
        });
        assert_eq!(first.expect("encoded"), "after");
        assert_eq!(again.expect("kept"), "after");
        assert_eq!(before.expect("encoded"), "before");
    }

    #[test]
    fn only_the_last_changes_are_kept() {
        let kind = quorate_crds::find("Secret").expect("a kind");
        let outbox = Outbox::default();
        for revision in 0..KEPT as u64 * 3 {
            let change = ChangeId::new(kind, "a", revision, false);
            outbox.send(change, || Ok(Bytes::new())).expect("encoded");
        }
        assert_eq!(outbox.letters().len(), KEPT);
        assert!(outbox.find(&ChangeId::new(kind, "a", 0, false)).is_none());
    }
}
