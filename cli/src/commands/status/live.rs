//! `quorate status -w`: the picture, drawn anew when something changes.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    picture::{LONG, Picture},
    shown, status,
};
use crate::{
    client::Follow,
    error::CliError,
    figures::Figures,
    progress::{self, Seen},
    session::Session,
};

/// How often the picture is drawn anew when nothing has changed: ages and readings move on.
const TICK: Duration = Duration::from_secs(2);
/// What changes together is drawn together.
const PAUSE: Duration = Duration::from_millis(250);
/// To the upper left corner, and nothing below.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) async fn run(session: &Session, all: bool) -> Result<(), CliError> {
    let client = session.client().await?;
    let mut readable = Vec::new();
    for plural in shown() {
        match client.list(&progress::all(plural), false).await {
            Ok(_) => readable.push(plural),
            // Who may not see a kind sees the rest.
            Err(CliError::Refused(refusal)) if refusal.reason == "Forbidden" => {}
            Err(error) => return Err(error),
        }
    }
    let mut incomplete = readable.len();
    let follows = readable.into_iter().map(|plural| {
        Follow::from_now(client.clone(), progress::all(plural))
            .into_stream()
            .boxed()
    });
    let mut told = stream::select_all(follows);
    let mut seen = Seen::default();
    let mut reply = status::ask(session).await?;
    let mut readings = Figures::default();
    let mut ticks = tokio::time::interval(TICK);
    let mut drawn = String::new();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            next = told.next() => match next {
                Some(told) => incomplete -= usize::from(seen.take(told?)),
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                // A moment without an answer leaves the picture as it was.
                if let Ok(answer) = status::ask(session).await {
                    reply = answer;
                }
                readings = Figures::ask(&client).await;
            }
            _ = &mut interrupted => return Ok(()),
        }
        if incomplete > 0 {
            continue;
        }
        // Whatever comes at the same time belongs to the same picture.
        let soon = Instant::now() + PAUSE;
        while let Ok(Some(told)) = tokio::time::timeout_at(soon, told.next()).await {
            seen.take(told?);
        }
        let picture = Picture {
            reply: &reply,
            seen: &seen,
            figures: &readings,
            now: Timestamp::now(),
            color: session.console.color(),
            all,
            long: LONG,
        };
        let text = match session.console.size() {
            Some(size) => picture.on_screen(size),
            None => picture.text(),
        };
        if text != drawn {
            let before = if session.console.is_terminal() {
                CLEAR
            } else if drawn.is_empty() {
                ""
            } else {
                "---\n"
            };
            session.console.print(&format!("{before}{text}"))?;
            drawn = text;
        }
    }
}
