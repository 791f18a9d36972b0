//! What a room leaves behind: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use quorate_lab::cache::Cache;
use quorate_lab::description::Description;
use quorate_lab::request::HostState;
use quorate_lab::{Progress, Room};

use crate::Wish;
use crate::stories::{SOON, Set, links_and_mounts};

/// Everything that a trial starts has this in its environment, wherever it runs.
const MARK: &str = "QUORATE_LAB_TRIAL";

/// How many rooms come and go: fifty, or `LAB_ROOMS`. One in five ends in order, the others are killed.
fn rooms_in_all() -> u64 {
    let few = Wish::from_environment().is_ok_and(|wish| wish.set == Set::Quick);
    match std::env::var("LAB_ROOMS") {
        Ok(text) => text.parse().expect("LAB_ROOMS is a number"),
        Err(_) => {
            if few {
                5
            } else {
                50
            }
        }
    }
}

fn rooms_that_end() -> u64 {
    rooms_in_all().div_ceil(5)
}

fn small(name: &str) -> Description {
    Description {
        data_disks_mib: vec![64, 64],
        ..Description::named(name).hosts(1)
    }
}

fn processes() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").expect("a list of processes");
    let places = entries.flatten().map(|entry| entry.path());
    places.filter(|place| place.join("ns").is_dir()).collect()
}

/// The namespaces of processes; one that ends while it is looked at has none.
fn namespaces<'a>(processes: impl IntoIterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    let kinds = ["net", "mnt", "pid"];
    let links = processes
        .into_iter()
        .flat_map(|process| kinds.map(|kind| fs::read_link(process.join("ns").join(kind))));
    links.flatten().collect()
}

