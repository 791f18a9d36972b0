//! The deletion of many objects at once.

use http::StatusCode;
use quorate_crds::{KindInfo, Verb};

use super::{
    answer::{self, Answer},
    asked::Asked,
    face::Face,
    options::{DeleteOptions, selectors},
    printing::{ListMeta, Printer},
    reading::{Collection, name},
    refusal::Refusal,
    writing::Deleter,
};
use crate::{access::Action, api::Weight, error::ApiError, resource::ListQuery};

impl Face {
    /// Deletes what is selected, one object after the other: each with its own permission, its own admission and its own
    /// line in the audit log. As in Kubernetes it is no transaction; what cannot be deleted ends it.
    pub(super) async fn delete_collection(
        &self,
        mut asked: Asked,
        kind: &'static KindInfo,
    ) -> Answer {
        let body = asked.body().await?;
        let options = DeleteOptions::read(&asked.query, &body)?;
        let by = Deleter::of(&asked);
        let printer = Printer::read(&asked, Collection::Own(kind))?;
        let (labels, fields) = selectors(&asked.query)?;

        let call = self.begin(&asked, Weight::Call)?;
        for verb in [Verb::List, Verb::Delete] {
            let action = Action::selecting(verb, kind, &fields);
            self.front.authorise(&call.caller, &action).await?;
        }
        let mut query = ListQuery {
            labels,
            fields,
            ..ListQuery::default()
        };
        let mut gone = Vec::new();
        loop {
            let page = self.front.engine.list(kind, &query).await?;
            for found in page.objects {
                let found: serde_json::Value = serde_json::from_slice(&found)
                    .map_err(|error| ApiError::Internal(error.to_string()))?;
                match self.delete_one(&by, kind, name(&found), &options).await {
                    Ok(written) => gone.push(written.body),
                    // Somebody else was faster.
                    Err(Refusal::Api(ApiError::NotFound(_))) => {}
                    Err(refused) => return Err(refused),
                }
            }
            if page.continue_token.is_empty() {
                let meta = ListMeta {
                    resource_version: page.revision.to_string(),
                    ..ListMeta::default()
                };
                let list = printer.list(&gone, &meta)?;
                return Ok(answer::bytes(StatusCode::OK, answer::JSON, list));
            }
            query.continue_token = page.continue_token;
        }
    }
}
