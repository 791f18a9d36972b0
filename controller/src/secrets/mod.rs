//! Secrets at rest.
//!
//! A Secret's values are sealed before they are proposed and opened after they are read, so that the log, the
//! snapshots, the backups and every disk hold ciphertext only. The key is in the members' keyring, outside the
//! store. Everything between, merging above all, works on open values, and the sealed form never leaves the
//! server.
//!
//! Each value is bound to the object and the entry that it belongs to; sealed values cannot be swapped
//! between Secrets by somebody who can write to the store's files.

mod reseal;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quorate_identity::{Keyring, KeyringError};
use quorate_schema::ViolationReason;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::error::{ApiError, Cause, Subject};

pub use reseal::{keep_current, reseal};

/// The plural of the one kind that is sealed.
pub const KIND: &str = "secrets";

const DATA: &str = "data";
const STRING_DATA: &str = "stringData";

/// Why a Secret could not be sealed or opened. Repeating the call does not help.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// What the caller sent is not right.
    #[error("{name:?} is not a usable Secret")]
    Invalid {
        /// The Secret.
        name: String,
        /// Each offending entry; the values themselves are not shown.
        causes: Vec<Cause>,
    },
    /// The keyring refused.
    #[error("the value of entry {entry:?} of Secret {name:?} is not readable")]
    Keyring {
        /// The Secret.
        name: String,
        /// Which of its values.
        entry: String,
        /// Why.
        #[source]
        source: KeyringError,
    },
}

impl From<SecretsError> for ApiError {
    fn from(error: SecretsError) -> Self {
        match error {
            SecretsError::Invalid { name, causes } => Self::Invalid {
                subject: Subject::new(KIND, name),
                causes,
            },
            SecretsError::Keyring { ref source, .. } => {
                Self::Internal(format!("{error}: {source}"))
            }
        }
    }
}

/// Brings a Secret that somebody sent into the one form that is merged and compared: `stringData` is folded into
/// `data`, whose values are checked to be base64 and written the standard way. To be called before merging, so that
/// the sender comes to own the entries of `data`.
pub fn normalise(object: &mut Value) -> Result<(), SecretsError> {
    let name = name(object).to_owned();
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let mut causes = Vec::new();
    let plain = spec.remove(STRING_DATA);
    // The schema would refuse these as well, but it repeats what it found.
    match spec.get_mut(DATA) {
        None | Some(Value::Null) => {}
        Some(Value::Object(data)) => {
            for (entry, value) in data.iter_mut() {
                let text = match value {
                    Value::String(text) => text,
                    // An entry without a value is the schema's to judge, and shows nothing.
                    Value::Null => continue,
                    _ => {
                        causes.push(Cause::new(
                            format!("spec.data[{entry}]"),
                            ViolationReason::TypeMismatch,
                            "the value is not a string; encode it in base64, or write it in quotes under spec.stringData",
                        ));
                        continue;
                    }
                };
                match STANDARD.decode(text.as_bytes()) {
                    Ok(bytes) => *text = STANDARD.encode(bytes),
                    Err(_) => causes.push(Cause::new(
                        format!("spec.data[{entry}]"),
                        ViolationReason::Invalid,
                        "the value is not base64; encode it, or write it as plain text under spec.stringData",
                    )),
                }
            }
        }
        Some(_) => causes.push(Cause::new(
            "spec.data",
            ViolationReason::TypeMismatch,
            "found something else, allowed: a map from names to values in base64",
        )),
    }
    match plain {
        None | Some(Value::Null) => {}
        Some(Value::Object(plain)) => {
            let data = spec.entry(DATA).or_insert(Value::Null);
            if data.is_null() {
                *data = Value::Object(Map::new());
            }
            for (entry, value) in plain {
                match (value, data.as_object_mut()) {
                    (Value::String(text), Some(data)) => {
                        data.insert(entry, Value::String(STANDARD.encode(text)));
                    }
                    _ => causes.push(Cause::new(
                        format!("spec.stringData[{entry}]"),
                        ViolationReason::TypeMismatch,
                        "the value is not a string; put it in quotes",
                    )),
                }
            }
        }
        Some(_) => causes.push(Cause::new(
            "spec.stringData",
            ViolationReason::TypeMismatch,
            "found something else, allowed: a map from names to strings",
        )),
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(SecretsError::Invalid { name, causes })
    }
}

/// Seals all values of a Secret.
pub fn seal(keyring: &Keyring, object: &mut Value) -> Result<(), SecretsError> {
    each_value(object, |entry, context, text| {
        let bytes = STANDARD.decode(text).map_err(|_| Fault::NotBase64(entry))?;
        keyring
            .seal(&bytes, context)
            .map_err(|source| Fault::Keyring(entry, source))
    })
}

