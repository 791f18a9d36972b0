//! What `wipefs --json --no-act` finds on a device.

use serde::Deserialize;

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    signatures: Vec<Signature>,
}

/// Something that is written on it.
#[derive(Deserialize)]
pub(super) struct Signature {
    #[serde(rename = "type")]
    kind: Option<String>,
    pub(super) uuid: Option<String>,
}

impl Signature {
    /// Its name; of what has none it is known that it is there.
    pub(super) fn kind(&self) -> String {
        self.kind.clone().unwrap_or_else(|| "something".to_owned())
    }
}

/// All of them; no words at all are none.
pub(super) fn signatures(text: &str) -> Result<Vec<Signature>, serde_json::Error> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let found: Found = serde_json::from_str(text)?;
    Ok(found.signatures)
}
