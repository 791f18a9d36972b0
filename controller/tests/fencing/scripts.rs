//! Stories as text: lines that begin with `>` are what is there, what breaks and what is wanted; below each stands what is
//! then asked of devices, told to people and stored, with the tenth of a second at which it happens.
//! `UPDATE_GENERATED=1` writes the transcripts anew, to be read before they are committed.

use std::{fs, path::Path, time::Duration};

use crate::world::{Mood, World};

const STEP: Duration = Duration::from_millis(100);

#[test]
fn every_script_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fencing/scripts");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("the scripts")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no script was found");
    for path in paths {
        println!("{}", path.display());
        let written = fs::read_to_string(&path).expect("text");
        let mut script = Script::new();
        for line in written.lines() {
            if line.is_empty() || line.starts_with(['#', '>']) {
                script.say(line.to_owned());
            }
            if let Some(command) = line.strip_prefix("> ") {
                script.command(command);
            }
        }
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, script.played).expect("written");
        } else {
            let name = path.display();
            assert_eq!(
                written, script.played,
                "{name}: run with UPDATE_GENERATED=1"
            );
        }
    }
}

struct Script {
    world: World,
    operation: String,
    /// How much of what was asked is told.
    shown: usize,
    played: String,
}

impl Script {
    fn new() -> Self {
        Self {
            world: World::new(),
            operation: String::new(),
            shown: 0,
            played: String::new(),
        }
    }

    fn say(&mut self, line: String) {
        self.played.push_str(&line);
        self.played.push('\n');
    }

    fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["device", device] => self.world.device(device),
            ["host", host, ref levels @ ..] => {
                let levels: Vec<(&str, Vec<&str>)> = levels
                    .iter()
                    .map(|level| {
                        let (name, devices) = level.split_once('=').expect("level=devices");
                        (name, devices.split(',').collect())
                    })
                    .collect();
                let levels: Vec<(&str, &[&str])> = levels
                    .iter()
                    .map(|(name, devices)| (*name, &devices[..]))
                    .collect();
                self.world.host(host, &levels);
            }
            [device, "works"] => self.world.mood(device, Mood::Works),
            [device, "is", "silent"] => self.world.mood(device, Mood::Silent),
            [device, "does", "nothing"] => self.world.mood(device, Mood::Stuck),
            ["fence", host] => self.operation = self.world.fence(host),
            ["elect", member] => self.world.elect(member),
            ["run", time] => {
                let seconds = time.trim_end_matches('s').parse().expect("seconds");
                self.run(Duration::from_secs(seconds));
            }
            ["show"] => self.show(),
            _ => panic!("no such command: {command}"),
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.world.elapsed() + time;
        while self.world.elapsed() < until {
            self.world.pass(STEP);
            let mut lines = Vec::new();
            for asked in &self.world.asked[self.shown..] {
                lines.push(format!("{} asks: {}", asked.member, asked.shown()));
            }
            self.shown = self.world.asked.len();
            for (reason, note) in std::mem::take(&mut self.world.told) {
                lines.push(format!("{reason}: {note}"));
            }
            for (_, operation, phase) in std::mem::take(&mut self.world.phases) {
                lines.push(format!("{operation} {phase:?}"));
            }
            let at = self.world.elapsed().as_secs_f64();
            for line in lines {
                self.say(format!("{at:>6.1}s {line}"));
            }
        }
        assert_eq!(self.world.violations, Vec::<String>::new());
    }

    /// How the operation stands.
    fn show(&mut self) {
        let status = self.world.status(&self.operation);
        let evidence = status.evidence.as_ref().map_or_else(
            || "no evidence".to_owned(),
            |evidence| {
                let level = evidence.level.as_deref().unwrap_or("-");
                format!("evidence {:?} of level {level}", evidence.kind)
            },
        );
        let phase = status.phase.map(|phase| format!("{phase:?}"));
        self.say(format!("        {}: {evidence}", phase.unwrap_or_default()));
        for result in &status.results {
            let power = result.power.map(|power| format!("{power:?}"));
            let words = [power, result.message.clone()];
            let words: Vec<String> = words.into_iter().flatten().collect();
            self.say(format!("        {}: {}", result.device, words.join(": ")));
        }
        let blocked = self
            .world
            .condition("fenceoperations", &self.operation, "Blocked");
        if let Some((status, reason, message)) = blocked {
            self.say(format!("        Blocked={status} {reason}: {message}"));
        }
    }
}
