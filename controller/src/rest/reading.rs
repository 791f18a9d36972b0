//! Get and list.

use bytes::Bytes;
use http::StatusCode;
use quorate_crds::{KindInfo, Verb};
use quorate_schema::selector::{FieldSelector, LabelSelector};
use quorate_store::Revision;
use serde_json::Value;

use super::{
    answer::{self, Answer},
    asked::{Asked, Query},
    core_events::CoreEvents,
    face::Face,
    options::{bad, selectors},
    printing::{ListMeta, Printer},
    refusal::Refusal,
};
use crate::{
    access::Action,
    api::Weight,
    error::ApiError,
    resource::{ContinueToken, Engine, ListQuery, find_kind},
};

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Collection {
    /// The objects of a kind.
    Own(&'static KindInfo),
    /// Our events in the form in which the core of Kubernetes keeps them.
    CoreEvents(CoreEvents),
}

impl Collection {
    /// The kind whose objects are read.
    pub(super) fn stored(&self) -> Result<&'static KindInfo, ApiError> {
        match self {
            Self::Own(kind) => Ok(kind),
            Self::CoreEvents(_) => find_kind("Event"),
        }
    }

    /// The `apiVersion` and `kind` of its objects.
    pub(super) fn type_(&self) -> (&'static str, &'static str) {
        match self {
            Self::Own(kind) => (quorate_crds::API_VERSION, kind.kind),
            Self::CoreEvents(_) => ("v1", "Event"),
        }
    }

    /// What of the selectors the engine applies; the rest is for [`Collection::shown`].
    pub(super) fn selection(
        &self,
        labels: &LabelSelector,
        fields: &FieldSelector,
    ) -> (LabelSelector, FieldSelector) {
        match self {
            Self::Own(_) => (labels.clone(), fields.clone()),
            Self::CoreEvents(_) => Default::default(),
        }
    }

    /// The object as it is shown here; none when it is not.
    pub(super) fn shown(
        &self,
        engine: &Engine,
        object: Bytes,
        labels: &LabelSelector,
        fields: &FieldSelector,
    ) -> Result<Option<Bytes>, ApiError> {
        let Self::CoreEvents(events) = self else {
            return Ok(Some(object));
        };
        let event = events.event(engine, &object)?;
        let selected = events.shown && labels.matches_object(&event) && fields.matches(&event);
        Ok(selected.then(|| event.to_string().into()))
    }
}

impl Face {
    pub(super) async fn get(&self, asked: Asked, collection: Collection, name: &str) -> Answer {
        let call = self.begin(&asked, Weight::Call)?;
        let printer = Printer::read(&asked, collection)?;
        let kind = collection.stored()?;
        let local = asked.query.text("resourceVersion") == Some("0");
        let action = Action::on(Verb::Get, kind, name, "");
        self.front.authorise(&call.caller, &action).await?;
        let engine = &self.front.engine;
        let found = engine.get(kind, name, local).await?;
        self.front.confirm(&call, &action)?;
        let everything = (LabelSelector::default(), FieldSelector::default());
        let found = collection
            .shown(engine, found, &everything.0, &everything.1)?
            .ok_or(Refusal::NotServed)?;
        Ok(answer::bytes(
            StatusCode::OK,
            answer::JSON,
            printer.object(found)?,
        ))
    }

    pub(super) async fn list(&self, asked: Asked, collection: Collection) -> Answer {
        let call = self.begin(&asked, Weight::Call)?;
        let printer = Printer::read(&asked, collection)?;
        let kind = collection.stored()?;
        let (labels, fields) = selectors(&asked.query)?;
        let (chosen_labels, chosen_fields) = collection.selection(&labels, &fields);
        let action = Action::selecting(Verb::List, kind, &chosen_fields);
        self.front.authorise(&call.caller, &action).await?;

        let engine = &self.front.engine;
        let start = Start::read(&asked.query)?;
        let limit = asked.query.number("limit")?.unwrap_or_default();
        let mut query = ListQuery {
            labels: chosen_labels,
            fields: chosen_fields,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            continue_token: start.token(engine, kind)?,
            local: start == Start::Any,
        };
        let mut page = engine
            .list(kind, &query)
            .await
            .map_err(|error| start.explain(error))?;
        let mut objects = std::mem::take(&mut page.objects);
        // Who sets no limit does not look for a continue token either.
        while limit == 0 && !page.continue_token.is_empty() {
            query.continue_token = page.continue_token;
            page = engine.list(kind, &query).await?;
            objects.append(&mut page.objects);
        }
        self.front.confirm(&call, &action)?;

        let mut shown = Vec::with_capacity(objects.len());
        for object in objects {
            shown.extend(collection.shown(engine, object, &labels, &fields)?);
        }
        let meta = ListMeta {
            resource_version: page.revision.to_string(),
            continue_token: page.continue_token,
            remaining: page.remaining,
        };
        Ok(answer::bytes(
            StatusCode::OK,
            answer::JSON,
            printer.list(&shown, &meta)?,
        ))
    }
}

