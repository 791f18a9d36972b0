//! `quorate plan --fail` and `--drain` foretell what the cluster then does.

mod support;

use std::{path::Path, process::Command, sync::Mutex};

use quorate_sim::{many::each, predict::Comparison};

/// A cluster by its seed, or by what people want of three hosts, and what happens to one of the hosts.
type Case = (u64, Option<&'static str>, &'static str, &'static str);

const CASES: [Case; 25] = [
    (1, None, "--fail", "an1"),
    (1, None, "--fail", "an2"),
    (1, None, "--drain", "an1"),
    (2, None, "--fail", "an1"),
    (2, None, "--fail", "an3"),
    (2, None, "--drain", "an2"),
    (3, None, "--fail", "an1"),
    (3, None, "--drain", "an2"),
    (5, None, "--fail", "an2"),
    (6, None, "--drain", "an1"),
    (11, Some("domains"), "--fail", "an1"),
    (11, Some("domains"), "--fail", "an3"),
    (11, Some("domains"), "--drain", "an3"),
    (12, Some("company"), "--fail", "an1"),
    (12, Some("company"), "--fail", "an2"),
    (12, Some("company"), "--drain", "an1"),
    (13, Some("dependent"), "--fail", "an1"),
    (13, Some("dependent"), "--drain", "an2"),
    // Seeds in which the volumes do not all lie on the two hosts whose pools were there first: then each guest has a host.
    (15, Some("no-reserve"), "--fail", "an1"),
    (16, Some("no-reserve"), "--drain", "an2"),
    (15, Some("left-down"), "--fail", "an1"),
    (15, Some("left-down"), "--fail", "an2"),
    (16, Some("priorities"), "--fail", "an1"),
    (16, Some("priorities"), "--drain", "an2"),
    (17, Some("cold-moves"), "--drain", "an1"),
];

fn compare((seed, scene, what, host): Case) -> Result<Comparison, String> {
    let mut command = Command::new(support::program());
    command.args(["predict", "--seed", &seed.to_string(), what, host]);
    if let Some(scene) = scene {
        let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
        let guests = if scene == "priorities" { "6" } else { "3" };
        command.args(["--hosts", "3", "--members", "3", "--guests", guests]);
        command.arg("--besides");
        command.arg(scenes.join(format!("{scene}.yaml")));
    }
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().last().unwrap_or_default();
    serde_json::from_str(line).map_err(|error| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{error}: {said} {errors}")
    })
}

#[test]
fn a_forecast_says_exactly_what_becomes_of_the_cluster() {
    if !support::is_optimised() {
        return;
    }
    let wrong = Mutex::new(Vec::new());
    each(&CASES, 2, |case| {
        let complaint = match compare(*case) {
            Ok(compared) if compared.foretold == compared.done => return,
            Ok(compared) => format!("{case:?}: {compared:#?}"),
            Err(error) => format!("{case:?}: {error}"),
        };
        wrong.lock().expect("nobody panics").push(complaint);
    });
    let wrong = wrong.into_inner().expect("nobody panics");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
