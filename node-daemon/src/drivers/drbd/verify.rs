//! Verifications: what became of the one that was asked for last.
//!
//! The kernel says that it compares, and that it does not any more; not whether it came to the end. The end is where it goes
//! on in peace with its peer; anything else has broken it off, and so has every end that nobody saw.

use std::collections::BTreeMap;

use quorate_crds::{Name, VerifyState};

use super::kept::{Kept, KeptVerify};
use super::{Drbd, lock};
use crate::drivers::{DriverError, Trouble, VerifySeen};

/// What the kernel says of a peer it compares with, as far as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparing {
    Runs,
    /// It was at work when the events were no longer heard.
    Unseen,
    Finished,
    Broken,
}

/// What was heard of a resource's last verification.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verification {
    /// The kernel is being asked, and has not said yet that it compares.
    asked: bool,
    peers: BTreeMap<u32, Comparing>,
}

impl Verification {
    /// The kernel is about to be asked.
    pub(super) fn ask(&mut self) {
        (self.asked, self.peers) = (true, BTreeMap::new());
    }

    /// What replication with a peer does from now on. True: a verification has ended.
    pub(super) fn replicates(&mut self, peer: u32, word: &str) -> bool {
        if word.starts_with("Verify") {
            self.peers.insert(peer, Comparing::Runs);
            return false;
        }
        let (then, ends) = match (self.peers.get(&peer), word) {
            (Some(Comparing::Runs), "Established") => (Comparing::Finished, true),
            (Some(Comparing::Runs | Comparing::Unseen), _) => (Comparing::Broken, true),
            (None, "Established") => return false,
            (None, _) if self.asked => (Comparing::Broken, true),
            _ => return false,
        };
        self.peers.insert(peer, then);
        ends
    }

    /// Events are no longer heard: whatever ends now is not seen.
    pub(super) fn lose_sight(&mut self) {
        for comparing in self.peers.values_mut() {
            if *comparing == Comparing::Runs {
                *comparing = Comparing::Unseen;
            }
        }
    }

    /// Whether figures move.
    pub(super) fn runs(&self) -> bool {
        self.peers.values().any(|it| *it == Comparing::Runs)
    }

    fn state(&self) -> VerifyState {
        let any = |wanted: &[Comparing]| self.peers.values().any(|it| wanted.contains(it));
        if any(&[Comparing::Runs, Comparing::Unseen]) || (self.asked && self.peers.is_empty()) {
            VerifyState::Running
        } else if any(&[Comparing::Broken]) || self.peers.is_empty() {
            VerifyState::Broken
        } else {
            VerifyState::Finished
        }
    }
}

impl Kept {
    /// The verification that was asked for last, and what became of it.
    pub(super) fn verification(&self, heard: Option<&Verification>) -> Option<VerifySeen> {
        let KeptVerify { number, refused } = self.verify.clone()?;
        let state = match refused {
            Some(_) => VerifyState::Broken,
            None => heard.map_or(VerifyState::Broken, Verification::state),
        };
        let lost = || "its end was not seen, or the replicas lost each other".to_owned();
        Some(VerifySeen {
            number,
            state,
            message: (state == VerifyState::Broken).then(|| refused.unwrap_or_else(lost)),
        })
    }
}

impl Drbd {
    pub(super) async fn verify(&self, volume: &Name, number: u64) -> Result<(), DriverError> {
        let (mut kept, _) = self.up(volume).await?;
        let note = |kept: &Kept| {
            self.place.keep(kept).map_err(|error| {
                DriverError::passing(
                    Trouble::Refused,
                    format!("it cannot be written down that volume {volume} is verified"),
                )
                .because(error)
            })
        };
        kept.verify = Some(KeptVerify {
            number,
            refused: None,
        });
        note(&kept)?;
        lock(&self.shared.live)
            .verifications
            .entry(volume.to_string())
            .or_default()
            .ask();
        let asked = self.administer(["verify", volume.as_str()]);
        if let Err(error) = self.simply(volume, asked).await {
            tracing::warn!(
                volume = volume.as_str(),
                error = &error as &dyn std::error::Error,
                "the replicas are not compared"
            );
            kept.verify = Some(KeptVerify {
                number,
                refused: Some(error.to_string()),
            });
            note(&kept)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(words: &[&str]) -> VerifyState {
        let mut one = Verification::default();
        one.ask();
        for word in words {
            match *word {
                "(deaf)" => one.lose_sight(),
                word => drop(one.replicates(0, word)),
            }
        }
        one.state()
    }

    #[test]
    fn only_an_end_in_peace_that_was_seen_counts() {
        use VerifyState::{Broken, Finished, Running};
        assert_eq!(after(&[]), Running);
        assert_eq!(
            after(&["Established"]),
            Running,
            "what was said before it began"
        );
        assert_eq!(after(&["VerifyS"]), Running);
        assert_eq!(after(&["VerifyS", "Established"]), Finished);
        assert_eq!(after(&["VerifyS", "Established", "Off"]), Finished);
        assert_eq!(after(&["VerifyS", "Off", "Established"]), Broken);
        assert_eq!(after(&["VerifyS", "SyncSource"]), Broken);
        assert_eq!(after(&["Off"]), Broken);
        assert_eq!(after(&["VerifyS", "(deaf)", "Established"]), Broken);
        assert_eq!(after(&["VerifyS", "(deaf)"]), Running);
        assert_eq!(
            after(&["VerifyS", "(deaf)", "VerifyS", "Established"]),
            Finished
        );
    }

    #[test]
    fn it_is_over_when_every_peer_was_compared_with() {
        let mut one = Verification::default();
        one.ask();
        one.replicates(1, "VerifyS");
        one.replicates(2, "VerifyS");
        assert!(one.replicates(1, "Established"));
        assert_eq!(one.state(), VerifyState::Running);
        one.replicates(2, "Established");
        assert_eq!(one.state(), VerifyState::Finished);
        one.ask();
        assert_eq!(one.state(), VerifyState::Running, "the next one");
    }
}
