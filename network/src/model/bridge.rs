use serde::{Deserialize, Serialize};

/// How a bridge forwards. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeOptions {
    /// Whether it speaks the spanning tree protocol.
    pub stp: bool,
    /// How long a port listens before it forwards.
    pub forward_delay: u32,
    /// How often neighbours are greeted.
    pub hello_time: u32,
    /// When a neighbour's word is too old.
    pub max_age: u32,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            stp: false,
            forward_delay: 0,
            hello_time: 2_000,
            max_age: 20_000,
        }
    }
}
