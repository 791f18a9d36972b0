use std::sync::Arc;

use jiff::SignedDuration;
use quorate_crds::{KindInfo, Verb};
use quorate_planner::{
    Leader, explain,
    forecast::{Forecast, ForecastError, Left, Pace, Supposition, forecast},
};
use quorate_proto::api::v1::{self as pb, forecast_request as asked, planning_server};
use quorate_schema::selector::FieldSelector;
use quorate_store::{Bucket, View};
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{
    present::{Present, counts, unreadable},
    votes,
    why::{self, Grounds},
};
use crate::{
    access::Action,
    api::{Call, Front, Weight},
    brain::Brain,
    error::{ApiError, Subject},
    resource::{Manifest, WriteOptions, find_kind, parse},
};

/// Forecasts that are worked on at a time; each keeps a processor busy for a moment.
const AT_ONCE: usize = 2;
/// What forecasts tell about: who may not list these may not ask for one.
const TOLD_ABOUT: [&str; 3] = ["nodes", "virtualmachines", "volumes"];

/// The `Planning` service: looking ahead and asking why.
#[derive(Clone)]
pub struct Planning {
    front: Front,
    brain: Brain,
    turns: Arc<Semaphore>,
}

impl Planning {
    /// The service behind `front`; `brain` has the figures.
    pub fn new(front: Front, brain: Brain) -> Self {
        Self {
            front,
            brain,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The state that the answer rests on.
    async fn view(&self, local: bool) -> Result<View, ApiError> {
        let engine = &self.front.engine;
        if local {
            Ok(engine.store().view())
        } else {
            engine.fresh_view().await
        }
    }

    fn leader(&self) -> Leader {
        Leader {
            now: self.front.engine.sources().clock.now(),
            term: self.front.engine.store().status().term,
        }
    }

    async fn supposition(
        &self,
        call: &Call,
        view: &View,
        supposed: Option<asked::Supposition>,
    ) -> Result<Supposition, ApiError> {
        Ok(match supposed {
            None => Supposition::Nothing,
            Some(asked::Supposition::FailNode(host)) => Supposition::Fail(host),
            Some(asked::Supposition::DrainNode(host)) => Supposition::Drain(host),
            Some(asked::Supposition::Apply(asked)) => {
                let options = asked.options.unwrap_or_default();
                let options = WriteOptions {
                    manager: options.field_manager,
                    dry_run: true,
                    force: options.force,
                };
                let mut objects = Vec::new();
                for manifest in &asked.manifests {
                    let manifest = Manifest::parse(manifest)?;
                    let read = Action::on(Verb::Get, manifest.kind, manifest.name(), "");
                    self.front.authorise(&call.caller, &read).await?;
                    if counts(manifest.kind) {
                        objects.push(self.front.engine.preview(view, manifest, &options)?);
                    }
                }
                Supposition::Apply(objects)
            }
        })
    }

    /// Works out the forecast beside the threads that answer calls.
    async fn foresee(
        &self,
        present: Present,
        supposed: Supposition,
        pace: Pace,
    ) -> Result<Forecast, ApiError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let Present { objects, leader } = present;
        tokio::task::spawn_blocking(move || forecast(objects, leader, &supposed, pace))
            .await
            .map_err(|error| ApiError::Internal(format!("the forecast was not finished: {error}")))?
            .map_err(|error| match error {
                ForecastError::NoSuchHost { name, .. } => {
                    ApiError::NotFound(Subject::new("nodes", name))
                }
                ForecastError::State(error) => unreadable(&error),
            })
    }

    /// Events about an object, the newest first; none when the caller may not read events.
    fn events(&self, call: &Call, view: &View, kind: &KindInfo, name: &str) -> Vec<Value> {
        let Some(events) = quorate_crds::find("Event") else {
            return Vec::new();
        };
        let list = every(events);
        if !self.front.access.allows(view, &call.caller, &list) {
            return Vec::new();
        }
        let mut found: Vec<Value> = view
            .list(&Bucket::new(events.plural), None, usize::MAX)
            .into_iter()
            .filter_map(|(key, stored)| parse(events, &key.name, &stored.value).ok())
            .filter(|event| {
                let about = &event["spec"]["regarding"];
                about["kind"] == kind.kind && about["name"] == name
            })
            .collect();
        let last = |event: &Value| event["spec"]["lastTimestamp"].to_string();
        found.sort_by_key(|event| std::cmp::Reverse(last(event)));
        found
    }
}

#[tonic::async_trait]
impl planning_server::Planning for Planning {
    async fn forecast(
        &self,
        request: Request<pb::ForecastRequest>,
    ) -> Result<Response<pb::ForecastReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let message = request.into_inner();
        let stale = message.consistency() == pb::Consistency::Local;
        for plural in TOLD_ABOUT {
            let list = every(find_kind(plural)?);
            self.front.authorise(&call.caller, &list).await?;
        }
        let view = self.view(stale).await?;
        let supposed = self.supposition(&call, &view, message.supposition).await?;
        let present = Present::of(&view, self.leader())?;
        let store = self.front.engine.store();
        let lost = match &supposed {
            Supposition::Fail(host) => {
                let fencing_works = !message.fencing_fails;
                votes::after_loss(&store.status_of_all().await, &view, host, fencing_works)
            }
            _ => None,
        };
        drop(view);
        let pace = Pace {
            fencing_works: !message.fencing_fails,
            ..Pace::default()
        };
        let mut assumptions = assumptions(&supposed, &pace);
        assumptions.extend(votes::held_back(&present.objects));
        let foreseen = self.foresee(present, supposed, pace).await?;
        Ok(Response::new(pb::ForecastReply {
            quorum_lost: lost.as_ref().is_some_and(|votes| votes.lost),
            quorum: lost.map(|votes| votes.text).unwrap_or_default(),
            assumptions,
            stale,
            ..reply(foreseen)
        }))
    }

