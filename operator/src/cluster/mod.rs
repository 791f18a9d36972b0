//! The side of a Quorate cluster: calls to its members, and what is known of its objects.

mod cache;
mod follow;
mod members;
mod refusal;

pub use cache::{Cache, Phase};
pub use follow::{Changed, Follower, Listener};
pub use members::{Applied, Members};
pub use refusal::CallError;
