use bytes::Bytes;
use quorate_crds::KindInfo;
use quorate_schema::selector::{FieldSelector, LabelSelector};
use quorate_store::{Bucket, Revision, StoreError, View};
use serde_json::Value;

use super::{ContinueToken, Engine};
use crate::error::ApiError;

/// At most this many objects are on a page.
const MAX_PAGE: usize = 10_000;
/// A page stays below what gRPC clients take by default (4 MiB); every object fits onto a page of its own.
const MAX_PAGE_BYTES: usize = 3 << 20;
/// How many objects are read from the store in one go.
const CHUNK: usize = 1_000;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only objects with these labels.
    pub labels: LabelSelector,
    /// Only objects with these fields.
    pub fields: FieldSelector,
    /// At most this many; 0 for as many as the server puts on one page.
    pub limit: usize,
    /// From the previous page; empty for the first.
    pub continue_token: String,
    /// Ask nobody; the answer may be old.
    pub local: bool,
}

/// A part of a list. All its parts show the same revision.
#[derive(Clone, Debug)]
pub struct Page {
    /// The objects, in the order of their names.
    pub objects: Vec<Bytes>,
    /// Where the next page begins; empty on the last.
    pub continue_token: String,
    /// What the whole list shows; a watch may start here.
    pub revision: Revision,
    /// How many objects follow, where that is known.
    pub remaining: u64,
}

impl Engine {
    /// The objects of one kind.
    pub async fn list(&self, kind: &'static KindInfo, query: &ListQuery) -> Result<Page, ApiError> {
        let history = self.store.status().history_id;
        let token = match query.continue_token.as_str() {
            "" => None,
            text => Some(ContinueToken::decode(text, &history, kind.plural)?),
        };
        let view = match &token {
            None => self.view(query.local).await?,
            Some(token) => self.view_of_page(token.revision, query.local).await?,
        };
        let bucket = Bucket::new(kind.plural);
        let everything = query.labels.is_empty() && query.fields.is_empty();
        let limit = match query.limit {
            0 => MAX_PAGE,
            limit => limit.min(MAX_PAGE),
        };
        let mut after = token.as_ref().map(|token| token.after.clone());
        let mut seen = token.map_or(0, |token| token.seen);
        let mut objects = Vec::new();
        let mut bytes = 0;

        'page: loop {
            let wanted = if everything {
                (limit - objects.len()).min(CHUNK)
            } else {
                CHUNK
            };
            let chunk = view.list(&bucket, after.as_deref(), wanted);
            let last_chunk = chunk.len() < wanted;
            let ends_with_chunk = chunk.len();
            for (at, (key, stored)) in chunk.into_iter().enumerate() {
                let name = key.name.to_string();
                let selected = everything || {
                    let object = self.read(kind, &name, &stored)?;
                    query.matches(&object)
                };
                if selected {
                    let object = self.sent(kind, &name, &stored)?;
                    if !objects.is_empty() && bytes + object.len() > MAX_PAGE_BYTES {
                        break 'page;
                    }
                    bytes += object.len();
                    objects.push(object);
                }
                // A caller may have written the token, and this number, by himself.
                seen = seen.saturating_add(1);
                let at_end = last_chunk && at + 1 == ends_with_chunk;
                after = Some(name);
                if !at_end && objects.len() == limit {
                    break 'page;
                }
            }
            if last_chunk {
                return Ok(Page {
                    objects,
                    continue_token: String::new(),
                    revision: view.revision(),
                    remaining: 0,
                });
            }
        }

        let after = after.unwrap_or_default();
        // The page may be full exactly where the kind ends.
        if view.list(&bucket, Some(&after), 1).is_empty() {
            return Ok(Page {
                objects,
                continue_token: String::new(),
                revision: view.revision(),
                remaining: 0,
            });
        }
        let remaining = if everything {
            (view.count(&bucket) as u64).saturating_sub(seen)
        } else {
            0
        };
        Ok(Page {
            objects,
            continue_token: ContinueToken::new(
                &history,
                kind.plural,
                view.revision(),
                &after,
                seen,
            )
            .encode()?,
            revision: view.revision(),
            remaining,
        })
    }

    /// The state that the first page showed. This member may lag behind the one that issued the token.
    async fn view_of_page(&self, revision: Revision, local: bool) -> Result<View, ApiError> {
        match self.store.view_at(revision) {
            Ok(view) => Ok(view),
            Err(StoreError::Future { .. }) if !local => {
                self.store.barrier().await?;
                self.store
                    .view_at(revision)
                    .map_err(|_| ApiError::BadRequest(
                        "the continue token is not one that this server issued; list again without it"
                            .into(),
                    ))
            }
            Err(StoreError::Expired { .. }) => Err(ApiError::Expired(
                "the continue token is too old: what it showed is no longer kept; list again without it"
                    .into(),
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl ListQuery {
    fn matches(&self, object: &Value) -> bool {
        self.labels.matches_object(object) && self.fields.matches(object)
    }
}