    async fn why(
        &self,
        request: Request<pb::WhyRequest>,
    ) -> Result<Response<pb::WhyReply>, Status> {
        let call = self.front.begin(&request, Weight::Call)?;
        let message = request.into_inner();
        let stale = message.consistency() == pb::Consistency::Local;
        let asked = message.object.unwrap_or_default();
        let kind = find_kind(&asked.kind)?;
        let read = Action::on(Verb::Get, kind, &asked.name, "");
        self.front.authorise(&call.caller, &read).await?;
        let view = self.view(stale).await?;
        let missing = || ApiError::NotFound(Subject::new(kind.plural, &asked.name));
        let present = Present::of(&view, self.leader())?;
        let key = (kind.kind.to_owned(), asked.name.clone());
        // What the planner knows nothing about has no more to tell than that it is there.
        let live = self.front.engine.load(&view, kind, &asked.name)?;
        let live = live.ok_or_else(missing)?.object;
        let object = present.objects.get(&key).unwrap_or(&live);
        let decisions = explain(&present.state()?, present.leader);
        let events = self.events(&call, &view, kind, &asked.name);
        let grounds = Grounds {
            objects: &present.objects,
            decisions: &decisions,
            events: &events,
            held_back: votes::held_back(&present.objects),
        };
        let mut links = why::chain(&grounds, kind.kind, &asked.name, object);
        // What the object rests on is told to who may read that too.
        links.retain(|link| {
            link.depth == 0
                || find_kind(&link.kind).is_ok_and(|kind| {
                    let read = Action::on(Verb::Get, kind, &link.name, "");
                    self.front.access.allows(&view, &call.caller, &read)
                })
        });
        self.front.confirm(&call, &read)?;
        Ok(Response::new(pb::WhyReply { links, stale }))
    }

    async fn figures(
        &self,
        request: Request<pb::FiguresRequest>,
    ) -> Result<Response<pb::FiguresReply>, Status> {
        let _call = self.front.begin(&request, Weight::Call)?;
        let leader = self.front.engine.store().status().leader;
        let figures = self.brain.figures().into_iter();
        let figures = figures.map(|figure| pb::LiveFigure {
            subject: figure.subject,
            name: figure.name,
            value: figure.value,
            node: figure.node,
        });
        Ok(Response::new(pb::FiguresReply {
            figures: figures.collect(),
            leader_id: leader.unwrap_or(0),
            from_leader: self.brain.leads(),
        }))
    }
}

fn every(kind: &KindInfo) -> Action {
    Action::selecting(Verb::List, kind, &FieldSelector::default())
}

/// What the forecast takes for granted.
fn assumptions(supposed: &Supposition, pace: &Pace) -> Vec<String> {
    let words = |span: SignedDuration| format!("{} s", span.as_secs());
    let mut told = vec![format!(
        "hosts do what they are told: a start takes {}, a shutdown {}, a fence level {}, catching up {}; memory and \
         new replicas travel at {} MiB/s",
        words(pace.guest_start),
        words(pace.guest_stop),
        words(pace.fence_level),
        words(pace.resync),
        pace.bytes_per_second >> 20
    )];
    if let Supposition::Fail(host) = supposed {
        told.push(format!(
            "{host} stays away, whether it is switched on again or not"
        ));
        if pace.fencing_works {
            told.push(
                "a fence level works unless it failed its last test or needs a person".to_owned(),
            );
        }
    }
    told
}

fn reply(foreseen: Forecast) -> pb::ForecastReply {
    let left = |left: Left| pb::ForecastLeft {
        kind: left.kind,
        name: left.name,
        reason: left.reason,
        message: left.message,
        already: left.already,
    };
    pb::ForecastReply {
        steps: foreseen
            .steps
            .into_iter()
            .map(|step| pb::ForecastStep {
                at_ms: millis(step.at),
                kind: step.kind,
                name: step.name,
                reason: step.reason,
                message: step.message,
            })
            .collect(),
        down: foreseen.down.into_iter().map(left).collect(),
        degraded: foreseen.degraded.into_iter().map(left).collect(),
        outages: foreseen
            .outages
            .into_iter()
            // A guest that is handed over to another host goes on at the same moment.
            .filter(|outage| outage.until != Some(outage.from))
            .map(|outage| pb::ForecastOutage {
                guest: outage.guest,
                from_ms: millis(outage.from),
                until_ms: outage.until.map(millis),
            })
            .collect(),
        changes: foreseen
            .changes
            .into_iter()
            .map(|change| pb::ForecastChange {
                kind: change.kind,
                name: change.name,
                field: change.field,
                before: change.before,
                after: change.after,
            })
            .collect(),
        took_ms: millis(foreseen.took),
        settled: foreseen.settled,
        ..pb::ForecastReply::default()
    }
}

fn millis(span: SignedDuration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(0)
}
