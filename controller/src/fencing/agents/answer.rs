//! What an agent's exit code and words mean.
//!
//! By the agents' convention `status` ends with 0 for on and 2 for off, but 2 is also how a shell, Python and several
//! agents say that they were called wrongly. Because "off" is what recovery rests on, it is believed only when the agent
//! also says so in words, as every agent of the package does: `Status: OFF`.

use super::request::{Action, AgentFailure, AgentReport, Power};

const ON: i32 = 0;
const OFF: i32 = 2;
/// What is shown of an agent's complaints.
const SHOWN: usize = 400;

/// What an agent has left behind.
pub(super) struct Ended {
    /// None when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) output: String,
    pub(super) complaints: String,
}

pub(super) fn interpret(action: Action, ended: &Ended) -> AgentReport {
    let says_off = ended
        .output
        .lines()
        .any(|line| line.trim().eq_ignore_ascii_case("Status: OFF"));
    match (action, ended.code) {
        (Action::Status, Some(OFF)) if says_off => Ok(Power::Off),
        (Action::Status, Some(OFF)) => Err(AgentFailure::Failed(format!(
            "it ended with code 2, which means off, but did not say \"Status: OFF\": {}",
            complaint(ended)
        ))),
        (Action::Status, Some(ON)) if says_off => Err(AgentFailure::Failed(
            "it said \"Status: OFF\" but ended with code 0, which means on".to_owned(),
        )),
        (Action::Status, Some(ON)) => Ok(Power::On),
        // `monitor` of some agents is `status`.
        (Action::Monitor, Some(OFF)) if says_off => Ok(Power::Unknown),
        (_, Some(0)) => Ok(Power::Unknown),
        (_, Some(code)) => Err(AgentFailure::Failed(format!(
            "{}: {}",
            meaning(code),
            complaint(ended)
        ))),
        (_, None) => Err(AgentFailure::Failed(format!(
            "it was killed by somebody else: {}",
            complaint(ended)
        ))),
    }
}

fn meaning(code: i32) -> String {
    let known = match code {
        2 => "wrong arguments",
        3 => "login denied",
        4 => "connection lost",
        5 => "the device did not answer in time",
        6 => "it did not come on in time",
        7 => "it did not go off in time",
        8 | 9 => "the state was not to be had",
        10 => "no password given",
        11 => "not enough privileges",
        12 => "the machine was not found",
        _ => return format!("failed with code {code}"),
    };
    format!("{known} (code {code})")
}

/// The last lines that say something, without Python's own noise.
fn complaint(ended: &Ended) -> String {
    let lines: Vec<&str> = [&ended.complaints, &ended.output]
        .into_iter()
        .flat_map(|text| text.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains("DeprecationWarning"))
        .filter(|line| !line.starts_with("from pipes import"))
        .collect();
    let mut last = lines[lines.len().saturating_sub(3)..].join("; ");
    last.retain(|letter| !letter.is_control());
    if last.is_empty() {
        return "it said nothing".to_owned();
    }
    if let Some((end, _)) = last.char_indices().nth(SHOWN) {
        last.truncate(end);
        last.push('…');
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, output: &str, complaints: &str) -> Ended {
        Ended {
            code: Some(code),
            output: output.into(),
            complaints: complaints.into(),
        }
    }

    #[test]
    fn off_is_believed_only_when_code_and_words_agree() {
        let status = |code, output| interpret(Action::Status, &ended(code, output, ""));
        assert_eq!(status(2, "Status: OFF\n"), Ok(Power::Off));
        assert_eq!(status(0, "Status: ON\n"), Ok(Power::On));
        status(2, "usage: fence_x [options]").expect_err("called wrongly");
        status(0, "Status: OFF").expect_err("contradicts itself");
        status(1, "Status: OFF").expect_err("failed");
    }

    #[test]
    fn that_an_agent_switched_says_nothing_about_power() {
        assert_eq!(
            interpret(Action::Off, &ended(0, "Success: Powered OFF", "")),
            Ok(Power::Unknown)
        );
    }

    #[test]
    fn a_failure_shows_the_last_words_and_not_pythons() {
        let report = interpret(
            Action::Off,
            &ended(
                3,
                "",
                "x.py:5: DeprecationWarning: 'pipes'\n  from pipes import quote\n2026 ERROR: Unable to connect\n\n",
            ),
        );
        assert_eq!(
            report,
            Err(AgentFailure::Failed(
                "login denied (code 3): 2026 ERROR: Unable to connect".into()
            ))
        );
    }

    #[test]
    fn long_complaints_are_cut_between_letters() {
        let report = interpret(Action::Off, &ended(1, "", &"é".repeat(100_000)));
        let text = report.expect_err("failed").to_string();
        assert!(text.chars().count() < 450, "{}", text.len());
    }
}
