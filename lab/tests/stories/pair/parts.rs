//! What a takeover was made of, by the survivor's own clock and log.

use quorate_lab::{Host, Room};

/// A moment on one host's clock.
pub(super) struct Moment {
    host: u8,
    at_ms: i64,
}

impl Moment {
    pub(super) fn now(room: &Room, host: u8) -> Moment {
        let now = room.host(host).run("date +%s%3N").expect("a clock");
        Moment {
            host,
            at_ms: now.parse().expect("a number"),
        }
    }

    /// Prints how long it took since to find that there is no quorum, to prove the other half off, and to go on.
    pub(super) fn report(&self, room: &Room) {
        let host = room.host(self.host);
        let ends = ["to be fenced", "it is off", "this half has taken over"];
        let mut from = self.at_ms;
        let mut parts = Vec::new();
        for words in ends {
            let Some(at) = first_said(host, words, from) else {
                return;
            };
            parts.push(f64::from(i32::try_from(at - from).expect("minutes")) / 1000.0);
            from = at;
        }
        println!(
            "    of that {:.1} s were detection and waiting, {:.1} s fencing, {:.2} s the takeover",
            parts[0], parts[1], parts[2]
        );
    }
}

/// When the member on this host first logged these words from then on.
fn first_said(host: Host<'_>, words: &str, from: i64) -> Option<i64> {
    let times = host
        .run(&format!(
            "grep -a '{words}' /var/log/quorated.log | cut -d' ' -f1 | date -f - +%s%3N"
        ))
        .expect("its log");
    times
        .lines()
        .filter_map(|time| time.parse().ok())
        .find(|time| *time >= from)
}
