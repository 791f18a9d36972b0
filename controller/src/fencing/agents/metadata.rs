//! What an agent says about itself when it is asked by `-o metadata`.

use std::collections::BTreeMap;

use thiserror::Error;

use super::xml::{self, Element, XmlError};

/// Why an agent's description cannot be used. Asking again does not help: another version of the agent may.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MetadataError {
    /// It is no XML.
    #[error("its metadata is not well formed")]
    Malformed(#[from] XmlError),
    /// It is something else than a description of an agent.
    #[error("its metadata begins with <{found}>, expected <resource-agent>")]
    Foreign {
        /// The root element.
        found: String,
    },
}

/// What an agent takes and does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// What it drives, in a few words.
    pub description: String,
    /// What it takes, by name; old names included.
    pub parameters: BTreeMap<String, Parameter>,
    /// What it can be asked to do.
    pub actions: Vec<String>,
}

/// One parameter of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What its value must look like.
    pub content: Content,
    /// Whether it must be given: it is required and has no default.
    pub required: bool,
    /// The older name that it replaces; either will do.
    pub replaces: Option<String>,
}

/// What a parameter's value must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Any text.
    Text,
    /// Yes or no.
    Boolean,
    /// A whole number.
    Integer,
    /// A time in seconds.
    Seconds,
    /// One of these; any text when none is listed.
    OneOf(Vec<String>),
}

impl Metadata {
    /// Reads what the agent has printed.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let root = xml::parse(text)?;
        if root.name != "resource-agent" {
            return Err(MetadataError::Foreign { found: root.name });
        }
        let listed = |list: &str, item: &'static str| -> Vec<Element> {
            root.child(list)
                .map(|list| list.children(item).cloned().collect())
                .unwrap_or_default()
        };
        Ok(Self {
            name: root.attribute("name").unwrap_or_default().to_owned(),
            description: root.attribute("shortdesc").unwrap_or_default().to_owned(),
            parameters: listed("parameters", "parameter")
                .iter()
                .filter_map(|found| Some((found.attribute("name")?.to_owned(), parameter(found))))
                .collect(),
            actions: listed("actions", "action")
                .iter()
                .filter_map(|action| action.attribute("name").map(str::to_owned))
                .collect(),
        })
    }

    /// By what name this agent is told which outlet or machine is meant; none when it knows just one.
    #[must_use]
    pub fn plug_parameter(&self) -> Option<&'static str> {
        ["plug", "port"]
            .into_iter()
            .find(|name| self.parameters.contains_key(*name))
    }
}

fn parameter(element: &Element) -> Parameter {
    let content = element.child("content");
    let has_default = content.is_some_and(|content| content.attribute("default").is_some());
    Parameter {
        required: element.attribute("required") == Some("1") && !has_default,
        replaces: element.attribute("obsoletes").map(str::to_owned),
        content: match content.and_then(|content| content.attribute("type")) {
            Some("boolean") => Content::Boolean,
            Some("integer") => Content::Integer,
            Some("second") => Content::Seconds,
            Some("select") => Content::OneOf(
                content
                    .into_iter()
                    .flat_map(|content| content.children("option"))
                    .filter_map(|option| option.attribute("value").map(str::to_owned))
                    .collect(),
            ),
            _ => Content::Text,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_their_kind_and_older_name() {
        let metadata = Metadata::parse(
            r#"<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="Fence agent for X" >
<longdesc>It &amp; others.</longdesc>
<parameters>
  <parameter name="action" required="1"><content type="string" default="reboot"  /></parameter>
  <parameter name="ip" required="1" obsoletes="ipaddr"><content type="string" /></parameter>
  <parameter name="lanplus" required="0"><content type="boolean" default="0"/></parameter>
  <parameter name="auth" required="0"><content type="select"><option value="md5"/><option value="none"/></content></parameter>
  <parameter name="port" required="0" deprecated="1"><content type="string" /></parameter>
</parameters>
<actions><action name="on" automatic="0"/><action name="off" /></actions>
</resource-agent>"#,
        )
        .expect("metadata");
        assert_eq!(metadata.actions, ["on", "off"]);
        assert_eq!(metadata.plug_parameter(), Some("port"));
        assert!(metadata.parameters["ip"].required);
        assert!(!metadata.parameters["action"].required, "it has a default");
        assert_eq!(
            metadata.parameters["auth"].content,
            Content::OneOf(vec!["md5".into(), "none".into()])
        );
        assert_eq!(
            metadata.parameters["ip"].replaces.as_deref(),
            Some("ipaddr")
        );
    }

    #[test]
    fn something_else_is_refused() {
        assert_eq!(
            Metadata::parse("<html/>"),
            Err(MetadataError::Foreign {
                found: "html".into()
            })
        );
    }
}
