use crate::host::{Machine, bonded, changed, made};
use quorate_network::keeper::Trouble;

#[test]
fn a_change_that_is_kept_stays_and_one_that_is_not_goes() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let old = bonded("bcn", [0, 1], "10.20.0.1/16");
    keeper.apply(&old, 1_000).expect("applied");
    assert_eq!(keeper.due(), Some(31_000));
    keeper.keep("bcn").expect("kept");
    assert_eq!(keeper.due(), None);

    let new = changed("bcn");
    keeper.apply(&new, 40_000).expect("applied");
    // Asked again, it is the same trial: the deadline does not move.
    keeper.apply(&new, 60_000).expect("on trial");
    assert_eq!(keeper.due(), Some(70_000));
    keeper.tick(69_999);
    assert!(machine.shown().links.contains_key("br-bcn"));
    keeper.tick(70_000);
    assert_eq!(machine.shown(), made(&[&old]));

    let again = keeper.apply(&new, 80_000).expect_err("it cut the host off");
    assert!(matches!(again, Trouble::TakenBack(_)), "{again}");
    let words = again.to_string();
    assert!(words.contains("not reached within 30 s"), "{words}");
    // A person goes back to what is there, which ends the matter.
    assert!(keeper.records().rejected.contains_key("bcn"));
    keeper.apply(&old, 82_000).expect("as it is");
    assert!(!keeper.records().rejected.contains_key("bcn"));
    assert_eq!(keeper.due(), None);
    keeper.apply(&new, 83_000).expect("tried once more");
    keeper.tick(113_000);
    assert_eq!(machine.shown(), made(&[&old]));
    // A person wants it tried again as it is.
    let patient = quorate_network::Wanted {
        rollback_after: 31_000,
        ..new
    };
    keeper.apply(&patient, 120_000).expect("applied");
    keeper.keep("bcn").expect("kept");
    assert!(machine.shown().links.contains_key("br-bcn"));
}

#[test]
fn a_change_that_does_not_do_is_taken_back_before_its_time_is_over() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let old = bonded("bcn", [0, 1], "10.20.0.1/16");
    let none = keeper.give_up("bcn", "it is unfit");
    assert!(matches!(none, Err(Trouble::NotOnTrial(_))), "{none:?}");
    keeper.apply(&old, 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    let none = keeper.give_up("bcn", "it is unfit");
    assert!(matches!(none, Err(Trouble::NotOnTrial(_))), "{none:?}");
    assert_eq!(machine.shown(), made(&[&old]), "what is kept stays");

    keeper.apply(&changed("bcn"), 1_000).expect("applied");
    let other = keeper.give_up("sn", "it is unfit");
    assert!(matches!(other, Err(Trouble::NotOnTrial(_))), "{other:?}");
    keeper.give_up("bcn", "it is unfit").expect("taken back");
    assert_eq!(machine.shown(), made(&[&old]));
    assert_eq!(keeper.due(), None);
    let again = keeper
        .apply(&changed("bcn"), 2_000)
        .expect_err("it was tried");
    assert!(again.to_string().contains("it is unfit"), "{again}");
}

#[test]
fn a_second_change_over_one_on_trial_is_taken_back_to_before_both() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let old = bonded("bcn", [0, 1], "10.20.0.1/16");
    keeper.apply(&old, 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    keeper.apply(&changed("bcn"), 1_000).expect("applied");
    keeper
        .apply(&bonded("bcn", [3, 4], "10.20.0.7/16"), 2_000)
        .expect("applied");
    keeper.tick(32_000);
    assert_eq!(machine.shown(), made(&[&old]));
}

#[test]
fn one_network_at_a_time_is_on_trial() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    keeper
        .apply(&bonded("bcn", [0, 1], "10.20.0.1/16"), 0)
        .expect("applied");
    let other = bonded("sn", [2, 3], "10.10.0.1/16");
    let refused = keeper.apply(&other, 0).expect_err("bcn is on trial");
    assert!(matches!(refused, Trouble::OnTrial(_)), "{refused}");
    keeper.keep("bcn").expect("kept");
    keeper.apply(&other, 0).expect("applied");
    let wrong = keeper.keep("ifn").expect_err("nothing of it is here");
    assert!(matches!(wrong, Trouble::NotOnTrial(_)), "{wrong}");
}

