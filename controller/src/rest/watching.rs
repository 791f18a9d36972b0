//! Watches: a line of JSON for each event, until the caller, the time or the member ends them.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use quorate_crds::Verb;
use quorate_schema::selector::{FieldSelector, LabelSelector};
use tokio::{sync::watch, time::Instant};

use super::{
    answer::{self, Answer},
    asked::{Asked, Query},
    face::Face,
    options::{bad, selectors},
    printing::Printer,
    reading::Collection,
    refusal::Refusal,
};
use crate::{
    access::Action,
    api::{Call, Front, Weight},
    error::ApiError,
    resource::{WatchEvent, WatchQuery, WatchStream},
};

/// A watch tells nothing new to somebody who lost the right to it longer ago than this.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// So many bytes are sent in one piece to who is behind.
const MOST_AT_ONCE: usize = 64 << 10;
/// A watch without a time-out of its own ends between this and twice this, as in Kubernetes, so that watchers spread
/// over the members again.
const LONGEST: u64 = 1800;

/// What the query says about a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    resource_version: String,
    /// Begin with what is there: always, never, or as the version says.
    initial: Option<bool>,
    bookmarks: bool,
    seconds: Option<u64>,
}

impl Wish {
    pub(super) fn read(query: &Query) -> Result<Self, Refusal> {
        let initial = query.flag("sendInitialEvents");
        let how = query.filled("resourceVersionMatch");
        match (initial, how) {
            (None, None) | (Some(_), Some("NotOlderThan")) => {}
            (Some(_), _) => {
                return Err(bad(
                    "sendInitialEvents needs resourceVersionMatch=NotOlderThan".into(),
                ));
            }
            (None, Some(_)) => {
                return Err(bad(
                    "resourceVersionMatch is for watches with sendInitialEvents only".into(),
                ));
            }
        }
        let version = query.text("resourceVersion").unwrap_or_default();
        Ok(Self {
            resource_version: version.to_owned(),
            initial,
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or_default(),
            seconds: query
                .number("timeoutSeconds")?
                .filter(|seconds| *seconds > 0),
        })
    }

    /// Whether what is there is to be told first.
    pub(super) fn begins_with_what_is_there(&self) -> bool {
        let unseen = matches!(self.resource_version.as_str(), "" | "0");
        self.initial.unwrap_or(unseen)
    }

    /// Whether the end of what was there is to be marked.
    pub(super) fn ends_with_a_mark(&self) -> bool {
        self.bookmarks && self.initial == Some(true)
    }

    /// After how long it is to end; none when it does not say.
    pub(super) fn seconds(&self) -> Option<u64> {
        self.seconds
    }

    /// Whether it asks for what comes from now on and for nothing that is there.
    fn only_news(&self) -> bool {
        self.initial == Some(false) && matches!(self.resource_version.as_str(), "" | "0")
    }
}

impl Face {
    pub(super) async fn watch(
        &self,
        asked: Asked,
        collection: Collection,
        name: Option<&str>,
    ) -> Answer {
        let call = self.begin(&asked, Weight::Watch)?;
        let printer = Printer::read(&asked, collection)?;
        let kind = collection.stored()?;
        let wish = Wish::read(&asked.query)?;
        let (labels, mut fields) = selectors(&asked.query)?;
        if let Some(name) = name {
            let mut text = format!("metadata.name={}", escaped(name));
            if let Some(also) = asked.query.filled("fieldSelector") {
                text.push(',');
                text.push_str(also);
            }
            fields = FieldSelector::parse(&text).map_err(|error| bad(error.to_string()))?;
        }
        let (chosen_labels, chosen_fields) = collection.selection(&labels, &fields);
        let action = Action::selecting(Verb::Watch, kind, &chosen_fields);
        self.front.authorise(&call.caller, &action).await?;

        let engine = &self.front.engine;
        let resource_version = if wish.only_news() {
            engine
                .store()
                .barrier()
                .await
                .map_err(ApiError::from)?
                .to_string()
        } else {
            wish.resource_version.clone()
        };
        let query = WatchQuery {
            labels: chosen_labels,
            fields: chosen_fields,
            resource_version,
            send_initial: wish.initial == Some(true),
            bookmarks: wish.bookmarks,
            until: Some(self.until(wish.seconds)?),
        };
        let events = match engine.watch(kind, query).await {
            Ok(events) => events,
            // Clients expect this news inside the watch.
            Err(error @ ApiError::Expired(_)) => Box::pin(stream::once(async { Err(error) })),
            Err(error) => return Err(error.into()),
        };
        let telling = Telling {
            events,
            front: self.front.clone(),
            stopping: self.stopping.clone(),
            confirmed: Instant::now(),
            first: true,
            over: false,
            call,
            action,
            collection,
            labels,
            fields,
            printer,
            wish,
        };
        Ok(answer::pieces(
            answer::JSON,
            stream::unfold(telling, |mut telling| async {
                let lines = telling.lines().await?;
                Some((lines, telling))
            }),
        ))
    }

