use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use quorate_crds::{KindInfo, Verb};
use quorate_proto::api::v1::{self as pb, objects_server};
use quorate_schema::selector::{FieldSelector, LabelSelector, SelectorError};
use tonic::{Request, Response, Status};

use super::{front::Front, limits::Weight};
use crate::{
    access::Action,
    error::ApiError,
    resource::{
        ListQuery, Manifest, Outcome, PatchType, Preconditions, Propagation, Target, WatchEvent,
        WatchQuery, WriteOptions, Written, find_kind,
    },
};

/// A watch tells nothing new to somebody who lost the right to it longer ago than this.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// The `Objects` service: everything that is done to objects.
#[derive(Clone)]
pub struct Objects {
    front: Front,
}

impl Objects {
    /// The service behind `front`.
    pub fn new(front: Front) -> Self {
        Self { front }
    }
}

type Reply = Result<Response<pb::ObjectReply>, Status>;

#[tonic::async_trait]
impl objects_server::Objects for Objects {
    async fn apply(&self, request: Request<pb::ApplyRequest>) -> Reply {
        let call = self.front.begin(&request, Weight::Call)?;
        let message = request.into_inner();
        let options = options(message.options, "");
        let manifest = Manifest::parse(&message.manifest)?;
        let action = Action::on(
            Verb::Patch,
            manifest.kind,
            manifest.name(),
            &message.subresource,
        );
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        self.front
            .change(call, action, options.dry_run, async move {
                engine
                    .apply(manifest, &message.subresource, &options, &gate)
                    .await
            })
            .await
            .map(reply)
            .map_err(Status::from)
    }

    async fn create(&self, request: Request<pb::CreateRequest>) -> Reply {
        let call = self.front.begin(&request, Weight::Call)?;
        let program = program(&request);
        let message = request.into_inner();
        let options = options(message.options, &program);
        let manifest = Manifest::parse(&message.object)?;
        let action = Action::on(Verb::Create, manifest.kind, manifest.name(), "");
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        self.front
            .change(call, action, options.dry_run, async move {
                engine.create(manifest, &options, &gate).await
            })
            .await
            .map(reply)
            .map_err(Status::from)
    }

    async fn update(&self, request: Request<pb::UpdateRequest>) -> Reply {
        let call = self.front.begin(&request, Weight::Call)?;
        let program = program(&request);
        let message = request.into_inner();
        let options = options(message.options, &program);
        let manifest = Manifest::parse(&message.object)?;
        let action = Action::on(
            Verb::Update,
            manifest.kind,
            manifest.name(),
            &message.subresource,
        );
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        self.front
            .change(call, action, options.dry_run, async move {
                engine
                    .update(manifest, &message.subresource, &options, &gate)
                    .await
            })
            .await
            .map(reply)
            .map_err(Status::from)
    }

