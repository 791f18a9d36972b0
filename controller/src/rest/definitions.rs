//! The definitions of our kinds, for tools that look there what a kind is like. They can be read and nothing else.

use http::StatusCode;
use quorate_crds::crd;
use serde_json::{Value, json};

use super::{
    accept::{self, Form},
    answer::{self, Answer},
    asked::Asked,
    options::selectors,
    refusal::Refusal,
};

/// A kind whose objects may be the parents of a set that `kubectl apply --prune --applyset` keeps.
const SET_PARENT: (&str, &str) = ("applyset.kubernetes.io/is-parent-type", "true");

/// The answer for all definitions, or for the one named.
pub(super) fn answer(asked: &Asked, rest: &[&str]) -> Answer {
    if accept::form(&asked.headers)? != Form::Whole {
        // Whoever wants another form also takes this one.
        if !accept::prefers(&asked.headers, answer::JSON) {
            return Err(Refusal::NotAcceptable);
        }
    }
    let found = match rest {
        [] => {
            let (labels, fields) = selectors(&asked.query)?;
            let items: Vec<Value> = all()
                .filter(|definition| {
                    labels.matches_object(definition) && fields.matches(definition)
                })
                .collect();
            json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinitionList",
                "metadata": {"resourceVersion": "1"},
                "items": items,
            })
        }
        [name] => all()
            .find(|definition| definition["metadata"]["name"] == *name)
            .ok_or(Refusal::NotServed)?,
        _ => return Err(Refusal::NotServed),
    };
    Ok(answer::json(StatusCode::OK, &found))
}

fn all() -> impl Iterator<Item = Value> {
    quorate_crds::kinds().iter().map(|kind| {
        let mut definition = crd::definition(kind);
        definition["metadata"]["resourceVersion"] = json!("1");
        definition["metadata"]["uid"] = json!(format!("definition-of-{}", kind.plural));
        if kind.kind == "Secret" {
            let (label, value) = SET_PARENT;
            definition["metadata"]["labels"] = json!({label: value});
        }
        definition["status"] = json!({
            "acceptedNames": definition["spec"]["names"],
            "storedVersions": [quorate_crds::VERSION],
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted"},
            ],
        });
        definition
    })
}
