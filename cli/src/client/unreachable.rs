//! What to do when no member answers.

use quorate_client::{Failure, Unreachable};

pub(crate) fn advice(unreachable: &Unreachable) -> String {
    let attempts = unreachable.attempts();
    let distrusted = attempts
        .iter()
        .any(|(_, failure)| matches!(failure, Failure::Distrust(_)));
    if attempts.is_empty() {
        "give the context addresses: `quorate config set-context NAME --endpoint HOST:7443`"
            .to_owned()
    } else if distrusted {
        "check that the context belongs to this cluster with `quorate config get-contexts`; `quorate join` makes a new \
         identity from a token"
            .to_owned()
    } else {
        "check that `quorated` runs on at least one of these machines (`systemctl status quorated`) and that its port \
         is open; other addresses are tried with --endpoint HOST:PORT"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reaches_nobody_is_told_where_to_look() {
        let error = Unreachable::new(vec![
            ("an01:7443".to_owned(), Failure::Refused),
            ("an02:7443".to_owned(), Failure::Silent),
        ]);
        assert!(advice(&error).contains("systemctl status quorated"));
    }
}
