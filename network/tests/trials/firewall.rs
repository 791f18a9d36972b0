use crate::host::{Machine, bonded, made};
use quorate_network::Wanted;
use quorate_network::firewall::{Guard, Opening, Transport};

fn guarded(ports: u16) -> Wanted {
    Wanted {
        guard: Some(Guard {
            openings: vec![Opening {
                protocol: Transport::Tcp,
                first: ports,
                last: ports,
                sources: Vec::new(),
            }],
            closed_to_guests: true,
        }),
        ..bonded("bcn", [0, 1], "10.20.0.1/16")
    }
}

fn text(machine: &Machine) -> String {
    let table = machine.firewall.borrow();
    table.as_ref().expect("installed").text.clone()
}

#[test]
fn a_firewall_that_cuts_the_host_off_is_taken_back_like_anything_else() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    keeper.apply(&guarded(7443), 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    assert!(text(&machine).contains("iifname \"bond-bcn\" jump"));
    assert!(text(&machine).contains("tcp dport 7443 accept"));

    // Only what is open changes, and that is on trial, too.
    keeper.apply(&guarded(7444), 1_000).expect("applied");
    assert!(text(&machine).contains("tcp dport 7444 accept"));
    assert_eq!(keeper.due(), Some(31_000));
    keeper.tick(31_000);
    assert!(text(&machine).contains("tcp dport 7443 accept"));
    keeper
        .apply(&guarded(7444), 32_000)
        .expect_err("it was taken back");

    // Somebody flushed all tables: it comes back as it was when it is asked for again.
    *machine.firewall.borrow_mut() = Some(quorate_network::firewall::Table::of(&[]));
    keeper.apply(&guarded(7443), 33_000).expect("applied");
    keeper.keep("bcn").expect("kept");
    assert!(text(&machine).contains("tcp dport 7443 accept"));
}

#[test]
fn after_a_boot_the_firewall_is_there_and_without_the_network_it_goes() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    keeper.apply(&guarded(7443), 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    drop(keeper);
    machine.power_cut();
    let mut keeper = machine.keeper("second", 0);
    assert!(text(&machine).contains("tcp dport 7443 accept"));

    let open = bonded("bcn", [0, 1], "10.20.0.1/16");
    keeper.apply(&open, 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    assert!(
        !text(&machine).contains("chain"),
        "nothing is guarded any more"
    );
    assert_eq!(machine.shown(), made(&[&open]));
}

#[test]
fn without_its_program_there_is_no_firewall_and_everything_else_works() {
    let machine = Machine::new();
    *machine.firewall.borrow_mut() = None;
    let mut keeper = machine.keeper("first", 0);
    keeper.apply(&guarded(7443), 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    keeper.apply(&guarded(7443), 0).expect("it is so");
    assert_eq!(keeper.due(), None);
}

#[test]
fn killed_at_any_deed_the_firewall_is_the_old_or_the_new_one() {
    for deeds in 0..8 {
        let machine = Machine::new();
        let mut keeper = machine.keeper("first", 0);
        keeper.apply(&guarded(7443), 0).expect("applied");
        keeper.keep("bcn").expect("kept");
        machine.deeds.set(deeds);
        let done = keeper
            .apply(&guarded(7444), 1_000)
            .and_then(|()| keeper.keep("bcn"));
        drop(keeper);
        machine.deeds.set(usize::MAX);
        let mut keeper = machine.keeper("first", 2_000);
        keeper.tick(40_000);
        let expected = if done.is_ok() { 7444 } else { 7443 };
        let text = text(&machine);
        assert!(
            text.contains(&format!("tcp dport {expected} accept")),
            "after {deeds} deeds: {text}"
        );
    }
}
