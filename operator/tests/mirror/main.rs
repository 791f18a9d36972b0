//! The operator between a real cluster of Quorate and an API server that knows what the operator relies on.

mod apiserver;
mod cluster;
mod examples;
mod manifests;
mod program;
mod restless;
mod rights;
mod stories;
mod world;
