use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use quorate_proto::api::v1::{self as pb, cluster_server};
use quorate_store::{Bucket, MemberStatus, Role, StoreStatus};
use tonic::{Request, Response, Status};

use super::{Call, Front, Weight};
use crate::{
    access::{Action, ClusterCall},
    brain::Brain,
    cluster_info::ClusterInfo,
    error::ApiError,
    events::{Happening, Severity},
    takeover::next_loss,
    tokens::JoinTokens,
};

/// The `Cluster` service: everything about the cluster itself.
#[derive(Clone)]
pub struct Cluster {
    front: Front,
    tokens: JoinTokens,
    brain: Brain,
}

impl Cluster {
    /// The service behind `front`.
    pub fn new(front: Front, tokens: JoinTokens, brain: Brain) -> Self {
        Self {
            front,
            tokens,
            brain,
        }
    }

    /// A change of the membership: checked, noted, told.
    async fn change<F>(
        &self,
        call: Call,
        what: ClusterCall,
        (reason, note): (&'static str, String),
        work: impl FnOnce(quorate_store::Store) -> F + Send + 'static,
    ) -> Result<StoreStatus, ApiError>
    where
        F: Future<Output = Result<(), quorate_store::StoreError>> + Send + 'static,
    {
        let action = Action::cluster(what);
        let (front, caller) = (self.front.clone(), call.caller.clone());
        self.front
            .write(call, action, false, async move {
                let store = front.engine.store().clone();
                work(store.clone()).await?;
                front.recorder.record(Happening {
                    kind: "Cluster".into(),
                    name: ClusterInfo::read(&store.view()).name,
                    uid: None,
                    reason: reason.into(),
                    note: format!("{note}, by {:?}", caller.user()),
                    severity: Severity::Normal,
                });
                Ok((store.status(), None))
            })
            .await
    }
}

#[tonic::async_trait]
impl cluster_server::Cluster for Cluster {
    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        self.front
            .authorise(&call.caller, &Action::cluster(ClusterCall::Status))
            .await?;
        Ok(Response::new(self.status_reply().await))
    }

    async fn promote(
        &self,
        request: Request<pb::PromoteRequest>,
    ) -> Result<Response<pb::MemberReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let id = request.into_inner().member_id;
        let told = ("MemberPromoted", format!("member {id} is now a voter"));
        let status = self
            .change(call, ClusterCall::Members, told, move |store| async move {
                store.promote(id).await
            })
            .await?;
        Ok(Response::new(member_reply(&status)))
    }

    async fn remove(
        &self,
        request: Request<pb::RemoveRequest>,
    ) -> Result<Response<pb::MemberReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let id = request.into_inner().member_id;
        let told = ("MemberRemoved", format!("member {id} was taken out"));
        let status = self
            .change(call, ClusterCall::Members, told, move |store| async move {
                store.remove(id).await
            })
            .await?;
        Ok(Response::new(member_reply(&status)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::MemberReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let id = request.into_inner().member_id;
        let to = (id != 0).then_some(id);
        let told = (
            "LeaderTransferred",
            match to {
                Some(id) => format!("leadership was handed to member {id}"),
                None => "leadership was handed over".to_owned(),
            },
        );
        let status = self
            .change(call, ClusterCall::Leader, told, move |store| async move {
                store.transfer_leadership(to).await
            })
            .await?;
        Ok(Response::new(member_reply(&status)))
    }

    type BackupStream = Pin<Box<dyn Stream<Item = Result<pb::BackupChunk, Status>> + Send>>;

    async fn backup(
        &self,
        request: Request<pb::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let call = self.front.begin(&request, Weight::Watch)?;
        self.front
            .authorise(&call.caller, &Action::cluster(ClusterCall::Backup))
            .await?;
        let chunks = self
            .front
            .engine
            .store()
            .backup()
            .await
            .map_err(ApiError::from)?;
        let permit = call.permit;
        let chunks = chunks.map(move |chunk| {
            let _counted = &permit;
            chunk.map(|data| pb::BackupChunk { data }).map_err(|error| {
                ApiError::Internal(format!("the backup broke off: {error}")).into()
            })
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn create_join_token(
        &self,
        request: Request<pb::CreateJoinTokenRequest>,
    ) -> Result<Response<pb::CreateJoinTokenReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let action = Action::cluster(ClusterCall::Tokens);
        let message = request.into_inner();
        let (this, caller) = (self.clone(), call.caller.clone());
        let reply = self
            .front
            .write(call, action, false, async move {
                let reply = this.tokens.create(&caller, message).await?;
                Ok((reply, None))
            })
            .await?;
        Ok(Response::new(reply))
    }

    async fn list_join_tokens(
        &self,
        request: Request<pb::ListJoinTokensRequest>,
    ) -> Result<Response<pb::ListJoinTokensReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        self.front
            .authorise(&call.caller, &Action::cluster(ClusterCall::ListTokens))
            .await?;
        let tokens = self.tokens.list().await?;
        Ok(Response::new(pb::ListJoinTokensReply { tokens }))
    }

    async fn revoke_join_token(
        &self,
        request: Request<pb::RevokeJoinTokenRequest>,
    ) -> Result<Response<pb::RevokeJoinTokenReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let id = request.into_inner().id;
        let action = Action::cluster(ClusterCall::Tokens);
        let this = self.clone();
        self.front
            .write(call, action, false, async move {
                this.tokens.revoke(&id).await?;
                Ok(((), None))
            })
            .await?;
        Ok(Response::new(pb::RevokeJoinTokenReply {}))
    }

    async fn create_access_token(
        &self,
        request: Request<pb::CreateAccessTokenRequest>,
    ) -> Result<Response<pb::CreateAccessTokenReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let action = Action::cluster(ClusterCall::Tokens);
        let message = request.into_inner();
        let (tokens, caller) = (self.front.access_tokens.clone(), call.caller.clone());
        let reply = self
            .front
            .write(call, action, false, async move {
                let reply = tokens.create(&caller, message).await?;
                Ok((reply, None))
            })
            .await?;
        Ok(Response::new(reply))
    }

    async fn list_access_tokens(
        &self,
        request: Request<pb::ListAccessTokensRequest>,
    ) -> Result<Response<pb::ListAccessTokensReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        self.front
            .authorise(&call.caller, &Action::cluster(ClusterCall::ListTokens))
            .await?;
        let tokens = self.front.access_tokens.list().await?;
        Ok(Response::new(pb::ListAccessTokensReply { tokens }))
    }

    async fn revoke_access_token(
        &self,
        request: Request<pb::RevokeAccessTokenRequest>,
    ) -> Result<Response<pb::RevokeAccessTokenReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let id = request.into_inner().id;
        let action = Action::cluster(ClusterCall::Tokens);
        let tokens = self.front.access_tokens.clone();
        self.front
            .write(call, action, false, async move {
                tokens.revoke(&id).await?;
                Ok(((), None))
            })
            .await?;
        Ok(Response::new(pb::RevokeAccessTokenReply {}))
    }

    async fn raise_feature_level(
        &self,
        request: Request<pb::RaiseFeatureLevelRequest>,
    ) -> Result<Response<pb::StatusReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let wanted = request.into_inner().level;
        let told = (
            "FeatureLevelRaised",
            "the feature level was raised".to_owned(),
        );
        self.change(
            call,
            ClusterCall::FeatureLevel,
            told,
            move |store| async move {
                let level = match wanted {
                    0 => supported_by_all(&store.status()),
                    level => level,
                };
                store.raise_feature_level(level).await.map(|_| ())
            },
        )
        .await?;
        Ok(Response::new(self.status_reply().await))
    }
}

