use std::{error::Error, fmt, time::Duration};

/// A member answers within a network round trip or two; one that is down must not hold up the next.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(3);

/// Why no member answered: each address with its reason.
#[derive(Debug, Clone)]
pub struct Unreachable {
    attempts: Vec<(String, Failure)>,
}

/// Why one address did not do. Another one may, and this one later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The name has no address.
    Unresolved(String),
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    Silent,
    /// The two sides do not trust each other; the text says what to do.
    Distrust(String),
    /// Something else.
    Other(String),
}

impl Unreachable {
    /// Nobody of these did.
    #[must_use]
    pub fn new(attempts: Vec<(String, Failure)>) -> Self {
        Self { attempts }
    }

    /// There is no address to try.
    #[must_use]
    pub fn nobody_to_ask() -> Self {
        Self::new(Vec::new())
    }

    /// What was tried, and what came of it.
    #[must_use]
    pub fn attempts(&self) -> &[(String, Failure)] {
        &self.attempts
    }

    /// A line for each address.
    #[must_use]
    pub fn detail_lines(&self) -> Vec<String> {
        self.attempts
            .iter()
            .map(|(endpoint, failure)| format!("{endpoint}: {failure}"))
            .collect()
    }
}

impl Error for Unreachable {}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempts.len() {
            0 => f.write_str("the context names no address of the cluster"),
            1 => f.write_str("the cluster cannot be reached"),
            tried => write!(
                f,
                "the cluster cannot be reached: none of its {tried} addresses answers"
            ),
        }
    }
}

impl Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(why) => write!(f, "the name does not resolve ({why})"),
            Self::Refused => f.write_str("connection refused: nothing listens there"),
            Self::Silent => write!(f, "no answer within {} s", CONNECT_TIME.as_secs()),
            Self::Distrust(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_cluster_lists_each_address_with_its_reason() {
        let error = Unreachable::new(vec![
            ("an01:7443".to_owned(), Failure::Refused),
            ("an02:7443".to_owned(), Failure::Silent),
        ]);
        assert_eq!(
            error.to_string(),
            "the cluster cannot be reached: none of its 2 addresses answers"
        );
        assert_eq!(
            error.detail_lines(),
            [
                "an01:7443: connection refused: nothing listens there",
                "an02:7443: no answer within 3 s"
            ]
        );
    }
}
