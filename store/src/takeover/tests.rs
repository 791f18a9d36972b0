//! What a member says and does, step by step. `model` has every order of everything; here is what each step is for.

use std::collections::BTreeSet;

use super::{
    Action, Configuration, Ending, Facts, Message, Obstacle, Phase, Position, Refusal, Round,
    Takeover,
};
use crate::MemberId;

fn set(members: &[MemberId]) -> BTreeSet<MemberId> {
    members.iter().copied().collect()
}

/// A voter of `voters` that was in a quorum, hears these, and knows of no leader.
fn facts(voters: &[MemberId], hears: &[MemberId]) -> Facts {
    Facts {
        configuration: Configuration {
            at: Position { term: 1, index: 1 },
            steps: vec![set(voters)],
        },
        committed_voters: set(voters),
        last: Position { term: 1, index: 9 },
        hears: set(hears),
        quorum: false,
        in_quorum_since_boot: true,
        taken_out: Some(false),
    }
}

const ROUND: Round = Round {
    by: 1,
    start: 7,
    number: 1,
};

fn ask(facts: &Facts) -> Message {
    Message::Ask {
        round: ROUND,
        side: set(&[1, 2]),
        configuration: facts.configuration.clone(),
        last: facts.last,
    }
}

/// Member 1 of four, in its seventh start, with the promise of member 2, given in its third.
fn shooting() -> Takeover {
    let mut takeover = Takeover::new(1, 7);
    let facts = facts(&[1, 2, 3, 4], &[2]);
    takeover
        .begin(&facts)
        .expect("half of the voters are heard");
    let actions = takeover.hear(2, 3, Message::Promise { round: ROUND }, &facts);
    assert_eq!(actions, [Action::Fence(ROUND, set(&[3, 4]))]);
    takeover
}

#[test]
fn one_of_a_pair_shoots_stands_in_for_the_other_and_removes_it() {
    let mut takeover = Takeover::new(1, 7);
    let mut facts = facts(&[1, 2], &[]);
    let actions = takeover.begin(&facts).expect("half of the voters are here");
    assert_eq!(actions, [Action::Fence(ROUND, set(&[2]))]);
    assert_eq!(takeover.stands_in_for(), None, "nothing is proven yet");

    assert_eq!(takeover.fenced(ROUND, 2), [Action::Elect]);
    assert_eq!(takeover.stands_in_for(), Some(2));
    assert!(takeover.ignores(2));
    assert_eq!(takeover.observe(&facts), [], "the other is still a voter");

    facts.committed_voters = set(&[1]);
    let actions = takeover.observe(&facts);
    assert_eq!(
        actions,
        [
            Action::CancelFence(ROUND),
            Action::Ended(ROUND, Ending::Done)
        ]
    );
    assert_eq!(takeover.stands_in_for(), None);
    assert!(!takeover.ignores(2), "it may come back as a learner");
}

#[test]
fn devices_are_asked_when_the_last_promise_is_there() {
    let mut takeover = Takeover::new(1, 7);
    let facts = facts(&[1, 2, 3, 4, 5, 6], &[2, 3]);
    let asked = takeover
        .begin(&facts)
        .expect("half of the voters are heard");
    assert_eq!(asked.len(), 2, "one question for each of the others");
    assert_eq!(
        takeover.hear(2, 1, Message::Promise { round: ROUND }, &facts),
        []
    );
    assert_eq!(
        takeover.hear(2, 1, Message::Promise { round: ROUND }, &facts),
        [],
        "said twice"
    );
    let actions = takeover.hear(3, 1, Message::Promise { round: ROUND }, &facts);
    assert_eq!(actions, [Action::Fence(ROUND, set(&[4, 5, 6]))]);
}

#[test]
fn every_voter_of_the_other_half_is_proven_off() {
    let mut takeover = shooting();
    assert_eq!(takeover.fenced(ROUND, 3), []);
    assert_eq!(takeover.stands_in_for(), None);
    assert_eq!(takeover.fenced(ROUND, 4), [Action::Elect]);
    assert_eq!(takeover.stands_in_for(), Some(3), "one vote, not two");
}

#[test]
fn evidence_of_another_round_is_not_taken() {
    let mut takeover = shooting();
    for other in [
        Round { number: 0, ..ROUND },
        Round { start: 6, ..ROUND },
        Round { by: 2, ..ROUND },
    ] {
        assert_eq!(takeover.fenced(other, 3), []);
        assert_eq!(takeover.fenced(other, 4), []);
    }
    assert_eq!(takeover.stands_in_for(), None);
}

