use futures_util::stream::BoxStream;
use prost::bytes::Bytes;
use quorate_proto::host::v1::{Visitor, from_guest::What};
use tokio::sync::mpsc;

/// People as they come.
pub type Visits = BoxStream<'static, Visit>;

/// Somebody at the door. Dropped, it is closed.
#[derive(Debug)]
pub struct Visit {
    /// Who it is, and where to.
    pub visitor: Visitor,
    /// What is said to him.
    pub say: mpsc::Sender<What>,
    /// What he says; ends when he has gone.
    pub hear: mpsc::Receiver<Bytes>,
}
