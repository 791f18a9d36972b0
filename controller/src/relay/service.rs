use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use quorate_proto::host::v1::{Parcel, relay_server::Relay};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use super::Rounds;
use crate::{
    api::{Admittance, Weight},
    hosts::calling_host,
};

/// Hosts over gRPC. Who calls is the host that the certificate names.
pub struct RelayService {
    rounds: Rounds,
    admittance: Admittance,
}

impl RelayService {
    /// Puts gRPC before `rounds`.
    pub fn new(rounds: Rounds, admittance: Admittance) -> Self {
        Self { rounds, admittance }
    }
}

#[tonic::async_trait]
impl Relay for RelayService {
    type CarryStream = BoxStream<'static, Result<Parcel, Status>>;

    async fn carry(
        &self,
        request: Request<Streaming<Parcel>>,
    ) -> Result<Response<Self::CarryStream>, Status> {
        let host = calling_host(request.extensions(), Timestamp::now())?;
        let permit = self.admittance.admit(&host, Weight::Watch)?;
        let connection = self.rounds.connect(&host);
        let mut handing_on = JoinSet::new();
        handing_on.spawn(hand_on(self.rounds.clone(), host, request.into_inner()));
        let open = (connection, handing_on, permit);
        let parcels = stream::unfold(
            open,
            |(mut connection, mut handing_on, permit)| async move {
                let parcel = tokio::select! {
                    parcel = connection.parcels.recv() => parcel?,
                    // It says no more: then it is connected no more either.
                    _ = handing_on.join_next() => return None,
                };
                Some((Ok(parcel), (connection, handing_on, permit)))
            },
        );
        Ok(Response::new(parcels.boxed()))
    }
}

/// Until the host says no more.
async fn hand_on(rounds: Rounds, host: String, mut said: Streaming<Parcel>) {
    loop {
        match said.message().await {
            Ok(Some(parcel)) => {
                rounds.hand_on(&host, parcel);
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(host, %status, "a host is not connected to the relay any more");
                return;
            }
        }
    }
}
