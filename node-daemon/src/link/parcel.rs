use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What hosts say to each other, through members. It may get lost, come twice, or late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The other host: whom it is for, or whom it comes from. The latter is proved by its certificate.
    pub host: String,
    /// What is said.
    pub content: Bytes,
}

/// The way to other hosts. Dropped, it ends.
#[derive(Debug)]
pub struct Relay {
    /// To others.
    pub say: mpsc::Sender<Parcel>,
    /// From others.
    pub hear: mpsc::Receiver<Parcel>,
    /// What carries it.
    pub(crate) _carriers: JoinSet<()>,
}
