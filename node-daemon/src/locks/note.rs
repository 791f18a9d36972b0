use super::{Answer, Question, Wish};
use serde::{Deserialize, Serialize};

/// What a host writes down before it does anything that follows from it. A daemon that starts has all of them, in order, and
/// goes on where the former one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Note {
    /// A daemon begins. Each life has a higher number.
    Life(u64),
    /// The next number of a question.
    Next(u64),
    /// A lock is held. Only in the short form of notes, like the next one.
    Has(Wish),
    /// The kernel has asked, and all that followed is said elsewhere. Its answer, when there is one.
    Open(u64, Question, Option<Answer>),
    /// The kernel has asked. An unlock and a close are done with this.
    Asked(u64, Question),
    /// This will be the answer. A lock that is granted is held with this.
    Decided(u64, Answer),
    /// The kernel has the answer.
    Told(u64),
}
