//! Scripts of commands and faults with what then happens, and the rules as properties.

mod world;

use proptest::prelude::*;
use quorate_planner::Reason;
use std::collections::BTreeMap;
use std::path::Path;
use world::World;

/// `UPDATE_GENERATED=1` writes the transcripts anew.
#[test]
fn every_script_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).expect("the scripts") {
        let path = entry.expect("a script").path();
        let script = std::fs::read_to_string(&path).expect("text");
        let mut world = World::new();
        let mut played = String::new();
        for line in script
            .lines()
            .filter(|line| line.is_empty() || line.starts_with(['#', '>']))
        {
            played.push_str(&format!("{line}\n"));
            if let Some(command) = line.strip_prefix('>') {
                world.command(command);
            }
            for said in world.transcript.drain(..) {
                played.push_str(&format!("{said}\n"));
            }
        }
        same_or_written(&path, &script, &played);
        scripts += 1;
    }
    assert!(scripts > 0, "no script was found");
}

#[test]
fn the_book_lists_every_reason_with_what_to_do() {
    let mut page = String::from(
        "# Reasons\n\nEvery reason that the planner gives, what it means and what to do about \
         it.\n\n| reason | what it means | what to do |\n|---|---|---|\n",
    );
    for reason in Reason::ALL {
        page.push_str(&format!(
            "| `{reason}` | {} | {} |\n",
            reason.meaning(),
            reason.advice()
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    same_or_written(&path, &written, &page);
}

fn same_or_written(path: &Path, written: &str, now: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path, now).expect("written");
    } else {
        assert_eq!(
            written,
            now,
            "{}: run with UPDATE_GENERATED=1",
            path.display()
        );
    }
}

fn commands() -> impl Strategy<Value = Vec<String>> {
    let host = (1..4).prop_map(|host| format!("h{host}"));
    let guest = (1..5).prop_map(|guest| format!("g{guest}"));
    let state = prop_oneof![Just("Running"), Just("Stopped")];
    let command = prop_oneof![
        4 => (1..8).prop_map(|seconds| format!("run {seconds}s")),
        1 => host.clone().prop_map(|host| format!("silent {host}")),
        1 => host.clone().prop_map(|host| format!("break-fence {host}")),
        1 => host.clone().prop_map(|host| format!("repair-fence {host}")),
        1 => host.clone().prop_map(|host| format!("slow {host}")),
        2 => host.clone().prop_map(|host| format!("quick {host}")),
        2 => host.prop_map(|host| format!("rejoin {host}")),
        2 => guest.clone().prop_map(|guest| format!("crash {guest}")),
        1 => (guest, state)
            .prop_map(|(guest, state)| format!("set VirtualMachine {guest} /spec/desiredState {state}")),
    ];
    prop::collection::vec(command, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_runs_twice_whatever_happens(commands in commands()) {
        let mut world = World::new();
        for line in [
            "host h1 16Gi", "host h2 16Gi", "host h3 16Gi", "pool fast 100Gi h1 h2 h3",
            "volume v1 10Gi", "volume v2 10Gi",
            "guest g1 2Gi volume=v1 priority=200", "guest g2 2Gi volume=v2",
            "guest g3 2Gi after=g1", "guest g4 2Gi",
        ] {
            world.command(line);
        }
        let mut epochs = BTreeMap::new();
        for command in commands {
            let steps = match command.strip_prefix("run ") {
                Some(seconds) => {
                    let seconds: usize = seconds.trim_end_matches('s').parse().expect("seconds");
                    vec!["run 1s".to_owned(); seconds]
                }
                None => vec![command],
            };
            for step in steps {
                world.command(&step);
                world.truth.check();
                prop_assert_eq!(world.decisions(), world.decisions());
                for (object, epoch) in world.epochs() {
                    let before = epochs.insert(object, epoch).unwrap_or(0);
                    prop_assert!(epoch >= before, "an epoch went back");
                }
                for ((kind, _), object) in world.objects() {
                    if kind == "Volume" && object["status"]["minor"].is_u64() {
                        let members = object["status"]["inSync"].as_array().map_or(0, Vec::len);
                        prop_assert!(members > 0, "nobody holds the data");
                    }
                }
            }
        }
    }
}
