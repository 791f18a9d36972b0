use quorate_network::firewall::NftError;
use std::time::{Duration, Instant};

/// Nobody says when somebody else changes the firewall, and asking takes a process.
const BELIEVED: Duration = Duration::from_secs(30);

/// Which firewall was seen last.
#[derive(Debug, Default)]
pub(super) struct Mark(Option<(Instant, Result<Option<String>, Unseen>)>);

/// It cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unseen {
    /// Why.
    pub(super) words: String,
}

impl Mark {
    /// The mark of the firewall, looked at anew when that was long ago.
    pub(super) fn look(
        &mut self,
        now: Instant,
        look: impl FnOnce() -> Result<Option<String>, NftError>,
    ) -> Result<Option<String>, Unseen> {
        let known = self
            .0
            .as_ref()
            .filter(|(seen, _)| now.duration_since(*seen) < BELIEVED);
        if let Some((_, mark)) = known {
            return mark.clone();
        }
        let mark = look().map_err(|error| Unseen {
            words: error.to_string(),
        });
        self.0 = Some((now, mark.clone()));
        mark
    }

    /// It may be another one now.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
