//! The calls about objects, in the terms of this program.

use quorate_proto::api::v1::{
    ApplyRequest, ChangeOptions, Consistency, DeleteRequest, GetRequest, ListRequest, ObjectRef,
    ObjectReply, Outcome, PatchRequest, PatchType, Propagation, UpdateRequest,
};
use serde_json::Value;

use super::{Client, Refusal, Retry, Scope, objects};
use crate::error::CliError;

/// The name under which this program owns fields.
pub(crate) const FIELD_MANAGER: &str = "quorate";
/// Objects per page; large enough to be few, small enough to be quick.
const PAGE: u32 = 500;

/// Everything of a kind at one revision.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Value>,
    pub(crate) revision: String,
    pub(crate) stale: bool,
}

/// What a change has done.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The object afterwards; nothing when it is gone.
    pub(crate) object: Option<Value>,
    pub(crate) outcome: Outcome,
    pub(crate) warnings: Vec<String>,
}

/// How a change is to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// Who owns the fields; empty stands for this program.
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) force: bool,
}

impl Change {
    fn options(&self) -> Option<ChangeOptions> {
        let manager = if self.manager.is_empty() {
            FIELD_MANAGER
        } else {
            &self.manager
        };
        Some(ChangeOptions {
            field_manager: manager.to_owned(),
            dry_run: self.dry_run,
            force: self.force,
        })
    }
}

impl Changed {
    /// What happened, in one word.
    pub(crate) fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Created => "created",
            Outcome::Configured => "configured",
            Outcome::Unchanged => "unchanged",
            Outcome::Deleted => "deleted",
            Outcome::Deleting => "deleting",
            Outcome::Unspecified => "done",
        }
    }

    fn read(reply: ObjectReply) -> Result<Self, CliError> {
        let outcome = reply.outcome();
        let object = if reply.object.is_empty() {
            None
        } else {
            Some(decode(&reply.object)?)
        };
        Ok(Self {
            object,
            outcome,
            warnings: reply.warnings,
        })
    }
}

impl Client {
    /// One object, and whether the answer may be old.
    pub(crate) async fn get(
        &self,
        kind: &str,
        name: &str,
        local: bool,
    ) -> Result<(Value, bool), CliError> {
        let request = GetRequest {
            object: reference(kind, name, ""),
            consistency: consistency(local).into(),
        };
        let reply = self
            .call(Retry::Safe, |channel| {
                let request = self.request(request.clone());
                async move { objects(channel).get(request).await }
            })
            .await?;
        Ok((decode(&reply.object)?, reply.stale))
    }

    /// One object, or nothing when there is none.
    pub(crate) async fn find(&self, kind: &str, name: &str) -> Result<Option<Value>, CliError> {
        match self.get(kind, name, false).await {
            Ok((object, _)) => Ok(Some(object)),
            Err(CliError::Refused(refusal)) if refusal.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects in a scope, page by page, all of one revision.
    pub(crate) async fn list(&self, scope: &Scope, local: bool) -> Result<Listed, CliError> {
        // A list that takes longer than the history is kept begins anew, once.
        match self.list_once(scope, local).await {
            Err(CliError::Refused(refusal)) if refusal.is_expired() => {
                self.list_once(scope, local).await
            }
            listed => listed,
        }
    }

    async fn list_once(&self, scope: &Scope, local: bool) -> Result<Listed, CliError> {
        let mut listed = Listed::default();
        let mut request = ListRequest {
            kind: scope.kind.clone(),
            label_selector: scope.label_selector.clone(),
            field_selector: scope.field_selector.clone(),
            limit: PAGE,
            continue_token: String::new(),
            consistency: consistency(local).into(),
        };
        loop {
            let page = self
                .call(Retry::Safe, |channel| {
                    let request = self.request(request.clone());
                    async move { objects(channel).list(request).await }
                })
                .await?;
            for object in &page.objects {
                listed.objects.push(decode(object)?);
            }
            listed.stale |= page.stale;
            listed.revision = page.resource_version;
            if page.continue_token.is_empty() {
                return Ok(listed);
            }
            request.continue_token = page.continue_token;
        }
    }

    /// Server-side apply.
    pub(crate) async fn apply(
        &self,
        manifest: &Value,
        change: &Change,
    ) -> Result<Changed, CliError> {
        let request = ApplyRequest {
            manifest: manifest.to_string().into(),
            subresource: String::new(),
            options: change.options(),
        };
        let reply = self
            .call(Retry::Safe, |channel| {
                let request = self.request(request.clone());
                async move { objects(channel).apply(request).await }
            })
            .await?;
        Changed::read(reply)
    }

    /// Replace an object; its resourceVersion says which state was seen.
    pub(crate) async fn update(
        &self,
        object: &Value,
        change: &Change,
    ) -> Result<Changed, CliError> {
        let request = UpdateRequest {
            object: object.to_string().into(),
            subresource: String::new(),
            options: change.options(),
        };
        let reply = self
            .call(Retry::Never, |channel| {
                let request = self.request(request.clone());
                async move { objects(channel).update(request).await }
            })
            .await?;
        Changed::read(reply)
    }

    /// Change part of an object.
    pub(crate) async fn patch(
        &self,
        kind: &str,
        name: &str,
        subresource: &str,
        patch: (PatchType, &Value),
        change: &Change,
    ) -> Result<Changed, CliError> {
        let request = PatchRequest {
            object: reference(kind, name, subresource),
            r#type: patch.0.into(),
            patch: patch.1.to_string().into(),
            options: change.options(),
        };
        // Laying the same fields over an object twice comes to the same; appending to a list does not.
        let retry = if patch.0 == PatchType::Merge {
            Retry::Safe
        } else {
            Retry::Never
        };
        let reply = self
            .call(retry, |channel| {
                let request = self.request(request.clone());
                async move { objects(channel).patch(request).await }
            })
            .await?;
        Changed::read(reply)
    }

    /// Delete an object. With a uid, only that very object and none that was made anew under its name.
    pub(crate) async fn delete(
        &self,
        kind: &str,
        name: &str,
        uid: &str,
        propagation: Propagation,
        change: &Change,
    ) -> Result<Changed, CliError> {
        let request = DeleteRequest {
            object: reference(kind, name, ""),
            propagation: propagation.into(),
            uid: uid.to_owned(),
            resource_version: String::new(),
            options: change.options(),
        };
        let reply = self
            .call(Retry::Never, |channel| {
                let request = self.request(request.clone());
                async move { objects(channel).delete(request).await }
            })
            .await?;
        Changed::read(reply)
    }
}

/// A refusal of a stream that has been opened already.
pub(crate) fn stream_refusal(status: &tonic::Status) -> CliError {
    Refusal::from_status(status, "the member").into()
}

/// Which object, as requests say it.
pub(crate) fn reference(kind: &str, name: &str, subresource: &str) -> Option<ObjectRef> {
    Some(ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}

/// What a read asks for.
pub(crate) fn consistency(local: bool) -> Consistency {
    if local {
        Consistency::Local
    } else {
        Consistency::Unspecified
    }
}

fn decode(bytes: &[u8]) -> Result<Value, CliError> {
    serde_json::from_slice(bytes).map_err(|error| {
        CliError::Broken(format!(
            "the server sent an object that is not JSON: {error}"
        ))
    })
}
