//! Old definitions, for people: each in a file with the time in its name.

use crate::drivers::{DriverError, Trouble};
use quorate_crds::Name;
use std::io;
use std::path::Path;

/// Keeps a definition, and the newest `keep` of the guest.
pub(super) async fn keep(
    directory: &Path,
    guest: &Name,
    definition: &str,
    keep: u32,
) -> Result<(), DriverError> {
    let place = directory.join(guest.as_str());
    store(&place, definition, keep).await.map_err(|error| {
        DriverError::passing(
            Trouble::Refused,
            format!(
                "cannot archive the former definition in {}",
                place.display()
            ),
        )
        .because(error)
    })
}

async fn store(place: &Path, definition: &str, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return Ok(());
    }
    tokio::fs::create_dir_all(place).await?;
    let mut kept = listed(place).await?;
    let same = match kept.last() {
        Some(newest) => tokio::fs::read_to_string(place.join(newest)).await? == definition,
        None => false,
    };
    if same {
        return Ok(());
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S%.6fZ");
    let name = format!("{now}.xml");
    // Written whole or not at all.
    let unfinished = place.join("unfinished");
    tokio::fs::write(&unfinished, definition).await?;
    tokio::fs::rename(&unfinished, place.join(&name)).await?;
    kept.push(name);
    let most = usize::try_from(keep).unwrap_or(usize::MAX);
    for old in kept.iter().take(kept.len().saturating_sub(most)) {
        tokio::fs::remove_file(place.join(old)).await?;
    }
    Ok(())
}

async fn listed(place: &Path) -> io::Result<Vec<String>> {
    let mut entries = tokio::fs::read_dir(place).await?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        names.extend(
            entry
                .file_name()
                .into_string()
                .ok()
                .filter(|name| name.ends_with(".xml")),
        );
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_definitions_are_kept_and_none_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let web = Name("web".into());
        for text in ["one", "two", "two", "three"] {
            keep(directory.path(), &web, text, 2).await.expect("kept");
        }
        let place = directory.path().join("web");
        let mut texts = Vec::new();
        for name in listed(&place).await.expect("listed") {
            texts.push(std::fs::read_to_string(place.join(name)).expect("readable"));
        }
        assert_eq!(texts, ["two", "three"]);
    }
}
