//! Objects and lists in the form in which they are wanted.

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    accept::{self, Form},
    asked::Asked,
    options::bad,
    reading::Collection,
    refusal::Refusal,
    table,
};
use crate::error::ApiError;

/// What of the object stands beside each row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    Nothing,
    Metadata,
    Object,
}

/// What a list says about itself.
#[derive(Clone, Debug, Default)]
pub(super) struct ListMeta {
    pub(super) resource_version: String,
    pub(super) continue_token: String,
    pub(super) remaining: u64,
}

/// Prints the objects of one collection for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    form: Form,
    include: Include,
    collection: Collection,
}

impl Printer {
    pub(super) fn read(asked: &Asked, collection: Collection) -> Result<Self, Refusal> {
        let include = match asked.query.filled("includeObject") {
            None | Some("Metadata") => Include::Metadata,
            Some("None") => Include::Nothing,
            Some("Object") => Include::Object,
            Some(other) => {
                return Err(bad(format!(
                    "includeObject: found {other:?}, allowed: None, Metadata, Object"
                )));
            }
        };
        Ok(Self {
            form: accept::form(&asked.headers)?,
            include,
            collection,
        })
    }

    /// One object.
    pub(super) fn object(&self, object: Bytes) -> Result<Bytes, ApiError> {
        self.next(object, true)
    }

    /// One object of several; a table's columns are told with the first one.
    pub(super) fn next(&self, object: Bytes, first: bool) -> Result<Bytes, ApiError> {
        match self.form {
            Form::Whole => Ok(object),
            Form::Metadata(version) => {
                Ok(metadata_of(&parse(&object)?, version).to_string().into())
            }
            Form::Table(version) => {
                let object = parse(&object)?;
                let meta = ListMeta {
                    resource_version: object
                        .pointer("/metadata/resourceVersion")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                    ..ListMeta::default()
                };
                let table = self.table(version, vec![object], &meta, first);
                Ok(table.to_string().into())
            }
        }
    }

    /// Many objects.
    pub(super) fn list(&self, objects: &[Bytes], meta: &ListMeta) -> Result<Bytes, ApiError> {
        let (api_version, kind) = self.collection.type_();
        let parsed = || {
            objects
                .iter()
                .map(|object| parse(object))
                .collect::<Result<Vec<_>, _>>()
        };
        match self.form {
            Form::Whole => {
                let head = json!({"apiVersion": api_version, "kind": format!("{kind}List")});
                Ok(list_of(&head, meta, objects))
            }
            Form::Metadata(version) => {
                let head = json!({
                    "apiVersion": format!("meta.k8s.io/{version}"),
                    "kind": "PartialObjectMetadataList",
                });
                let items: Vec<Bytes> = parsed()?
                    .iter()
                    .map(|object| metadata_of(object, version).to_string().into())
                    .collect();
                Ok(list_of(&head, meta, &items))
            }
            Form::Table(version) => {
                let table = self.table(version, parsed()?, meta, true);
                Ok(table.to_string().into())
            }
        }
    }

    /// A mark in a watch up to where everything was told.
    pub(super) fn bookmark(
        &self,
        revision: &str,
        initial_end: bool,
        first: bool,
    ) -> Result<Bytes, ApiError> {
        let (api_version, kind) = self.collection.type_();
        let mut mark = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"resourceVersion": revision, "creationTimestamp": null},
        });
        if initial_end {
            mark["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.next(mark.to_string().into(), first)
    }

    fn table(&self, version: &str, objects: Vec<Value>, meta: &ListMeta, columns: bool) -> Value {
        let now = Timestamp::now();
        let rows: Vec<Value> = objects
            .into_iter()
            .map(|object| {
                let mut row = json!({"cells": table::cells(self.collection, &object, now)});
                match self.include {
                    Include::Nothing => {}
                    Include::Metadata => row["object"] = metadata_of(&object, version),
                    Include::Object => row["object"] = object,
                }
                row
            })
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": format!("meta.k8s.io/{version}"),
            "metadata": meta.value(),
            "columnDefinitions": if columns {
                table::columns(self.collection)
            } else {
                Vec::new()
            },
            "rows": rows,
        })
    }
}

impl ListMeta {
    fn value(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.resource_version});
        if !self.continue_token.is_empty() {
            meta["continue"] = json!(self.continue_token);
            if self.remaining > 0 {
                meta["remainingItemCount"] = json!(self.remaining);
            }
        }
        meta
    }
}

/// A list around items that are encoded already.
fn list_of(head: &Value, meta: &ListMeta, items: &[Bytes]) -> Bytes {
    let head = head.to_string();
    let meta = meta.value().to_string();
    let bytes: usize = items.iter().map(|item| item.len() + 1).sum();
    let mut list = BytesMut::with_capacity(head.len() + meta.len() + bytes + 32);
    list.put_slice(head.trim_end_matches('}').as_bytes());
    list.put_slice(b",\"metadata\":");
    list.put_slice(meta.as_bytes());
    list.put_slice(b",\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            list.put_u8(b',');
        }
        list.put_slice(item);
    }
    list.put_slice(b"]}");
    list.freeze()
}

fn metadata_of(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}

fn parse(object: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(object)
        .map_err(|error| ApiError::Internal(format!("an object is not readable: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_put_around_items_without_reading_them() {
        let items = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{}")];
        let meta = ListMeta {
            resource_version: "7".into(),
            continue_token: "more".into(),
            remaining: 3,
        };
        let head = json!({"apiVersion": "v1", "kind": "EventList"});
        let list: Value = serde_json::from_slice(&list_of(&head, &meta, &items)).expect("JSON");
        assert_eq!(
            list,
            json!({
                "apiVersion": "v1", "kind": "EventList",
                "metadata": {"resourceVersion": "7", "continue": "more", "remainingItemCount": 3},
                "items": [{"a": 1}, {}],
            })
        );
    }
}
