//! What every client of the public API needs to know beside the messages.

use tonic::{Code, Status};

/// The trailer in which a member explains a refusal: a Kubernetes `Status` as JSON.
pub const EXPLANATION: &str = "quorate-status-bin";

/// What a member explains beside a refusal, if it does: a Kubernetes `Status` as JSON.
#[must_use]
pub fn explanation(status: &Status) -> Option<Vec<u8>> {
    let value = status.metadata().get_bin(EXPLANATION)?;
    Some(value.to_bytes().ok()?.to_vec())
}

/// The word of the API for a code that nobody has explained.
#[must_use]
pub fn reason_of(code: Code) -> &'static str {
    match code {
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::Aborted => "Conflict",
        Code::InvalidArgument => "BadRequest",
        Code::FailedPrecondition => "Invalid",
        Code::PermissionDenied => "Forbidden",
        Code::Unauthenticated => "Unauthorized",
        Code::ResourceExhausted => "TooManyRequests",
        Code::OutOfRange => "Expired",
        Code::DeadlineExceeded => "Timeout",
        Code::Unavailable => "ServiceUnavailable",
        Code::Unimplemented => "Unimplemented",
        _ => "InternalError",
    }
}

/// `host` as `host:7443`; what has a port keeps it.
#[must_use]
pub fn with_port(endpoint: &str) -> String {
    let port = crate::DEFAULT_PORT;
    if endpoint.starts_with('[') && endpoint.ends_with(']') {
        return format!("{endpoint}:{port}");
    }
    match endpoint.rsplit_once(':') {
        // More than one colon and no brackets is a bare IPv6 address.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => {
            format!("[{endpoint}]:{port}")
        }
        Some(_) => endpoint.to_owned(),
        None => format!("{endpoint}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_default_one() {
        for (given, with) in [
            ("an01", "an01:7443"),
            ("an01:8443", "an01:8443"),
            ("10.20.0.1", "10.20.0.1:7443"),
            ("[fd00::1]", "[fd00::1]:7443"),
            ("[fd00::1]:8443", "[fd00::1]:8443"),
            ("fd00::1", "[fd00::1]:7443"),
        ] {
            assert_eq!(with_port(given), with);
        }
    }
}
