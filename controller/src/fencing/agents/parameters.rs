//! What an agent is told, checked against its own metadata before it is started.
//!
//! Whoever may write a FenceDevice chooses parameters for a program that runs as `quorated`. Those by which an agent
//! would run another program, write a file or show its secrets are therefore refused, whatever the agent allows.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{
    metadata::{Content, Metadata, Parameter},
    request::AgentRequest,
};

/// What is wrong with a parameter. Repeating the run does not help: the FenceDevice must be changed. Values are never
/// repeated, they may be secrets in the wrong place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParameterError {
    /// The agent does not know it.
    #[error("{agent} has no parameter {name:?}, allowed: {allowed}")]
    Unknown {
        /// The agent.
        agent: String,
        /// The parameter.
        name: String,
        /// Those that it has.
        allowed: String,
    },
    /// It is ours to set.
    #[error("parameter {name:?} is set by the cluster itself; {instead}")]
    Ours {
        /// The parameter.
        name: String,
        /// What to write instead.
        instead: &'static str,
    },
    /// It would make the agent run something else, or show secrets.
    #[error(
        "parameter {name:?} is not allowed: {reason}; remove it from the FenceDevice and its targets"
    )]
    Unsafe {
        /// The parameter.
        name: String,
        /// What it would do.
        reason: &'static str,
    },
    /// Its value does not look as it must.
    #[error("the value of parameter {name:?} is not right, allowed: {allowed}")]
    Value {
        /// The parameter.
        name: String,
        /// What it may be.
        allowed: String,
    },
    /// It must be there and is not.
    #[error("{agent} needs parameter {name:?}; add it to the FenceDevice")]
    Missing {
        /// The agent.
        agent: String,
        /// The parameter.
        name: String,
    },
    /// It is given in the open and in secret.
    #[error("parameter {name:?} is given twice, in parameters and in secretParameters; remove one")]
    Twice {
        /// The parameter.
        name: String,
    },
    /// The agent cannot tell outlets apart.
    #[error("{agent} knows no outlets; remove plug {plug:?} from the fence level")]
    NoOutlets {
        /// The agent.
        agent: String,
        /// The plug.
        plug: String,
    },
}

const OURS: [(&str, &str); 5] = [
    ("action", "a FenceOperation says what is done"),
    ("option", "a FenceOperation says what is done"),
    ("plug", "write the plug in the Node's fence level"),
    ("port", "write the plug in the Node's fence level"),
    ("delay", "write Node.spec.fencing.delay"),
];

/// What the agent's standard input is to hold, one `name=value` a line.
pub(super) fn standard_input(
    metadata: &Metadata,
    request: &AgentRequest,
    secrets: &BTreeMap<String, String>,
) -> Result<String, ParameterError> {
    for name in request.parameters.keys() {
        if secrets.contains_key(name) {
            return Err(ParameterError::Twice { name: name.clone() });
        }
    }
    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in request.parameters.iter().chain(secrets) {
        check(metadata, &request.agent, name, value)?;
        given.insert(name, value);
    }
    if !request.plug.is_empty() {
        let Some(name) = metadata.plug_parameter() else {
            return Err(ParameterError::NoOutlets {
                agent: request.agent.clone(),
                plug: request.plug.clone(),
            });
        };
        one_line("plug", &request.plug)?;
        given.insert(name, &request.plug);
    }
    for (name, parameter) in &metadata.parameters {
        let older = parameter.replaces.as_deref();
        // Some agents require the older name as well as the newer one, and mean either.
        let newer = metadata
            .parameters
            .iter()
            .filter(|(_, other)| other.replaces.as_ref() == Some(name))
            .map(|(newer, _)| newer.as_str());
        let is_given = newer
            .chain(older)
            .chain([name.as_str()])
            .any(|name| given.contains_key(name));
        // A device alone is asked without an outlet.
        let is_plug = matches!(name.as_str(), "plug" | "port");
        if parameter.required && !is_given && !is_plug {
            return Err(ParameterError::Missing {
                agent: request.agent.clone(),
                name: name.clone(),
            });
        }
    }
    let mut lines = format!("action={}\n", request.action);
    for (name, value) in given {
        lines.push_str(name);
        lines.push('=');
        lines.push_str(value);
        lines.push('\n');
    }
    Ok(lines)
}

fn check(metadata: &Metadata, agent: &str, name: &str, value: &str) -> Result<(), ParameterError> {
    if let Some((_, instead)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Err(ParameterError::Ours {
            name: name.to_owned(),
            instead,
        });
    }
    if let Some(reason) = danger(name) {
        return Err(ParameterError::Unsafe {
            name: name.to_owned(),
            reason,
        });
    }
    let parameter = metadata
        .parameters
        .get(name)
        .ok_or_else(|| ParameterError::Unknown {
            agent: agent.to_owned(),
            name: name.to_owned(),
            allowed: allowed_names(metadata),
        })?;
    one_line(name, value)?;
    fits(name, parameter, value)
}

fn danger(name: &str) -> Option<&'static str> {
    match name {
        "ssh_options" => Some("it could run any program"),
        "verbose" | "verbose_level" => Some("the agent would show its secrets"),
        "debug" | "debug_file" | "logfile" | "cookie_file" | "status_file" => {
            Some("the agent would write to any file")
        }
        _ if name.ends_with("_script") || name.ends_with("_path") => {
            Some("it could run any program")
        }
        _ => None,
    }
}

fn allowed_names(metadata: &Metadata) -> String {
    let names: Vec<&str> = metadata
        .parameters
        .keys()
        .map(String::as_str)
        .filter(|name| danger(name).is_none() && !OURS.iter().any(|(ours, _)| ours == name))
        .collect();
    names.join(", ")
}

