//! A request from the corpus, changed here and there.

use std::iter;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use tonic::{Status, body::Body};

use super::{
    choices::Choices,
    corpus::{BODIES, HEADERS, METHODS, MODELS, Model, PARTS_OF_QUERIES, STEPS_OF_PATHS},
};

/// `Uri` takes no longer ones.
const LONGEST_TARGET: usize = 60_000;

#[derive(Clone)]
pub(super) struct Draft {
    method: String,
    path: Vec<u8>,
    query: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// How the body arrives: in pieces of this size, and whether it breaks off.
    piece: usize,
    broken: bool,
}

impl From<&Model> for Draft {
    fn from(model: &Model) -> Self {
        Self {
            method: model.method.to_owned(),
            path: model.path.into(),
            query: model.query.into(),
            headers: vec![
                ("accept".to_owned(), model.accept.into()),
                ("content-type".to_owned(), model.content_type.into()),
                ("user-agent".to_owned(), b"kubectl/v1.32".to_vec()),
            ],
            body: model.body.into(),
            piece: usize::MAX,
            broken: false,
        }
    }
}

impl Draft {
    pub(super) fn read(choices: &mut Choices<'_>) -> Self {
        let mut draft = Self::from(&MODELS[choices.below(MODELS.len())]);
        for _ in 0..choices.below(6) {
            draft.change(choices);
        }
        draft
    }

    fn change(&mut self, choices: &mut Choices<'_>) {
        match choices.below(16) {
            0 => self.method = choices.pick(METHODS).to_owned(),
            1 => self.change_step(choices),
            2 => {
                self.path.push(b'/');
                self.path.extend(choices.pick(STEPS_OF_PATHS).bytes());
            }
            3 => {
                let model = MODELS[choices.below(MODELS.len())];
                self.path = model.path.into();
            }
            4 => encode_some(&mut self.path, choices),
            5 | 6 => {
                self.query.push(b'&');
                self.query.extend(choices.pick(PARTS_OF_QUERIES).bytes());
            }
            7 => change_bytes(&mut self.query, choices),
            8 => {
                let (name, value) = HEADERS[choices.below(HEADERS.len())];
                self.headers
                    .retain(|(known, _)| known != name || choices.once_in(2));
                self.headers.push((name.to_owned(), value.to_vec()));
            }
            9 => self.body = choices.pick(BODIES).into(),
            10 => self.body = MODELS[choices.below(MODELS.len())].body.into(),
            11 => change_bytes(&mut self.body, choices),
            12 | 13 => self.change_value(choices),
            14 => self.body = monster(choices),
            _ => {
                self.piece = choices.below(64) + 1;
                self.broken = choices.once_in(3);
                if choices.once_in(4) {
                    let long = iter::repeat_n(b'a', 20_000);
                    self.path.extend(long);
                }
            }
        }
    }

    fn change_step(&mut self, choices: &mut Choices<'_>) {
        let mut steps: Vec<&[u8]> = self.path.split(|byte| *byte == b'/').collect();
        let at = choices.below(steps.len());
        match choices.below(4) {
            0 => steps[at] = choices.pick(STEPS_OF_PATHS).as_bytes(),
            1 => steps.insert(at, choices.pick(STEPS_OF_PATHS).as_bytes()),
            2 => {
                steps.remove(at);
            }
            _ => steps.insert(at, steps[at]),
        }
        self.path = steps.join(&b'/');
    }

    /// Puts another value somewhere into the body, where that is JSON, or says a key twice.
    fn change_value(&mut self, choices: &mut Choices<'_>) {
        let Ok(mut whole) = serde_json::from_slice::<Value>(&self.body) else {
            return;
        };
        if choices.once_in(6) {
            let twice = format!("{{\"metadata\":{},", value(choices));
            let rest = whole.to_string();
            self.body = format!("{twice}{}", rest.get(1..).unwrap_or_default()).into();
            return;
        }
        let mut place = &mut whole;
        for _ in 0..choices.below(6) {
            let length = match &*place {
                Value::Object(fields) => fields.len(),
                Value::Array(items) => items.len(),
                _ => 0,
            };
            if length == 0 {
                break;
            }
            let at = choices.below(length);
            place = match place {
                Value::Object(fields) => match fields.values_mut().nth(at) {
                    Some(inner) => inner,
                    None => return,
                },
                Value::Array(items) => &mut items[at],
                _ => return,
            };
        }
        if let (Value::Object(fields), true) = (&mut *place, choices.once_in(3)) {
            let name = choices.pick(&["name", "x", "", "finalizers", "status", "\u{0}", "kind"]);
            fields.insert(name.to_owned(), value(choices));
        } else {
            *place = value(choices);
        }
        self.body = whole.to_string().into();
    }

