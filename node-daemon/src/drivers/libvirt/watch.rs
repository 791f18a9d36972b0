//! libvirt's events, as hints.

use super::Settings;
use crate::drivers::{Hint, Hints};
use futures_util::{StreamExt, stream};
use quorate_crds::Name;
use quorate_libvirt::{Connection, Decoder, Events, Message, RpcError, flags::event};

const WATCHED: [i32; 7] = [
    event::LIFECYCLE,
    event::IO_ERROR,
    event::TRAY_CHANGE,
    event::DEVICE_REMOVED,
    event::AGENT_LIFECYCLE,
    event::DEVICE_ADDED,
    event::JOB_COMPLETED,
];

pub(super) fn hints(settings: Settings) -> Hints {
    stream::once(listen(settings))
        .flat_map(|listening| match listening {
            Ok(listening) => stream::unfold(listening, |(connection, mut events)| async {
                let event = events.recv().await?;
                Some((hint(&event), (connection, events)))
            })
            .boxed(),
            Err(error) => {
                tracing::debug!(%error, "libvirt tells no events");
                stream::empty().boxed()
            }
        })
        .boxed()
}

async fn listen(settings: Settings) -> Result<(Connection, Events), RpcError> {
    let (connection, events) = settings.connect().await?;
    for event in WATCHED {
        connection.listen(event).await?;
    }
    Ok((connection, events))
}

/// Every event of ours begins with the number of the subscription and the domain.
fn hint(event: &Message) -> Hint {
    let mut decoder = Decoder::new(&event.body);
    let name = decoder.int().and_then(|_| decoder.string());
    match name {
        Ok(name) if !name.is_empty() => Hint::Object(Name(name)),
        _ => Hint::Anything,
    }
}
