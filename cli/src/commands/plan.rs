//! `quorate plan`: what would happen if.

use quorate_proto::api::v1::{
    ChangeOptions, ForecastLeft, ForecastReply, ForecastRequest, Manifests,
    forecast_request::Supposition,
};
use serde_json::{Value, json};

use crate::{
    client::{FIELD_MANAGER, Retry, consistency, planning},
    console::{Tone, paint},
    error::CliError,
    manifests::Files,
    output::{
        age,
        format::Format,
        objects::whole,
        table::{Cell, table},
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  quorate plan --fail an-a01n01                  # what a loss of this host would do\n  \
                  quorate plan --fail an-a01n01 --fencing-fails  # and if it could not be fenced\n  \
                  quorate plan --drain an-a01n02 --diff          # where everything would go\n  \
                  quorate plan -f web.yaml                       # before applying it\n  \
                  quorate plan --diff                            # what is under way now\n\n\
                  The cluster's own planner answers, run on a copy of the state; nothing is changed. The exit code is 1 \
                  when something that is wanted would not run at the end and does now, or is new."
)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// This host loses power and all networks
    #[arg(long, value_name = "NODE", conflicts_with_all = ["files", "drain"])]
    fail: Option<String>,
    /// This host is drained
    #[arg(long, value_name = "NODE", conflicts_with = "files")]
    drain: Option<String>,
    /// No fence device works either
    #[arg(long, requires = "fail")]
    fencing_fails: bool,
    /// Show also what would be different at the end; alone: what is under way now
    #[arg(long)]
    diff: bool,
    /// Ask only the member that answers; works without quorum, and may be out of date
    #[arg(long)]
    local: bool,
    /// The name under which fields are owned
    #[arg(long, value_name = "NAME", default_value = FIELD_MANAGER)]
    field_manager: String,
    /// Take fields over that belong to other field managers
    #[arg(long)]
    force_conflicts: bool,
    /// table, yaml, json or jsonpath=TEMPLATE
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true
    )]
    output: Format,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let (title, supposition) = supposition(&args)?;
    let request = ForecastRequest {
        supposition,
        fencing_fails: args.fencing_fails,
        consistency: consistency(args.local).into(),
    };
    let client = session.client().await?;
    let reply = client
        .call(Retry::Safe, |channel| {
            let request = client.request(request.clone());
            async move { planning(channel).forecast(request).await }
        })
        .await?;
    if reply.stale {
        session.console.warn_of_one_member();
    }
    match &args.output {
        Format::Table | Format::Wide => {
            let color = session.console.color();
            session
                .console
                .print(&text(&title, &reply, args.diff, color))?;
        }
        format => session.console.print(&whole(&to_json(&reply), format))?,
    }
    if reply.quorum_lost || reply.down.iter().any(|left| !left.already) {
        return Err(CliError::No);
    }
    Ok(())
}

fn supposition(args: &Args) -> Result<(String, Option<Supposition>), CliError> {
    if let Some(node) = &args.fail {
        let fencing = if args.fencing_fails {
            " and cannot be fenced"
        } else {
            ""
        };
        return Ok((
            format!("If {node} is lost{fencing}:"),
            Some(Supposition::FailNode(node.clone())),
        ));
    }
    if let Some(node) = &args.drain {
        return Ok((
            format!("If {node} is drained:"),
            Some(Supposition::DrainNode(node.clone())),
        ));
    }
    if !args.files.files.is_empty() {
        let manifests = args.files.read()?;
        let bytes = manifests
            .iter()
            .map(|manifest| manifest.object.to_string().into())
            .collect();
        let supposed = Supposition::Apply(Manifests {
            manifests: bytes,
            options: Some(ChangeOptions {
                field_manager: args.field_manager.clone(),
                dry_run: true,
                force: args.force_conflicts,
            }),
        });
        let what = match manifests.as_slice() {
            [one] => one.label(),
            several => format!("{} objects", several.len()),
        };
        return Ok((format!("If {what} were applied:"), Some(supposed)));
    }
    if args.diff {
        return Ok(("Under way now:".to_owned(), None));
    }
    Err(CliError::usage(
        "say what to suppose: -f FILE, --fail NODE or --drain NODE; --diff alone shows what is under way now",
    ))
}

