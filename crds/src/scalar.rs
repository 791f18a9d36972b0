//! The small values that manifests are made of, each with the form that its schema asks for.
//!
//! They keep the text as it was written, so that what a person reads back is what a person wrote.

use quorate_schema::duration::{self, DurationError};
use quorate_schema::quantity::{Quantity, QuantityError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $shape:meta) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline, $shape)]
        pub struct $name(pub String);

        impl $name {
            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text! {
    /// A length of time: `250ms`, `10s`, `1m30s`, `24h`.
    Duration, extend(
        "format" = "duration",
        "pattern" = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$",
        "maxLength" = 32
    )
}
text! {
    /// An amount of bytes: `512Mi`, `2Gi`, `1T`. `Ki`, `Mi`, `Gi`, `Ti`, `Pi` count by 1024;
    /// `k`, `M`, `G`, `T`, `P` by 1000.
    Size, extend(
        "format" = "quantity",
        "pattern" = r"^[0-9]+(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$",
        "maxLength" = 24
    )
}
text! {
    /// The name of another object.
    Name, extend(
        "pattern" = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "maxLength" = 253
    )
}
text! {
    /// A short name inside one object: of a disk, of a network card.
    Label, extend("pattern" = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength" = 63)
}
text! {
    /// A hardware address: `52:54:00:12:34:56`.
    MacAddress, extend("format" = "mac", "pattern" = r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$")
}
text! {
    /// An IPv4 or IPv6 address: `10.20.0.1`, `fd00::1`.
    IpAddress, extend(
        "format" = "ip",
        "pattern" = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$",
        "maxLength" = 45
    )
}
text! {
    /// An IPv4 or IPv6 network: `10.20.0.0/16`, `fd00:20::/64`.
    Cidr, extend(
        "format" = "cidr",
        "pattern" = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)/[0-9]{1,3}$",
        "maxLength" = 49
    )
}
text! {
    /// A set of processor numbers: `1-3`, `0,2,4-7`.
    CpuSet, extend("pattern" = r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$", "maxLength" = 255)
}
text! {
    /// A path from the root of a filesystem: `/shared`.
    AbsolutePath, extend("pattern" = r"^/[^\x00-\x1f]*$", "maxLength" = 4095)
}
text! {
    /// Bytes, in base64 with padding.
    Base64, extend("format" = "byte")
}
text! {
    /// A moment, as RFC 3339 writes it: `2026-03-01T12:00:00Z`.
    Time, extend("format" = "date-time")
}

impl Duration {
    /// How long it is.
    ///
    /// # Errors
    /// When the text is no duration; what a schema has passed may still be longer than 292 years.
    pub fn parse(&self) -> Result<std::time::Duration, DurationError> {
        duration::parse(&self.0)
    }
}

impl Size {
    /// How many bytes it is.
    ///
    /// # Errors
    /// When the text is no quantity; what a schema has passed may still be larger than 8 EiB.
    pub fn parse(&self) -> Result<Quantity, QuantityError> {
        self.0.parse()
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(moment: jiff::Timestamp) -> Self {
        Self(moment.to_string())
    }
}

impl Time {
    /// The moment.
    ///
    /// # Errors
    /// When the text is no RFC 3339 date and time.
    pub fn parse(&self) -> Result<jiff::Timestamp, jiff::Error> {
        self.0.parse()
    }
}
