//! What is ours is written in the guest's definition itself, so that it outlives every daemon, and every one of libvirt's.

use quorate_crds::{Name, VirtualMachineSpec};
use quorate_libvirt::Element;

/// Our element's namespace.
pub(super) const NAMESPACE: &str = "https://quorate.dev/guest/1";
/// Its prefix.
pub(super) const PREFIX: &str = "quorate";

/// What we know of a guest, in its definition or in what runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ownership {
    /// The VirtualMachine.
    pub(super) name: Name,
    /// The epoch that it was last defined with.
    pub(super) epoch: u64,
    /// The generation of the spec.
    pub(super) generation: i64,
    /// The epoch under which it was, or may have been, begun on this host.
    pub(super) begun: Option<u64>,
    /// It comes from that host.
    pub(super) arriving: Option<Name>,
    /// What it was made from; none for one that was taken over as it was.
    pub(super) spec: Option<VirtualMachineSpec>,
}

impl Ownership {
    /// From a domain's XML. None when it is not ours, or says nothing that can be understood: then it is not touched.
    pub(super) fn of(domain: &Element) -> Option<Self> {
        let metadata = domain.find(&["metadata"])?;
        let (prefix, ours) = metadata.elements().find_map(|element| {
            let (prefix, _) = element.name.split_once(':')?;
            let declared = element.attribute(&format!("xmlns:{prefix}"));
            (declared == Some(NAMESPACE) && element.name == format!("{prefix}:guest"))
                .then_some((prefix, element))
        })?;
        let spec = ours
            .find(&[&format!("{prefix}:spec")])
            .and_then(|spec| serde_json::from_str(&spec.text()).ok());
        let ours = Self {
            name: Name(
                ours.attribute("name")
                    .filter(|name| !name.is_empty())?
                    .to_owned(),
            ),
            epoch: ours.attribute("epoch")?.parse().ok()?,
            generation: ours.attribute("generation")?.parse().ok()?,
            begun: ours.attribute("begun").and_then(|epoch| epoch.parse().ok()),
            arriving: ours.attribute("arriving").map(|node| Name(node.to_owned())),
            spec,
        };
        let domain = domain
            .find(&["name"])
            .map(Element::text)
            .unwrap_or_default();
        ours.is_the_original(&domain).then_some(ours)
    }

    /// Whoever copies a definition by hand copies our words with it. A copy has a name of its own, and is not ours.
    fn is_the_original(&self, domain: &str) -> bool {
        match &self.spec {
            Some(spec) => domain == self.name.as_str() || spec.adopt.as_deref() == Some(domain),
            None => true,
        }
    }

    /// As libvirt's call takes it, which puts the prefix before every name itself.
    pub(super) fn plain(&self) -> Element {
        self.element("")
    }

    /// As it stands in a definition.
    pub(super) fn prefixed(&self) -> Element {
        let mut element = self.element("quorate:");
        element
            .attributes
            .insert(0, (format!("xmlns:{PREFIX}"), NAMESPACE.to_owned()));
        element
    }

    fn element(&self, prefix: &str) -> Element {
        let mut element = Element::new(format!("{prefix}guest"))
            .with("name", &self.name)
            .with("epoch", self.epoch)
            .with("generation", self.generation);
        if let Some(begun) = self.begun {
            element.set("begun", begun);
        }
        if let Some(node) = &self.arriving {
            element.set("arriving", node);
        }
        // A spec came as JSON and goes as JSON; one that could not would only make every field look as if it were pending.
        if let Some(spec) = self
            .spec
            .as_ref()
            .and_then(|spec| serde_json::to_string(spec).ok())
        {
            element = element.child(Element::new(format!("{prefix}spec")).holding(spec));
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Ownership {
        Ownership {
            name: Name("web".into()),
            epoch: 7,
            generation: 3,
            begun: Some(7),
            arriving: Some(Name("node1".into())),
            spec: serde_json::from_str(r#"{"memory":"1Gi","rawDomain":"<domain>&</domain>"}"#).ok(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let domain = Element::new("domain")
            .child(Element::new("name").holding("web"))
            .child(Element::new("metadata").child(ours().prefixed()));
        let read = Element::read(&domain.to_string()).expect("well-formed");
        assert!(ours().spec.is_some());
        assert_eq!(Ownership::of(&read), Some(ours()));
    }

    #[test]
    fn a_copy_under_another_name_is_not_ours() {
        let named = |name: &str| {
            Element::new("domain")
                .child(Element::new("name").holding(name))
                .child(Element::new("metadata").child(ours().prefixed()))
        };
        assert!(Ownership::of(&named("web")).is_some());
        assert_eq!(Ownership::of(&named("web-clone")), None);
    }

    #[test]
    fn what_is_not_ours_is_nobodys_we_know() {
        let foreign = [
            "<domain/>",
            "<domain><metadata/></domain>",
            "<domain><metadata><quorate:guest xmlns:quorate='urn:other' name='web' epoch='1' generation='1'/></metadata></domain>",
            "<domain><metadata><quorate:guest xmlns:quorate='https://quorate.dev/guest/1' name='web' epoch='many' generation='1'/></metadata></domain>",
            "<domain><metadata><quorate:guest xmlns:quorate='https://quorate.dev/guest/1' name='' epoch='1' generation='1'/></metadata></domain>",
        ];
        for text in foreign {
            let domain = Element::read(text).expect("well-formed");
            assert_eq!(Ownership::of(&domain), None, "{text}");
        }
    }
}
