//! libvirt's errors in the words of the daemon.

use crate::drivers::{DriverError, Trouble};
use quorate_libvirt::{ErrorCode, RpcError};

/// What a failed act comes to. `what` names it: "start guest web".
pub(super) fn failed(what: &str, error: RpcError) -> DriverError {
    let message = format!("cannot {what}");
    let failure = match &error {
        RpcError::Unreachable { .. } => DriverError::passing(Trouble::NotInstalled, message),
        RpcError::Refused { code, .. } => match *code {
            ErrorCode::NO_SUPPORT | ErrorCode::NO_CONNECT | ErrorCode::CONFIG_UNSUPPORTED => {
                DriverError::lasting(Trouble::NotSupported, message)
            }
            ErrorCode::XML_ERROR => DriverError::lasting(Trouble::Refused, message),
            ErrorCode::RESOURCE_BUSY => DriverError::passing(Trouble::InUse, message),
            ErrorCode::OPERATION_TIMEOUT => DriverError::passing(Trouble::TimedOut, message),
            _ => DriverError::passing(Trouble::Refused, message),
        },
        RpcError::Silent { .. } => DriverError::unclear(Trouble::TimedOut, message),
        RpcError::Lost { .. } => DriverError::unclear(Trouble::Refused, message),
        RpcError::Garbled { .. } | RpcError::Foreign(_) => {
            DriverError::unclear(Trouble::UnknownAnswer, message)
        }
    };
    failure.because(error)
}

/// The same of an act that changes nothing: its failure leaves nothing unclear.
pub(super) fn unseen(what: &str, error: RpcError) -> DriverError {
    match failed(what, error) {
        DriverError::Unclear {
            trouble,
            message,
            source,
        } => DriverError::Passing {
            trouble,
            message,
            source,
        },
        other => other,
    }
}
