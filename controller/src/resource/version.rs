//! The versions of the API that objects are sent and stored in.
//!
//! Everything inside works on the hub's version. An object that was stored by older software keeps its
//! version until somebody writes it; it is converted when it is read.

use std::sync::LazyLock;

use quorate_crds::convert::Converter;
use serde_json::Value;

use crate::error::ApiError;

/// How the bytes of an object in the hub's version begin: keys are stored sorted.
const HUB: &[u8] = b"{\"apiVersion\":\"quorate.dev/v1alpha1\"";

static CONVERTER: LazyLock<Converter> = LazyLock::new(Converter::default);

/// What somebody sent, in the hub's version.
pub(super) fn accept(object: Value) -> Result<Value, ApiError> {
    CONVERTER.to_hub(object).map_err(|error| {
        ApiError::BadRequest(format!(
            "{error}; allowed: apiVersion {}",
            CONVERTER.served().join(", ")
        ))
    })
}

/// What is stored, in the hub's version.
pub(super) fn read(object: Value) -> Result<Value, ApiError> {
    CONVERTER
        .to_hub(object)
        .map_err(|error| ApiError::Internal(format!("a stored object cannot be read: {error}")))
}

/// Whether stored bytes can be sent as they are.
pub(super) fn is_hub(stored: &[u8]) -> bool {
    stored.starts_with(HUB)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::object;

    #[test]
    fn what_is_stored_now_is_recognised_by_its_first_bytes() {
        let object = json!({"kind": "Secret", "apiVersion": quorate_crds::API_VERSION});
        assert!(is_hub(&object::encode(&object)));
        let older = json!({"kind": "Secret", "apiVersion": "quorate.dev/v1alpha0"});
        assert!(!is_hub(&object::encode(&older)));
    }

    #[test]
    fn an_unknown_version_is_refused_and_those_served_are_named() {
        let object = json!({"kind": "Secret", "apiVersion": "quorate.dev/v9"});
        let error = accept(object).expect_err("unknown").to_string();
        assert!(
            error.contains("v9") && error.contains(quorate_crds::API_VERSION),
            "{error}"
        );
    }
}
