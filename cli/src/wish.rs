//! Writing what people want: ordinary changes of objects, made by commands that say it in fewer words.

use jiff::Timestamp;
use quorate_proto::api::v1::{PatchType, WhoAmIRequest};
use serde_json::{Value, json};

use crate::{
    client::{Change, Retry, identity},
    error::CliError,
    session::Session,
};

/// Lay `fields` over an object.
pub(crate) async fn patch(
    session: &Session,
    plural: &str,
    name: &str,
    fields: &Value,
) -> Result<Value, CliError> {
    let client = session.client().await?;
    let changed = client
        .patch(
            plural,
            name,
            "",
            (PatchType::Merge, fields),
            &Change::default(),
        )
        .await?;
    for warning in &changed.warnings {
        session.console.warn(warning);
    }
    Ok(changed.object.unwrap_or_default())
}

/// Make an object of a kind of which every one is a request of its own.
pub(crate) async fn request(
    session: &Session,
    kind: &str,
    name: &str,
    spec: Value,
) -> Result<(), CliError> {
    let object = json!({
        "apiVersion": quorate_crds::API_VERSION, "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    });
    let client = session.client().await?;
    let changed = client.apply(&object, &Change::default()).await?;
    for warning in &changed.warnings {
        session.console.warn(warning);
    }
    Ok(())
}

/// A name that no other request has: `web-1767225600123`.
pub(crate) fn request_name(about: &str) -> String {
    // A name has at most 253 characters.
    let about: String = about.chars().take(200).collect();
    format!("{about}-{}", Timestamp::now().as_millisecond())
}

/// Who the cluster says that we are.
pub(crate) async fn user(session: &Session) -> Result<String, CliError> {
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(WhoAmIRequest {});
            async move { identity(channel).who_am_i(request).await }
        })
        .await?;
    Ok(reply.user)
}
