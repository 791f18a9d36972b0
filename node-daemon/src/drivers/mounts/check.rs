//! Checks of a GFS2 that nobody has mounted.
//!
//! What a check is for, and what came of it, is noted in /run: it is made once, whoever asks how often. The program may outlive a
//! daemon that is killed. The next one waits until it has ended, and has all of it checked anew: a check can be repeated, and what
//! the first one found is in the journal.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;

use futures_util::StreamExt;
use quorate_crds::{CheckResult, Name};
use serde::{Deserialize, Serialize};

use super::{LOOK, Mounts, kept, make, number};
use crate::drivers::command::{Command, CommandError};
use crate::drivers::{CheckSeen, CheckTarget, DriverError, Trouble};

const PROGRAM: &str = "fsck.gfs2";
/// Of what the program says, so many lines are told to the cluster. All of them are in the host's journal.
const LINES: usize = 5;
/// What it says of a file that was deleted while a host that was lost had it open. That is no damage: GFS2 frees its space by itself,
/// when it looks for space there. A check that writes nothing ends like one that has found damage.
const LEFT_OVER: [&str; 2] = ["Found unlinked inode at ", "Unlinked inode left unlinked"];
const LONGEST: usize = 1000;

/// One check.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted {
    number: u64,
    device: String,
    result: Option<CheckResult>,
    message: Option<String>,
}

/// What the program has said.
#[derive(Default)]
struct Said {
    last: VecDeque<String>,
    /// Files that are deleted and not freed.
    unlinked: usize,
    /// Anything else.
    more: bool,
}

impl Said {
    fn hear(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        self.unlinked += usize::from(line.starts_with(LEFT_OVER[0]));
        self.more |= !LEFT_OVER.iter().any(|known| line.starts_with(known));
        self.last.push_back(line.to_owned());
        if self.last.len() > LINES {
            self.last.pop_front();
        }
    }

    fn last(&self) -> String {
        Vec::from(self.last.clone()).join("; ")
    }

    fn only_left_over(&self) -> bool {
        self.unlinked > 0 && !self.more
    }

    fn left_over(&self) -> Option<String> {
        let files = self.unlinked;
        let words = "deleted while a host that was lost had them open: GFS2 frees them when it needs their space, a repair frees them at once";
        (files > 0).then(|| format!("files that were {words} ({files})"))
    }
}

/// By filesystem.
type Checks = BTreeMap<Name, Noted>;

impl Mounts {
    pub(super) fn checks_seen(&self) -> Vec<CheckSeen> {
        let checks: Checks = kept::read(&self.kept_checks());
        let seen = checks.into_iter().map(|(owner, noted)| CheckSeen {
            runs: noted.result.is_none() && self.is_at_work(&noted.device),
            owner,
            number: noted.number,
            result: noted.result,
            message: noted.message,
        });
        seen.collect()
    }

    pub(super) async fn check(&self, target: &CheckTarget) -> Result<(), DriverError> {
        if target.filesystem != "gfs2" {
            return Err(make::not_supported(&target.filesystem));
        }
        let device = target.device.0.as_str();
        let checks: Checks = kept::read(&self.kept_checks());
        let noted = checks.get(&target.owner);
        if noted.is_some_and(|noted| noted.number == target.number && noted.result.is_some()) {
            return Ok(());
        }
        while self.is_at_work(device) {
            tokio::time::sleep(LOOK).await;
        }
        self.refuse_mounted(device)?;
        let noted = Noted {
            number: target.number,
            device: device.to_owned(),
            result: None,
            message: None,
        };
        self.note_check(&target.owner, Some(noted.clone()))?;
        let (ended, said) = self.follow(target).await;
        let result = match ended {
            // Nothing was done.
            CommandError::Missing { .. } | CommandError::NotStarted { .. } => {
                self.note_check(&target.owner, None)?;
                return Err(ended.of_an_act(PROGRAM));
            }
            CommandError::Ended { code: 4, .. } if said.only_left_over() => CheckResult::Clean,
            CommandError::Ended { code, .. } => result(code),
            _ => CheckResult::Broken,
        };
        let words = said.last();
        let message = match (&ended, words.is_empty()) {
            (CommandError::Ended { .. }, _) if result == CheckResult::Clean => said.left_over(),
            (CommandError::Ended { .. }, false) => Some(words),
            _ => Some(format!("{PROGRAM}: {ended}; {words}")),
        };
        let message = message.map(|text| text.chars().take(LONGEST).collect());
        tracing::info!(filesystem = %target.owner, ?result, "the filesystem was checked");
        self.note_check(
            &target.owner,
            Some(Noted {
                result: Some(result),
                message,
                ..noted
            }),
        )
    }

    /// The program locks out only mounts of this host. That others have it mounted nowhere is the plan's affair.
    fn refuse_mounted(&self, device: &str) -> Result<(), DriverError> {
        let own = number(device.as_ref());
        let mut lines = self.lines()?.into_iter();
        let same = lines.find(|line| line.source == device || own.as_ref() == Some(&line.device));
        match same {
            None => Ok(()),
            Some(line) => Err(DriverError::lasting(
                Trouble::InUse,
                format!("{device} is mounted at {}: unmount it first", line.point),
            )),
        }
    }

    /// Its end, and what it said. It may be silent for hours.
    async fn follow(&self, target: &CheckTarget) -> (CommandError, Said) {
        let how = if target.repair { "-y" } else { "-n" };
        // Without words about its progress, which are one line without end.
        let command = Command::new(PROGRAM, ["-q", how, &target.device.0]).errors_are_lines();
        let mut lines = self.run.follow(command);
        let mut said = Said::default();
        while let Some(line) = lines.next().await {
            let line = match line {
                Ok(line) => line,
                Err(ended) => return (ended, said),
            };
            tracing::info!(filesystem = %target.owner, "{PROGRAM}: {line}");
            said.hear(line.trim());
        }
        let lost = std::io::Error::other("it has ended without a word");
        (CommandError::Lost(lost), said)
    }

    /// Whether the program works on that device, for whomever.
    fn is_at_work(&self, device: &str) -> bool {
        let processes = fs::read_dir(&self.places.proc).into_iter().flatten();
        let mut commands =
            processes.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
        commands.any(|command| {
            let mut words = command.split(|byte| *byte == 0);
            let program = words.next().unwrap_or_default();
            program.ends_with(PROGRAM.as_bytes()) && words.any(|word| word == device.as_bytes())
        })
    }

    fn kept_checks(&self) -> PathBuf {
        self.places.kept.with_file_name("checks.json")
    }

    fn note_check(&self, owner: &Name, noted: Option<Noted>) -> Result<(), DriverError> {
        self.keep(&self.kept_checks(), |checks: &mut Checks| match noted {
            Some(noted) => _ = checks.insert(owner.clone(), noted),
            None => _ = checks.remove(owner),
        })
    }
}

/// As the program's exit code says.
fn result(code: i32) -> CheckResult {
    match code {
        0 => CheckResult::Clean,
        1 | 2 => CheckResult::Repaired,
        4 => CheckResult::Damaged,
        _ => CheckResult::Broken,
    }
}
