//! Requests to the Kubernetes face, by callers of every standing.
//!
//! Whatever is asked, the server neither stumbles nor fails, and whoever may not read or change something
//! neither reads nor changes it.

mod choices;
mod corpus;
mod draft;
mod world;

use std::sync::{Mutex, OnceLock, PoisonError};

use http::StatusCode;
use quorate_controller::tls::ConnectionInfo;
use quorate_identity::Subject;
use quorate_store::{Bucket, Revision};
use serde_json::{Value, json};

use choices::Choices;
use draft::Draft;
use world::{Answered, World};

/// Stands in everything that only administrators may read, and nowhere else: as it is, and as the value of a Secret.
const KEPT: [&str; 2] = ["sentinel", "c2VudGluZWw="];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Somebody without a certificate.
    Stranger,
    /// Somebody whom no role names.
    Eve,
    /// A host that has no record here.
    Host,
    /// Somebody who may read and change one network.
    Ned,
    /// Somebody who may do everything.
    Admin,
}

/// One world in which nobody but Ned may change anything, and one in which everything changes.
struct Worlds {
    guarded: World,
    open: World,
    callers: Vec<(Who, ConnectionInfo)>,
    admin: ConnectionInfo,
}

impl Worlds {
    fn make() -> Self {
        let (guarded, open) = (World::found(), World::found());
        for world in [&guarded, &open] {
            furnish(world);
        }
        let person = |name| Subject::person(name, &[]).expect("a name");
        let callers = [
            (Who::Stranger, None),
            (Who::Eve, Some(person("eve"))),
            (Who::Host, Some(Subject::node("an9").expect("a name"))),
            (Who::Ned, Some(person("ned"))),
        ];
        let callers = callers.map(|(who, subject)| (who, guarded.connection(subject.as_ref())));
        Self {
            admin: open.connection(Some(&Subject::admin())),
            callers: callers.into(),
            guarded,
            open,
        }
    }
}

fn furnish(world: &World) {
    let admin = world.connection(Some(&Subject::admin()));
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": quorate_crds::API_VERSION, "kind": kind,
            "metadata": {"name": name, "annotations": {"note": KEPT[0]}, "labels": {"tier": KEPT[0]}},
            "spec": spec,
        })
    };
    let mut open = object("Network", "open", json!({"addressing": "None"}));
    open["metadata"]["annotations"] = Value::Null;
    open["metadata"]["labels"] = Value::Null;
    let narrow = json!({"rules": [
        {"kinds": ["networks"], "verbs": ["get", "update", "patch"], "names": ["open"]},
    ]});
    let ned = json!({"role": "narrow", "subjects": [{"kind": "User", "name": "ned"}]});
    let happened = json!({
        "regarding": {"kind": "Network", "name": "open"}, "reason": "Tested", "note": KEPT[0],
        "type": "Normal", "count": 1, "reportingController": "fuzz",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
    });
    let hidden = json!({"addressing": "None"});
    let vault = json!({"stringData": {"k": KEPT[0]}});
    for (plural, object) in [
        ("networks", open),
        ("networks", object("Network", "hidden", hidden)),
        ("secrets", object("Secret", "vault", vault)),
        ("nodes", object("Node", "an1", json!({}))),
        ("roles", object("Role", "narrow", narrow)),
        ("rolebindings", object("RoleBinding", "narrow", ned)),
        ("events", object("Event", "e1", happened)),
    ] {
        world.make(&admin, plural, &object);
    }
}

/// One request, by whoever the input says.
pub(crate) fn request(data: &[u8]) {
    static WORLDS: OnceLock<Mutex<Worlds>> = OnceLock::new();
    let worlds = WORLDS.get_or_init(|| Mutex::new(Worlds::make()));
    let worlds = worlds.lock().unwrap_or_else(PoisonError::into_inner);
    let mut choices = Choices::new(data);
    let who = choices.below(worlds.callers.len() + 1);
    let draft = Draft::read(&mut choices);
    let Some(request) = draft.request() else {
        return;
    };
    let path = request.uri().path().to_owned();
    match worlds.callers.get(who) {
        None => {
            let answered = worlds.open.ask(&worlds.admin, request);
            well_formed(Who::Admin, &draft, &answered);
        }
        Some((who, caller)) => {
            let world = &worlds.guarded;
            let before = world.view().revision();
            let networks = world.objects("networks");
            let answered = world.ask(caller, request);
            well_formed(*who, &draft, &answered);
            keeps_secrets(*who, &draft, &path, &answered);
            let after = world.view().revision();
            assert!(
                after == before || *who == Who::Ned,
                "{who:?} has changed something: {}",
                draft.words()
            );
            if after != before {
                changed_nothing_else(world, before, &networks, &draft);
            }
        }
    }
}

