//! From any state of a host to any network that may be wanted there: the plan converges, leaves what is not ours, and keeps
//! the way to the leader wherever there is one in the end.

mod cables;
mod hosts;
mod properties;
mod stories;
