//! Who am I, and what may I do?

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    AUTHENTICATION, AUTHORIZATION,
    answer::{self, Answer},
    asked::Asked,
    face::{Face, not_allowed},
    refusal::Refusal,
    typed,
};
use crate::{
    access::{Action, Caller},
    api::Weight,
    error::ApiError,
};

impl Face {
    pub(super) async fn review(&self, mut asked: Asked, group: &str, plural: &str) -> Answer {
        let kind = match (group, plural) {
            (AUTHENTICATION, "selfsubjectreviews") => "SelfSubjectReview",
            (AUTHORIZATION, "selfsubjectaccessreviews") => "SelfSubjectAccessReview",
            (AUTHORIZATION, "selfsubjectrulesreviews") => "SelfSubjectRulesReview",
            _ => return Err(Refusal::NotServed),
        };
        if asked.method != Method::POST {
            return Err(not_allowed(asked.method, "POST"));
        }
        let body = asked.body().await?;
        let call = self.begin(&asked, Weight::Call)?;
        let review = typed::review(&asked, &body, kind == "SelfSubjectAccessReview")?;
        let status = match kind {
            "SelfSubjectReview" => json!({"userInfo": {
                "username": call.caller.user(),
                "groups": call.caller.groups(),
            }}),
            "SelfSubjectAccessReview" => self.access(&call.caller, &review).await?,
            _ => self.rules(&call.caller).await?,
        };
        let mut answered = json!({
            "kind": kind,
            "apiVersion": format!("{group}/v1"),
            "metadata": {"creationTimestamp": null},
            "status": status,
        });
        if let Some(spec) = review.get("spec") {
            answered["spec"] = spec.clone();
        }
        Ok(answer::json(StatusCode::CREATED, &answered))
    }

    async fn access(&self, caller: &Caller, review: &Value) -> Result<Value, Refusal> {
        let denied = |reason: String| json!({"allowed": false, "reason": reason});
        let spec = &review["spec"];
        if let Some(path) = spec.pointer("/nonResourceAttributes/path") {
            let path = path.as_str().unwrap_or_default();
            let verb = spec.pointer("/nonResourceAttributes/verb");
            let told = [
                "/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz",
            ];
            let known = told.iter().any(|known| {
                path.strip_prefix(known)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            return Ok(if known && verb.and_then(Value::as_str) == Some("get") {
                json!({"allowed": true})
            } else {
                denied(format!("nothing is served under {path:?} for that verb"))
            });
        }
        let text = |field: &str| {
            let value = spec.pointer(&format!("/resourceAttributes/{field}"));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        let (group, resource) = (text("group"), text("resource"));
        let served = match group {
            quorate_crds::GROUP | "*" => true,
            "" => matches!(resource, "events" | "*"),
            AUTHORIZATION | AUTHENTICATION => {
                return Ok(json!({"allowed": text("verb") == "create"}));
            }
            _ => false,
        };
        if !served {
            return Ok(denied(format!(
                "there is no resource {resource:?} in the group {group:?} here"
            )));
        }
        let verb = match text("verb") {
            "deletecollection" => "delete",
            verb => verb,
        };
        let action = match Action::parse(verb, resource, text("name"), text("subresource")) {
            Ok(action) => action,
            Err(unknown) => return Ok(denied(unknown.to_string())),
        };
        match self.front.authorise(caller, &action).await {
            Ok(()) => Ok(json!({"allowed": true})),
            Err(ApiError::Forbidden(reason)) => Ok(denied(reason)),
            Err(error) => Err(error.into()),
        }
    }

    async fn rules(&self, caller: &Caller) -> Result<Value, Refusal> {
        let store = self.front.engine.store();
        store.barrier().await.map_err(ApiError::from)?;
        let granted = self.front.access.granted(&store.view(), caller);
        let mut rules: Vec<Value> = granted
            .iter()
            .map(|rule| {
                json!({
                    "verbs": rule.verbs,
                    "apiGroups": [quorate_crds::GROUP],
                    "resources": rule.resources,
                    "resourceNames": rule.names,
                })
            })
            .collect();
        let open = json!({
            "verbs": ["get"],
            "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version"],
        });
        for (group, reviews) in [
            (
                AUTHORIZATION,
                vec!["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            ),
            (AUTHENTICATION, vec!["selfsubjectreviews"]),
        ] {
            rules.push(json!({"verbs": ["create"], "apiGroups": [group], "resources": reviews}));
        }
        Ok(json!({
            "resourceRules": rules,
            "nonResourceRules": [open],
            // What a host may read follows from its plan.
            "incomplete": caller.node_name().is_some(),
        }))
    }
}
