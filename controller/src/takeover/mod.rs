//! Half of an even number of voters goes on when the other half is proven off.
//!
//! The round itself is the store's ([`quorate_store::takeover`]). Here it is decided when one may begin, the devices are
//! driven, and people are told why the cluster stands still.

mod by_person;
mod claim;
mod evidence;
mod exchange;
mod forecast;
mod patience;
mod power_back;
mod runs;
mod shell;
mod standing;
mod word;

pub use by_person::{TakeoverError, by_person};
pub(crate) use exchange::{STORE, Settled, settle};
pub use forecast::next_loss;
pub(crate) use forecast::{Outlook, Voters};
pub use shell::HalfGoesOn;
pub use standing::Standing;
