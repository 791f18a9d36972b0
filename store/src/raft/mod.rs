//! openraft, wrapped: see docs/adr/0002 for why this version and what is relied upon.

mod types;

pub(crate) use types::*;
