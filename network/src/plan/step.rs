use crate::model::Change;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is done in one breath: the kernel is given all of it in one datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// In this order.
    pub changes: Vec<Change>,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, change) in self.changes.iter().enumerate() {
            if place > 0 {
                out.write_str(", ")?;
            }
            change.fmt(out)?;
        }
        Ok(())
    }
}
