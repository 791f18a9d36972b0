//! `quorate why`: the chain of reasons for an object's present state.

use jiff::Timestamp;
use quorate_proto::api::v1::{WhyLink, WhyReply, WhyRequest, why_link::Source};
use serde_json::{Value, json};

use crate::{
    client::{Retry, consistency, planning, reference},
    console::{Tone, paint},
    error::CliError,
    kinds,
    looking::Looking,
    output::{age, format::Format, objects::whole},
    session::Session,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate why vm/web\n  quorate why node an-a01n01\n  quorate why vol/data --local   \
                  # without quorum: what this member last knew\n\n\
                  The planner is asked anew, so the answer is about now; then come the object's conditions, what happened \
                  to it last, and the same of what it rests on."
)]
pub(crate) struct Args {
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    looking: Looking,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let target = kinds::single(&args.what)?;
    let name = target.name.unwrap_or_default();
    let request = WhyRequest {
        object: reference(target.kind.plural, name, ""),
        consistency: consistency(args.looking.local).into(),
    };
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(request.clone());
            async move { planning(channel).why(request).await }
        })
        .await?;
    if reply.stale {
        session.console.warn_of_one_member();
    }
    match &args.looking.output {
        Format::Table | Format::Wide => {
            let color = session.console.color();
            let text = text(&target.reference(), &reply.links, Timestamp::now(), color);
            session.console.print(&text)
        }
        format => session.console.print(&whole(&to_json(&reply), format)),
    }
}

fn text(reference: &str, links: &[WhyLink], now: Timestamp, color: bool) -> String {
    let mut out = format!("{}\n", paint(color, Tone::Bold, reference));
    let mut about = (0, String::new());
    for link in links {
        let here = (
            link.depth,
            format!("{}/{}", link.kind.to_lowercase(), link.name),
        );
        if link.depth > 0 && here != about {
            let indent = "  ".repeat(link.depth as usize);
            let title = paint(color, Tone::Bold, &format!("rests on {}", here.1));
            out.push_str(&format!("{indent}{title}\n"));
            about = here;
        }
        out.push_str(&line(link, now, color));
    }
    if links.is_empty() {
        out.push_str("  nothing is known about it beyond that it exists\n");
    }
    out
}

fn line(link: &WhyLink, now: Timestamp, color: bool) -> String {
    let indent = "  ".repeat(link.depth as usize + 1);
    let since = |word: &str| match link.since.as_str() {
        "" => String::new(),
        since => format!(" {} {word}", age::since(since, now)),
    };
    let head = match link.source() {
        Source::Planner => format!("now        {}", link.reason),
        Source::Condition => {
            let state = match link.condition_status.as_str() {
                "True" => "yes",
                "False" => "no",
                _ => "unknown",
            };
            let for_ = match since("") {
                since if since.is_empty() => String::new(),
                since => format!(" for{}", since.trim_end()),
            };
            format!(
                "condition  {} {state}{for_}, {}",
                link.condition, link.reason
            )
        }
        Source::Event => format!("event     {}, {}", since("ago"), link.reason),
        Source::Unspecified => link.reason.clone(),
    };
    let mut out = format!("{indent}{head}");
    // One obstacle for each host: a line each.
    let obstacles: Vec<&str> = link
        .message
        .split("; ")
        .filter(|text| !text.is_empty())
        .collect();
    match obstacles.as_slice() {
        [] => out.push('\n'),
        [one] => out.push_str(&format!(": {one}\n")),
        several => {
            out.push_str(":\n");
            for obstacle in several {
                out.push_str(&format!("{indent}             {obstacle}\n"));
            }
        }
    }
    if !link.advice.is_empty() {
        let next = paint(color, Tone::Mark, "next:");
        out.push_str(&format!("{indent}           {next} {}\n", link.advice));
    }
    out
}

fn to_json(reply: &WhyReply) -> Value {
    let source = |link: &WhyLink| match link.source() {
        Source::Planner => "Planner",
        Source::Condition => "Condition",
        Source::Event => "Event",
        Source::Unspecified => "",
    };
    let links: Vec<Value> = reply
        .links
        .iter()
        .map(|link| {
            json!({"kind": link.kind, "name": link.name, "depth": link.depth, "source": source(link),
                "reason": link.reason, "message": link.message, "advice": link.advice,
                "condition": link.condition, "conditionStatus": link.condition_status, "since": link.since})
        })
        .collect();
    json!({"links": links, "stale": reply.stale})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_from_the_nearest_to_what_the_object_rests_on() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a moment");
        let about = |kind: &str, name: &str, depth, source: Source| WhyLink {
            kind: kind.into(),
            name: name.into(),
            depth,
            source: source.into(),
            ..WhyLink::default()
        };
        let links = [
            WhyLink {
                reason: "NoHostFits".into(),
                message: "an1: is not online; an2: needs 20 GiB".into(),
                advice: "Remove the obstacle.".into(),
                ..about("VirtualMachine", "web", 0, Source::Planner)
            },
            WhyLink {
                reason: "NoHostFits".into(),
                condition: "Scheduled".into(),
                condition_status: "False".into(),
                since: "2026-01-01T11:59:00Z".into(),
                ..about("VirtualMachine", "web", 0, Source::Condition)
            },
            WhyLink {
                reason: "Placed".into(),
                message: "it was the best".into(),
                since: "2026-01-01T11:58:00Z".into(),
                ..about("VirtualMachine", "web", 0, Source::Event)
            },
            WhyLink {
                reason: "Fenced".into(),
                message: "incarnation 1 is confirmed off".into(),
                ..about("Node", "an1", 1, Source::Planner)
            },
        ];
        assert_eq!(
            text("virtualmachine/web", &links, now, false),
            "virtualmachine/web\n  \
             now        NoHostFits:\n               an1: is not online\n               an2: needs 20 GiB\n             \
             next: Remove the obstacle.\n  \
             condition  Scheduled no for 60s, NoHostFits\n  \
             event      2m ago, Placed: it was the best\n  \
             rests on node/an1\n    \
             now        Fenced: incarnation 1 is confirmed off\n"
        );
    }
}
