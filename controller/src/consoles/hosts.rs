use std::time::Duration;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use quorate_proto::host::v1::{FromGuest, ToGuest, Visitor, WaitRequest, visits_server::Visits};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Reception, reception::Answered};
use crate::{
    api::{Admittance, Weight},
    hosts::calling_host,
};

/// How long a host may take for its first word.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// Parts that wait for a host that is slower than whoever types.
const PARTS: usize = 16;

/// Hosts over gRPC. Who calls is the host that the certificate names.
pub struct VisitsService {
    reception: Reception,
    admittance: Admittance,
}

impl VisitsService {
    /// Puts gRPC before `reception`.
    pub fn new(reception: Reception, admittance: Admittance) -> Self {
        Self {
            reception,
            admittance,
        }
    }
}

#[tonic::async_trait]
impl Visits for VisitsService {
    type WaitStream = BoxStream<'static, Result<Visitor, Status>>;
    type LetInStream = BoxStream<'static, Result<ToGuest, Status>>;

    async fn wait(
        &self,
        request: Request<WaitRequest>,
    ) -> Result<Response<Self::WaitStream>, Status> {
        let host = calling_host(request.extensions(), Timestamp::now())?;
        let permit = self.admittance.admit(&host, Weight::Watch)?;
        let wait = self.reception.wait(&host);
        let visitors = stream::unfold((wait, permit), |(mut wait, permit)| async move {
            let visitor = wait.visitors.recv().await?;
            Some((Ok(visitor), (wait, permit)))
        });
        Ok(Response::new(visitors.boxed()))
    }

    async fn let_in(
        &self,
        request: Request<Streaming<FromGuest>>,
    ) -> Result<Response<Self::LetInStream>, Status> {
        let host = calling_host(request.extensions(), Timestamp::now())?;
        let permit = self.admittance.admit(&host, Weight::Watch)?;
        let mut from = request.into_inner();
        let first = timeout(FIRST_WORD, from.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the host says nothing"))??
            .ok_or_else(|| Status::invalid_argument("the host said nothing"))?;
        let (to, out) = mpsc::channel(PARTS);
        let answered = Answered { first, from, to };
        if !self.reception.answered(&host, answered) {
            return Err(Status::not_found("that visitor has gone"));
        }
        let out = stream::unfold(
            (ReceiverStream::new(out), permit),
            |(mut out, permit)| async move { Some((out.next().await?, (out, permit))) },
        );
        Ok(Response::new(out.boxed()))
    }
}
