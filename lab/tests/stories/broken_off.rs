//! A change of a network that is broken off at any of its deeds, by a program that dies or by a host that loses its power: the host has
//! what it had or what it was to have, and is reached.

use std::fmt;
use std::path::Path;

use quorate_lab::cluster::{self, quorate};
use quorate_lab::{Host, Room, request::HostState};

use crate::stories::counting::{
    PATIENCE, administer_from, eventually_answer, eventually_is, eventually_up, room,
};
use crate::stories::ledger::{self, Ledger};
use crate::stories::links::{condition, numbers_of_links, object, taken_over_as_they_are};

/// The host whose change is broken off. It is asked first, as the others are no further.
const VICTIM: u8 = 1;

/// What the keeper of networks does that others can see: what it remembers, and what it tells the kernel. It asks the kernel, too, in
/// between: every third is enough.
const DEEDS: [(&str, usize); 3] = [("rename", 1), ("fsync", 1), ("sendto", 3)];
/// A loss of power takes long to come back from.
const DEEDS_WITHOUT_POWER: [(&str, usize); 2] = [("rename", 1), ("sendto", 9)];

/// How the network that is changed is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Its address is on its VLAN.
    Vlan,
    /// Its address is on a bridge above the VLAN.
    Bridge,
}

impl Shape {
    fn other(self) -> Shape {
        match self {
            Shape::Vlan => Shape::Bridge,
            Shape::Bridge => Shape::Vlan,
        }
    }

    fn manifest(self) -> &'static str {
        match self {
            Shape::Vlan => "null",
            Shape::Bridge => r#"{"name":"spare-br"}"#,
        }
    }

    /// What a host has, when it is whole.
    fn of(host: &Host<'_>) -> Result<Shape, String> {
        let look = "cd /sys/class/net; ls -d spare-br 2>/dev/null; ls -d spare.50/master 2>/dev/null
             for dev in spare.50 spare-br; do
                 ip -o -4 address show dev $dev 2>/dev/null | grep -q 10.50.0 && echo $dev is addressed
             done; cat spare.50/operstate";
        let found = host.run(look).map_err(|error| error.to_string())?;
        match found.lines().collect::<Vec<_>>()[..] {
            ["spare.50 is addressed", "up"] => Ok(Shape::Vlan),
            ["spare-br", "spare.50/master", "spare-br is addressed", "up"] => Ok(Shape::Bridge),
            _ => Err(format!("neither the one nor the other: {found:?}")),
        }
    }
}

/// How a change is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The program is killed.
    Kill,
    /// The program is stopped there, and then the power goes.
    Power,
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            End::Kill => "killed",
            End::Power => "without power",
        })
    }
}

/// A trap in the keeper of networks, at its so-many-th deed of a kind from now on. It has one thread for all; the programs that it runs
/// are not followed.
struct Trap(End);

impl Trap {
    fn set(room: &Room, end: End, (deed, number): (&str, usize)) -> Trap {
        let host = room.host(VICTIM);
        let keeper = host.run("pgrep -x quorate-network").expect("it runs");
        let signal = match end {
            End::Kill => "KILL",
            End::Power => "STOP",
        };
        host.run(&format!(
            "setsid strace -q -p {keeper} -e trace={deed} -e inject={deed}:signal={signal}:when={number} \
             -o /run/trap.log </dev/null >/dev/null 2>&1 &"
        ))
        .expect("started");
        room.eventually("the trap is set", PATIENCE, |room| {
            room.host(VICTIM)
                .run(&format!("! grep -q 'TracerPid:.0$' /proc/{keeper}/status"))
        })
        .expect("set");
        Trap(end)
    }

    fn has_fallen(&self, room: &Room) -> Result<bool, String> {
        let word = match self.0 {
            End::Kill => "killed by SIGKILL",
            End::Power => "stopped by SIGSTOP",
        };
        let look = format!("grep -c '{word}' /run/trap.log || true");
        let found = room.host(VICTIM).run(&look);
        Ok(found.map_err(|error| error.to_string())? != "0")
    }

    fn take_away(&self, room: &Room) {
        let line = "pkill -x strace; while pgrep -x strace >/dev/null; do sleep 0.1; done";
        room.host(VICTIM).run(line).expect("taken away");
    }
}

/// The change of one network, over and over.
struct Changes<'a> {
    room: &'a Room,
    asked: u32,
    broken_off: [u32; 2],
    undone: u32,
}