/// Opens all values of a Secret as it was stored.
pub fn open(keyring: &Keyring, object: &mut Value) -> Result<(), SecretsError> {
    each_value(object, |entry, context, text| {
        keyring
            .open(text, context)
            .map(|bytes| STANDARD.encode(bytes))
            .map_err(|source| Fault::Keyring(entry, source))
    })
}

enum Fault<'a> {
    NotBase64(&'a str),
    Keyring(&'a str, KeyringError),
}

/// Replaces every value by what `change` makes of its entry's name, its context and its text.
fn each_value(
    object: &mut Value,
    change: impl for<'a> Fn(&'a str, &[u8], &str) -> Result<String, Fault<'a>>,
) -> Result<(), SecretsError> {
    let name = name(object).to_owned();
    let uid = object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let Some(Value::Object(data)) = object.pointer_mut("/spec/data") else {
        return Ok(());
    };
    for (entry, value) in data.iter_mut() {
        let Value::String(text) = value else { continue };
        // No part can hold the separator: names and uids are made of printable characters.
        let context = format!("{KIND}\0{name}\0{uid}\0{entry}");
        *text = match change(entry, context.as_bytes(), text) {
            Ok(text) => text,
            Err(Fault::NotBase64(entry)) => {
                return Err(SecretsError::Invalid {
                    causes: vec![Cause::new(
                        format!("spec.data[{entry}]"),
                        ViolationReason::Invalid,
                        "the value is not base64; encode it, or write it as plain text under spec.stringData",
                    )],
                    name,
                });
            }
            Err(Fault::Keyring(entry, source)) => {
                return Err(SecretsError::Keyring {
                    entry: entry.to_owned(),
                    name,
                    source,
                });
            }
        };
    }
    Ok(())
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(name: &str, spec: Value) -> Value {
        json!({"kind": "Secret", "metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": spec})
    }

    #[test]
    fn plain_text_becomes_data_and_is_never_kept_as_it_was_written() {
        let mut object = secret(
            "bmc",
            json!({"data": {"user": "YWRtaW4="}, "stringData": {"password": "hunter2"}}),
        );
        normalise(&mut object).expect("usable");
        assert_eq!(
            object["spec"],
            json!({"data": {"user": "YWRtaW4=", "password": "aHVudGVyMg=="}})
        );
    }

    #[test]
    fn what_is_stored_shows_nothing_and_opens_to_what_was_written() {
        let keyring = Keyring::generate().expect("random");
        let open_form = secret(
            "bmc",
            json!({"data": {"password": "aHVudGVyMg=="}, "type": "Opaque"}),
        );

        let mut stored = open_form.clone();
        seal(&keyring, &mut stored).expect("sealed");
        let text = stored.to_string();
        assert!(
            !text.contains("aHVudGVyMg") && !text.contains("hunter2"),
            "{text}"
        );

        open(&keyring, &mut stored).expect("opened");
        assert_eq!(stored, open_form);
    }

    #[test]
    fn a_sealed_value_moved_to_another_secret_or_entry_does_not_open() {
        let keyring = Keyring::generate().expect("random");
        let mut bmc = secret("bmc", json!({"data": {"password": "aHVudGVyMg=="}}));
        seal(&keyring, &mut bmc).expect("sealed");
        let stolen = bmc["spec"]["data"]["password"].clone();

        let mut other = secret("other", json!({"data": {"password": stolen.clone()}}));
        open(&keyring, &mut other).expect_err("another Secret");
        let mut entry = secret("bmc", json!({"data": {"greeting": stolen}}));
        open(&keyring, &mut entry).expect_err("another entry");
    }

    #[test]
    fn a_value_that_is_not_base64_is_refused_by_field_without_being_shown() {
        let mut object = secret("bmc", json!({"data": {"password": "hunter2!"}}));
        let error = ApiError::from(normalise(&mut object).expect_err("not base64"));
        let text = error.to_string();
        assert!(text.contains("spec.data[password]"), "{text}");
        assert!(text.contains("stringData"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_value_that_is_not_even_a_text_is_refused_without_being_shown() {
        for data in [json!({"pin": 271_828}), json!("271828"), json!(271_828)] {
            let mut object = secret("door", json!({ "data": data }));
            let error = ApiError::from(normalise(&mut object).expect_err("no text"));
            assert!(!error.to_string().contains("271828"), "{error}");
        }
    }

    #[test]
    fn an_object_of_any_shape_passes_without_a_panic() {
        let keyring = Keyring::generate().expect("random");
        for spec in [
            json!(null),
            json!({}),
            json!({"data": 7, "stringData": null}),
            json!({"data": {"a": 7}}),
            json!({"data": 7, "stringData": {"a": "b"}}),
            json!({"stringData": [1]}),
        ] {
            let mut object = secret("x", spec);
            let _ = normalise(&mut object);
            let _ = seal(&keyring, &mut object);
            let _ = open(&keyring, &mut object);
        }
    }
}
