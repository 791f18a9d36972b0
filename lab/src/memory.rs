//! How much of this computer's memory a room has.

use std::fs;

/// The proportional share of every process in this process namespace, in KiB: what several of them have in common counts once.
/// A process that ends meanwhile counts nothing.
pub(crate) fn of_this_room() -> u64 {
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0;
    };
    processes
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("smaps_rollup")).ok())
        .map(|text| proportional_share(&text))
        .sum()
}

fn proportional_share(smaps_rollup: &str) -> u64 {
    let line = smaps_rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_share_counts_and_not_its_parts() {
        let text = "55e0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:  9000 kB\nPss:      1234 kB\nPss_Dirty: 99 kB\n";
        assert_eq!(proportional_share(text), 1234);
        assert_eq!(proportional_share(""), 0);
    }

    #[test]
    fn a_process_has_some() {
        assert!(of_this_room() > 0);
    }
}
