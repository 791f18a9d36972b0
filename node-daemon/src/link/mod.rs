//! How the daemon reaches the cluster.
//!
//! One trait, with the messages of the hosts' protocol and nothing of its transport: the product speaks gRPC to whichever
//! member answers, a simulated host calls the members' logic directly. Finding the leader, trying other members and
//! other rings belongs to the implementation; what comes back is either an answer of the cluster or the fact that there
//! is none at present.

mod error;
mod grpc;
mod parcel;
mod visit;

pub use error::LinkError;
pub use grpc::GrpcLink;
pub use parcel::{Parcel, Relay};
pub use visit::{Visit, Visits};

use crate::drivers::SecretValue;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use quorate_crds::SecretKey;
use quorate_proto::host::v1::{
    FiguresRequest, FollowRequest, LeaveRequest, MemberAddress, PeerAnswer, PeerQuestion,
    PlanUpdate, RegisterReply, RegisterRequest, ReportReply, ReportRequest,
};

/// What the cluster answers, sooner or later. Every call has its own time-out.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LinkError>>;

/// The plan as it changes. It ends with an error when the member that sent it is lost; then it is followed anew.
pub type Updates = BoxStream<'static, Result<PlanUpdate, LinkError>>;

/// The cluster, as a host reaches it. Every call may be repeated: the cluster knows by the incarnation, and by what it
/// stored, that it has heard the same before.
pub trait ClusterLink: Send + Sync {
    /// Become, or remain, a host of the cluster.
    fn register(&self, request: RegisterRequest) -> Answer<'_, RegisterReply>;

    /// The whole plan, then every change.
    fn follow(&self, request: FollowRequest) -> Answer<'_, Updates>;

    /// What has become of records, and how the host is.
    fn report(&self, request: ReportRequest) -> Answer<'_, ReportReply>;

    /// Figures that are worth nothing a minute later. They may be dropped.
    fn figures(&self, request: FiguresRequest) -> Answer<'_, ()>;

    /// The host goes in order.
    fn leave(&self, request: LeaveRequest) -> Answer<'_, ()>;

    /// Whether the storage may write without a peer. Returns when it is decided, or undecided after a while.
    fn ask_about_peer(&self, question: PeerQuestion) -> Answer<'_, PeerAnswer>;

    /// A value of a Secret that the host's plan refers to.
    fn secret(&self, key: SecretKey) -> Answer<'_, SecretValue>;

    /// People who want to the consoles and screens of this host's guests. Where nobody can come, nobody does.
    fn visits(&self) -> Visits {
        futures_util::stream::pending().boxed()
    }

    /// The way to other hosts. Where there is none, nobody is heard.
    fn relay(&self) -> Option<Relay> {
        None
    }

    /// From now on these are the members, with their addresses per ring.
    fn members_are(&self, members: &[MemberAddress]);
}
