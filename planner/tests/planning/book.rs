//! The page that tells people what every reason means.

use super::same_or_written;
use quorate_planner::Reason;
use std::path::Path;

#[test]
fn the_book_lists_every_reason_with_what_to_do() {
    let mut page = String::from(
        "# Reasons\n\nEvery reason that the planner gives, what it means and what to do about \
         it.\n\n| reason | what it means | what to do |\n|---|---|---|\n",
    );
    for reason in Reason::ALL {
        page.push_str(&format!(
            "| `{reason}` | {} | {} |\n",
            reason.meaning(),
            reason.advice()
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    same_or_written(&path, &written, &page);
}
