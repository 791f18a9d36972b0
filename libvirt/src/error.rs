use crate::message::MessageError;
use crate::xdr::XdrError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a call failed. The variant says whether it may have taken effect.
#[derive(Debug, Error)]
pub enum RpcError {
    /// libvirt is not there. Nothing was asked; trying again may help.
    #[error("libvirt does not listen at {path}; is its daemon installed, and does it run?")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// libvirt refused, and says why. It had no effect, or the effect that the code names.
    #[error("{message}")]
    Refused {
        /// Why, as a number.
        code: ErrorCode,
        /// libvirt's words.
        message: String,
    },
    /// The connection ended before the answer. It may have taken effect.
    #[error("libvirt went away before it had answered {call}")]
    Lost {
        /// What was asked.
        call: &'static str,
    },
    /// There was no answer for too long. It may take effect yet.
    #[error("libvirt has not answered {call} for {} s", after.as_secs())]
    Silent {
        /// What was asked.
        call: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The answer cannot be understood. It may have taken effect.
    #[error("libvirt's answer to {call} cannot be understood")]
    Garbled {
        /// What was asked.
        call: &'static str,
        /// What is wrong with it.
        #[source]
        source: XdrError,
    },
    /// What came is not libvirt's protocol at all. It may have taken effect.
    #[error("what comes from libvirt's socket is not its protocol")]
    Foreign(#[source] MessageError),
}

impl RpcError {
    /// libvirt's own code, when it refused.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether what was asked surely has not taken effect, and will not.
    #[must_use]
    pub fn surely_nothing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }
}

/// Why libvirt refused: `virErrorNumber`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// This libvirt cannot do that at all.
    pub const NO_SUPPORT: Self = Self(3);
    /// No hypervisor of that kind is here.
    pub const NO_CONNECT: Self = Self(5);
    /// The hypervisor failed.
    pub const OPERATION_FAILED: Self = Self(9);
    /// The XML is wrong.
    pub const XML_ERROR: Self = Self(27);
    /// There is one already.
    pub const DOMAIN_EXISTS: Self = Self(28);
    /// There is no such domain.
    pub const NO_DOMAIN: Self = Self(42);
    /// Not in this state.
    pub const OPERATION_INVALID: Self = Self(55);
    /// The XML asks for what cannot be had.
    pub const CONFIG_UNSUPPORTED: Self = Self(67);
    /// It took too long.
    pub const OPERATION_TIMEOUT: Self = Self(68);
    /// Not here, or not of this.
    pub const OPERATION_UNSUPPORTED: Self = Self(84);
    /// Somebody gave it up.
    pub const OPERATION_ABORTED: Self = Self(78);
    /// There is none.
    pub const NO_METADATA: Self = Self(80);
    /// The agent inside does not answer.
    pub const AGENT_UNRESPONSIVE: Self = Self(86);
    /// Something uses it.
    pub const RESOURCE_BUSY: Self = Self(87);
    /// There is no such device.
    pub const DEVICE_MISSING: Self = Self(99);
}
