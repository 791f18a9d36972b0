use super::Step;
use crate::model::{Address, LinkName};
use thiserror::Error;

/// Why nothing is changed. The variant says whether the same may be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Another network still has it, or the one below is not made yet: ask again.
    #[error("{0}")]
    Waits(String),
    /// None of the cards is plugged in.
    #[error("no card is {wanted}: plug it in, or correct Node.spec.nics; this host has {there}")]
    NoCard {
        /// The cards, and how they are looked for.
        wanted: String,
        /// Those that are there.
        there: String,
    },
    /// Somebody else's configuration would be changed.
    #[error("{link} is in use and not Quorate's; to take it over by hand: {}", lines(.steps))]
    Foreign {
        /// The interface.
        link: LinkName,
        /// What would be done.
        steps: Vec<Step>,
    },
    /// The address sits on an interface that has nothing to do with the network.
    #[error(
        "the address {address} sits on {link}, which is not this network's: take it away there"
    )]
    AddressTaken {
        /// The address.
        address: Address,
        /// The interface.
        link: LinkName,
    },
    /// There is another way out already.
    #[error(
        "{link} has the default route, and it is not Quorate's: remove it, or the gateway from the manifest"
    )]
    RouteTaken {
        /// The interface.
        link: LinkName,
    },
    /// Something that is not ours lies on what should go.
    #[error("{link} cannot be taken away: {by} is on it")]
    InUse {
        /// What should go.
        link: LinkName,
        /// What is on it.
        by: LinkName,
    },
    /// This release cannot do it.
    #[error("{0}")]
    NotSupported(String),
}

fn lines(steps: &[Step]) -> String {
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    steps.join("; ")
}