impl Cluster {
    async fn status_reply(&self) -> pb::StatusReply {
        let store = self.front.engine.store();
        let status = store.status_of_all().await;
        let view = store.view();
        let voters = status
            .members
            .iter()
            .filter(|member| member.role == Role::Voter);
        let votes = voters.clone().count();
        let votes_needed = votes / 2 + 1;
        // Who is not known to answer is not counted on.
        let answers =
            |member: &MemberStatus| member.id == status.member_id || member.reachable == Some(true);
        let reachable = voters.filter(|member| answers(member)).count();
        let next_loss = if status.quorum {
            next_loss(&status, &view, answers)
        } else {
            String::new()
        };
        let object_count = quorate_crds::kinds()
            .iter()
            .map(|kind| view.count(&Bucket::new(kind.plural)) as u64)
            .sum();
        pb::StatusReply {
            cluster_name: ClusterInfo::read(&view).name,
            cluster_id: status.cluster_id.clone(),
            history_id: status.history_id.clone(),
            member_id: status.member_id,
            leader_id: status.leader.unwrap_or(0),
            term: status.term,
            revision: status.revision,
            compacted_revision: status.compacted,
            last_log_index: status.last_index,
            applied_index: status.applied_index,
            feature_level: status.feature_level,
            members: members(&status),
            has_quorum: status.quorum,
            votes_needed: count(votes_needed),
            can_lose: count(reachable.saturating_sub(votes_needed)),
            version: env!("CARGO_PKG_VERSION").into(),
            storage_problem: status.storage_problem.unwrap_or_default(),
            object_count,
            votes_present: count(reachable),
            next_loss,
            without_quorum: self.brain.standing().sentence(),
            returning: store.set_aside().into_values().collect(),
        }
    }
}

fn supported_by_all(status: &StoreStatus) -> u32 {
    status
        .members
        .iter()
        .map(|member| member.feature_level)
        .min()
        .unwrap_or(status.feature_level)
}

fn member_reply(status: &StoreStatus) -> pb::MemberReply {
    pb::MemberReply {
        members: members(status),
    }
}

fn members(status: &StoreStatus) -> Vec<pb::MemberStatus> {
    status
        .members
        .iter()
        .map(|member| member_status(member, status.leader == Some(member.id)))
        .collect()
}

fn member_status(member: &MemberStatus, is_leader: bool) -> pb::MemberStatus {
    let role = match member.role {
        Role::Voter => pb::MemberRole::Voter,
        Role::Learner => pb::MemberRole::Learner,
    };
    pb::MemberStatus {
        id: member.id,
        name: member.name.clone(),
        addresses: member.addresses.clone(),
        role: role.into(),
        witness: member.witness,
        is_leader,
        reachable: member.reachable,
        lag: member.lag,
        supported_feature_level: member.feature_level,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
