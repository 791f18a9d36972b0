//! `quorate api-resources`: the kinds, as the cluster has them or as this program knows them.

use quorate_proto::api::v1::KindsRequest;

use crate::{
    client::{Retry, objects},
    error::CliError,
    output::table::{Cell, Table},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// name prints only the plurals, wide adds verbs and categories
    #[arg(short = 'o', long, value_parser = ["table", "wide", "name"], default_value = "table", hide_default_value = true)]
    output: String,
    /// Leave the headings out
    #[arg(long)]
    no_headers: bool,
    /// Do not ask the cluster: list what this program knows
    #[arg(long)]
    offline: bool,
}

struct Row {
    plural: String,
    short_names: String,
    version: String,
    kind: String,
    verbs: String,
    categories: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let kinds = if args.offline {
        built_in()
    } else {
        of_cluster(session).await?
    };
    if args.output == "name" {
        let names: String = kinds
            .iter()
            .map(|kind| format!("{}\n", kind.plural))
            .collect();
        return session.console.print(&names);
    }
    let wide = args.output == "wide";
    let mut headers = vec!["NAME", "SHORT NAMES", "API VERSION", "KIND"];
    if wide {
        headers.extend(["VERBS", "CATEGORIES"]);
    }
    let rows: Vec<Vec<Cell>> = kinds
        .into_iter()
        .map(|kind| {
            let mut row = vec![
                kind.plural.into(),
                kind.short_names.into(),
                kind.version.into(),
                kind.kind.into(),
            ];
            if wide {
                row.extend([kind.verbs.into(), kind.categories.into()]);
            }
            row
        })
        .collect();
    let headers = headers.into_iter().map(str::to_owned).collect();
    session
        .console
        .print(&Table::new(headers, !args.no_headers, session.console.color()).rows(&rows))
}

async fn of_cluster(session: &Session) -> Result<Vec<Row>, CliError> {
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(KindsRequest {});
            async move { objects(channel).kinds(request).await }
        })
        .await?;
    Ok(reply
        .kinds
        .into_iter()
        .map(|kind| Row {
            plural: kind.plural,
            short_names: kind.short_names.join(","),
            version: format!("{}/{}", kind.group, kind.version),
            kind: kind.kind,
            verbs: kind.verbs.join(","),
            categories: kind.categories.join(","),
        })
        .collect())
}

fn built_in() -> Vec<Row> {
    quorate_crds::kinds()
        .iter()
        .map(|kind| Row {
            plural: kind.plural.to_owned(),
            short_names: kind.short_names.join(","),
            version: quorate_crds::API_VERSION.to_owned(),
            kind: kind.kind.to_owned(),
            verbs: String::new(),
            categories: kind.categories.join(","),
        })
        .collect()
}
