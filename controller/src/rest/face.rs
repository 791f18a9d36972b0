use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response};
use tokio::sync::watch;
use tonic::body::Body;

use super::{
    AUTHENTICATION, AUTHORIZATION, EVENTS_NAMESPACE, EXTENSIONS,
    answer::{self, Answer},
    asked::Asked,
    core_events::CoreEvents,
    discovery, health,
    openapi::Documents,
    reading::Collection,
    refusal::Refusal,
};
use crate::{
    api::{Call, Front, Weight},
    error::ApiError,
};

/// The Kubernetes face of one member. Cheap to clone.
#[derive(Clone)]
pub struct Face {
    pub(super) front: Front,
    pub(super) documents: Arc<Documents>,
    /// Watches end by themselves when the member stops.
    pub(super) stopping: watch::Receiver<bool>,
}

impl Face {
    /// The face behind `front`.
    pub fn new(front: Front, stopping: watch::Receiver<bool>) -> Self {
        Self {
            front,
            documents: Arc::new(Documents::default()),
            stopping,
        }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let answered = match Asked::read(request) {
            Ok(asked) => self.route(asked).await,
            Err(refused) => Err(refused),
        };
        answered.unwrap_or_else(|refused| answer::refusal(&refused))
    }

    async fn route(&self, mut asked: Asked) -> Answer {
        let path: Vec<String> = asked.path.clone();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [which, ..] if health::PATHS.contains(which) => {
                get_only(&asked)?;
                return Ok(health::check(which, &asked, self.front.engine.store()));
            }
            ["version"] => {
                get_only(&asked)?;
                return Ok(health::version());
            }
            _ => {}
        }
        self.recognise(&mut asked).await?;
        refuse_impersonation(&asked.headers)?;
        refuse_foreign_pages(&asked.headers)?;
        match path.as_slice() {
            ["api", "v1", rest @ ..] if !rest.is_empty() => self.core(asked, rest).await,
            [
                "apis",
                quorate_crds::GROUP,
                quorate_crds::VERSION,
                rest @ ..,
            ] if !rest.is_empty() => self.own(asked, rest).await,
            [
                "apis",
                EXTENSIONS,
                "v1",
                "customresourcedefinitions",
                rest @ ..,
            ] => self.definitions(asked, rest),
            ["metrics"] => {
                get_only(&asked)?;
                self.metrics(asked).await
            }
            [
                "apis",
                group @ (AUTHORIZATION | AUTHENTICATION),
                "v1",
                review,
            ] => self.review(asked, group, review).await,
            _ => {
                get_only(&asked)?;
                let _call = self.begin(&asked, Weight::Call)?;
                self.description(&asked, &path)
            }
        }
    }

    /// Who calls, by its token, where no certificate says so.
    async fn recognise(&self, asked: &mut Asked) -> Result<(), Refusal> {
        if asked.connection.peer.is_some() {
            return Ok(());
        }
        let Some(token) = asked.token()? else {
            return Ok(());
        };
        let from = asked.connection.remote.ip();
        let holder = self.front.access_tokens.recognise(token, from).await?;
        asked.connection.recognised(holder);
        Ok(())
    }

    /// What there is and what it looks like: told to everybody who is known.
    fn description(&self, asked: &Asked, path: &[&str]) -> Answer {
        match path {
            ["api"] => discovery::core(asked),
            ["api", "v1"] => discovery::one_version("", "v1").ok_or(Refusal::NotServed),
            ["apis"] => discovery::all(asked),
            ["apis", group] => discovery::one_group(group).ok_or(Refusal::NotServed),
            ["apis", group, version] => {
                discovery::one_version(group, version).ok_or(Refusal::NotServed)
            }
            ["openapi", "v3"] => Ok(self.documents.index()),
            ["openapi", "v3", rest @ ..] => {
                self.documents.of_version(rest).ok_or(Refusal::NotServed)
            }
            ["openapi", "v2"] => Ok(self.documents.whole(asked)),
            _ => Err(Refusal::NotServed),
        }
    }

    async fn own(&self, asked: Asked, rest: &[&str]) -> Answer {
        let kind = quorate_crds::kinds()
            .iter()
            .find(|kind| Some(&kind.plural) == rest.first())
            .ok_or(Refusal::NotServed)?;
        let collection = Collection::Own(kind);
        match (rest, asked.method.as_str()) {
            ([_], "GET") => self.list_or_watch(asked, collection, None).await,
            ([_], "POST") => self.create(asked, kind).await,
            ([_], "DELETE") => self.delete_collection(asked, kind).await,
            ([_], _) => Err(not_allowed(asked.method, "GET, POST, DELETE")),
            ([_, name], "GET") if asked.query.flag("watch") == Some(true) => {
                self.list_or_watch(asked, collection, Some(name)).await
            }
            ([_, name], "GET") => self.get(asked, collection, name).await,
            ([_, name], "PUT") => self.update(asked, kind, name, "").await,
            ([_, name], "PATCH") => self.patch(asked, kind, name, "").await,
            ([_, name], "DELETE") => self.delete(asked, kind, name).await,
            ([_, _], _) => Err(not_allowed(asked.method, "GET, PUT, PATCH, DELETE")),
            ([_, name, "status"], method) if kind.status => match method {
                "GET" => self.get(asked, collection, name).await,
                "PUT" => self.update(asked, kind, name, "status").await,
                "PATCH" => self.patch(asked, kind, name, "status").await,
                _ => Err(not_allowed(asked.method, "GET, PUT, PATCH")),
            },
            _ => Err(Refusal::NotServed),
        }
    }

    /// The core has nothing but events about our objects.
    async fn core(&self, asked: Asked, rest: &[&str]) -> Answer {
        let (namespace, name) = match rest {
            ["events"] => (None, None),
            ["namespaces", namespace, "events"] => (Some(*namespace), None),
            ["namespaces", namespace, "events", name] => (Some(*namespace), Some(*name)),
            _ => return Err(Refusal::NotServed),
        };
        get_only(&asked)?;
        let events = Collection::CoreEvents(CoreEvents {
            shown: namespace.is_none_or(|namespace| namespace == EVENTS_NAMESPACE),
        });
        match name {
            Some(name) => self.get(asked, events, name).await,
            None => self.list_or_watch(asked, events, None).await,
        }
    }

    async fn list_or_watch(
        &self,
        asked: Asked,
        collection: Collection,
        name: Option<&str>,
    ) -> Answer {
        if asked.query.flag("watch") == Some(true) {
            self.watch(asked, collection, name).await
        } else {
            self.list(asked, collection).await
        }
    }

    /// Lets a call in, or refuses it.
    pub(super) fn begin(&self, asked: &Asked, weight: Weight) -> Result<Call, Refusal> {
        Ok(self.front.begin_from(&asked.connection, weight)?)
    }
}

pub(super) fn not_allowed(found: Method, allowed: &'static str) -> Refusal {
    Refusal::Method { found, allowed }
}

pub(super) fn get_only(asked: &Asked) -> Result<(), Refusal> {
    match asked.method {
        Method::GET => Ok(()),
        _ => Err(not_allowed(asked.method.clone(), "GET")),
    }
}

/// Who calls is who the certificate says. Going on as if nothing had been asked would do with the caller's own rights
/// what he wanted done with lesser ones.
fn refuse_impersonation(headers: &HeaderMap) -> Result<(), Refusal> {
    let asked = headers
        .keys()
        .find(|name| name.as_str().starts_with("impersonate-"));
    match asked {
        None => Ok(()),
        Some(name) => Err(ApiError::Forbidden(format!(
            "the header {name} asks to act as somebody else, which nobody may do here; use a certificate or an access token of that user"
        ))
        .into()),
    }
}

/// A browser that holds a certificate shows it for any page that asks it to send something here.
fn refuse_foreign_pages(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"none" | b"same-origin") => Ok(()),
        Some(_) => Err(ApiError::Forbidden(
            "a page of another site has sent this with the certificate of whoever looks at it"
                .into(),
        )
        .into()),
    }
}
