//! The file with the contexts: which clusters this person knows and who they are there.
//!
//! One file holds everything, certificates and keys included, so that copying it moves an identity
//! and `chmod 600` protects it. It is written whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use quorate_identity::Credentials;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The context that is used when none is named.
    pub(crate) current_context: String,
    /// All contexts, in the order in which they were made.
    pub(crate) contexts: Vec<Context>,
}

/// One cluster and who we are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Context {
    /// What people call it.
    pub(crate) name: String,
    /// The members' addresses, `host:port`, tried in this order.
    #[serde(default)]
    pub(crate) endpoints: Vec<String>,
    /// The cluster's authority: PEM text, or the path of a file with it.
    #[serde(default)]
    pub(crate) certificate_authority: String,
    /// Our certificate: PEM text, or the path of a file with it.
    #[serde(default)]
    pub(crate) client_certificate: String,
    /// Its key: PEM text, or the path of a file with it.
    #[serde(default)]
    pub(crate) client_key: String,
}

/// The file and where it is.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
}

impl ConfigFile {
    /// Read the file; a file that does not exist yet has no contexts.
    pub(crate) fn load(chosen: Option<&Path>) -> Result<Self, CliError> {
        let path = match chosen {
            Some(path) => path.to_owned(),
            None => default_path()?,
        };
        let config = match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Config::default(),
            Ok(text) => serde_saphyr::from_str(&text).map_err(|error| {
                CliError::usage(format!(
                    "{} is not a configuration: {error}; correct it, or move it away and join again",
                    path.display()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Config::default(),
            Err(error) => return Err(CliError::file("read the configuration", path, error)),
        };
        Ok(Self { path, config })
    }

    /// The named context, or the current one.
    pub(crate) fn context(&self, named: Option<&str>) -> Result<&Context, CliError> {
        let name = named.unwrap_or(&self.config.current_context);
        if name.is_empty() {
            let next = if self.config.contexts.is_empty() {
                "make one with `quorate init` on the first member, or with `quorate join TOKEN --server HOST`".to_owned()
            } else {
                format!(
                    "choose one with `quorate config use-context NAME`: {}",
                    self.names()
                )
            };
            return Err(CliError::usage(format!(
                "no context is chosen in {}; {next}",
                self.path.display()
            )));
        }
        self.config
            .contexts
            .iter()
            .find(|context| context.name == name)
            .ok_or_else(|| self.no_such(name))
    }

    /// The error for a context that is not there.
    pub(crate) fn no_such(&self, name: &str) -> CliError {
        let known = if self.config.contexts.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", self.names())
        };
        CliError::usage(format!(
            "{} has no context {name:?}; {known}",
            self.path.display()
        ))
    }

    /// Add a context, or replace the one of the same name, and make it the current one.
    pub(crate) fn put(&mut self, context: Context) {
        self.config.current_context.clone_from(&context.name);
        match self
            .config
            .contexts
            .iter_mut()
            .find(|known| known.name == context.name)
        {
            Some(known) => *known = context,
            None => self.config.contexts.push(context),
        }
    }

    /// Add an identity that was just received, make it the current one, and say under which name. Who one is elsewhere, or
    /// was until now, is kept: only the same person in the same cluster is replaced.
    pub(crate) fn add(&mut self, mut context: Context) -> String {
        let wanted = context.name.clone();
        let free = |name: &String| {
            let known = self.config.contexts.iter().find(|it| it.name == *name);
            known.is_none_or(|known| self.is_same(known, &context))
        };
        let others = (2..).map(|number| format!("{wanted}-{number}"));
        if let Some(name) = std::iter::once(wanted.clone()).chain(others).find(free) {
            context.name = name;
        }
        let name = context.name.clone();
        self.put(context);
        name
    }

    fn is_same(&self, known: &Context, new: &Context) -> bool {
        let authority = |context: &Context| {
            let pem = self.pem(&context.certificate_authority, "authority");
            pem.ok().map(|pem| pem.trim().to_owned())
        };
        let user = |context: &Context| {
            let chain = self.pem(&context.client_certificate, "certificate").ok()?;
            let key = self.pem(&context.client_key, "key").ok()?;
            let own = Credentials::from_pem(&chain, &key).ok()?;
            Some(own.peer().subject.user().to_owned())
        };
        authority(known).is_some() && authority(known) == authority(new) && user(known) == user(new)
    }

    /// Write the file, readable by its owner only.
    pub(crate) fn save(&self) -> Result<(), CliError> {
        let failed = |error| CliError::file("write the configuration", &self.path, error);
        let dir = self
            .path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(failed)?;
        let value =
            serde_json::to_value(&self.config).map_err(|error| failed(io::Error::other(error)))?;
        // A temporary file is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        file.write_all(quorate_crds::manifest::to_yaml(&value).as_bytes())
            .map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path)
            .map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// PEM text that a context holds or points to; paths are relative to the file.
    pub(crate) fn pem(&self, value: &str, what: &str) -> Result<String, CliError> {
        if value.contains("-----BEGIN") {
            return Ok(value.to_owned());
        }
        if value.is_empty() {
            return Err(CliError::usage(format!(
                "the context has no {what}; get one with `quorate join TOKEN --server HOST`"
            )));
        }
        let path = self.path.parent().unwrap_or(Path::new(".")).join(value);
        fs::read_to_string(&path)
            .map_err(|error| CliError::file(&format!("read the {what}"), path, error))
    }

    fn names(&self) -> String {
        self.config
            .contexts
            .iter()
            .map(|context| context.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn default_path() -> Result<PathBuf, CliError> {
    let dir = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")))
        .ok_or_else(|| CliError::usage("there is no home directory; name the configuration with --config or QUORATE_CONFIG"))?;
    Ok(dir.join("quorate/config.yaml"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use quorate_identity::{Authority, Subject, SystemClock};

    use super::*;

    fn context(name: &str) -> Context {
        Context {
            name: name.to_owned(),
            endpoints: vec!["an01:7443".to_owned()],
            certificate_authority: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
                .to_owned(),
            client_certificate: "admin.crt".to_owned(),
            client_key: "admin.key".to_owned(),
        }
    }

    #[test]
    fn a_saved_file_reads_back_the_same_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sub/config.yaml");
        let mut file = ConfigFile::load(Some(&path)).expect("a missing file is an empty one");
        file.put(context("one"));
        file.put(context("two"));
        file.save().expect("saved");

        let again = ConfigFile::load(Some(&path)).expect("read back");

        assert_eq!(again.config, file.config);
        assert_eq!(again.context(None).expect("the current one").name, "two");
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn an_identity_that_is_received_replaces_nobody_elses() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = ConfigFile::load(Some(&dir.path().join("c"))).expect("empty");
        assert_eq!(file.add(issued("anvil", &authority(), "ann")), "anvil");
        let elsewhere = authority();
        assert_eq!(file.add(issued("anvil", &elsewhere, "ann")), "anvil-2");
        assert_eq!(file.add(issued("anvil", &elsewhere, "bob")), "anvil-3");
        assert_eq!(file.add(issued("anvil", &elsewhere, "ann")), "anvil-2");
        assert_eq!(file.config.contexts.len(), 3);
        assert_eq!(file.config.current_context, "anvil-2");
    }

    fn authority() -> Authority {
        Authority::create("anvil", Arc::new(SystemClock)).expect("an authority")
    }

    fn issued(name: &str, authority: &Authority, user: &str) -> Context {
        let subject = Subject::person(user, &[]).expect("a person");
        let own = Credentials::issue(authority, &subject, &[]).expect("issued");
        Context {
            certificate_authority: authority.certificate_pem(),
            client_certificate: own.chain_pem().to_owned(),
            client_key: own.key_pem().to_owned(),
            ..context(name)
        }
    }

    #[test]
    fn an_unknown_context_is_answered_with_the_known_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = ConfigFile::load(Some(&dir.path().join("c"))).expect("empty");
        let nothing = file.context(None).expect_err("no context yet").to_string();
        assert!(
            nothing.contains("quorate init") && nothing.contains("quorate join"),
            "{nothing}"
        );

        file.put(context("one"));
        let wrong = file
            .context(Some("two"))
            .expect_err("not there")
            .to_string();
        assert!(wrong.contains("no context \"two\"; it has one"), "{wrong}");
    }

    #[test]
    fn credentials_are_text_or_files_beside_the_configuration() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("admin.crt"), "-----BEGIN X-----").expect("written");
        let file = ConfigFile::load(Some(&dir.path().join("config.yaml"))).expect("empty");

        assert_eq!(
            file.pem("admin.crt", "certificate").expect("a file"),
            "-----BEGIN X-----"
        );
        assert_eq!(
            file.pem("-----BEGIN Y-----", "certificate").expect("text"),
            "-----BEGIN Y-----"
        );
        let missing = file
            .pem("admin.key", "key")
            .expect_err("no file")
            .to_string();
        assert!(missing.starts_with("cannot read the key /"), "{missing}");
    }

    #[test]
    fn a_file_with_a_typing_mistake_is_refused_with_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.yaml");
        fs::write(&path, "curentContext: one\n").expect("written");
        let message = ConfigFile::load(Some(&path))
            .expect_err("unknown field")
            .to_string();
        assert!(
            message.contains("curentContext") && message.contains("line 1"),
            "{message}"
        );
    }
}