#[test]
fn a_member_that_was_restarted_has_promised_nothing() {
    let mut takeover = shooting();
    let (admitted, actions) = takeover.admits(2, 4, None);
    assert!(!admitted);
    let end = Action::Send(2, Message::End { round: ROUND });
    let broken = Action::Ended(ROUND, Ending::Broken(2));
    assert_eq!(actions, [end, Action::CancelFence(ROUND), broken]);
    assert_eq!(*takeover.phase(), Phase::Idle);
}

#[test]
fn what_a_member_says_after_it_took_its_promise_back_does_not_count() {
    let mut takeover = shooting();
    assert_eq!(takeover.admits(2, 3, Some(ROUND)), (true, Vec::new()));
    assert_eq!(takeover.admits(2, 3, None), (false, Vec::new()));
    assert_eq!(
        takeover.admits(4, 1, None),
        (false, Vec::new()),
        "the other half"
    );
}

#[test]
fn a_promise_is_to_hear_nobody_else_until_the_end() {
    let facts = facts(&[1, 2, 3, 4], &[1]);
    let mut takeover = Takeover::new(2, 3);
    let actions = takeover.hear(1, 7, ask(&facts), &facts);
    assert_eq!(
        actions,
        [Action::Send(1, Message::Promise { round: ROUND })]
    );
    assert_eq!(takeover.pledge(), Some(ROUND));
    assert!(takeover.ignores(3) && !takeover.ignores(1));
    assert_eq!(
        takeover.hear(1, 7, ask(&facts), &facts).len(),
        1,
        "asked twice, said twice"
    );

    let other = Message::End {
        round: Round { number: 9, ..ROUND },
    };
    takeover.hear(1, 7, other, &facts);
    assert!(takeover.ignores(3), "another round's end");
    takeover.hear(1, 7, Message::End { round: ROUND }, &facts);
    assert_eq!(*takeover.phase(), Phase::Idle);
}

#[test]
fn a_promise_ends_when_its_half_is_the_whole() {
    let mut facts = facts(&[1, 2, 3, 4], &[1]);
    let mut takeover = Takeover::new(2, 3);
    takeover.hear(1, 7, ask(&facts), &facts);
    facts.committed_voters = set(&[1, 2]);
    assert_eq!(takeover.observe(&facts), []);
    assert_eq!(*takeover.phase(), Phase::Idle);
}

#[test]
fn a_promise_is_refused_with_the_reason() {
    let well = facts(&[1, 2, 3, 4], &[1]);
    let refusal = |change: &dyn Fn(&mut Facts)| {
        let mut mine = well.clone();
        change(&mut mine);
        let mut takeover = Takeover::new(2, 3);
        let actions = takeover.hear(1, 7, ask(&well), &mine);
        assert_eq!(takeover.pledge(), None);
        match actions.as_slice() {
            [Action::Send(1, Message::Refuse { round: ROUND, why })] => *why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal(&|mine| mine.quorum = true), Refusal::QuorumSeen);
    assert_eq!(
        refusal(&|mine| mine.in_quorum_since_boot = false),
        Refusal::NeverInQuorum
    );
    assert_eq!(
        refusal(&|mine| mine.configuration.at.index = 2),
        Refusal::OtherMembership
    );
    assert_eq!(refusal(&|mine| mine.last.index = 10), Refusal::NewerLog);
}

#[test]
fn of_two_that_begin_at_once_the_newer_log_then_the_lower_id_goes_on() {
    let facts = facts(&[1, 2, 3, 4], &[1]);
    let mut second = Takeover::new(2, 3);
    second.begin(&facts).expect("half of the voters are heard");
    let actions = second.hear(1, 7, ask(&facts), &facts);
    assert!(actions.contains(&Action::Send(1, Message::Promise { round: ROUND })));
    assert_eq!(second.pledge(), Some(ROUND));

    let mut first = Takeover::new(1, 7);
    first
        .begin(&facts_of(1))
        .expect("half of the voters are heard");
    let theirs = Message::Ask {
        round: Round {
            by: 2,
            start: 3,
            number: 1,
        },
        side: set(&[1, 2]),
        configuration: facts.configuration.clone(),
        last: facts.last,
    };
    let actions = first.hear(2, 3, theirs, &facts_of(1));
    assert!(matches!(
        actions.as_slice(),
        [Action::Send(
            2,
            Message::Refuse {
                why: Refusal::Busy,
                ..
            }
        )]
    ));
}

fn facts_of(member: MemberId) -> Facts {
    facts(&[1, 2, 3, 4], &[3 - member])
}

#[test]
fn what_is_in_the_way_is_said() {
    let obstacle = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts(&[1, 2, 3, 4], &[2]);
        change(&mut facts);
        Takeover::new(1, 7)
            .begin(&facts)
            .expect_err("something is in the way")
    };
    assert_eq!(obstacle(&|facts| facts.quorum = true), Obstacle::QuorumSeen);
    assert_eq!(
        obstacle(&|facts| facts.in_quorum_since_boot = false),
        Obstacle::NeverInQuorum
    );
    assert_eq!(
        obstacle(&|facts| facts.configuration.steps = vec![set(&[1, 2, 3])]),
        Obstacle::Odd
    );
    assert_eq!(
        obstacle(&|facts| facts.configuration.steps = vec![set(&[2, 3])]),
        Obstacle::NoVoter
    );
    let few = Obstacle::NotHalf {
        heard: 1,
        needed: 2,
    };
    assert_eq!(
        obstacle(&|facts| facts.hears = set(&[9])),
        few,
        "a learner does not count"
    );
    assert_eq!(
        obstacle(&|facts| facts.taken_out = None),
        Obstacle::Unsettled
    );
    assert_eq!(
        obstacle(&|facts| facts.taken_out = Some(true)),
        Obstacle::TakenOut
    );
    let mut busy = shooting();
    let again = busy.begin(&facts(&[1, 2, 3, 4], &[2]));
    assert_eq!(again, Err(Obstacle::UnderWay));
}

