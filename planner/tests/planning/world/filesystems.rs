//! What can happen to a filesystem that hosts share, besides being mounted: it shuts itself down, is checked, gets journals.

use super::hosts::{converged, stalled};
use super::truth::Place;
use super::{World, text};
use serde_json::{Value, json};

/// How long a check takes, in seconds.
const CHECKING_TAKES: i64 = 5;

impl World {
    pub(super) fn act_on_filesystem(&mut self, mount: &Value, here: &Place, active: bool) -> Value {
        if mount["check"].is_object() {
            return self.check_filesystem(&mount["check"], here, active);
        }
        let shared = mount["lockspace"].is_object();
        if shared && active && self.truth.withdrawn.contains(here) {
            return self.lie_down(mount, here);
        }
        let before = self.truth.mounted.contains_key(here);
        let status = self.act_on_mount(mount, here, active);
        let mounted = self.truth.mounted.contains_key(here);
        match shared && mounted {
            true => self.count_journals(mount, here, before, status),
            false => status,
        }
    }

    /// Whether it is checked on that host at this moment.
    pub(super) fn is_checked(&self, here: &Place) -> bool {
        let begun = self.truth.checks.get(here);
        begun.is_some_and(|(_, since)| self.now.duration_since(*since).as_secs() < CHECKING_TAKES)
    }

    /// A kernel whose filesystem shut itself down waits until it is let out, and gives nothing any more. It is still mounted.
    fn lie_down(&mut self, mount: &Value, here: &Place) -> Value {
        let mut members = mount["lockspace"]["members"]
            .as_array()
            .into_iter()
            .flatten();
        let member = members.any(|member| member["node"] == here.1.as_str());
        self.truth.locks.remove(here);
        let mut status = match member {
            true => converged(mount["lockspace"]["step"] == "Stop"),
            false => stalled("DeviceFailed"),
        };
        let state = if member { "Unmounting" } else { "Withdrawn" };
        status["mount"] = json!({"node": here.1, "state": state});
        status
    }

    /// The first member adds what is missing. One that is mounted without a journal of its own is refused by the kernel.
    fn count_journals(
        &mut self,
        mount: &Value,
        here: &Place,
        before: bool,
        mut status: Value,
    ) -> Value {
        let wanted = mount["journals"]
            .as_u64()
            .and_then(|it| u32::try_from(it).ok());
        let wanted = wanted.expect("how many journals it needs");
        let first = mount["lockspace"]["members"][0]["node"] == here.1.as_str();
        let known = self.truth.journals.entry(here.0.clone());
        let has = known.or_insert(wanted);
        let users = self.truth.mounted.keys().filter(|place| place.0 == here.0);
        let users = u32::try_from(users.count()).expect("few");
        assert!(
            before || users <= *has,
            "{here:?} finds no journal: {has} are there"
        );
        if !first {
            return status;
        }
        let told_to_stop = mount["lockspace"]["step"] == "Stop";
        if *has < wanted && self.truth.full.contains(&here.0) && !told_to_stop {
            let seen = status["mount"].clone();
            status = stalled("NoSpace");
            status["mount"] = seen;
        } else {
            *has = wanted.max(*has);
        }
        status["mount"]["journals"] = json!(has);
        status
    }

    /// Nobody may have it mounted, whether he is heard or not, and nobody else may check it.
    fn check_filesystem(&mut self, check: &Value, here: &Place, active: bool) -> Value {
        let mounted = self.truth.mounted.keys().find(|place| place.0 == here.0);
        assert!(
            mounted.is_none(),
            "{here:?} checks what {mounted:?} has mounted"
        );
        let volume =
            text(&self.objects[&("SharedFilesystem".to_owned(), here.0.clone())]["spec"]["volume"]);
        if !active || !self.truth.writing.contains(&(volume, here.1.clone())) {
            return converged(false);
        }
        let number = check["number"].as_u64().expect("a number");
        let known = self.truth.checks.get(here);
        if known.is_none_or(|(known, _)| *known != number) {
            let others = self.truth.checks.keys();
            let mut others = others.filter(|place| place.0 == here.0 && place.1 != here.1);
            assert!(
                !others.any(|place| self.is_checked(place)),
                "two check {here:?}"
            );
            self.truth.checks.insert(here.clone(), (number, self.now));
        }
        let mut status = converged(!self.is_checked(here));
        status["mount"] = json!({"node": here.1, "state": "Unmounted"});
        if self.is_checked(here) {
            return status;
        }
        let damaged = self.truth.damaged.contains(&here.0);
        let (result, words) = match (damaged, check["repair"] == true) {
            (false, _) => ("Clean", None),
            (true, false) => ("Damaged", Some("Found unlinked inode at 1234")),
            (true, true) => ("Repaired", Some("Fixed unlinked inode at 1234")),
        };
        if result == "Repaired" {
            self.truth.damaged.remove(&here.0);
        }
        status["mount"]["check"] = json!({"number": number, "result": result, "message": words});
        status
    }
}