fn text(title: &str, reply: &ForecastReply, diff: bool, color: bool) -> String {
    let mut out = format!("{}\n\n", paint(color, Tone::Bold, title));
    if reply.steps.is_empty() {
        out.push_str("  nothing happens\n");
    } else {
        let rows: Vec<Vec<Cell>> = reply
            .steps
            .iter()
            .map(|step| {
                vec![
                    after(step.at_ms).into(),
                    reference(&step.kind, &step.name).into(),
                    step.reason.as_str().into(),
                    step.message.as_str().into(),
                ]
            })
            .collect();
        out.push_str(&table(&["AT", "WHAT", "STEP", "WHY"], &rows, color));
    }
    if !reply.quorum.is_empty() {
        let tone = if reply.quorum_lost {
            Tone::Bad
        } else {
            Tone::Plain
        };
        out.push_str(&format!("\n{}\n", paint(color, tone, &reply.quorum)));
    }
    let (before, new): (Vec<_>, Vec<_>) = reply.down.iter().partition(|left| left.already);
    push_left(&mut out, "Would not run", &new, Tone::Bad, color);
    push_left(
        &mut out,
        "Does not run now, and would not then",
        &before,
        Tone::Warn,
        color,
    );
    let new: Vec<_> = reply.degraded.iter().filter(|left| !left.already).collect();
    push_left(&mut out, "Would need attention", &new, Tone::Warn, color);
    push_outages(&mut out, reply, color);
    if diff {
        push_changes(&mut out, reply, color);
    }
    out.push_str(&format!("\n{}\n", summary(reply, color)));
    for assumption in &reply.assumptions {
        out.push_str(&paint(color, Tone::Dim, &format!("Assumed: {assumption}.")));
        out.push('\n');
    }
    out
}

fn push_left(out: &mut String, title: &str, left: &[&ForecastLeft], tone: Tone, color: bool) {
    if left.is_empty() {
        return;
    }
    out.push_str(&format!("\n{}\n", paint(color, tone, &format!("{title}:"))));
    for left in left {
        out.push_str(&format!(
            "  {}  {}\n",
            reference(&left.kind, &left.name),
            left.reason
        ));
        // One obstacle for each host: a line each.
        for line in left.message.split("; ").filter(|line| !line.is_empty()) {
            out.push_str(&format!("      {line}\n"));
        }
    }
}