/// Nobody lives in these namespaces any more, and no mount keeps them: what was in them is gone.
fn eventually_deserted(namespaces_of_the_room: &BTreeSet<PathBuf>) {
    let begun = Instant::now();
    loop {
        let inhabited = namespaces(&processes());
        let left: Vec<_> = inhabited.intersection(namespaces_of_the_room).collect();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < SOON, "left behind: {left:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A run of the command with directories of its own, so that all that it leaves is seen.
struct Trial {
    name: String,
    directory: tempfile::TempDir,
    outside: (Vec<String>, String),
}

impl Trial {
    fn begin(name: &str) -> Trial {
        let directory = tempfile::tempdir().expect("a directory");
        for place in ["rooms", "tmp"] {
            fs::create_dir(directory.path().join(place)).expect("made");
        }
        Trial {
            name: format!("{name}-{}", std::process::id()),
            directory,
            outside: links_and_mounts(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where its room is.
    fn place(&self) -> PathBuf {
        self.path("rooms").join("rooms").join(&self.name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-lab"));
        command
            .args(words)
            .env(MARK, &self.name)
            .env("QUORATE_LAB_ROOMS", self.path("rooms"))
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// `quorate-lab up`, for one small host.
    fn up(&self) -> Command {
        let file = self.path("room.yaml");
        let text = format!("name: {}\nhosts: 1\ndataDisksMib: [64, 64]\n", self.name);
        fs::write(&file, text).expect("written");
        self.command(&["up", "--file", &file.to_string_lossy()])
    }

    /// The same, until it says that its room is up.
    fn up_at_last(&self, command: &mut Command) -> Child {
        let mut up = command.stdout(Stdio::piped()).spawn().expect("started");
        let mut said = BufReader::new(up.stdout.take().expect("a pipe")).lines();
        said.find(|line| {
            line.as_ref()
                .is_ok_and(|line| line.contains("was up after"))
        })
        .expect("the room is up, and it says so")
        .expect("text");
        assert!(
            self.processes().len() > 2 && self.namespaces().len() >= 3,
            "the test would see what is left"
        );
        up
    }

    fn processes(&self) -> Vec<PathBuf> {
        let mark = format!("{MARK}={}", self.name).into_bytes();
        let has_mark = |process: &PathBuf| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|found| found == mark)
        };
        processes().into_iter().filter(has_mark).collect()
    }

    /// The namespaces of its processes that are not ours too.
    fn namespaces(&self) -> BTreeSet<PathBuf> {
        let ours = namespaces([&PathBuf::from("/proc/self")]);
        namespaces(&self.processes())
            .difference(&ours)
            .cloned()
            .collect()
    }

    /// What it has started has ended, and has left neither links nor mounts, here or where it was.
    fn assert_ended(&self, namespaces: &BTreeSet<PathBuf>) {
        let begun = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            let commands = left.iter().map(|process| {
                let command = fs::read(process.join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).replace('\0', " ")
            });
            assert!(
                begun.elapsed() < SOON,
                "left behind: {:#?}",
                commands.collect::<Vec<_>>()
            );
            thread::sleep(Duration::from_millis(50));
        }
        eventually_deserted(namespaces);
        assert_eq!(links_and_mounts(), self.outside);
    }

    /// No file of it is left.
    fn assert_clean(&self) {
        assert_eq!(listed(&self.path("tmp")), [""; 0]);
        assert_eq!(listed(&self.path("rooms").join("rooms")), [""; 0]);
        let left = listed(&self.path("rooms"));
        assert!(
            left.iter()
                .all(|name| ["rooms", "rooms.lock", "timelines"].contains(&name.as_str())),
            "left behind: {left:?}"
        );
    }

    fn clean(&self) {
        let cleaned = self.command(&["clean"]).status().expect("it starts");
        assert!(cleaned.success());
        self.assert_clean();
    }
}

fn listed(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) fn rooms_that_end_leave_nothing_behind() {
    let before = links_and_mounts();
    for number in 0..rooms_that_end() {
        let name = format!("ends-{}-{number}", std::process::id());
        let room = Room::start(&small(&name), &Progress::silent()).expect("a room");
        let place = room.place().to_path_buf();
        let mut desk = room
            .desk("sleep")
            .expect("a desk")
            .arg("100000")
            .spawn()
            .expect("somebody sits there");
        let outer = fs::read_to_string(place.join("pid")).expect("a process");
        let inner = fs::read_to_string(format!("/proc/{0}/task/{0}/children", outer.trim()));
        let inner = PathBuf::from("/proc").join(inner.expect("its room").trim());
        let spaces = namespaces([&inner]);
        assert_eq!(spaces.len(), 3, "the test would see what is left");

        drop(room);

        eventually_deserted(&spaces);
        let ended = desk.wait().expect("the desk ends with the room");
        assert!(!ended.success(), "{ended}");
        assert!(!place.exists());
        assert_eq!(links_and_mounts(), before);
    }
}

/// What Ctrl-C does.
/// Until it ends: where this runs in the background, a program ignores the signal until it has said that it wants it.
fn interrupt(up: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        let sent = Command::new("kill")
            .args(["-INT", &up.id().to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
        let waited = Instant::now();
        while waited.elapsed() < Duration::from_secs(10) {
            if let Some(ended) = up.try_wait().expect("it is ours") {
                return ended;
            }
            thread::sleep(Duration::from_millis(20));
        }
        assert!(
            begun.elapsed() < SOON,
            "it does not end when it is asked to"
        );
    }
}

pub(crate) fn a_room_that_is_interrupted_or_put_down_leaves_nothing_behind() {
    let trial = Trial::begin("interrupted");
    let mut up = trial.up_at_last(&mut trial.up());
    let namespaces = trial.namespaces();
    assert!(interrupt(&mut up).success());
    trial.assert_ended(&namespaces);
    trial.assert_clean();

    let mut up = trial.up_at_last(&mut trial.up());
    let namespaces = trial.namespaces();
    let down = trial.command(&["down"]).status().expect("it starts");
    assert!(down.success());
    assert!(up.wait().expect("it ends").success());
    trial.assert_ended(&namespaces);
    trial.assert_clean();
}

pub(crate) fn two_rooms_do_not_disturb_each_other() {
    let start = |which: &str| {
        let name = format!("{which}-{}", std::process::id());
        thread::spawn(move || Room::start(&small(&name), &Progress::silent()).expect("a room"))
    };
    let [left, right] =
        [start("left"), start("right")].map(|room| room.join().expect("both rooms start"));
    left.host(1).run("touch /root/left").expect("written");
    right
        .host(1)
        .run("test ! -e /root/left")
        .expect("another disk");

    left.host(1).lose_mains().expect("dark");
    left.switch('a', false).expect("off");

    assert_eq!(left.host(1).state().expect("known"), HostState::Off);
    assert_eq!(right.status().expect("known").switches, [true; 2]);
    right
        .host(1)
        .run("ping -q -c1 -W5 pdu1")
        .expect("the same address, another PDU");
    drop(left);
    right
        .host(1)
        .run("true")
        .expect("it runs on when the other room ends");
}

pub(crate) fn rooms_that_are_killed_leave_nothing_that_clean_does_not_remove() {
    let trial = Trial::begin("killed");
    for number in 0..rooms_in_all() - rooms_that_end() {
        let place = trial.place();
        let mut up = trial.up().spawn().expect("started");
        eventually_there(&place.join("pid"));
        // Each dies at another point of its start.
        thread::sleep(Duration::from_millis(number * 397 % 7000));
        let namespaces = trial.namespaces();
        match number % 3 {
            0 => up.kill().expect("who has started the room is killed"),
            1 => {
                interrupt(&mut up);
            }
            _ => {
                let pid = fs::read_to_string(place.join("pid")).unwrap_or_default();
                // The room itself is killed; then its owner ends.
                let _ = Command::new("kill")
                    .args(["-KILL", pid.trim()])
                    .stderr(Stdio::null())
                    .status();
                up.kill().expect("its owner is killed too");
            }
        }
        up.wait().expect("it has ended");
        trial.assert_ended(&namespaces);
    }
    trial.clean();
}

/// Whether something begins to exist at this path, however long a busy machine takes.
fn eventually_there(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "{} never came",
            path.display()
        );
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn what_is_killed_while_it_fills_the_cache_leaves_nothing_that_clean_does_not_remove() {
    let trial = Trial::begin("cold");
    let cache = trial.path("cache");
    fs::create_dir(&cache).expect("made");
    // All but the template, which takes half a minute to make.
    let warm = Cache::from_environment();
    let found = listed(warm.directory());
    for name in found
        .iter()
        .filter(|name| name.starts_with("image-") || name.starts_with("kvm-"))
    {
        symlink(warm.directory().join(name), cache.join(name)).expect("linked");
    }
    let drafts = || {
        let names = listed(&cache);
        let is_draft = |name: &String| name.starts_with(".template-") && name.ends_with(".draft");
        names.into_iter().find(is_draft)
    };
    for kill in [Child::kill, |up: &mut Child| {
        interrupt(up);
        Ok(())
    }] {
        let mut up = trial
            .up()
            .env("QUORATE_LAB_CACHE", &cache)
            .spawn()
            .expect("started");
        let begun = Instant::now();
        let booting =
            || drafts().is_some_and(|draft| cache.join(draft).join("scratch/qmp.sock").exists());
        while !booting() {
            assert!(begun.elapsed() < SOON, "it never made a template");
            thread::sleep(Duration::from_millis(20));
        }
        let namespaces = trial.namespaces();
        kill(&mut up).expect("ended in the middle");
        up.wait().expect("it has ended");
        trial.assert_ended(&namespaces);
    }

    let cleaned = trial
        .command(&["clean"])
        .env("QUORATE_LAB_CACHE", &cache)
        .status();
    assert!(cleaned.expect("it starts").success());
    assert_eq!(drafts(), None);
    trial.assert_clean();
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
}

pub(crate) fn a_room_that_fails_to_start_is_built_once_more_and_says_so() {
    let real = PathBuf::from(env!("CARGO_BIN_EXE_quorate-lab"));
    let trial = Trial::begin("again");
    let programs = trial.path("programs");
    fs::create_dir(&programs).expect("made");
    let agent = "quorate-lab-agent";
    symlink(real.with_file_name(agent), programs.join(agent)).expect("linked");
    let tried = trial.path("tried");
    let once = format!("[ -e {0} ] || {{ touch {0}; exit 1; }}", tried.display());
    let path = std::env::var("PATH").expect("a path");

    let built_again = |mut command: Command| {
        let mut up = trial.up_at_last(command.stderr(Stdio::piped()));
        assert!(interrupt(&mut up).success());
        let mut said = String::new();
        let mut stderr = up.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("text");
        assert_eq!(said.matches("is built once more").count(), 1, "{said}");
        fs::remove_file(&tried).expect("it had failed once");
        said
    };

    // Its supervisor ends before it is ready.
    let supervisor = programs.join("quorate-lab");
    program(
        &supervisor,
        &format!("#!/bin/sh\n{once}\nexec {} \"$@\"\n", real.display()),
    );
    let mut command = trial.up();
    command.env("QUORATE_LAB_PROGRAM", &supervisor);
    built_again(command);

    // QEMU ends at once: nobody waits for a host that will never be up.
    program(
        &programs.join("qemu-system-x86_64"),
        &format!(
            "#!/bin/sh\nPATH={path}\n[ \"$1\" = --version ] || {once}\nexec qemu-system-x86_64 \"$@\"\n"
        ),
    );
    let mut command = trial.up();
    command.env("PATH", format!("{}:{path}", programs.display()));
    let said = built_again(command);
    assert!(said.contains("node1 is off"), "{said}");

    let kept = listed(&trial.path("rooms").join("timelines"));
    assert_eq!(kept.len(), 2, "what happened is kept: {kept:?}");
    let [_, of_the_second] = kept.as_slice() else {
        panic!("{kept:?}")
    };
    let timeline = trial.path("rooms").join("timelines").join(of_the_second);
    let timeline = fs::read_to_string(timeline.join("timeline.log")).expect("kept");
    assert!(timeline.contains("cannot start"), "{timeline}");
}

pub(crate) fn a_failed_story_prints_and_keeps_what_happened_and_the_next_does_too() {
    let trial = Trial::begin("fails");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .env("QUORATE_LAB", "1")
        .env(crate::stories::FAILING_VARIABLE, "1")
        .env("QUORATE_LAB_ROOMS", trial.path("rooms"))
        // What was chosen here is not what the other run is to choose.
        .env_remove("QUICK")
        .env_remove("SMOKE")
        .env_remove("REPEAT")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let result = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && result.contains("2 failed"),
        "{result}"
    );

    let kept: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("all of it, and its logs: "))
        .collect();
    assert_eq!(kept.len(), 2, "{said}");
    assert_ne!(kept[0], kept[1]);
    for (place, hand) in kept
        .into_iter()
        .zip(["its clock steps by 60 s", "/var is filled"])
    {
        assert!(said.contains(hand), "printed: {said}");
        let place = Path::new(place);
        let timeline = fs::read_to_string(place.join("timeline.log")).expect("kept");
        assert!(timeline.contains(hand), "{timeline}");
        assert!(place.join("supervisor.log").exists());
        for log in ["qemu.log", "bmc.log", "daemons.log"] {
            assert!(place.join("node1").join(log).exists(), "{log}");
        }
    }
}
