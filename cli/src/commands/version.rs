//! `quorate version`: this program's version, and the version of the member that answers.

use quorate_proto::api::v1::StatusRequest;
use serde_json::json;

use crate::{
    client::{Retry, cluster},
    error::CliError,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not ask the cluster
    #[arg(long)]
    client: bool,
    /// json for programs
    #[arg(short = 'o', long, value_parser = ["text", "json"], default_value = "text", hide_default_value = true)]
    output: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let own = env!("CARGO_PKG_VERSION");
    if args.client {
        return print(session, &args.output, own, None);
    }
    let asked = async {
        let client = session.client().await?;
        client
            .call(Retry::Safe, |channel| {
                let request = client.request(StatusRequest {});
                async move { cluster(channel).status(request).await }
            })
            .await
    };
    match asked.await {
        Ok(status) => print(
            session,
            &args.output,
            own,
            Some((&status.version, status.feature_level)),
        ),
        // The own version is an answer even when the cluster does not give its.
        Err(error) => {
            print(session, &args.output, own, None)?;
            Err(error)
        }
    }
}

fn print(
    session: &Session,
    output: &str,
    own: &str,
    server: Option<(&str, u32)>,
) -> Result<(), CliError> {
    if output == "json" {
        let mut versions =
            json!({"client": {"version": own, "apiVersion": quorate_crds::API_VERSION}});
        if let Some((version, level)) = server {
            versions["server"] = json!({"version": version, "featureLevel": level});
        }
        return session.console.line(&format!("{versions:#}"));
    }
    session
        .console
        .line(&format!("client  {own}  ({})", quorate_crds::API_VERSION))?;
    match server {
        Some((version, level)) => session
            .console
            .line(&format!("server  {version}  (feature level {level})")),
        None => Ok(()),
    }
}
