//! Takes secrets out of what an agent has printed, before anybody sees it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

const INSTEAD: &str = "[secret]";
/// A shorter secret is found everywhere, and taking it out would show where it is not.
const SHORTEST: usize = 4;

/// `text` without any of `secrets`, in the forms in which agents are known to repeat them.
pub(super) fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut forms = Vec::new();
    for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
        if secret.len() < SHORTEST {
            return "(its output is withheld: a secret is too short to be taken out of it)".into();
        }
        forms.extend([
            secret.to_owned(),
            // as the shell quotes it
            secret.replace('\'', "'\"'\"'"),
            secret.replace('\'', "'\\''"),
            // as Python and JSON do
            secret.replace('\\', "\\\\").replace('\'', "\\'"),
            secret.replace('\\', "\\\\").replace('"', "\\\""),
            secret
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
                .replace('"', "\\\""),
            percent(secret),
            STANDARD.encode(secret),
        ]);
    }
    // A longer form may hold a shorter one.
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    forms.dedup();
    let mut text = text.to_owned();
    for form in forms {
        if text.contains(&form) {
            text = text.replace(&form, INSTEAD);
        }
    }
    text
}

fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_taken_out_however_it_is_quoted() {
        let secret = "it's \"so\"\\secret";
        for form in [
            "-P 'it'\"'\"'s \"so\"\\secret'",
            r#"-P 'it\'s \"so\"\\secret'"#,
            r#"{"password":"it's \"so\"\\secret"}"#,
            "password=it%27s%20%22so%22%5Csecret",
            "Basic aXQncyAic28iXHNlY3JldA==",
        ] {
            let shown = redact(form, [secret]);
            assert!(!shown.contains("so") || shown.contains(INSTEAD), "{shown}");
        }
        assert_eq!(
            redact("password is hunter2.", ["hunter2"]),
            "password is [secret]."
        );
    }

    #[test]
    fn output_is_withheld_when_a_secret_is_too_short_to_be_found() {
        assert!(!redact("it is 12, not 13", ["12"]).contains("12,"));
    }

    proptest! {
        #[test]
        fn no_secret_is_left(before in "[a-f]{0,8}", secret in "[ -~]{4,12}", after in "[a-f]{0,8}") {
            let shown = redact(&format!("{before}{secret}{after}"), [secret.as_str()]);
            prop_assert!(!shown.contains(&secret) || INSTEAD.contains(&secret));
        }
    }
}