    /// The request, unless no HTTP server would hand it on.
    pub(super) fn request(&self) -> Option<Request<Body>> {
        let mut target = self.path.clone();
        if !target.starts_with(b"/") {
            target.insert(0, b'/');
        }
        if !self.query.is_empty() {
            target.push(b'?');
            target.extend(&self.query);
        }
        target.truncate(LONGEST_TARGET);
        let target = target
            .iter()
            .flat_map(|byte| match byte {
                b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'~' => vec![*byte],
                other => format!("%{other:02X}").into_bytes(),
            })
            .collect::<Vec<u8>>();
        let mut request = Request::new(self.body());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::try_from(target).ok()?;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request
                .headers_mut()
                .append(name, HeaderValue::from_bytes(value).ok()?);
        }
        Some(request)
    }

    fn body(&self) -> Body {
        let piece = self.piece.clamp(1, self.body.len().max(1));
        let pieces: Vec<_> = self
            .body
            .chunks(piece)
            .map(Bytes::copy_from_slice)
            .collect();
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        let end = self
            .broken
            .then(|| Err(Status::cancelled("the caller hung up")));
        Body::new(StreamBody::new(stream::iter(frames.chain(end))))
    }

    #[cfg(test)]
    pub(super) fn go_to(&mut self, target: &str) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.path = path.into();
        self.query = query.into();
        self.headers.retain(|(name, _)| name != "accept");
    }

    /// For people who look at what went wrong.
    pub(super) fn words(&self) -> String {
        format!(
            "{} {}?{}\n{:?}\n{}",
            self.method,
            String::from_utf8_lossy(&self.path),
            String::from_utf8_lossy(&self.query),
            self.headers
                .iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(value)))
                .collect::<Vec<_>>(),
            String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]),
        )
    }
}

/// Percent-encodes some bytes, perhaps those of an encoding.
fn encode_some(path: &mut Vec<u8>, choices: &mut Choices<'_>) {
    for _ in 0..=choices.below(3) {
        let at = choices.below(path.len());
        if let Some(byte) = path.get(at) {
            let encoded = format!("%{byte:02x}").into_bytes();
            path.splice(at..=at, encoded);
        }
    }
}

fn change_bytes(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    const TOKENS: &[u8] = b"{}[]:&*!|>-,\"'\\ \n\t\0\xff\x80=%+/?09aZ";
    for _ in 0..=choices.below(4) {
        let at = choices.below(bytes.len() + 1);
        match choices.below(4) {
            0 => bytes.insert(at, TOKENS[choices.below(TOKENS.len())]),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + choices.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = at + choices.below(bytes.len() - at + 1);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn value(choices: &mut Choices<'_>) -> Value {
    match choices.below(20) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(i64::MIN),
        5 => json!(1e308),
        6 => json!(0.1),
        7 => json!(""),
        8 => json!("\u{0}"),
        9 => json!("vault"),
        10 => json!("\u{202e}\u{1f980}"),
        11 => json!("a".repeat(300)),
        12 => json!("A".repeat(70_000)),
        13 => json!([]),
        14 => json!({}),
        15 => json!([null, {}, []]),
        16 => json!({"": {"": ""}}),
        17 => json!(vec![1; 2_000]),
        18 => (0..100).fold(json!(1), |inner, _| json!([inner])),
        _ => (0..50).fold(json!({}), |inner, _| json!({"a": inner, "name": "x"})),
    }
}

/// What is small to send and large to read.
fn monster(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.below(6) {
        0 => "[".repeat(20_000).into(),
        1 => "{\"a\":".repeat(20_000).into(),
        2 => format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)).into(),
        3 => {
            let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
            for level in 1..10 {
                let last = format!("*a{},", level - 1).repeat(9);
                text.push_str(&format!("a{level}: &a{level} [{last}]\n"));
            }
            text.push_str("apiVersion: quorate.dev/v1alpha1\nkind: Network\nmetadata: {name: x}\n");
            text.into()
        }
        4 => format!(
            "[{}]",
            r#"{"op":"copy","from":"/metadata","path":"/metadata/annotations"},"#.repeat(101)
        )
        .replace(",]", "]")
        .into(),
        _ => format!("{{\"x\":{}}}", "9".repeat(20_000)).into(),
    }
}
