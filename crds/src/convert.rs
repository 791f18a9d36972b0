//! Between the versions of the API, always through one hub, so that every further version needs one
//! pair of functions and not one pair for every other version.
//!
//! Objects are converted as JSON, in place. What a function does not know it does not touch: a
//! field
//! that a newer release wrote is still there after an older one has passed the object on.

use crate::{API_VERSION, GROUP, VERSION};
use serde_json::Value;

/// Why an object cannot be had in another version. None of these goes away by trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The object does not say which version it has.
    #[error("apiVersion is missing or no text: write apiVersion: {API_VERSION}")]
    NoVersion,
    /// A group or version that this program does not have.
    #[error("found apiVersion {found:?}, allowed are {allowed}")]
    UnknownVersion {
        /// What was found.
        found: String,
        /// What could stand there.
        allowed: String,
    },
    /// A value that has no counterpart in the other version.
    #[error("{kind} cannot be converted to {to}: {message}")]
    NotConvertible {
        /// The kind.
        kind: String,
        /// The version asked for.
        to: String,
        /// What was found, and what to do about it.
        message: String,
    },
}

/// Rewrites an object of a kind in place, or says what has no counterpart.
pub type Rewrite = fn(kind: &str, object: &mut Value) -> Result<(), String>;

/// A version of the API besides the hub.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    /// Its name, without the group: `v1beta1`.
    pub name: &'static str,
    /// From this version to the hub.
    pub to_hub: Rewrite,
    /// From the hub to this version.
    pub from_hub: Rewrite,
}

/// Converts between the hub and the other versions that it knows.
#[derive(Debug, Clone, Default)]
pub struct Converter {
    versions: Vec<Version>,
}

impl Converter {
    /// A converter between the hub and `versions`.
    #[must_use]
    pub fn new(versions: Vec<Version>) -> Self {
        Self { versions }
    }

    /// Every `apiVersion` that an object may have, the hub's first.
    #[must_use]
    pub fn served(&self) -> Vec<String> {
        std::iter::once(API_VERSION.to_owned())
            .chain(
                self.versions
                    .iter()
                    .map(|version| format!("{GROUP}/{}", version.name)),
            )
            .collect()
    }

    /// `object` in the hub's version, as it is validated, merged and worked with.
    ///
    /// # Errors
    /// When its version is unknown, or something in it has no counterpart.
    pub fn to_hub(&self, object: Value) -> Result<Value, ConversionError> {
        self.convert(object, API_VERSION)
    }

    /// `object` in the version `to`, a whole `apiVersion`.
    ///
    /// # Errors
    /// When one of the versions is unknown, or something in the object has no counterpart.
    pub fn convert(&self, mut object: Value, to: &str) -> Result<Value, ConversionError> {
        let from = object
            .get("apiVersion")
            .and_then(Value::as_str)
            .ok_or(ConversionError::NoVersion)?
            .to_owned();
        let target = self.find(to)?;
        let source = self.find(&from)?;
        if from == to {
            return Ok(object);
        }
        if let Some(source) = source {
            rewrite(source.to_hub, &mut object, API_VERSION)?;
        }
        if let Some(target) = target {
            rewrite(target.from_hub, &mut object, to)?;
        }
        object["apiVersion"] = Value::from(to);
        Ok(object)
    }

    /// The version that `api_version` names; none for the hub itself.
    fn find(&self, api_version: &str) -> Result<Option<&Version>, ConversionError> {
        let unknown = || ConversionError::UnknownVersion {
            found: api_version.to_owned(),
            allowed: self.served().join(", "),
        };
        let (group, name) = api_version.split_once('/').ok_or_else(unknown)?;
        match self.versions.iter().find(|version| version.name == name) {
            _ if group != GROUP => Err(unknown()),
            None if name != VERSION => Err(unknown()),
            found => Ok(found),
        }
    }
}

fn rewrite(step: Rewrite, object: &mut Value, to: &str) -> Result<(), ConversionError> {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    step(&kind, object).map_err(|message| ConversionError::NotConvertible {
        kind,
        to: to.to_owned(),
        message,
    })
}