/// No fault of the server, and refusals in the form that clients read.
fn well_formed(who: Who, draft: &Draft, answered: &Answered) {
    let (code, body) = (answered.code, &answered.body);
    let words = || {
        let told = String::from_utf8_lossy(&body[..body.len().min(2000)]);
        format!("{who:?}: {}\n{code}: {told}", draft.words())
    };
    assert!(code.as_u16() < 500, "{}", words());
    if code.is_client_error() {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        assert_eq!(status["kind"], "Status", "{}", words());
        assert_eq!(status["code"], code.as_u16(), "{}", words());
        assert!(status["message"].is_string(), "{}", words());
    }
    let json = answered.headers.get("content-type");
    let json = json.is_some_and(|known| known.as_bytes().starts_with(b"application/json"));
    if code.is_success() && json {
        for part in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
            let part = part.unwrap_or_else(|error| panic!("{error}: {}", words()));
            if part["type"] == "ERROR" {
                let told = part["object"]["code"].as_u64().unwrap_or_default();
                assert!((400..500).contains(&told), "{}", words());
            }
        }
    }
}

fn keeps_secrets(who: Who, draft: &Draft, path: &str, answered: &Answered) {
    let told = String::from_utf8_lossy(&answered.body);
    for kept in KEPT {
        assert!(
            !told.contains(kept),
            "{who:?} has read what is kept: {}\n{told}",
            draft.words()
        );
    }
    if who == Who::Stranger && answered.code.is_success() {
        let open = ["/healthz", "/livez", "/readyz", "/version"];
        let path = path.trim_start_matches('/').to_owned();
        assert!(
            open.iter()
                .any(|open| decoded(&path).starts_with(&open[1..])),
            "a stranger is answered: {}",
            draft.words()
        );
    }
    assert!(
        answered.code != StatusCode::CREATED || decoded(path).contains("/selfsubject"),
        "{who:?} has created something: {}",
        draft.words()
    );
}

/// Ned has changed something: it must be the one network that is his, and it must still be there.
fn changed_nothing_else(
    world: &World,
    before: Revision,
    networks: &[(String, Revision)],
    draft: &Draft,
) {
    let others = |objects: &[(String, Revision)]| {
        let mut objects = objects.to_vec();
        objects.retain(|(name, _)| name != "open");
        objects
    };
    let now = world.objects("networks");
    assert_eq!(others(&now), others(networks), "{}", draft.words());
    assert_eq!(now.len(), networks.len(), "{}", draft.words());
    let view = world.view();
    for kind in quorate_crds::kinds() {
        let bucket = Bucket::new(kind.plural);
        assert!(
            kind.plural == "networks" || view.bucket_revision(&bucket) <= before,
            "Ned has changed {}: {}",
            kind.plural,
            draft.words()
        );
    }
}

/// The path as the server reads it.
fn decoded(path: &str) -> String {
    let mut bytes = path.bytes();
    let mut read = Vec::new();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| char::from(byte.unwrap_or(b'x')).to_digit(16);
        match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()), hex(bytes.next()));
                let number = high.zip(low).map(|(high, low)| high * 16 + low);
                read.extend(number.and_then(|number| u8::try_from(number).ok()));
            }
            other => read.push(other),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Requests that are refused for their form get no further than their form.
    #[test]
    fn the_corpus_is_understood() {
        let worlds = Worlds::make();
        for model in corpus::MODELS {
            let draft = Draft::from(model);
            let request = draft.request().expect("a request");
            let answered = worlds.open.ask(&worlds.admin, request);
            let told = String::from_utf8_lossy(&answered.body);
            // Objects that are there already, are gone by now, or have another version than a precondition says.
            let understood = answered.code.is_success()
                || matches!(answered.code.as_u16(), 404 | 409 | 422)
                || model.query.contains("continue=AAAA")
                || model.query.contains("resourceVersionMatch=Exact");
            assert!(understood, "{}\n{told}", draft.words());
        }
    }

    #[test]
    fn a_leak_is_noticed() {
        let worlds = Worlds::make();
        let admin = worlds.guarded.connection(Some(&Subject::admin()));
        for path in [
            "/apis/quorate.dev/v1alpha1/secrets",
            "/apis/quorate.dev/v1alpha1/secrets?watch=1",
            "/apis/quorate.dev/v1alpha1/networks/hidden",
            "/api/v1/events",
        ] {
            let model = corpus::MODELS.iter().find(|model| model.path == "/api");
            let mut draft = Draft::from(model.expect("it is there"));
            draft.go_to(path);
            let answered = worlds
                .guarded
                .ask(&admin, draft.request().expect("a request"));
            assert!(answered.code.is_success());
            let judged = || keeps_secrets(Who::Eve, &draft, path, &answered);
            assert!(catch_unwind(AssertUnwindSafe(judged)).is_err(), "{path}");
        }
    }
}
