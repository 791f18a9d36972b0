use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use quorate_crds::{KindInfo, Verb};
use quorate_proto::{
    api::v1::{
        ConsoleDevice, ConsoleEnd, ConsoleInput, ConsoleOpen, ConsoleOpened, ConsoleOutput,
        ConsoleVisitor, console_input::What as Typed, console_output::What as Shown,
        consoles_server::Consoles,
    },
    host::v1::{Device, Present, ToGuest, Visitor, from_guest::What, visit_end::Why},
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Reception, reception::Answered};
use crate::{
    access::Action,
    api::{Call, Front, Weight},
    audit::What as Noted,
    error::{ApiError, Subject},
    events::{Happening, Severity},
    resource::find_kind,
};

/// How long a person's program may take for its first word.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// How long a quorum is waited for, to say on which host the guest is. A console is wanted most when much is wrong: then
/// what this member knows has to do, and the host itself knows whether the guest is there.
const FRESH: Duration = Duration::from_secs(2);
/// How often it is looked whether the person still may.
const CONFIRM: Duration = Duration::from_secs(10);
/// Parts that wait for a person who is slower than the guest.
const PARTS: usize = 16;
/// What is needed beside the right to see the guest: who types at its console does in it whatever he wants.
const CONSOLE: &str = "console";

/// People over gRPC.
pub struct ConsolesService {
    front: Front,
    reception: Reception,
}

impl ConsolesService {
    /// Puts gRPC before `reception`.
    pub fn new(front: Front, reception: Reception) -> Self {
        Self { front, reception }
    }

    /// Refuses, or says where the guest is and what the host answered.
    async fn open(
        &self,
        call: &Call,
        action: &Action,
        kind: &'static KindInfo,
        open: &ConsoleOpen,
    ) -> Result<(String, Answered), ApiError> {
        self.front.authorise(&call.caller, action).await?;
        let node = self.node_of(kind, &open.guest).await?;
        let device = match open.device() {
            ConsoleDevice::Screen => Device::Screen,
            ConsoleDevice::Serial => Device::Serial,
            ConsoleDevice::Unspecified if open.only_look => Device::Serial,
            ConsoleDevice::Unspecified => {
                return Err(ApiError::BadRequest(
                    "device is missing, allowed: CONSOLE_DEVICE_SERIAL, CONSOLE_DEVICE_SCREEN"
                        .into(),
                ));
            }
        };
        let visitor = Visitor {
            visit: 0,
            guest: open.guest.clone(),
            device: device.into(),
            user: call.caller.user().to_owned(),
            force: open.force,
            only_looks: open.only_look,
        };
        let answered = self.reception.announce(&node, visitor).await?;
        match &answered.first.what {
            Some(What::Present(_)) => Ok((node, answered)),
            Some(What::End(end)) => {
                let message = format!("{} (host {node})", end.reason);
                Err(match end.why() {
                    Why::Taken => {
                        ApiError::conflict(Subject::new(kind.plural, &*open.guest), message)
                    }
                    Why::Over | Why::Refused => ApiError::BadRequest(message),
                })
            }
            Some(What::Data(_)) | None => Err(ApiError::Internal(format!(
                "host {node:?} answered a visitor with something else than yes or no"
            ))),
        }
    }

    async fn node_of(&self, kind: &'static KindInfo, guest: &str) -> Result<String, ApiError> {
        let fresh = timeout(FRESH, self.front.engine.get(kind, guest, false)).await;
        let object = match fresh {
            Ok(Err(ApiError::NoQuorum(_))) | Err(_) => {
                self.front.engine.get(kind, guest, true).await?
            }
            Ok(found) => found?,
        };
        let object: Value = serde_json::from_slice(&object)
            .map_err(|error| ApiError::Internal(format!("guest {guest:?}: {error}")))?;
        let status = |field| object.pointer(field).and_then(Value::as_str);
        status("/status/node")
            .filter(|node| !node.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| {
                let state = status("/status/state").unwrap_or("Pending");
                ApiError::BadRequest(format!(
                    "virtualmachine {guest:?} is {state}: what is on no host has no console"
                ))
            })
    }

    fn tell(&self, call: &Call, node: &str, open: &ConsoleOpen) {
        let device = match open.device() {
            ConsoleDevice::Screen => "screen",
            ConsoleDevice::Serial | ConsoleDevice::Unspecified => "serial console",
        };
        self.front.recorder.record(Happening {
            kind: "VirtualMachine".into(),
            name: open.guest.clone(),
            uid: None,
            reason: "ConsoleOpened".into(),
            note: format!(
                "{:?} opened the {device} on host {node}",
                call.caller.user()
            ),
            severity: Severity::Normal,
        });
    }
}

