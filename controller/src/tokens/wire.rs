//! Tokens as the API speaks of them.

use quorate_proto::api::v1::{
    AccessTokenInfo, CreateAccessTokenReply, CreateAccessTokenRequest, CreateJoinTokenReply,
    CreateJoinTokenRequest, JoinKind, JoinTokenInfo,
};

use super::{AccessTokens, Invitee, JoinTokens, Person};
use crate::{access::Caller, error::ApiError};

impl JoinTokens {
    /// Makes the token that was asked for.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateJoinTokenRequest,
    ) -> Result<CreateJoinTokenReply, ApiError> {
        let valid_seconds = request.valid_seconds;
        let (token, record) = self
            .invite(caller, invitee(request)?, valid_seconds)
            .await?;
        Ok(CreateJoinTokenReply {
            token: token.reveal(),
            id: token.id().to_owned(),
            expires_unix_seconds: record.expires.as_second(),
        })
    }

    /// The tokens that can still be used.
    pub async fn list(&self) -> Result<Vec<JoinTokenInfo>, ApiError> {
        let tokens = self.book.open().await?.into_iter().map(|(id, record)| {
            let groups = match &record.purpose {
                Invitee::User(person) => person.groups.clone(),
                Invitee::Member { .. } | Invitee::Node { .. } => Vec::new(),
            };
            JoinTokenInfo {
                id,
                kind: record.purpose.kind().into(),
                name: record.purpose.name().to_owned(),
                groups,
                expires_unix_seconds: record.expires.as_second(),
                created_by: record.created_by,
            }
        });
        Ok(tokens.collect())
    }
}

impl AccessTokens {
    /// Makes the token that was asked for.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateAccessTokenRequest,
    ) -> Result<CreateAccessTokenReply, ApiError> {
        let person = Person {
            name: request.user,
            groups: request.groups,
        };
        let (token, record) = self.grant(caller, person, request.valid_seconds).await?;
        Ok(CreateAccessTokenReply {
            token: token.reveal(),
            id: token.id().to_owned(),
            expires_unix_seconds: record.expires.as_second(),
        })
    }

    /// The tokens that are good.
    pub async fn list(&self) -> Result<Vec<AccessTokenInfo>, ApiError> {
        let tokens = self.book.open().await?.into_iter();
        let tokens = tokens.map(|(id, record)| AccessTokenInfo {
            id,
            user: record.purpose.name,
            groups: record.purpose.groups,
            created_unix_seconds: record.created.as_second(),
            expires_unix_seconds: record.expires.as_second(),
            created_by: record.created_by,
        });
        Ok(tokens.collect())
    }
}

impl Invitee {
    /// What the API calls it.
    pub fn kind(&self) -> JoinKind {
        match self {
            Self::Member { .. } => JoinKind::Member,
            Self::Node { .. } => JoinKind::Node,
            Self::User(_) => JoinKind::User,
        }
    }
}

fn invitee(request: CreateJoinTokenRequest) -> Result<Invitee, ApiError> {
    let kind = request.kind();
    let refuse = |wrong: bool, message: &str| match wrong {
        true => Err(ApiError::BadRequest(message.to_owned())),
        false => Ok(()),
    };
    let fits_users = kind == JoinKind::User || request.groups.is_empty();
    refuse(
        !fits_users,
        "groups can be given to users only; leave them out",
    )?;
    let fits_members = kind == JoinKind::Member || !request.witness;
    refuse(
        !fits_members,
        "only a member can be a witness; leave it out",
    )?;
    match kind {
        JoinKind::Member => {
            refuse(
                !request.name.is_empty(),
                "a member brings its own name; leave it out",
            )?;
            Ok(Invitee::Member {
                witness: request.witness,
            })
        }
        JoinKind::Node => Ok(Invitee::Node { name: request.name }),
        JoinKind::User => Ok(Invitee::User(Person {
            name: request.name,
            groups: request.groups,
        })),
        JoinKind::Unspecified => Err(ApiError::BadRequest(
            "the kind of the join token is missing, allowed: member, node, user".into(),
        )),
    }
}
