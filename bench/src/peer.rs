//! What is measured, said once for every store: the load generator knows only this.

use std::{future::Future, time::Instant};

use bytes::Bytes;

/// Anything that goes wrong ends the benchmark: a figure from a half-failed run is worth nothing.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What is listed.
#[derive(Clone, Copy)]
pub(crate) enum Sort {
    /// The keys that are put; in Quorate Secrets, which are encrypted at rest.
    Keys,
    /// Guests.
    Guests,
}

/// A running cluster of three members, and connections to it.
pub(crate) trait Peer: Send + Sync + 'static {
    /// The name in the table.
    fn name(&self) -> &'static str;

    /// The processes of its members.
    fn processes(&self) -> Vec<u32>;

    /// Open this many connections, in place of those that are open now.
    fn connect(&mut self, connections: usize) -> impl Future<Output = Result<()>> + Send;

    /// Make sure that keys `0..count` exist.
    fn prepare(&self, count: usize, value: &Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Replace the value of a key that exists; returns when it is committed.
    fn put(
        &self,
        connection: usize,
        key: usize,
        value: Bytes,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Read a key, linearizably.
    fn get(&self, connection: usize, key: usize) -> impl Future<Output = Result<()>> + Send;

    /// Read everything of one sort, linearizably, and say how many there were.
    fn list(&self, connection: usize, what: Sort) -> impl Future<Output = Result<usize>> + Send;

    /// Start `watchers` watches of all keys; each sends the arrival time of every change.
    fn watch(
        &self,
        watchers: usize,
        seen: tokio::sync::mpsc::UnboundedSender<Instant>,
    ) -> impl Future<Output = Result<Vec<tokio::task::JoinHandle<()>>>> + Send;
}