#[test]
fn what_the_kernel_refuses_is_taken_back_and_may_be_tried_again() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    *machine.stubborn.borrow_mut() = Some("eth1".to_owned());
    let wanted = bonded("bcn", [0, 1], "10.20.0.1/16");
    let refused = keeper.apply(&wanted, 0).expect_err("eth1 is stubborn");
    assert!(matches!(refused, Trouble::Kernel(_)), "{refused}");
    assert_eq!(machine.shown(), crate::host::bare());
    *machine.stubborn.borrow_mut() = None;
    keeper.apply(&wanted, 0).expect("applied");
}

#[test]
fn the_last_network_with_an_address_is_not_removed() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let first = bonded("bcn", [0, 1], "10.20.0.1/16");
    keeper.apply(&first, 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    let refused = keeper.remove("bcn", 0).expect_err("it is the last");
    assert!(matches!(refused, Trouble::Last(_)), "{refused}");
    keeper
        .apply(&bonded("sn", [2, 3], "10.10.0.1/16"), 0)
        .expect("applied");
    keeper.keep("sn").expect("kept");
    keeper.remove("bcn", 0).expect("removed");
    keeper.keep("bcn").expect("kept");
    let only = bonded("sn", [2, 3], "10.10.0.1/16");
    assert_eq!(machine.shown(), made(&[&only]));
}

#[test]
fn a_network_without_which_the_cluster_is_not_reached_is_put_back() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    // Cards keep the size of their last network.
    let bcn = quorate_network::Wanted {
        mtu: 1500,
        ..changed("bcn")
    };
    let sn = bonded("sn", [3, 4], "10.10.0.1/16");
    for wanted in [&bcn, &sn] {
        keeper.apply(wanted, 0).expect("applied");
        keeper.keep(&wanted.network).expect("kept");
    }
    keeper.remove("bcn", 1_000).expect("removed, on trial");
    assert_eq!(machine.shown(), made(&[&sn]));
    // Asked again, it is the same trial: the deadline does not move.
    keeper.remove("bcn", 2_000).expect("on trial");
    assert_eq!(keeper.due(), Some(31_000));
    keeper.tick(31_000);
    assert_eq!(machine.shown(), made(&[&bcn, &sn]));
    let again = keeper.remove("bcn", 32_000).expect_err("it was put back");
    assert!(matches!(again, Trouble::PutBack(_)), "{again}");
    assert!(again.to_string().contains("not reached within 30 s"));

    // Somebody wants it again, and then no more.
    keeper.apply(&bcn, 33_000).expect("it is there");
    keeper.remove("bcn", 34_000).expect("removed");
    keeper.keep("bcn").expect("kept");
    assert_eq!(keeper.due(), None);
    drop(keeper);
    machine.power_cut();
    machine.keeper("second", 0);
    assert_eq!(machine.shown(), made(&[&sn]));
}

#[test]
fn one_that_is_wanted_again_while_it_goes_comes_back_and_stays() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let (bcn, sn) = (
        bonded("bcn", [0, 1], "10.20.0.1/16"),
        bonded("sn", [3, 4], "10.10.0.1/16"),
    );
    for wanted in [&bcn, &sn] {
        keeper.apply(wanted, 0).expect("applied");
        keeper.keep(&wanted.network).expect("kept");
    }
    keeper.remove("bcn", 1_000).expect("removed");
    keeper.apply(&bcn, 2_000).expect("applied");
    assert_eq!(machine.shown(), made(&[&bcn, &sn]));
    keeper.keep("bcn").expect("kept");
    assert_eq!(keeper.records().kept.get("bcn"), Some(&bcn));
    keeper.tick(100_000);
    assert_eq!(machine.shown(), made(&[&bcn, &sn]));
}

#[test]
fn after_a_boot_what_was_kept_comes_up_again_as_soon_as_its_cards_are_there() {
    let machine = Machine::new();
    let mut keeper = machine.keeper("first", 0);
    let wanted = changed("bcn");
    keeper.apply(&wanted, 0).expect("applied");
    keeper.keep("bcn").expect("kept");
    drop(keeper);

    machine.power_cut();
    let card = |name: &str| machine.host.borrow_mut().links.remove(name);
    let (late, later) = (card("eth1"), card("eth2"));
    let mut keeper = machine.keeper("second", 0);
    assert_eq!(keeper.due(), Some(0));
    for (name, card) in [("eth1", late), ("eth2", later)] {
        let card = card.expect("it was there");
        machine
            .host
            .borrow_mut()
            .links
            .insert(name.to_owned(), card);
    }
    keeper.tick(1_000);
    assert_eq!(machine.shown(), made(&[&wanted]));
    assert_eq!(keeper.due(), None);
}
