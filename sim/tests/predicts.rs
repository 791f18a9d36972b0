//! `quorate plan --fail` and `--drain` foretell what the cluster then does.

mod support;

use std::process::Command;

use quorate_sim::predict::Comparison;

fn compare(seed: u64, what: &str, host: &str) -> Comparison {
    let output = Command::new(support::program())
        .args(["predict", "--seed", &seed.to_string(), what, host])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("seed {seed} {what} {host}: {error}: {said} {errors}")
    })
}

#[test]
fn a_forecast_says_exactly_what_becomes_of_the_guests() {
    if !support::is_optimised() {
        return;
    }
    let mut wrong = Vec::new();
    for (seed, what, host) in [
        (1, "--fail", "an1"),
        (1, "--fail", "an2"),
        (1, "--drain", "an1"),
        (2, "--fail", "an1"),
        (2, "--fail", "an3"),
        (2, "--drain", "an2"),
        (3, "--fail", "an1"),
        (3, "--drain", "an2"),
        (5, "--fail", "an2"),
        (6, "--drain", "an1"),
    ] {
        let compared = compare(seed, what, host);
        if compared.foretold != compared.done {
            wrong.push(format!("seed {seed} {what} {host}: {compared:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