#[test]
fn a_refusal_ends_the_attempt_before_a_device_is_asked() {
    let mut takeover = Takeover::new(1, 7);
    let facts = facts(&[1, 2, 3, 4], &[2]);
    takeover
        .begin(&facts)
        .expect("half of the voters are heard");
    let why = Refusal::NewerLog;
    let actions = takeover.hear(2, 3, Message::Refuse { round: ROUND, why }, &facts);
    let end = Action::Send(2, Message::End { round: ROUND });
    assert_eq!(
        actions,
        [end, Action::Ended(ROUND, Ending::Refused(2, why))]
    );
    takeover.begin(&facts).expect("another attempt");
    assert_eq!(
        takeover.hear(2, 3, Message::Promise { round: ROUND }, &facts),
        [],
        "of the former"
    );
}

/// What one of these steps would say to a member that hears these others.
fn in_the_middle(steps: [&[MemberId]; 2], hears: &[MemberId]) -> Result<MemberId, Obstacle> {
    let mut facts = facts(&[], hears);
    facts.configuration.steps = steps.map(set).to_vec();
    let mut takeover = Takeover::new(1, 7);
    takeover.begin(&facts)?;
    match takeover.phase() {
        Phase::Gathering(attempt) | Phase::Fencing(attempt, _) => Ok(attempt.stand_in),
        phase => panic!("it has begun: {phase:?}"),
    }
}

#[test]
fn in_the_middle_of_a_change_a_half_of_both_memberships_goes_on() {
    // The other is being removed, or comes back, and dies on the way.
    assert_eq!(in_the_middle([&[1, 2], &[1]], &[]), Ok(2));
    assert_eq!(in_the_middle([&[1], &[1, 2]], &[]), Ok(2));
    // Of four, two are being removed.
    assert_eq!(in_the_middle([&[1, 2, 3, 4], &[1, 2]], &[2]), Ok(3));
    // A third is being added.
    assert_eq!(in_the_middle([&[1, 2], &[1, 2, 3]], &[3]), Ok(2));
    // One of the other half is being replaced, and only the one that is in both memberships will do.
    assert_eq!(in_the_middle([&[1, 2, 3, 4], &[1, 2, 4, 5]], &[2]), Ok(4));
}

#[test]
fn in_the_middle_of_a_change_that_others_may_have_ended_without_it_a_member_does_not_go_on() {
    let short = |heard, needed| Err(Obstacle::NotHalf { heard, needed });
    // It is the one that is being removed: the other needs nobody.
    assert_eq!(in_the_middle([&[1, 2], &[2]], &[]), short(0, 1));
    // The other and the new one are a majority of three.
    assert_eq!(in_the_middle([&[1, 2], &[1, 2, 3]], &[]), short(1, 2));
    // One vote would have to stand for two.
    let replaced = in_the_middle([&[1, 2], &[1, 3]], &[]);
    assert_eq!(replaced, Err(Obstacle::BeingChanged));
}
