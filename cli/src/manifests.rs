//! Manifests from files, directories and standard input, each remembered with where it came from.

use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use quorate_crds::manifest::{Limits, parse};
use serde_json::Value;

use crate::{error::CliError, kinds, object, order};

/// Where manifests come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Files {
    /// A file, a directory with *.yaml, *.yml and *.json files, or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Descend into directories
    #[arg(short = 'R', long, requires = "files")]
    pub(crate) recursive: bool,
}

/// One object as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) object: Value,
    /// `web.yaml`, or `web.yaml:2` for the second object of a file.
    pub(crate) origin: String,
}

impl Manifest {
    /// `web.yaml: virtualmachine/web`.
    pub(crate) fn label(&self) -> String {
        format!("{}: {}", self.origin, object::reference(&self.object))
    }
}

impl Files {
    /// Every object, ordered so that what others refer to comes first. Each has a known kind and a name, and no
    /// two are the same object.
    pub(crate) fn read(&self) -> Result<Vec<Manifest>, CliError> {
        let mut manifests = Vec::new();
        for file in &self.files {
            match file.as_str() {
                "-" => {
                    let mut bytes = Vec::new();
                    let limit = Limits::default().max_bytes as u64 + 1;
                    std::io::stdin()
                        .lock()
                        .take(limit)
                        .read_to_end(&mut bytes)
                        .map_err(|error| CliError::file("read", "standard input", error))?;
                    objects(&bytes, "standard input", &mut manifests)?;
                }
                url if url.starts_with("http://") || url.starts_with("https://") => {
                    return Err(CliError::usage(format!(
                        "manifests are not fetched from the network; look at it first, then: curl -fsS {url} | quorate apply -f -"
                    )));
                }
                path => self.path(Path::new(path), &mut manifests)?,
            }
        }
        if manifests.is_empty() {
            return Err(CliError::usage(format!(
                "there is no object in {}",
                self.files.join(", ")
            )));
        }
        refuse_duplicates(&manifests)?;
        Ok(order::for_creation(manifests, |manifest| &manifest.object))
    }

    fn path(&self, path: &Path, manifests: &mut Vec<Manifest>) -> Result<(), CliError> {
        let about = fs::metadata(path).map_err(|error| CliError::file("read", path, error))?;
        let mut files = Vec::new();
        if about.is_dir() {
            self.files_below(path, &mut files)?;
            if files.is_empty() {
                let hint = if self.recursive {
                    ""
                } else {
                    "; -R looks into the directories below it too"
                };
                return Err(CliError::usage(format!(
                    "{} holds no *.yaml, *.yml or *.json file{hint}",
                    path.display()
                )));
            }
        } else {
            files.push(path.to_owned());
        }
        for file in files {
            let bytes = fs::read(&file).map_err(|error| CliError::file("read", &file, error))?;
            objects(&bytes, &file.display().to_string(), manifests)?;
        }
        Ok(())
    }

    fn files_below(&self, dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), CliError> {
        let failed = |error| CliError::file("read the directory", dir, error);
        let mut entries = fs::read_dir(dir)
            .map_err(failed)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            let path = entry.path();
            let is_manifest = path
                .extension()
                .is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            // A link to a directory is not followed: it may lead in circles.
            let is_dir = entry.file_type().map_err(failed)?.is_dir();
            if is_dir && self.recursive {
                self.files_below(&path, found)?;
            } else if is_manifest && !is_dir {
                found.push(path);
            }
        }
        Ok(())
    }
}

fn objects(bytes: &[u8], origin: &str, manifests: &mut Vec<Manifest>) -> Result<(), CliError> {
    let objects = parse(bytes, &Limits::default())
        .map_err(|error| CliError::usage(format!("{origin}: {error}")))?;
    let several = objects.len() > 1;
    for (at, object) in objects.into_iter().enumerate() {
        let origin = if several {
            format!("{origin}:{}", at + 1)
        } else {
            origin.to_owned()
        };
        manifests.push(check(Manifest { object, origin })?);
    }
    Ok(())
}

