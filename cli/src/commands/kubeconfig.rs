//! `quorate kubeconfig`: the same cluster and the same person, for kubectl and what else speaks to Kubernetes.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use quorate_identity::{Credentials, MEMBER_NAME};
use quorate_proto::client::with_port;
use serde_json::{Value, json};

use crate::{
    config::{ConfigFile, Context},
    error::CliError,
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write it into kubectl's file, among what is there, instead of printing it: KUBECONFIG, else ~/.kube/config
    #[arg(long)]
    write: bool,
    /// Write it into this file instead
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What kubectl is to call the context [default: quorate-CONTEXT]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Leave the current context of the file as it is
    #[arg(long)]
    keep_current: bool,
}

/// What a kubeconfig says about one cluster and one person.
struct Entry {
    name: String,
    user: String,
    cluster: Value,
    credentials: Value,
}

pub(crate) fn run(session: &Session, args: Args) -> Result<(), CliError> {
    let file = session.config()?;
    let context = file.context(session.options().context.as_deref())?;
    let entry = Entry::of(session, &file, context, args.name)?;
    let path = match (args.file, args.write) {
        (Some(path), _) => path,
        (None, true) => default_path()?,
        (None, false) => {
            let mut fresh = Value::Null;
            entry.put_into(&mut fresh, false);
            return session
                .console
                .print(&quorate_crds::manifest::to_yaml(&fresh));
        }
    };
    let mut known = read(&path)?;
    entry.put_into(&mut known, args.keep_current);
    save(&path, &known)?;
    session.console.line(&format!(
        "context {} written to {}; try `kubectl --context {} get quorate`",
        entry.name,
        path.display(),
        entry.name
    ))
}

/// A kubeconfig for a user of the present context's cluster.
pub(crate) fn of_user(
    session: &Session,
    user: &str,
    credentials: Value,
) -> Result<String, CliError> {
    let file = session.config()?;
    let context = file.context(session.options().context.as_deref())?;
    let name = format!("quorate-{}", context.name);
    let entry = Entry::of_user(session, (&file, context), name, user, credentials)?;
    let mut fresh = Value::Null;
    entry.put_into(&mut fresh, false);
    Ok(quorate_crds::manifest::to_yaml(&fresh))
}

impl Entry {
    fn of(
        session: &Session,
        file: &ConfigFile,
        context: &Context,
        name: Option<String>,
    ) -> Result<Self, CliError> {
        let chain = file.pem(&context.client_certificate, "client certificate")?;
        let key = file.pem(&context.client_key, "client key")?;
        let own = Credentials::from_pem(&chain, &key)
            .map_err(|error| CliError::usage(format!("context {:?}: {error}", context.name)))?;
        let credentials = json!({
            "client-certificate-data": STANDARD.encode(chain),
            "client-key-data": STANDARD.encode(key),
        });
        let name = name.unwrap_or_else(|| format!("quorate-{}", context.name));
        let user = own.peer().subject.user();
        Self::of_user(session, (file, context), name, user, credentials)
    }

    fn of_user(
        session: &Session,
        (file, context): (&ConfigFile, &Context),
        name: String,
        user: &str,
        credentials: Value,
    ) -> Result<Self, CliError> {
        let Some(address) = session.endpoints(context).first() else {
            return Err(CliError::usage(format!(
                "context {:?} has no address; name one with --endpoint",
                context.name
            )));
        };
        let authority = file.pem(
            &context.certificate_authority,
            "cluster's authority certificate",
        )?;
        Ok(Self {
            user: format!("{user}@{name}"),
            cluster: json!({
                "server": format!("https://{}", with_port(address)),
                "certificate-authority-data": STANDARD.encode(authority),
                // Every member's certificate has this name, so that an address may be any that leads to one.
                "tls-server-name": MEMBER_NAME,
            }),
            credentials,
            name,
        })
    }

    /// Adds it to a kubeconfig, in the place of an older one of the same name.
    fn put_into(&self, known: &mut Value, keep_current: bool) {
        if !known.is_object() {
            *known = json!({});
        }
        known["apiVersion"] = json!("v1");
        known["kind"] = json!("Config");
        if !known["preferences"].is_object() {
            known["preferences"] = json!({});
        }
        let context = json!({"cluster": self.name, "user": self.user});
        for (list, name, field, value) in [
            ("clusters", &self.name, "cluster", &self.cluster),
            ("users", &self.user, "user", &self.credentials),
            ("contexts", &self.name, "context", &context),
        ] {
            put(&mut known[list], name, field, value);
        }
        let has_current = known["current-context"]
            .as_str()
            .is_some_and(|name| !name.is_empty());
        if !(keep_current && has_current) {
            known["current-context"] = json!(self.name);
        }
    }
}

fn put(list: &mut Value, name: &str, field: &str, value: &Value) {
    let entry = json!({"name": name, field: value});
    match list {
        Value::Array(entries) => match entries.iter_mut().find(|known| known["name"] == name) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        },
        other => *other = json!([entry]),
    }
}

/// kubectl reads several files and writes into the first one that is there.
fn default_path() -> Result<PathBuf, CliError> {
    if let Some(paths) = env::var_os("KUBECONFIG") {
        let paths: Vec<PathBuf> = env::split_paths(&paths)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        let there = paths.iter().find(|path| path.exists());
        if let Some(path) = there.or(paths.last()) {
            return Ok(path.clone());
        }
    }
    env::home_dir()
        .map(|home| home.join(".kube/config"))
        .ok_or_else(|| CliError::usage("there is no home directory; name the file with --file"))
}

fn read(path: &Path) -> Result<Value, CliError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(Value::Null),
        Ok(text) => serde_saphyr::from_str(&text).map_err(|error| {
            CliError::usage(format!(
                "{} is not a kubeconfig: {error}; correct it, or name another file with --file",
                path.display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(CliError::file("read the kubeconfig", path, error)),
    }
}

/// Written whole or not at all, readable by its owner only.
fn save(path: &Path, known: &Value) -> Result<(), CliError> {
    let failed = |error| CliError::file("write the kubeconfig", path, error);
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(failed)?;
    // A temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(quorate_crds::manifest::to_yaml(known).as_bytes())
        .map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(server: &str) -> Entry {
        Entry {
            name: "quorate-anvil".into(),
            user: "ann@quorate-anvil".into(),
            cluster: json!({"server": server}),
            credentials: json!({}),
        }
    }

    #[test]
    fn what_is_there_already_stays() {
        let mut known = json!({
            "current-context": "work",
            "contexts": [{"name": "work", "context": {"cluster": "w", "user": "w"}}],
            "users": null,
            "extensions": {"kept": true},
        });
        entry("https://an01:7443").put_into(&mut known, true);
        entry("https://an02:7443").put_into(&mut known, true);
        assert_eq!(known["current-context"], "work");
        assert_eq!(known["contexts"][0]["name"], "work");
        assert_eq!(known["contexts"][1]["name"], "quorate-anvil");
        assert_eq!(
            known["clusters"],
            json!([{"name": "quorate-anvil", "cluster": {"server": "https://an02:7443"}}])
        );
        assert_eq!(known["extensions"]["kept"], true);
        entry("https://an02:7443").put_into(&mut known, false);
        assert_eq!(known["current-context"], "quorate-anvil");
    }

    #[test]
    fn a_file_that_is_none_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config");
        fs::write(&path, "a: [").expect("written");
        assert!(read(&path).is_err());
        assert_eq!(fs::read_to_string(&path).expect("there"), "a: [");
    }
}