    /// Until when a watch goes on that names this many seconds, or none.
    pub(super) fn until(&self, seconds: Option<u64>) -> Result<Instant, ApiError> {
        let seconds = match seconds {
            // Nobody waits longer than a day.
            Some(seconds) => seconds.min(24 * 3600),
            None => LONGEST + self.random_up_to(LONGEST)?,
        };
        Ok(Instant::now() + Duration::from_secs(seconds))
    }

    fn random_up_to(&self, most: u64) -> Result<u64, ApiError> {
        let mut random = [0u8; 2];
        self.front.engine.sources().fill(&mut random)?;
        Ok(u64::from(u16::from_le_bytes(random)) % most)
    }
}

/// A watch that goes on. The call is kept with it, so that it is counted for as long as it lives.
struct Telling {
    events: WatchStream,
    front: Front,
    stopping: watch::Receiver<bool>,
    confirmed: Instant,
    first: bool,
    over: bool,
    call: Call,
    action: Action,
    collection: Collection,
    labels: LabelSelector,
    fields: FieldSelector,
    printer: Printer,
    wish: Wish,
}

impl Telling {
    /// The next lines; none when the watch is over. Who is behind gets at once what has gathered: what a piece costs, and not
    /// what is in it, would otherwise put everybody further behind.
    async fn lines(&mut self) -> Option<Bytes> {
        let first = self.line().await?;
        let mut more = Vec::new();
        let mut length = first.len();
        while length < MOST_AT_ONCE
            && let Some(Some(line)) = self.line().now_or_never()
        {
            length += line.len();
            more.push(line);
        }
        if more.is_empty() {
            return Some(first);
        }
        let mut lines = BytesMut::with_capacity(length);
        lines.extend(std::iter::once(first).chain(more));
        Some(lines.freeze())
    }

    /// The next line; none when the watch is over.
    async fn line(&mut self) -> Option<Bytes> {
        while !self.over {
            let event = tokio::select! {
                event = self.events.next() => event,
                // An error means that nobody is left who could ask.
                _ = self.stopping.wait_for(|stop| *stop) => None,
            };
            let Some(event) = event else {
                self.over = true;
                return None;
            };
            match event.and_then(|event| self.told(event)) {
                Ok(Some(line)) => {
                    self.first = false;
                    return Some(line);
                }
                Ok(None) => {}
                Err(error) => {
                    self.over = true;
                    let status = Refusal::from(error).status().to_string();
                    return Some(line("ERROR", status.as_bytes()));
                }
            }
        }
        None
    }

    fn told(&mut self, event: WatchEvent) -> Result<Option<Bytes>, ApiError> {
        if self.confirmed.elapsed() >= CONFIRM_EVERY {
            self.front.confirm(&self.call, &self.action)?;
            self.confirmed = Instant::now();
        }
        let (type_, object) = match event {
            WatchEvent::Added(object, _) => ("ADDED", object),
            WatchEvent::Modified(object, _) => ("MODIFIED", object),
            WatchEvent::Deleted(object, _) => ("DELETED", object),
            WatchEvent::Bookmark {
                revision,
                initial_end,
            } => {
                // The end of what was there is news only to who asked for it by name.
                let wanted = !initial_end || self.wish.initial == Some(true);
                if !self.wish.bookmarks || !wanted {
                    return Ok(None);
                }
                let revision = revision.to_string();
                let mark = self.printer.bookmark(&revision, initial_end, self.first)?;
                return Ok(Some(line("BOOKMARK", &mark)));
            }
        };
        let engine = &self.front.engine;
        let shown = self
            .collection
            .shown(engine, object, &self.labels, &self.fields)?;
        let Some(shown) = shown else { return Ok(None) };
        let printed = self.printer.next(shown, self.first)?;
        Ok(Some(line(type_, &printed)))
    }
}

/// An event as it is sent.
pub(super) fn line(type_: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 40);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(type_.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

/// A value as field selectors write it.
fn escaped(value: &str) -> String {
    value
        .chars()
        .flat_map(|letter| match letter {
            '\\' | ',' | '=' => vec!['\\', letter],
            _ => vec![letter],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &str) -> Result<Wish, Refusal> {
        Wish::read(&Query::parse(query).expect("a query"))
    }

    #[test]
    fn initial_events_are_asked_for_in_full_or_not_at_all() {
        let streaming = wish(
            "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        )
        .expect("a wish");
        assert_eq!(streaming.initial, Some(true));
        assert!(streaming.bookmarks);
        assert!(wish("sendInitialEvents=true").is_err());
        assert!(wish("resourceVersionMatch=NotOlderThan").is_err());
        let news = wish("sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
        assert!(news.expect("a wish").only_news());
    }

    #[test]
    fn a_name_in_a_path_selects_that_name_whatever_it_looks_like() {
        let selector = FieldSelector::parse(&format!("metadata.name={}", escaped("a,b=c\\")))
            .expect("a selector");
        assert_eq!(selector.required_value("metadata.name"), Some("a,b=c\\"));
    }
}