fn check(manifest: Manifest) -> Result<Manifest, CliError> {
    let wrong = |message: String| Err(CliError::usage(format!("{}: {message}", manifest.origin)));
    let kind = object::kind(&manifest.object);
    if kind.is_empty() {
        return wrong("the object has no kind; begin it with `apiVersion: quorate.dev/v1alpha1` and `kind: VirtualMachine`, for example".to_owned());
    }
    match quorate_crds::find(kind) {
        Some(known) if known.kind == kind => {}
        Some(known) => {
            return wrong(format!(
                "kind is {kind:?}; in a manifest it is written {:?}",
                known.kind
            ));
        }
        None => {
            let guess =
                kinds::did_you_mean(kind, quorate_crds::kinds().iter().map(|kind| kind.kind));
            return wrong(format!(
                "there is no kind {kind:?};{guess} `quorate api-resources` lists the kinds"
            ));
        }
    }
    let version = object::text(&manifest.object, "/apiVersion");
    if version.is_empty() {
        return wrong(format!(
            "the object has no apiVersion; write `apiVersion: {}`",
            quorate_crds::API_VERSION
        ));
    }
    if object::name(&manifest.object).is_empty() {
        return wrong(format!(
            "the {kind} has no metadata.name; every object needs one"
        ));
    }
    Ok(manifest)
}

fn refuse_duplicates(manifests: &[Manifest]) -> Result<(), CliError> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for manifest in manifests {
        let reference = object::reference(&manifest.object);
        if let Some(first) = seen.insert(reference.clone(), &manifest.origin) {
            return Err(CliError::usage(format!(
                "{reference} is declared twice, in {first} and in {}; keep one of them",
                manifest.origin
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, recursive: bool) -> Result<Vec<String>, String> {
        let files = Files {
            files: vec![dir.display().to_string()],
            recursive,
        };
        match files.read() {
            Ok(manifests) => Ok(manifests
                .iter()
                .map(|manifest| object::reference(&manifest.object))
                .collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn manifest(kind: &str, name: &str) -> String {
        format!("apiVersion: quorate.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n")
    }

    #[test]
    fn a_directory_is_read_in_the_order_in_which_a_platform_is_built() {
        let dir = tempfile::tempdir().expect("a directory");
        let both = format!(
            "{}---\n{}",
            manifest("VirtualMachine", "web"),
            manifest("Volume", "data")
        );
        fs::write(dir.path().join("a.yaml"), both).expect("written");
        fs::write(dir.path().join("z.yml"), manifest("StoragePool", "fast")).expect("written");
        fs::write(dir.path().join("README.md"), "no manifest").expect("written");
        fs::create_dir(dir.path().join("more")).expect("made");
        fs::write(
            dir.path().join("more/secret.json"),
            r#"{"apiVersion":"quorate.dev/v1alpha1","kind":"Secret","metadata":{"name":"ipmi"}}"#,
        )
        .expect("written");

        assert_eq!(
            read(dir.path(), false),
            Ok(vec![
                "storagepool/fast".into(),
                "volume/data".into(),
                "virtualmachine/web".into()
            ])
        );
        assert_eq!(read(dir.path(), true).expect("read")[0], "secret/ipmi");
    }

    #[test]
    fn what_is_wrong_is_told_with_the_file_and_the_object_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let said = |text: &str| {
            fs::write(dir.path().join("web.yaml"), text).expect("written");
            read(dir.path(), false).expect_err("refused")
        };
        let good = manifest("Volume", "data");
        assert!(
            said(&format!("{good}---\nkind: VirtualMashine\n")).contains(
                "web.yaml:2: there is no kind \"VirtualMashine\"; did you mean \"VirtualMachine\"?"
            )
        );
        assert!(said(&manifest("vm", "web")).contains("written \"VirtualMachine\""));
        assert!(said("kind: Volume\nmetadata: {name: x}\n").contains("has no apiVersion"));
        assert!(
            said("apiVersion: quorate.dev/v1alpha1\nkind: Volume\n").contains("no metadata.name")
        );
        assert!(said("spec: {}\n").contains("has no kind"));
        assert!(said("a: [\n").contains("web.yaml: "));
        assert!(said("").contains("no object in"));
    }

    #[test]
    fn one_object_may_not_be_declared_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("a.yaml"), manifest("Volume", "data")).expect("written");
        fs::write(dir.path().join("b.yaml"), manifest("Volume", "data")).expect("written");
        let message = read(dir.path(), false).expect_err("twice");
        assert!(
            message.contains("declared twice, in ") && message.contains("a.yaml and in "),
            "{message}"
        );
    }

    #[test]
    fn an_address_on_the_network_is_answered_with_the_way_to_do_it() {
        let files = Files {
            files: vec!["https://example.org/x.yaml".into()],
            recursive: false,
        };
        assert!(
            files
                .read()
                .expect_err("refused")
                .to_string()
                .contains("| quorate apply -f -")
        );
    }
}
