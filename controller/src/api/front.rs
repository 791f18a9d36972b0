use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use quorate_crds::{KindInfo, Verb};
use quorate_store::{Condition, Revision, View};
use serde_json::Value;
use tonic::Request;

use super::limits::{Admittance, Permit, Weight};
use crate::{
    access::{Access, Action, Caller, RightsGate},
    audit::{Audit, What},
    error::ApiError,
    events::Recorder,
    resource::{Engine, Gate, Written},
    tls::ConnectionInfo,
    tokens::AccessTokens,
};

/// A call that takes longer than this is answered without its result.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands between every call and the engine: who calls, how often, with which rights, and the note
/// of it that is kept. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    /// Carries out verbs.
    pub engine: Engine,
    /// Decides who may do what.
    pub access: Arc<Access>,
    /// Knows who has no certificate.
    pub access_tokens: AccessTokens,
    /// Keeps note of every write.
    pub audit: Audit,
    /// Counts calls.
    pub admittance: Admittance,
    /// Tells people what happened.
    pub recorder: Recorder,
}

/// A call whose caller is known and counted.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) permit: Permit,
    connection: ConnectionInfo,
}

impl Call {
    /// Who is at the other end.
    pub(crate) fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }
}

impl Front {
    /// Lets a call in: its caller must be known and not ask for too much.
    pub(crate) fn begin<T>(&self, request: &Request<T>, weight: Weight) -> Result<Call, ApiError> {
        let connection = request
            .extensions()
            .get::<ConnectionInfo>()
            .ok_or_else(|| {
                ApiError::Internal("the call came over a connection that nobody looked at".into())
            })?;
        self.begin_from(connection, weight)
    }

    /// The same for a call that did not come by gRPC.
    pub(crate) fn begin_from(
        &self,
        connection: &ConnectionInfo,
        weight: Weight,
    ) -> Result<Call, ApiError> {
        let caller = Caller::authenticate(connection, Timestamp::now())?;
        let permit = self.admittance.admit(caller.user(), weight)?;
        Ok(Call {
            caller,
            permit,
            connection: connection.clone(),
        })
    }

    /// Refuses the call unless the caller's roles allow it.
    pub(crate) async fn authorise(&self, caller: &Caller, action: &Action) -> Result<(), ApiError> {
        let store = self.engine.store();
        let refused = match self.access.check(&store.view(), caller, action) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        // This member may lag behind the one that has just granted the right. Without a quorum there is
        // nothing newer to be had, and the refusal stands.
        match store.barrier().await {
            Ok(_) => self.access.check(&store.view(), caller, action),
            Err(_) => Err(refused),
        }
    }

    /// Refuses to answer a caller who has lost the right meanwhile, or whose certificate or token has expired. To be asked
    /// when the answer is known: what a read waited for, or a long watch, may have brought that news.
    pub(crate) fn confirm(&self, call: &Call, action: &Action) -> Result<(), ApiError> {
        Caller::authenticate(&call.connection, Timestamp::now())?;
        if let Some(holder) = &call.connection.token {
            self.access_tokens.confirm(holder)?;
        }
        self.access
            .check(&self.engine.store().view(), &call.caller, action)
    }

    /// The caller's rights about the result of a change.
    pub(crate) fn gate(&self, caller: &Caller) -> WriteGate {
        WriteGate {
            rights: RightsGate::new(self.access.clone(), caller.clone()),
            access: self.access.clone(),
            caller: caller.clone(),
        }
    }

    /// Does `work` if the caller's roles allow `action`, to its end even when the caller hangs up, and keeps
    /// note of what became of it.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        call: Call,
        action: Action,
        dry_run: bool,
        work: impl Future<Output = Result<(T, Option<Revision>), ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let front = self.clone();
        let task = tokio::spawn(async move {
            let entry = front
                .audit
                .begin(&call.connection, What::from(&action), dry_run)
                .await?;
            let result = match front.authorise(&call.caller, &action).await {
                Ok(()) => patiently(work).await,
                Err(error) => Err(error),
            };
            entry.finish(match &result {
                Ok((_, revision)) => Ok(*revision),
                Err(error) => Err(error),
            });
            drop(call);
            result.map(|(value, _)| value)
        });
        task.await
            .map_err(|error| ApiError::Internal(format!("the call was not finished: {error}")))?
    }

    /// The same for a change of one object.
    pub(crate) async fn change(
        &self,
        call: Call,
        action: Action,
        dry_run: bool,
        work: impl Future<Output = Result<Written, ApiError>> + Send + 'static,
    ) -> Result<Written, ApiError> {
        let noted = async move {
            let written = work.await?;
            let revision = written.revision;
            Ok((written, revision))
        };
        self.write(call, action, dry_run, noted).await
    }
}

async fn patiently<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::Unknown(format!(
            "no result within {PATIENCE:?}; read the object before trying again"
        ))),
    }
}

/// The caller's rights about the result of a change: what [`RightsGate`] says, and that an apply that
/// creates needs the right to create.
pub(crate) struct WriteGate {
    rights: RightsGate,
    access: Arc<Access>,
    caller: Caller,
}

impl Gate for WriteGate {
    fn check(
        &self,
        view: &View,
        kind: &'static KindInfo,
        live: Option<&Value>,
        next: &Value,
    ) -> Result<Vec<Condition>, ApiError> {
        if live.is_none() {
            let name = crate::resource::object::name(next);
            let create = Action::on(Verb::Create, kind, name, "");
            self.access.check(view, &self.caller, &create)?;
        }
        self.rights.check(view, kind, live, next)
    }
}
