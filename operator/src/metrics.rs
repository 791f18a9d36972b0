//! The operator's figures, in the text form that Prometheus reads.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A side to which something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The kube-apiserver.
    Kubernetes,
    /// A Quorate cluster.
    Cluster,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Cluster => "cluster",
        }
    }
}

/// Where an object stands: the kind and its name in Kubernetes.
type Object = (&'static str, String);

/// All figures.
#[derive(Debug, Default)]
pub struct Metrics {
    figures: Mutex<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    leader: bool,
    elections: u64,
    writes: BTreeMap<(Side, &'static str, &'static str), u64>,
    refusals: BTreeMap<(Side, &'static str), u64>,
    errors: BTreeMap<&'static str, u64>,
    objects: BTreeMap<Object, (String, &'static str, String)>,
    connected: BTreeMap<String, bool>,
    certificates: BTreeMap<String, i64>,
}

impl Metrics {
    /// This replica leads, or no longer.
    pub fn leads(&self, leader: bool) {
        let mut figures = self.figures();
        figures.elections += u64::from(leader && !figures.leader);
        figures.leader = leader;
        if !leader {
            figures.objects.clear();
            figures.connected.clear();
        }
    }

    /// Something was written.
    pub fn wrote(&self, side: Side, kind: &'static str, verb: &'static str) {
        *self.figures().writes.entry((side, kind, verb)).or_default() += 1;
    }

    /// A side refused a write.
    pub fn refused(&self, side: Side, kind: &'static str) {
        *self.figures().refusals.entry((side, kind)).or_default() += 1;
    }

    /// Work on an object failed and is tried again.
    pub fn failed(&self, kind: &'static str) {
        *self.figures().errors.entry(kind).or_default() += 1;
    }

    /// How far an object has come.
    pub fn stands(
        &self,
        kind: &'static str,
        name: &str,
        cluster: &str,
        synced: (&'static str, &str),
    ) {
        let stands = (cluster.to_owned(), synced.0, synced.1.to_owned());
        self.figures()
            .objects
            .insert((kind, name.to_owned()), stands);
    }

    /// An object is gone.
    pub fn gone(&self, kind: &'static str, name: &str) {
        self.figures().objects.remove(&(kind, name.to_owned()));
    }

    /// Whether a cluster answers.
    pub fn connected(&self, cluster: &str, connected: bool) {
        self.figures()
            .connected
            .insert(cluster.to_owned(), connected);
    }

    /// When the certificate for a cluster expires, in seconds since 1970.
    pub fn certificate(&self, cluster: &str, expires: i64) {
        self.figures()
            .certificates
            .insert(cluster.to_owned(), expires);
    }

    /// How much was written to a side.
    pub fn writes_to(&self, side: Side) -> u64 {
        let figures = self.figures();
        let writes = figures.writes.iter();
        writes
            .filter(|((to, ..), _)| *to == side)
            .map(|(_, count)| count)
            .sum()
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let figures = self.figures();
        let mut page = Page::default();
        page.family("leader", "gauge", "Whether this replica does the work.");
        page.line("leader", &[], u64::from(figures.leader));
        page.family(
            "elections_total",
            "counter",
            "How often this replica became the leader.",
        );
        page.line("elections_total", &[], figures.elections);
        page.family(
            "writes_total",
            "counter",
            "Writes, by side, kind and verb. At rest nothing is written.",
        );
        for ((side, kind, verb), count) in &figures.writes {
            let labels = [("side", side.as_str()), ("kind", kind), ("verb", verb)];
            page.line("writes_total", &labels, count);
        }
        page.family("refusals_total", "counter", "Writes that a side refused.");
        for ((side, kind), count) in &figures.refusals {
            page.line(
                "refusals_total",
                &[("side", side.as_str()), ("kind", kind)],
                count,
            );
        }
        page.family(
            "errors_total",
            "counter",
            "Work on an object that failed and was put off.",
        );
        for (kind, count) in &figures.errors {
            page.line("errors_total", &[("kind", kind)], count);
        }
        page.family(
            "objects",
            "gauge",
            "Objects by how far they have come: the condition Synced and its reason.",
        );
        let mut objects = BTreeMap::<_, u64>::new();
        for ((kind, _), (cluster, synced, reason)) in &figures.objects {
            *objects.entry((cluster, kind, synced, reason)).or_default() += 1;
        }
        for ((cluster, kind, synced, reason), count) in &objects {
            let labels = [
                ("cluster", cluster.as_str()),
                ("kind", kind),
                ("synced", synced),
                ("reason", reason),
            ];
            page.line("objects", &labels, count);
        }
        page.family(
            "connected",
            "gauge",
            "Whether a member of the cluster answers.",
        );
        for (cluster, connected) in &figures.connected {
            page.line("connected", &[("cluster", cluster)], u64::from(*connected));
        }
        page.family(
            "certificate_expiry_seconds",
            "gauge",
            "When the certificate for the cluster expires, since 1970.",
        );
        for (cluster, expires) in &figures.certificates {
            page.line(
                "certificate_expiry_seconds",
                &[("cluster", cluster)],
                expires,
            );
        }
        page.text
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP quorate_operator_{name} {help}");
        let _ = writeln!(self.text, "# TYPE quorate_operator_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.text, "quorate_operator_{name}{labels} {value}");
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_by_how_far_they_have_come() {
        let metrics = Metrics::default();
        metrics.leads(true);
        metrics.stands("Volume", "a", "east", ("True", "Synced"));
        metrics.stands("Volume", "b", "east", ("True", "Synced"));
        metrics.stands("Volume", "b", "east", ("False", "Conflict"));
        metrics.stands("Volume", "c", "east", ("False", "Conflict"));
        metrics.gone("Volume", "c");
        metrics.wrote(Side::Cluster, "Volume", "apply");

        let text = metrics.render();
        for line in [
            "quorate_operator_leader 1",
            r#"quorate_operator_objects{cluster="east",kind="Volume",synced="True",reason="Synced"} 1"#,
            r#"quorate_operator_objects{cluster="east",kind="Volume",synced="False",reason="Conflict"} 1"#,
            r#"quorate_operator_writes_total{side="cluster",kind="Volume",verb="apply"} 1"#,
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert_eq!(metrics.writes_to(Side::Cluster), 1);
    }
}
