//! How a command that only looks is asked, and what it looks at.

use serde_json::Value;

use crate::{error::CliError, output::format::Format, progress, session::Session};

/// Whom a command asks, and how it prints the answer.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Looking {
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    pub(crate) local: bool,
    /// table, yaml, json or jsonpath=TEMPLATE
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    pub(crate) output: Format,
}

/// All objects of each kind, with a word about it when they may be out of date.
pub(crate) async fn all_of<const N: usize>(
    session: &Session,
    local: bool,
    plurals: [&str; N],
) -> Result<[Vec<Value>; N], CliError> {
    let client = session.client().await?;
    let mut lists = [const { Vec::new() }; N];
    let mut stale = false;
    for (list, plural) in lists.iter_mut().zip(plurals) {
        let listed = client.list(&progress::all(plural), local).await?;
        stale |= listed.stale;
        *list = listed.objects;
    }
    if stale {
        session.console.warn_of_no_quorum();
    }
    Ok(lists)
}
