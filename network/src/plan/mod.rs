//! From what a host is to what it should be, in steps that keep the way to the cluster.
//!
//! [`next`] looks at the host and names one step. Whoever carries steps out looks at the host again after each: a plan
//! that was interrupted anywhere simply goes on, and nothing has to be remembered. Three kinds of steps follow each other:
//!
//! 1. *prepare*: what takes nothing away. New interfaces are made, free cards join bonds, links are switched on;
//! 2. *switch*: whatever has to be taken from its old place goes to its new one in one step, which the kernel is given in
//!    one datagram: nobody can be killed in the middle of it;
//! 3. *tidy*: what is not needed any more goes.
//!
//! So before the switch the old way stands, and after it the new one.

mod desired;
mod next;
mod refusal;
mod step;

pub use desired::{Desired, WantedLink};
pub use next::{next, steps};
pub use refusal::Refusal;
pub use step::Step;