    async fn patch(&self, request: Request<pb::PatchRequest>) -> Reply {
        let call = self.front.begin(&request, Weight::Call)?;
        let program = program(&request);
        let message = request.into_inner();
        let patch_type = patch_type(message.r#type())?;
        let options = options(message.options, &program);
        let (kind, object) = target(message.object)?;
        let action = Action::on(Verb::Patch, kind, &object.name, &object.subresource);
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        self.front
            .change(call, action, options.dry_run, async move {
                engine
                    .patch(
                        Target {
                            kind,
                            name: &object.name,
                        },
                        &object.subresource,
                        patch_type,
                        &message.patch,
                        &options,
                        &gate,
                    )
                    .await
            })
            .await
            .map(reply)
            .map_err(Status::from)
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Reply {
        let call = self.front.begin(&request, Weight::Call)?;
        let program = program(&request);
        let message = request.into_inner();
        let propagation = propagation(message.propagation());
        let options = options(message.options, &program);
        let (kind, object) = target(message.object)?;
        let action = Action::on(Verb::Delete, kind, &object.name, "");
        let preconditions = Preconditions {
            uid: message.uid,
            resource_version: message.resource_version,
        };
        let gate = self.front.gate(&call.caller);
        let engine = self.front.engine.clone();
        self.front
            .change(call, action, options.dry_run, async move {
                engine
                    .delete(
                        Target {
                            kind,
                            name: &object.name,
                        },
                        &preconditions,
                        propagation,
                        &options,
                        &gate,
                    )
                    .await
            })
            .await
            .map(reply)
            .map_err(Status::from)
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Reply {
        let call = self.front.begin(&request, Weight::Call)?;
        let message = request.into_inner();
        let local = message.consistency() == pb::Consistency::Local;
        let (kind, object) = target(message.object)?;
        let action = Action::on(Verb::Get, kind, &object.name, "");
        self.front.authorise(&call.caller, &action).await?;
        let found = self.front.engine.get(kind, &object.name, local).await?;
        self.front.confirm(&call, &action)?;
        Ok(Response::new(pb::ObjectReply {
            object: found,
            outcome: pb::Outcome::Unspecified.into(),
            warnings: Vec::new(),
            stale: local,
        }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let message = request.into_inner();
        let local = message.consistency() == pb::Consistency::Local;
        let kind = find_kind(&message.kind)?;
        let (labels, fields) = selectors(&message.label_selector, &message.field_selector)?;
        let action = Action::selecting(Verb::List, kind, &fields);
        self.front.authorise(&call.caller, &action).await?;
        let query = ListQuery {
            labels,
            fields,
            limit: message.limit as usize,
            continue_token: message.continue_token,
            local,
        };
        let page = self.front.engine.list(kind, &query).await?;
        self.front.confirm(&call, &action)?;
        Ok(Response::new(pb::ListReply {
            objects: page.objects,
            continue_token: page.continue_token,
            resource_version: page.revision.to_string(),
            remaining: page.remaining,
            stale: local,
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchReply, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let call = self.front.begin(&request, Weight::Watch)?;
        let message = request.into_inner();
        let kind = find_kind(&message.kind)?;
        let (labels, fields) = selectors(&message.label_selector, &message.field_selector)?;
        let action = Action::selecting(Verb::Watch, kind, &fields);
        self.front.authorise(&call.caller, &action).await?;
        let query = WatchQuery {
            labels,
            fields,
            resource_version: message.resource_version,
            send_initial: message.send_initial,
            bookmarks: message.bookmarks,
            until: None,
        };
        let events = self.front.engine.watch(kind, query).await?;
        // The watch counts for as long as its stream lives: the call is kept with it.
        let front = self.front.clone();
        let mut confirmed = Instant::now();
        let replies = events.map(move |event| {
            let event = event?;
            if confirmed.elapsed() >= CONFIRM_EVERY {
                front.confirm(&call, &action)?;
                confirmed = Instant::now();
            }
            Ok(watch_reply(event))
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn kinds(
        &self,
        request: Request<pb::KindsRequest>,
    ) -> Result<Response<pb::KindsReply>, Status> {
        let _call = self.front.begin(&request, Weight::Call)?;
        Ok(Response::new(pb::KindsReply {
            kinds: quorate_crds::kinds().iter().map(kind_info).collect(),
        }))
    }
}

fn reply(written: Written) -> Response<pb::ObjectReply> {
    let outcome = match written.outcome {
        Outcome::Created => pb::Outcome::Created,
        Outcome::Configured => pb::Outcome::Configured,
        Outcome::Unchanged => pb::Outcome::Unchanged,
        Outcome::Deleted => pb::Outcome::Deleted,
        Outcome::Deleting => pb::Outcome::Deleting,
    };
    Response::new(pb::ObjectReply {
        object: written.body,
        outcome: outcome.into(),
        warnings: written.warnings,
        stale: false,
    })
}

/// The program that calls, as its user agent says; it owns the fields when nobody else is named.
fn program<T>(request: &Request<T>) -> String {
    request
        .metadata()
        .get("user-agent")
        .and_then(|agent| agent.to_str().ok())
        .and_then(|agent| agent.split(['/', ' ']).next())
        .filter(|agent| !agent.is_empty())
        .unwrap_or("unknown")
        .to_owned()
}

fn options(options: Option<pb::ChangeOptions>, program: &str) -> WriteOptions {
    let options = options.unwrap_or_default();
    WriteOptions {
        manager: if options.field_manager.is_empty() {
            program.to_owned()
        } else {
            options.field_manager
        },
        dry_run: options.dry_run,
        force: options.force,
    }
}

fn target(object: Option<pb::ObjectRef>) -> Result<(&'static KindInfo, pb::ObjectRef), ApiError> {
    let object = object.unwrap_or_default();
    if object.name.is_empty() {
        return Err(ApiError::BadRequest(
            "the request names no object; give its kind and name".into(),
        ));
    }
    Ok((find_kind(&object.kind)?, object))
}

fn selectors(labels: &str, fields: &str) -> Result<(LabelSelector, FieldSelector), ApiError> {
    let bad = |error: SelectorError| ApiError::BadRequest(error.to_string());
    Ok((
        LabelSelector::parse(labels).map_err(bad)?,
        FieldSelector::parse(fields).map_err(bad)?,
    ))
}

fn patch_type(patch_type: pb::PatchType) -> Result<PatchType, ApiError> {
    match patch_type {
        pb::PatchType::Merge => Ok(PatchType::Merge),
        pb::PatchType::Json => Ok(PatchType::Json),
        pb::PatchType::Unspecified => Err(ApiError::BadRequest(
            "the request does not say how the patch is written, allowed: merge, json".into(),
        )),
    }
}

fn propagation(propagation: pb::Propagation) -> Propagation {
    match propagation {
        pb::Propagation::Unspecified => Propagation::Default,
        pb::Propagation::Background => Propagation::Background,
        pb::Propagation::Foreground => Propagation::Foreground,
        pb::Propagation::Orphan => Propagation::Orphan,
    }
}

fn watch_reply(event: WatchEvent) -> pb::WatchReply {
    let (r#type, object, revision, initial_end) = match event {
        WatchEvent::Added(object, revision) => (pb::WatchType::Added, object, revision, false),
        WatchEvent::Modified(object, revision) => {
            (pb::WatchType::Modified, object, revision, false)
        }
        WatchEvent::Deleted(object, revision) => (pb::WatchType::Deleted, object, revision, false),
        WatchEvent::Bookmark {
            revision,
            initial_end,
        } => (
            pb::WatchType::Bookmark,
            bytes::Bytes::new(),
            revision,
            initial_end,
        ),
    };
    pb::WatchReply {
        r#type: r#type.into(),
        object,
        resource_version: revision.to_string(),
        initial_end,
    }
}

fn kind_info(kind: &KindInfo) -> pb::KindInfo {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    pb::KindInfo {
        group: quorate_crds::GROUP.into(),
        version: quorate_crds::VERSION.into(),
        kind: kind.kind.into(),
        plural: kind.plural.into(),
        singular: kind.singular.into(),
        short_names: texts(kind.short_names),
        categories: texts(kind.categories),
        verbs: texts(&[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ]),
        schema: kind.schema.source().to_string().into(),
    }
}