/// A line end in a value would be one more parameter.
fn one_line(name: &str, value: &str) -> Result<(), ParameterError> {
    if value.chars().any(char::is_control) {
        return Err(ParameterError::Value {
            name: name.to_owned(),
            allowed: "one line without control characters".to_owned(),
        });
    }
    Ok(())
}

fn fits(name: &str, parameter: &Parameter, value: &str) -> Result<(), ParameterError> {
    let (fits, allowed) = match &parameter.content {
        Content::Text => (true, String::new()),
        Content::Boolean => (
            matches!(
                value.to_ascii_lowercase().as_str(),
                "0" | "1" | "yes" | "no" | "true" | "false" | "on" | "off"
            ),
            "1 or 0".to_owned(),
        ),
        Content::Integer => (value.parse::<i64>().is_ok(), "a whole number".to_owned()),
        Content::Seconds => (
            value
                .trim_end_matches('s')
                .parse::<f64>()
                .is_ok_and(|it| it >= 0.0),
            "a number of seconds".to_owned(),
        ),
        Content::OneOf(options) => (
            options.is_empty() || options.iter().any(|option| option == value),
            options.join(", "),
        ),
    };
    if fits {
        return Ok(());
    }
    Err(ParameterError::Value {
        name: name.to_owned(),
        allowed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fencing::agents::request::Action;
    use std::time::Duration;

    fn metadata() -> Metadata {
        let text = |required| Parameter {
            content: Content::Text,
            required,
            replaces: None,
        };
        let of = |content| Parameter {
            content,
            ..text(false)
        };
        let ip = Parameter {
            replaces: Some("ipaddr".into()),
            ..text(true)
        };
        Metadata {
            name: "fence_x".into(),
            parameters: BTreeMap::from([
                ("ip".into(), ip),
                ("ipaddr".into(), text(true)),
                ("password".into(), text(false)),
                ("plug".into(), text(true)),
                ("lanplus".into(), of(Content::Boolean)),
                ("ipport".into(), of(Content::Integer)),
                ("login_timeout".into(), of(Content::Seconds)),
                ("auth".into(), of(Content::OneOf(vec!["md5".into()]))),
                ("ssh_options".into(), text(false)),
                ("ipmitool_path".into(), text(false)),
                ("password_script".into(), text(false)),
                ("verbose".into(), of(Content::Boolean)),
                ("debug_file".into(), text(false)),
                ("action".into(), text(false)),
            ]),
            ..Metadata::default()
        }
    }

    fn request(parameters: &[(&str, &str)]) -> AgentRequest {
        AgentRequest {
            device: "bmc".into(),
            node: None,
            plug: String::new(),
            agent: "fence_x".into(),
            action: Action::Status,
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            secrets: Vec::new(),
            timeout: Duration::from_secs(1),
            term: 1,
        }
    }

    fn told(parameters: &[(&str, &str)]) -> Result<String, ParameterError> {
        standard_input(&metadata(), &request(parameters), &BTreeMap::new())
    }

    #[test]
    fn the_agent_reads_one_parameter_a_line_and_secrets_with_them() {
        let secrets = BTreeMap::from([("password".to_owned(), "hunter2 =x".to_owned())]);
        let mut request = request(&[("ip", "10.0.0.1"), ("lanplus", "1")]);
        request.plug = "3".into();
        assert_eq!(
            standard_input(&metadata(), &request, &secrets).expect("told"),
            "action=status\nip=10.0.0.1\nlanplus=1\npassword=hunter2 =x\nplug=3\n"
        );
    }

    #[test]
    fn a_misspelt_parameter_is_named_with_what_is_allowed() {
        let error = told(&[("ip", "x"), ("lan_plus", "1")]).expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "fence_x has no parameter \"lan_plus\", allowed: auth, ip, ipaddr, ipport, lanplus, \
             login_timeout, password"
        );
    }

    #[test]
    fn values_must_look_as_the_agent_says() {
        for (name, value) in [
            ("lanplus", "perhaps"),
            ("ipport", "six"),
            ("login_timeout", "-1"),
            ("auth", "plain"),
        ] {
            let error = told(&[("ip", "x"), (name, value)]).expect_err(name);
            assert!(matches!(error, ParameterError::Value { .. }), "{error}");
            assert!(!error.to_string().contains(value), "{error}");
        }
    }

    #[test]
    fn an_older_name_is_as_good_and_none_at_all_is_refused() {
        told(&[("ipaddr", "x")]).expect("the older name");
        let error = told(&[]).expect_err("no address");
        assert_eq!(
            error.to_string(),
            "fence_x needs parameter \"ip\"; add it to the FenceDevice"
        );
    }

    #[test]
    fn what_would_run_programs_write_files_or_show_secrets_is_refused() {
        for name in [
            "ssh_options",
            "ipmitool_path",
            "password_script",
            "verbose",
            "debug_file",
        ] {
            let error = told(&[("ip", "x"), (name, "1")]).expect_err(name);
            assert!(matches!(error, ParameterError::Unsafe { .. }), "{error}");
        }
        for name in ["action", "plug"] {
            let error = told(&[("ip", "x"), (name, "on")]).expect_err(name);
            assert!(matches!(error, ParameterError::Ours { .. }), "{error}");
        }
    }

    #[test]
    fn a_value_cannot_smuggle_in_a_second_parameter() {
        told(&[("ip", "x\naction=on")]).expect_err("two lines");
        let mut request = request(&[("ip", "x")]);
        request.plug = "1\naction=on".into();
        standard_input(&metadata(), &request, &BTreeMap::new()).expect_err("two lines");
        let secrets = BTreeMap::from([("password".to_owned(), "a\nb".to_owned())]);
        request.plug.clear();
        standard_input(&metadata(), &request, &secrets).expect_err("two lines");
    }
}
