//! Everything that a bucket of the store holds.

use quorate_store::{Bucket, Key, Stored, View};

/// How much is copied out of the store at a time.
const PORTION: usize = 256;

/// All of a bucket, in the order of the names.
pub(crate) fn entries(view: &View, bucket: &str) -> impl Iterator<Item = (Key, Stored)> {
    entries_from(view, bucket, None)
}

/// The same without what comes before `after`, and without that itself.
pub(crate) fn entries_after(
    view: &View,
    bucket: &str,
    after: &str,
) -> impl Iterator<Item = (Key, Stored)> {
    entries_from(view, bucket, Some(after.to_owned()))
}

fn entries_from(
    view: &View,
    bucket: &str,
    mut after: Option<String>,
) -> impl Iterator<Item = (Key, Stored)> {
    let bucket = Bucket::new(bucket);
    let portions = std::iter::from_fn(move || {
        let portion = view.list(&bucket, after.as_deref(), PORTION);
        after = Some(portion.last()?.0.name.to_string());
        Some(portion)
    });
    portions.flatten()
}