/// Which state a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// The newest.
    Newest,
    /// Any that there is at hand.
    Any,
    /// Exactly that one.
    Exact(Revision),
    /// What an earlier page showed.
    Continued(String),
}

impl Start {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let version = query.filled("resourceVersion");
        let how = query.filled("resourceVersionMatch");
        if let Some(token) = query.filled("continue") {
            if version.is_some_and(|version| version != "0") || how.is_some() {
                return Err(bad(
                    "resourceVersion and resourceVersionMatch may not be set together with continue"
                        .into(),
                ));
            }
            return Ok(Self::Continued(token.to_owned()));
        }
        let revision = version
            .map(|version| {
                version.parse::<Revision>().map_err(|_| {
                    bad(format!(
                        "resourceVersion {version:?} is not one that this server issued; leave it out or take it from a reply"
                    ))
                })
            })
            .transpose()?;
        match (revision, how) {
            (None, None) => Ok(Self::Newest),
            (Some(0), None | Some("NotOlderThan")) => Ok(Self::Any),
            // The newest is not older than any.
            (Some(_), None | Some("NotOlderThan")) => Ok(Self::Newest),
            (Some(0), Some("Exact")) => Err(bad(
                "resourceVersionMatch Exact needs a resourceVersion other than 0".into(),
            )),
            (Some(revision), Some("Exact")) => Ok(Self::Exact(revision)),
            (None, Some(_)) => Err(bad("resourceVersionMatch needs a resourceVersion".into())),
            (Some(_), Some(other)) => Err(bad(format!(
                "resourceVersionMatch: found {other:?}, allowed: Exact, NotOlderThan"
            ))),
        }
    }

    fn token(&self, engine: &Engine, kind: &KindInfo) -> Result<String, ApiError> {
        match self {
            Self::Newest | Self::Any => Ok(String::new()),
            Self::Continued(token) => Ok(token.clone()),
            Self::Exact(revision) => {
                let history = engine.store().status().history_id;
                ContinueToken::new(&history, kind.plural, *revision, "", 0).encode()
            }
        }
    }

    /// The engine knows nothing of exact versions, only of tokens that say them.
    fn explain(&self, error: ApiError) -> ApiError {
        match (self, error) {
            (Self::Exact(revision), ApiError::Expired(_)) => ApiError::Expired(format!(
                "the provided resource version {revision} is too old: what it showed is no longer kept"
            )),
            (Self::Exact(revision), ApiError::BadRequest(_)) => ApiError::BadRequest(format!(
                "resourceVersion {revision} is newer than anything here; take it from a reply"
            )),
            (_, error) => error,
        }
    }
}

/// The name in an object's metadata; empty when it has none.
pub(super) fn name(object: &Value) -> &str {
    crate::resource::object::name(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::asked::Query;

    fn start(query: &str) -> Result<Start, Refusal> {
        Start::read(&Query::parse(query).expect("a query"))
    }

    /// The table in "Semantics for get and list" of the Kubernetes documentation.
    #[test]
    fn the_version_and_its_match_choose_the_state() {
        assert_eq!(start(""), Ok(Start::Newest));
        assert_eq!(start("resourceVersion=0"), Ok(Start::Any));
        assert_eq!(start("resourceVersion=7"), Ok(Start::Newest));
        assert_eq!(
            start("resourceVersion=7&resourceVersionMatch=Exact"),
            Ok(Start::Exact(7))
        );
        assert_eq!(
            start("resourceVersion=7&resourceVersionMatch=NotOlderThan"),
            Ok(Start::Newest)
        );
        assert_eq!(start("continue=x"), Ok(Start::Continued("x".into())));
        for wrong in [
            "resourceVersion=seven",
            "resourceVersionMatch=Exact",
            "resourceVersion=0&resourceVersionMatch=Exact",
            "resourceVersion=7&resourceVersionMatch=About",
            "resourceVersion=7&continue=x",
        ] {
            assert!(start(wrong).is_err(), "{wrong}");
        }
    }
}
