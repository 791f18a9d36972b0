//! skeleton

mod member_config;

pub use member_config::{BOOTSTRAP_FILE, Bootstrap, BootstrapError, MemberConfig};
