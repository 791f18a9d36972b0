//! The definitions of our kinds, for tools that look there what a kind is like. They can be read and nothing else.

use futures_util::{StreamExt, stream};
use http::StatusCode;
use quorate_crds::crd;
use serde_json::{Value, json};

use super::{
    answer::{self, Answer},
    asked::Asked,
    face::{Face, get_only},
    options::selectors,
    refusal::Refusal,
    watching::{Wish, line},
};
use crate::api::{Call, Weight};

/// A kind whose objects may be the parents of a set that `kubectl apply --prune --applyset` keeps.
const SET_PARENT: (&str, &str) = ("applyset.kubernetes.io/is-parent-type", "true");

/// They change with the program only.
const RESOURCE_VERSION: &str = "1";

impl Face {
    /// The answer for all definitions, or for the one named.
    pub(super) fn definitions(&self, asked: Asked, rest: &[&str]) -> Answer {
        get_only(&asked)?;
        let watched = rest.is_empty() && asked.query.flag("watch") == Some(true);
        let weight = if watched { Weight::Watch } else { Weight::Call };
        let call = self.begin(&asked, weight)?;
        match rest {
            [] if watched => self.watch_definitions(asked, call),
            [] => Ok(answer::json(
                StatusCode::OK,
                &json!({
                    "apiVersion": "apiextensions.k8s.io/v1",
                    "kind": "CustomResourceDefinitionList",
                    "metadata": {"resourceVersion": RESOURCE_VERSION},
                    "items": selected(&asked)?,
                }),
            )),
            [name] => all()
                .find(|definition| definition["metadata"]["name"] == *name)
                .map(|definition| answer::json(StatusCode::OK, &definition))
                .ok_or(Refusal::NotServed),
            _ => Err(Refusal::NotServed),
        }
    }

    /// What is there, to who has not seen it, and then nothing: no definition changes while a member runs.
    fn watch_definitions(&self, asked: Asked, call: Call) -> Answer {
        let wish = Wish::read(&asked.query)?;
        let mut lines = Vec::new();
        if wish.begins_with_what_is_there() {
            for definition in selected(&asked)? {
                lines.push(line("ADDED", definition.to_string().as_bytes()));
            }
            if wish.ends_with_a_mark() {
                let mark = json!({
                    "apiVersion": "apiextensions.k8s.io/v1",
                    "kind": "CustomResourceDefinition",
                    "metadata": {
                        "resourceVersion": RESOURCE_VERSION,
                        "annotations": {"k8s.io/initial-events-end": "true"},
                    },
                });
                lines.push(line("BOOKMARK", mark.to_string().as_bytes()));
            }
        }
        let until = self.until(wish.seconds())?;
        let mut stopping = self.stopping.clone();
        let silence = stream::once(async move {
            // The watch counts for as long as its stream lives.
            let _call = call;
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        let pieces = stream::iter(lines).chain(silence.filter_map(|()| async { None }));
        Ok(answer::pieces(answer::JSON, pieces))
    }
}

fn selected(asked: &Asked) -> Result<Vec<Value>, Refusal> {
    let (labels, fields) = selectors(&asked.query)?;
    let chosen =
        |definition: &Value| labels.matches_object(definition) && fields.matches(definition);
    Ok(all().filter(chosen).collect())
}

fn all() -> impl Iterator<Item = Value> {
    quorate_crds::kinds().iter().map(|kind| {
        let mut definition = crd::definition(kind);
        definition["metadata"]["resourceVersion"] = json!(RESOURCE_VERSION);
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
