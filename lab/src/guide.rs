//! What a person who has just started a room can do with it.

use std::path::Path;

use quorate_lab::{COMMUNITY, LabError, PASSWORD, Room, USER};

use crate::say;

/// The commands that reach into a room.
pub(crate) fn print(room: &Room) -> Result<(), LabError> {
    let after = room.status()?.up_after_ms.unwrap_or_default();
    say(&format!(
        "The room {:?} was up after {:.1} s and stays until Ctrl-C. From another terminal:",
        room.name(),
        after as f64 / 1000.0
    ));
    if let Some(directory) = std::env::current_exe()
        .ok()
        .as_deref()
        .and_then(Path::parent)
    {
        say(&format!("  export PATH={}:$PATH", directory.display()));
    }
    say("  quorate-lab status                  the room on one screen");
    say(
        "  quorate-lab shell node1             a shell in a host; `console node1` follows its serial line",
    );
    say(
        "  quorate-lab power node2 off         over its BMC; `do cord node2 a unplug` pulls a cord",
    );
    say(
        "  quorate-lab do cable node1 bcn-a cut     and `plug` again; `quorate-lab do --help` lists all hands",
    );
    say("  quorate-lab desk -- PROGRAM …       a program of this machine in the room's network");
    say(&format!(
        "  BMCs: nodeN.ipmi is 10.20.1.N, user {USER}, password {PASSWORD}; PDUs: 10.20.2.1 and 10.20.2.2, community {COMMUNITY}",
    ));
    Ok(())
}

/// The commands that reach the cluster in it.
pub(crate) fn print_cluster(context: &Path) {
    let context = context.display();
    say("Quorate runs on all hosts, as on real ones; its administrator is root on node1:");
    say("  quorate-lab exec node1 -- quorate status");
    say("  quorate-lab exec node1 -- quorate get nodes,fencedevices,fenceoperations,vm");
    say("  quorate-lab exec node2 -- tail /var/log/quorated.log /var/log/quorate-node.log");
    say(
        "A host that goes silent is fenced over its BMC or its PDUs: `quorate-lab do freeze node2`, then `quorate-lab timeline`.",
    );
    say(
        "The example's volumes and guests are larger than these machines: they wait, and say so (`quorate why vm/vm01-web`).",
    );
    say("and from this machine, with a `quorate` of yours:");
    say(&format!(
        "  quorate-lab desk -- quorate --config {context} cluster status"
    ));
}