fn push_outages(out: &mut String, reply: &ForecastReply, color: bool) {
    if reply.outages.is_empty() {
        return;
    }
    let rows: Vec<Vec<Cell>> = reply
        .outages
        .iter()
        .map(|outage| {
            let until = outage.until_ms.map(after);
            let lasts = outage
                .until_ms
                .map(|until| after(until.saturating_sub(outage.from_ms)));
            vec![
                outage.guest.as_str().into(),
                after(outage.from_ms).into(),
                until.map_or_else(|| Cell::toned("does not come back", Tone::Bad), Cell::from),
                lasts.unwrap_or_default().into(),
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(&table(
        &["DOWN MEANWHILE", "FROM", "UNTIL", "LASTS"],
        &rows,
        color,
    ));
}

fn push_changes(out: &mut String, reply: &ForecastReply, color: bool) {
    let shown = |value: &str| {
        if value.is_empty() {
            age::NONE.to_owned()
        } else {
            value.to_owned()
        }
    };
    let rows: Vec<Vec<Cell>> = reply
        .changes
        .iter()
        .map(|change| {
            vec![
                reference(&change.kind, &change.name).into(),
                change.field.as_str().into(),
                Cell::toned(shown(&change.before), Tone::Bad),
                Cell::toned(shown(&change.after), Tone::Good),
            ]
        })
        .collect();
    out.push('\n');
    if rows.is_empty() {
        out.push_str("Nothing would be different at the end.\n");
    } else {
        out.push_str(&table(
            &["DIFFERENT AT THE END", "FIELD", "NOW", "THEN"],
            &rows,
            color,
        ));
    }
}

fn summary(reply: &ForecastReply, color: bool) -> String {
    let new = reply.down.iter().filter(|left| !left.already).count();
    let (tone, text) = match (reply.quorum_lost, reply.settled, new) {
        (true, _, _) => (
            Tone::Bad,
            "without a quorum none of this happens until there is one again".to_owned(),
        ),
        (_, false, _) => (
            Tone::Warn,
            "it does not come to rest within the time that is looked ahead".to_owned(),
        ),
        (_, _, 0) => (
            Tone::Good,
            format!(
                "everything that runs now runs at the end; it takes {}",
                after(reply.took_ms)
            ),
        ),
        (_, _, 1) => (Tone::Bad, "one guest would not run at the end".to_owned()),
        (_, _, several) => (
            Tone::Bad,
            format!("{several} guests would not run at the end"),
        ),
    };
    paint(color, tone, &text)
}

fn reference(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_lowercase())
}

/// `0s`, `2.5s`, `4m10s`.
fn after(millis: u64) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if rest == 0 || seconds >= 120 {
        age::short(seconds.try_into().unwrap_or(i64::MAX))
    } else {
        format!("{seconds}.{}s", rest / 100)
    }
}

fn to_json(reply: &ForecastReply) -> Value {
    let left = |left: &ForecastLeft| {
        json!({"kind": left.kind, "name": left.name, "reason": left.reason,
            "message": left.message, "already": left.already})
    };
    json!({
        "steps": reply.steps.iter().map(|step| json!({"atMs": step.at_ms, "kind": step.kind,
            "name": step.name, "reason": step.reason, "message": step.message})).collect::<Vec<_>>(),
        "down": reply.down.iter().map(left).collect::<Vec<_>>(),
        "degraded": reply.degraded.iter().map(left).collect::<Vec<_>>(),
        "outages": reply.outages.iter().map(|outage| json!({"guest": outage.guest,
            "fromMs": outage.from_ms, "untilMs": outage.until_ms})).collect::<Vec<_>>(),
        "changes": reply.changes.iter().map(|change| json!({"kind": change.kind, "name": change.name,
            "field": change.field, "before": change.before, "after": change.after})).collect::<Vec<_>>(),
        "tookMs": reply.took_ms,
        "settled": reply.settled,
        "quorum": reply.quorum,
        "quorumLost": reply.quorum_lost,
        "assumptions": reply.assumptions,
        "stale": reply.stale,
    })
}

#[cfg(test)]
mod tests {
    use quorate_proto::api::v1::{ForecastOutage, ForecastStep};

    use super::*;

    fn left(name: &str, message: &str, already: bool) -> ForecastLeft {
        ForecastLeft {
            kind: "VirtualMachine".into(),
            name: name.into(),
            reason: "NoHostFits".into(),
            message: message.into(),
            already,
        }
    }

    #[test]
    fn a_forecast_reads_from_what_happens_to_what_is_left_undone() {
        let reply = ForecastReply {
            steps: vec![ForecastStep {
                at_ms: 2500,
                kind: "Node".into(),
                name: "an1".into(),
                reason: "Suspect".into(),
                message: "it is silent on all rings".into(),
            }],
            down: vec![left(
                "big",
                "an2: needs 20 GiB of memory; an1: is not online",
                false,
            )],
            outages: vec![ForecastOutage {
                guest: "web".into(),
                from_ms: 0,
                until_ms: Some(9000),
            }],
            settled: true,
            ..ForecastReply::default()
        };
        assert_eq!(
            text("If an1 is lost:", &reply, false, false),
            "If an1 is lost:\n\n\
             AT     WHAT       STEP      WHY\n\
             2.5s   node/an1   Suspect   it is silent on all rings\n\n\
             Would not run:\n  virtualmachine/big  NoHostFits\n      an2: needs 20 GiB of memory\n      an1: is not \
             online\n\n\
             DOWN MEANWHILE   FROM   UNTIL   LASTS\n\
             web              0s     9s      9s\n\n\
             one guest would not run at the end\n"
        );
    }

    #[test]
    fn what_did_not_run_before_is_told_apart_and_is_no_failure_of_the_plan() {
        let reply = ForecastReply {
            down: vec![left("old", "an1: is Cordoned", true)],
            settled: true,
            ..ForecastReply::default()
        };
        let text = text("Under way now:", &reply, true, false);
        assert!(text.contains("nothing happens"), "{text}");
        assert!(
            text.contains("Does not run now, and would not then:"),
            "{text}"
        );
        assert!(
            text.contains("everything that runs now runs at the end"),
            "{text}"
        );
        assert!(text.contains("Nothing would be different"), "{text}");
    }
}