#[tonic::async_trait]
impl Consoles for ConsolesService {
    type AttachStream = BoxStream<'static, Result<ConsoleOutput, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<ConsoleInput>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let call = self.front.begin(&request, Weight::Watch)?;
        let mut input = request.into_inner();
        let open = first_word(&mut input).await?;
        let kind = find_kind("VirtualMachine")?;
        let (verb, part) = if open.only_look {
            (Verb::Get, "")
        } else {
            (Verb::Update, CONSOLE)
        };
        let action = Action::on(verb, kind, &open.guest, part);
        let (node, answered) = if open.only_look {
            self.open(&call, &action, kind, &open).await?
        } else {
            let noted = Noted::from(&action);
            let entry = self
                .front
                .audit
                .begin(call.connection(), noted, false)
                .await?;
            let opened = self.open(&call, &action, kind, &open).await;
            entry.finish(opened.as_ref().map(|_| None));
            let opened = opened?;
            self.tell(&call, &opened.0, &open);
            opened
        };
        let (out, shown) = mpsc::channel(PARTS);
        let front = self.front.clone();
        tokio::spawn(async move {
            let end = converse(&front, (&call, &action), node, answered, input, &out).await;
            // Whoever has gone himself hears no more.
            let _ = match end {
                Ok(reason) => out.send(Ok(shown_end(reason))).await,
                Err(error) => out.send(Err(error.into())).await,
            };
        });
        Ok(Response::new(ReceiverStream::new(shown).boxed()))
    }
}

async fn first_word(input: &mut Streaming<ConsoleInput>) -> Result<ConsoleOpen, Status> {
    let first = timeout(FIRST_WORD, input.message())
        .await
        .map_err(|_| Status::deadline_exceeded("nothing was asked for"))??;
    match first.and_then(|first| first.what) {
        Some(Typed::Open(open)) => Ok(open),
        Some(Typed::Data(_)) | None => {
            let missing = "the first message must say which console is to be opened";
            Err(ApiError::BadRequest(missing.into()).into())
        }
    }
}

/// Carries bytes both ways. Says why it ended, or why the person may no longer be there.
async fn converse(
    front: &Front,
    (call, action): (&Call, &Action),
    node: String,
    answered: Answered,
    mut input: Streaming<ConsoleInput>,
    out: &mpsc::Sender<Result<ConsoleOutput, Status>>,
) -> Result<String, ApiError> {
    let Answered {
        first,
        mut from,
        to,
    } = answered;
    if let Some(What::Present(present)) = first.what {
        let opened = opened(&node, present);
        if out.send(Ok(opened)).await.is_err() {
            return Ok(String::new());
        }
    }
    let there = async {
        loop {
            let message = from.message().await.ok().flatten();
            match message.and_then(|message| message.what) {
                Some(What::Data(data)) => {
                    if out.send(Ok(shown_data(data))).await.is_err() {
                        return String::new();
                    }
                }
                Some(What::End(end)) => return end.reason,
                Some(What::Present(_)) => {}
                None => return format!("host {node} is not heard any more"),
            }
        }
    };
    let back = async {
        while let Ok(Some(message)) = input.message().await {
            if let Some(Typed::Data(data)) = message.what
                && to.send(Ok(ToGuest { data })).await.is_err()
            {
                // The host says why.
                return std::future::pending().await;
            }
        }
        String::new()
    };
    let may = async {
        let mut look = interval(CONFIRM);
        loop {
            look.tick().await;
            if let Err(error) = front.confirm(call, action) {
                return error;
            }
        }
    };
    tokio::select! {
        reason = there => Ok(reason),
        reason = back => Ok(reason),
        error = may => Err(error),
    }
}

fn opened(node: &str, present: Present) -> ConsoleOutput {
    let others = present
        .others
        .into_iter()
        .map(|other| ConsoleVisitor {
            device: match other.device() {
                Device::Serial => ConsoleDevice::Serial,
                Device::Screen => ConsoleDevice::Screen,
            }
            .into(),
            user: other.user,
            seconds: other.seconds,
        })
        .collect();
    ConsoleOutput {
        what: Some(Shown::Opened(ConsoleOpened {
            node: node.to_owned(),
            others,
        })),
    }
}

fn shown_data(data: Bytes) -> ConsoleOutput {
    ConsoleOutput {
        what: Some(Shown::Data(data)),
    }
}

fn shown_end(reason: String) -> ConsoleOutput {
    ConsoleOutput {
        what: Some(Shown::End(ConsoleEnd { reason })),
    }
}
