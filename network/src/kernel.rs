//! What carries steps out.

use crate::firewall::{NftError, Table};
use crate::model::Host;
use crate::plan::Step;
use std::io;
use thiserror::Error;

/// The interfaces of this machine.
pub trait Kernel {
    /// How they are.
    ///
    /// # Errors
    /// When the kernel does not say.
    fn observe(&self) -> Result<Host, KernelError>;

    /// Does all of a step, in one breath.
    ///
    /// # Errors
    /// When the kernel refuses a part of it. The other parts may have been done.
    fn carry_out(&self, step: &Step) -> Result<(), KernelError>;

    /// The mark of the firewall's table, if there is one.
    ///
    /// # Errors
    /// When that cannot be seen.
    fn firewall(&self) -> Result<Option<String>, NftError>;

    /// Puts the firewall's table in place of the one that is there, whole or not at all.
    ///
    /// # Errors
    /// When it is not in place.
    fn guard(&self, table: &Table) -> Result<(), NftError>;
}

/// The kernel refused, or could not be asked.
#[derive(Debug, Error)]
#[error("the kernel refused to {what}")]
pub struct KernelError {
    /// What.
    pub what: String,
    /// Its words.
    #[source]
    pub source: io::Error,
}
