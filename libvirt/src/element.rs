//! XML as libvirt uses it: elements, attributes, text. No comments, no processing instructions, no entities of its own.

use std::fmt::{self, Write};
use thiserror::Error;

/// XML that cannot be read.
#[derive(Debug, Error)]
#[error("the XML cannot be read")]
pub struct XmlError(#[from] roxmltree::Error);

/// What is in an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Another element.
    Element(Element),
    /// Text.
    Text(String),
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its name, with its prefix.
    pub name: String,
    /// Its attributes in their order, declarations of namespaces first.
    pub attributes: Vec<(String, String)>,
    /// What is in it.
    pub nodes: Vec<Node>,
}

impl Element {
    /// An empty one.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            attributes: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.set(name, value);
        self
    }

    /// The same with another element at its end.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }

    /// The same with other elements at its end.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// The same with text at its end.
    #[must_use]
    pub fn holding(mut self, text: impl fmt::Display) -> Self {
        self.nodes.push(Node::Text(text.to_string()));
        self
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        let value = value.to_string();
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name.to_owned(), value)),
        }
    }

    /// An attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements in it, to change them.
    pub fn elements_mut(&mut self) -> impl Iterator<Item = &mut Self> {
        self.nodes.iter_mut().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements of that name in it.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.elements().filter(move |element| element.name == name)
    }

    /// The first element that a path of names leads to.
    #[must_use]
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| {
            element.elements().find(|child| child.name == *name)
        })
    }

    /// All text in it, without the space around it.
    #[must_use]
    pub fn text(&self) -> String {
        let text: String = self
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect();
        text.trim().to_owned()
    }

    /// Reads a document. Space between elements is not kept.
    ///
    /// # Errors
    /// When it is not well-formed.
    pub fn read(text: &str) -> Result<Self, XmlError> {
        let document = roxmltree::Document::parse(text)?;
        Ok(copy(document.root_element()))
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        // Writing to a String does not fail.
        let _ = write!(out, "{indent}<{}", self.name);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}='{}'", escape(value));
        }
        if self.nodes.is_empty() {
            out.push_str("/>\n");
            return;
        }
        out.push('>');
        let plain = self.elements().next().is_none();
        if plain {
            out.push_str(&escape(&self.text()));
        } else {
            out.push('\n');
            for node in &self.nodes {
                match node {
                    Node::Element(element) => element.write(out, depth + 1),
                    Node::Text(text) => {
                        let _ = writeln!(out, "{indent}  {}", escape(text.trim()));
                    }
                }
            }
            out.push_str(&indent);
        }
        let _ = writeln!(out, "</{}>", self.name);
    }
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out, 0);
        formatter.write_str(&out)
    }
}

fn copy(node: roxmltree::Node<'_, '_>) -> Element {
    let mut element = Element::new(prefixed(node, node.tag_name()));
    let inherited = |uri: &str, name: Option<&str>| {
        node.parent_element().is_some_and(|parent| {
            parent
                .namespaces()
                .any(|known| known.uri() == uri && known.name() == name)
        })
    };
    for namespace in node.namespaces() {
        if inherited(namespace.uri(), namespace.name()) || namespace.name() == Some("xml") {
            continue;
        }
        let name = namespace
            .name()
            .map_or("xmlns".to_owned(), |name| format!("xmlns:{name}"));
        element.set(&name, namespace.uri());
    }
    for attribute in node.attributes() {
        let prefix = attribute
            .namespace()
            .and_then(|uri| node.lookup_prefix(uri));
        let name = match prefix {
            Some(prefix) => format!("{prefix}:{}", attribute.name()),
            None => attribute.name().to_owned(),
        };
        element.set(&name, attribute.value());
    }
    for child in node.children() {
        if child.is_element() {
            element.nodes.push(Node::Element(copy(child)));
        } else if let Some(text) = child.text().filter(|_| child.is_text())
            && !text.trim().is_empty()
        {
            element.nodes.push(Node::Text(text.to_owned()));
        }
    }
    element
}

fn prefixed(node: roxmltree::Node<'_, '_>, name: roxmltree::ExpandedName<'_, '_>) -> String {
    match name.namespace().and_then(|uri| node.lookup_prefix(uri)) {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", name.name()),
        _ => name.name().to_owned(),
    }
}

/// Also what no XML may hold at all is taken out, so that what we write can always be read.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_libvirt_writes_is_read_and_written_again() {
        let text = "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n  <name>a &amp; b</name>\n  \
                    <qemu:commandline>\n    <qemu:arg value='-x'/>\n  </qemu:commandline>\n</domain>\n";
        let read = Element::read(text).expect("well-formed");
        assert_eq!(read.find(&["name"]).expect("there").text(), "a & b");
        assert!(read.find(&["qemu:commandline", "qemu:arg"]).is_some());
        let again = Element::read(&read.to_string()).expect("well-formed");
        assert_eq!(again, read);
    }

    #[test]
    fn a_namespace_is_declared_where_it_was() {
        let text = "<domain><metadata><q:guest xmlns:q='urn:q' name='web'><q:spec>{}</q:spec></q:guest></metadata></domain>";
        let read = Element::read(text).expect("well-formed");
        let guest = read.find(&["metadata", "q:guest"]).expect("there");
        assert_eq!(guest.attribute("xmlns:q"), Some("urn:q"));
        let spec = guest.find(&["q:spec"]).expect("there");
        assert!(spec.attributes.is_empty(), "{spec:?}");
    }

    #[test]
    fn entities_that_grow_are_refused() {
        let text = "<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>";
        assert!(Element::read(text).is_err());
    }

    proptest! {
        #[test]
        fn any_text_survives(text: String, attribute: String) {
            let clean = |text: &str| text.chars().filter(|character| {
                !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
            }).collect::<String>();
            let element = Element::new("a").with("b", &attribute).holding(&text);
            let read = Element::read(&element.to_string()).expect("well-formed");
            prop_assert_eq!(read.attribute("b").map(str::to_owned), Some(clean(&attribute)));
            prop_assert_eq!(read.text(), clean(&text).trim().to_owned());
        }

        #[test]
        fn no_text_is_too_foreign(text: String) {
            let _ = Element::read(&text);
        }
    }
}
