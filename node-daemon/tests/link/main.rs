//! The way to the cluster over real connections: which member is asked, and what its answers come to.

mod members;
mod stories;
