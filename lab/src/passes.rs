//! Which stories of a long run have passed and which have failed, kept until all are told: a run that was broken off goes on there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::key;
use crate::error::{LabError, OnFile};

/// The verdicts so far, of one build: what another one has passed counts nothing.
#[derive(Debug)]
pub struct Passes {
    file: PathBuf,
    build: String,
    verdicts: BTreeSet<String>,
}

impl Passes {
    /// The verdicts of these programs and packages that are in the file.
    pub fn load(file: &Path, build: &[PathBuf]) -> Result<Passes, LabError> {
        let contents = build.iter().map(|path| fs::read(path).on("read", path));
        let contents = contents.collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let build = format!("build {}", key(&parts));
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.on("read", file)?,
        };
        let mut lines = text.lines();
        let same = lines.next() == Some(build.as_str());
        Ok(Passes {
            file: file.to_owned(),
            build,
            verdicts: lines.filter(|_| same).map(str::to_owned).collect(),
        })
    }

    /// How many verdicts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.verdicts.len()
    }

    /// Whether this story has passed in this round.
    #[must_use]
    pub fn has(&self, story: &str, round: u32) -> bool {
        self.verdicts.contains(&format!("{round} passed {story}"))
    }

    /// The failures, each with its round. That the same build has passed later does not undo them.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let split = |verdict: &String| {
            let (round, story) = verdict.split_once(" failed ")?;
            Some(format!("{story} (round {round})"))
        };
        self.verdicts.iter().filter_map(split).collect()
    }

    /// A story has passed or failed in this round; that is in the file when this returns.
    pub fn add(&mut self, story: &str, round: u32, passed: bool) -> Result<(), LabError> {
        let verdict = if passed { "passed" } else { "failed" };
        self.verdicts.insert(format!("{round} {verdict} {story}"));
        if let Some(directory) = self.file.parent() {
            fs::create_dir_all(directory).on("create", directory)?;
        }
        let lines = std::iter::once(&self.build).chain(&self.verdicts);
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        fs::write(&self.file, text).on("write", &self.file)
    }

    /// The run is whole: the next begins anew.
    pub fn forget(self) -> Result<(), LabError> {
        match fs::remove_file(&self.file) {
            // Nothing was due.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.on("remove", &self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_last_over_runs_of_one_build_and_no_longer() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, program) = (
            directory.path().join("state/passes"),
            directory.path().join("program"),
        );
        fs::write(&program, "first").expect("built");
        let load = || Passes::load(&file, std::slice::from_ref(&program)).expect("loaded");

        let mut passes = load();
        passes.add("a_story", 1, true).expect("kept");
        passes.add("another", 1, false).expect("kept");
        let mut passes = load();
        assert!(passes.has("a_story", 1) && !passes.has("a_story", 2));
        assert!(!passes.has("another", 1), "it is told again");
        passes.add("another", 1, true).expect("kept");
        assert_eq!(
            load().failures(),
            ["another (round 1)"],
            "it has failed once"
        );

        fs::write(&program, "second").expect("built");
        assert_eq!(load().count(), 0);
        fs::write(&program, "first").expect("built");
        load().forget().expect("whole");
        assert_eq!(load().count(), 0);
        load().forget().expect("nothing to forget");
    }
}
