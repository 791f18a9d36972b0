use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use quorate_store::Revision;
use serde::Serialize;
use tokio::sync::mpsc::OwnedPermit;

use crate::{access::Action, error::ApiError, tls::ConnectionInfo};

/// What is about to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct What {
    /// `create`, `update`, `patch`, `delete`, `join`, `renew`, …
    pub verb: &'static str,
    /// The plural of a kind, or `cluster/<call>`.
    pub kind: String,
    /// The object; empty when the call is not about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Empty for the object itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

impl From<&Action> for What {
    fn from(action: &Action) -> Self {
        let (verb, kind, name, subresource) = action.parts();
        Self {
            verb,
            kind: kind.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        }
    }
}

/// One line, before it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    time: Timestamp,
    /// Unique on this member since its start; also in its log.
    request: u64,
    user: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// The serial number of the certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    certificate: String,
    from: String,
    #[serde(flatten)]
    what: What,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// `OK`, or the reason of the refusal.
    result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
}

/// A line of somebody who has come to the machine itself.
pub(super) fn line_on_the_machine(
    who: &str,
    what: What,
    result: &'static str,
    message: &str,
) -> serde_json::Result<String> {
    let line = Line {
        time: Timestamp::now(),
        request: 0,
        user: who.to_owned(),
        groups: Vec::new(),
        certificate: String::new(),
        from: "this machine".to_owned(),
        what: What {
            name: shortened(&what.name),
            ..what
        },
        dry_run: false,
        result,
        message: shortened(message),
        revision: None,
    };
    let mut text = serde_json::to_string(&line)?;
    text.push('\n');
    Ok(text)
}

/// A reserved line. It is written when it is finished, and also when it is dropped: a call that was cut
/// off may have changed something.
#[derive(Debug)]
pub struct Entry {
    place: Option<OwnedPermit<String>>,
    line: Line,
}

impl Entry {
    pub(super) fn new(
        place: OwnedPermit<String>,
        who: &ConnectionInfo,
        what: What,
        dry_run: bool,
    ) -> Self {
        static REQUESTS: AtomicU64 = AtomicU64::new(1);
        let subject = who.shown().map(|peer| &peer.subject);
        let certificate = match (&who.peer, &who.token) {
            (Some(peer), _) => peer.serial.clone(),
            (None, Some(holder)) => format!("token:{}", holder.serial),
            (None, None) => String::new(),
        };
        Self {
            place: Some(place),
            line: Line {
                time: Timestamp::now(),
                request: REQUESTS.fetch_add(1, Ordering::Relaxed),
                user: subject.map_or_else(String::new, |subject| subject.user().to_owned()),
                groups: subject.map_or_else(Vec::new, |subject| subject.groups().to_vec()),
                certificate,
                from: who.remote.to_string(),
                what: What {
                    name: shortened(&what.name),
                    subresource: shortened(&what.subresource),
                    ..what
                },
                dry_run,
                result: "Cancelled",
                message: "the call was cut off; it may or may not have changed something"
                    .to_owned(),
                revision: None,
            },
        }
    }

    /// The number by which this line and the member's log can be matched.
    pub fn request(&self) -> u64 {
        self.line.request
    }

    /// Says what the call is about, where that is known only after it was begun: an object whose name was in the
    /// request's body, a joiner whose name was in its token.
    pub fn rename(&mut self, kind: &str, name: &str) {
        self.line.what.kind = kind.to_owned();
        self.line.what.name = shortened(name);
    }

    /// Writes the line of a call that ended with `result`; the revision is that of the change, if there was one.
    pub fn finish(mut self, result: Result<Option<Revision>, &ApiError>) {
        match result {
            Ok(revision) => {
                self.line.result = "OK";
                self.line.message.clear();
                self.line.revision = revision;
            }
            Err(error) => {
                self.line.result = error.reason();
                self.line.message = shortened(&error.to_string());
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        match serde_json::to_string(&self.line) {
            Ok(mut text) => {
                text.push('\n');
                place.send(text);
            }
            Err(error) => tracing::error!(%error, line = ?self.line, "audit line not writable"),
        }
    }
}

/// Names and messages repeat what the caller sent. A line must not grow with it: a few long ones would rotate everything
/// else out of the log.
fn shortened(message: &str) -> String {
    const MOST: usize = 512;
    match message.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
