//! As much XML as agents' metadata needs: elements, attributes, text and the five entities.
//!
//! Metadata comes from programs that anybody may install, so the reader is strict and small: no document types, no
//! entities of its own, no namespaces, and limits on size and depth. What it does not know it refuses.

use thiserror::Error;

/// The largest document that is read.
pub(super) const MAX_LENGTH: usize = 256 * 1024;
const MAX_DEPTH: usize = 16;

/// What is wrong with a document.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("byte {at}: {problem}")]
pub struct XmlError {
    /// Where.
    pub at: usize,
    /// What was found, and what is allowed.
    pub problem: &'static str,
}

/// One element with everything in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    /// The text directly in it, pieces between children joined.
    pub(super) text: String,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// Reads a document's one root element.
pub(super) fn parse(text: &str) -> Result<Element, XmlError> {
    if text.len() > MAX_LENGTH {
        return Err(XmlError {
            at: MAX_LENGTH,
            problem: "the document is longer than 256 KiB",
        });
    }
    let mut reader = Reader { text, at: 0 };
    reader.between_elements()?;
    let root = reader.element(0)?;
    reader.between_elements()?;
    if reader.at < text.len() {
        return Err(reader.wrong("found something after the root element"));
    }
    Ok(root)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, problem: &'static str) -> XmlError {
        XmlError {
            at: self.at,
            problem,
        }
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str, problem: &'static str) -> Result<(), XmlError> {
        if self.skip(token) {
            Ok(())
        } else {
            Err(self.wrong(problem))
        }
    }

    fn until(&mut self, end: &str, problem: &'static str) -> Result<&'a str, XmlError> {
        let rest = self.rest();
        let length = rest.find(end).ok_or_else(|| self.wrong(problem))?;
        self.at += length + end.len();
        Ok(&rest[..length])
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// White space, comments and the declaration.
    fn between_elements(&mut self) -> Result<(), XmlError> {
        loop {
            self.space();
            if self.skip("<!--") {
                self.until("-->", "a comment does not end")?;
            } else if self.skip("<?xml") {
                self.until("?>", "the declaration does not end")?;
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<&'a str, XmlError> {
        let rest = self.rest();
        let length = rest
            .find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.:".contains(letter)))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(self.wrong("found something else where a name should be"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn element(&mut self, depth: usize) -> Result<Element, XmlError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("more than 16 elements in one another"));
        }
        self.expect("<", "found text where an element should begin")?;
        let mut element = Element {
            name: self.name()?.to_owned(),
            ..Element::default()
        };
        loop {
            self.space();
            if self.skip("/>") {
                return Ok(element);
            }
            if self.skip(">") {
                break;
            }
            let attribute = self.attribute()?;
            if element.attribute(&attribute.0).is_some() {
                return Err(self.wrong("an attribute is there twice"));
            }
            element.attributes.push(attribute);
        }
        self.content(&mut element, depth)?;
        Ok(element)
    }

    fn attribute(&mut self) -> Result<(String, String), XmlError> {
        let name = self.name()?.to_owned();
        self.space();
        self.expect("=", "an attribute has no value")?;
        self.space();
        let quote = if self.skip("\"") {
            "\""
        } else {
            self.expect("'", "an attribute's value has no quotes")?;
            "'"
        };
        let value = self.until(quote, "an attribute's value does not end")?;
        if value.contains('<') {
            return Err(self.wrong("found < in an attribute's value, allowed: &lt;"));
        }
        Ok((name, self.resolve(value)?))
    }

    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), XmlError> {
        loop {
            let rest = self.rest();
            let length = rest
                .find('<')
                .ok_or_else(|| self.wrong("an element does not end"))?;
            element.text.push_str(&self.resolve(&rest[..length])?);
            self.at += length;
            if self.skip("<!--") {
                self.until("-->", "a comment does not end")?;
            } else if self.skip("<![CDATA[") {
                let raw = self.until("]]>", "a CDATA section does not end")?;
                element.text.push_str(raw);
            } else if self.skip("</") {
                if self.name()? != element.name {
                    return Err(self.wrong("the end of another element"));
                }
                self.space();
                return self.expect(">", "an end tag holds more than its name");
            } else {
                let child = self.element(depth + 1)?;
                element.children.push(child);
            }
        }
    }

    fn resolve(&self, text: &str) -> Result<String, XmlError> {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('&') {
            resolved.push_str(&rest[..start]);
            let (name, after) = rest[start + 1..]
                .split_once(';')
                .ok_or_else(|| self.wrong("an & begins no entity, allowed: &amp;"))?;
            resolved.push(entity(name).ok_or_else(|| self.wrong("an unknown entity"))?);
            rest = after;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_attributes_text_and_entities_are_read() {
        let root = parse(
            "<?xml version=\"1.0\" ?>\n<!-- who -->\n<a b='1 &lt; 2'>x<c d=\"&#65;\"/>y &amp; z</a>\n",
        )
        .expect("a document");
        assert_eq!(root.attribute("b"), Some("1 < 2"));
        assert_eq!(root.text, "xy & z");
        assert_eq!(root.child("c").and_then(|c| c.attribute("d")), Some("A"));
    }

    #[test]
    fn what_is_no_plain_document_is_refused() {
        for text in [
            "",
            "<a>",
            "<a></b>",
            "<a b=1/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a/><b/>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<a>& b</a>",
            "usage: fence_x",
        ] {
            parse(text).expect_err(text);
        }
    }

    #[test]
    fn a_document_cannot_be_too_deep_or_too_long() {
        parse(&("<a>".repeat(100_000 / 3) + "x")).expect_err("too deep");
        parse(&format!("<a>{}</a>", "x".repeat(MAX_LENGTH))).expect_err("too long");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[<>/&;!a-c=\"' \\[\\]?x#0-9é-]{0,64}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(value in "[ -~é]{0,24}") {
            let written = value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let root = parse(&format!("<a b=\"{written}\">{written}</a>")).expect("well formed");
            prop_assert_eq!(root.attribute("b"), Some(value.as_str()));
            prop_assert_eq!(root.text, value);
        }
    }
}
