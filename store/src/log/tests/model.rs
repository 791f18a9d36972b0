use proptest::prelude::*;

use super::*;
use crate::disk::sim::SimDisk;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    /// Keep all but so many.
    Truncate(usize),
    /// Purge so many.
    Purge(usize),
    Restart,
    Read(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20usize).prop_map(Step::Append),
        1 => (0..10usize).prop_map(Step::Truncate),
        1 => (1..40usize).prop_map(Step::Purge),
        1 => Just(Step::Restart),
        3 => (0..100usize, 0..50usize).prop_map(|(from, count)| Step::Read(from, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_of_which_both_ends_can_be_cut(steps in prop::collection::vec(step(), 1..60)) {
        let sim = SimDisk::new(0);
        let reports = Reports::default();
        let (mut log, _) = Log::open(sim.mount(), small(Mode::Inline)).expect("opens");
        let mut list: Vec<Entry> = Vec::new();
        let mut last: Option<EntryId> = None;
        let mut number = 0;
        for (term, step) in steps.into_iter().enumerate() {
            number += 1;
            let done = reports.done(number);
            match step {
                Step::Append(count) => {
                    let next = last.map_or(0, |id| id.index + 1);
                    let batch: Vec<Entry> = (next..next + count as u64)
                        .map(|index| entry(index, term as u64, index as usize % 90))
                        .collect();
                    list.extend(batch.iter().cloned());
                    log.append(batch, done).expect("accepted");
                }
                Step::Truncate(count) if count < list.len() => {
                    list.truncate(list.len() - count);
                    log.truncate_after(list.last().map(|entry| entry.id), done).expect("accepted");
                }
                Step::Purge(count) if (1..=list.len()).contains(&count) => {
                    let upto = list[count - 1].id;
                    list.drain(..count);
                    log.purge(upto, done).expect("accepted");
                    if list.is_empty() {
                        prop_assert_eq!(log.last(), Some(upto));
                    }
                }
                Step::Restart => {
                    log.close();
                    sim.cut_power();
                    log = Log::open(sim.mount(), small(Mode::Inline)).expect("opens").0;
                }
                Step::Read(from, count) if from < list.len() => {
                    let until = list.len().min(from + count);
                    let first = list[from].id.index;
                    let read = log.read(first..first + count as u64, usize::MAX).expect("whole");
                    prop_assert_eq!(&read[..], &list[from..until]);
                }
                _ => {}
            }
            last = list.last().map(|entry| entry.id).or(last);
            prop_assert_eq!(log.last(), last);
            prop_assert_eq!(log.first(), list.first().map(|entry| entry.id));
        }
        prop_assert_eq!(all(&log), list);
    }
}
