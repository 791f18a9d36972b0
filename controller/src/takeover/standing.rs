use std::time::Duration;

/// What this member does while there is no quorum, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// There is one, or there was one a moment ago.
    #[default]
    Quorate,
    /// It waits before it may begin.
    Waits {
        /// How much longer.
        left: Duration,
        /// For what.
        why: String,
    },
    /// It cannot begin.
    Obstructed(String),
    /// Devices are asked to switch these hosts off.
    Fences(Vec<String>),
    /// It could not prove them off, and tries again.
    Failed(String),
    /// What these were switched off for has come to nothing: they are switched on again.
    ReturnsPower(Vec<String>),
    /// They are off, and are being taken out.
    TakesOver,
    /// It has promised another member of its half to hear only that half.
    Promised,
}

impl Standing {
    /// In a sentence; nothing while all is well.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Quorate => String::new(),
            Self::Waits { left, why } => format!(
                "waits {} s more before it fences the other half: {why}",
                left.as_secs_f64().ceil()
            ),
            Self::Obstructed(why) => format!("does not go on alone: {why}"),
            Self::Fences(hosts) => format!("is fencing {}", hosts.join(", ")),
            Self::Failed(why) => format!(
                "cannot prove the other half off, and tries again: {why}; repair a device, or look that it is off and \
                 run `quorate cluster takeover` on this machine"
            ),
            Self::ReturnsPower(hosts) => format!(
                "switches on {}: what it was switched off for has come to nothing",
                hosts.join(", ")
            ),
            Self::TakesOver => "the other half is proven off and is being taken out".to_owned(),
            Self::Promised => "has promised its half to hear nobody else".to_owned(),
        }
    }
}