impl Changes<'_> {
    /// Asks for it. A change that was taken back is tried again only when something about it is new.
    fn ask_for(&mut self, shape: Shape) {
        self.asked += 1;
        let patch = format!(
            r#"{{"spec":{{"bridge":{},"rollbackAfter":"{}s"}}}}"#,
            shape.manifest(),
            30 + self.asked
        );
        let line = format!("patch network spare -p '{patch}'");
        quorate(self.room.host(3 - VICTIM), &line).expect("patched");
    }

    fn is_done(room: &Room, shape: Shape) -> Result<(), String> {
        for host in [1, 2] {
            let found = Shape::of(&room.host(host))?;
            if found != shape {
                return Err(format!("node{host} has its {found:?}"));
            }
        }
        let network = object(room, "network/spare")?;
        let ready = condition(&network, "Ready");
        let changing = condition(&network, "Changing");
        let (wanted, planned) = (
            &network["metadata"]["generation"],
            &network["status"]["observedGeneration"],
        );
        if wanted == planned && ready["status"] == "True" && changing["status"] != "True" {
            Ok(())
        } else {
            Err(format!("{ready}, {changing}, {planned} of {wanted}"))
        }
    }

    /// Breaks a change off at one deed. False when it was over before.
    fn break_off(&mut self, end: End, deed: (&str, usize)) -> bool {
        let room = self.room;
        let before = Shape::of(&room.host(VICTIM)).expect("whole");
        let rings = numbers_of_rings(room, VICTIM);
        let trap = Trap::set(room, end, deed);
        let wanted = before.other();
        self.ask_for(wanted);
        let what = format!("{end} at {} {}", deed.0, deed.1);
        let mut fell = false;
        room.eventually(&what, PATIENCE, |room| {
            fell = trap.has_fallen(room)?;
            if fell {
                Ok(())
            } else {
                Changes::is_done(room, wanted)
            }
        })
        .expect("one or the other");
        if !fell {
            trap.take_away(room);
            return false;
        }
        self.broken_off[usize::from(end == End::Power)] += 1;
        if end == End::Power {
            room.host(VICTIM).lose_mains().expect("dark");
            room.host(VICTIM).restore_mains().expect("power");
            eventually_up(room, VICTIM);
        }
        self.settles(&what, before);
        if end == End::Kill {
            assert_eq!(
                numbers_of_rings(room, VICTIM),
                rings,
                "{what}: the rings were not touched"
            );
        }
        true
    }

    /// The victim is whole and reached, as it was or as it was to be; then it is what it was to be, as soon as somebody asks once more.
    fn settles(&mut self, what: &str, before: Shape) {
        let room = self.room;
        let from = 3 - VICTIM;
        let mut found = before;
        room.eventually(&format!("{what}: the host is whole"), PATIENCE, |room| {
            room.host(VICTIM)
                .run("pgrep -x quorate-network")
                .map_err(|error| error.to_string())?;
            found = Shape::of(&room.host(VICTIM))?;
            let network = object(room, "network/spare")?;
            if found == before && condition(&network, "RolledBack")["status"] == "True" {
                return Ok(());
            }
            Changes::is_done(room, before.other())
        })
        .expect("whole");
        eventually_answer(room, from, 2, 2);
        eventually_is(room, from, &format!("node/node{VICTIM}"), "state", "Online");
        if found == before {
            self.undone += 1;
            self.ask_for(before.other());
            let done = room.eventually(&format!("{what}: it is made at last"), PATIENCE, |room| {
                Changes::is_done(room, before.other())
            });
            done.expect("made");
        }
    }
}

/// The rings' interfaces, which no change here has to do with.
fn numbers_of_rings(room: &Room, host: u8) -> String {
    let all = numbers_of_links(room, host);
    let rings = all
        .lines()
        .filter(|line| line.starts_with("bcn") || line.starts_with("sn"));
    rings.collect::<Vec<_>>().join("\n")
}

pub(crate) fn a_change_that_is_broken_off_leaves_the_old_network_or_the_new_one() {
    let room = room("broken-off", 2, "pair/manifests.yaml");
    ledger::open(&room);
    administer_from(&room, 2);
    taken_over_as_they_are(&room);
    let spare = Path::new(env!("CARGO_MANIFEST_DIR")).join("links/spare.yaml");
    cluster::apply(&room, &[spare]).expect("applied");
    room.eventually("the spare network is there", PATIENCE, |room| {
        Changes::is_done(room, Shape::Vlan)
    })
    .expect("made");

    Ledger::kept(&room, |_| {
        let mut changes = Changes {
            room: &room,
            asked: 0,
            broken_off: [0; 2],
            undone: 0,
        };
        let ends = [
            (End::Kill, &DEEDS[..]),
            (End::Power, &DEEDS_WITHOUT_POWER[..]),
        ];
        for (end, deeds) in ends {
            for (deed, stride) in deeds {
                (1..)
                    .step_by(*stride)
                    .take_while(|number| changes.break_off(end, (deed, *number)))
                    .for_each(drop);
            }
        }
        let [killed, dark] = changes.broken_off;
        println!(
            "    broken off {killed} times by a kill and {dark} times by a loss of power; {} of them were taken back",
            changes.undone
        );
        assert!(killed > 10 && dark > 3, "{killed} and {dark}");
        assert!(
            changes.undone > 0 && changes.undone < killed + dark,
            "{}",
            changes.undone
        );
    });
    for host in [1, 2] {
        assert_eq!(room.host(host).state().expect("known"), HostState::Up);
    }
}
