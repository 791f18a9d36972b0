//! One table: ours beside theirs, with the ratio.

/// A row: what was measured, our figure, theirs, and which way is better.
pub(crate) struct Row {
    what: String,
    ours: f64,
    theirs: Option<f64>,
    unit: &'static str,
    higher_is_better: bool,
}

/// Collects rows and prints each as it comes, so that a long run shows its progress.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Add a row where more is better.
    pub(crate) fn more(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        ours: f64,
        theirs: f64,
    ) {
        self.push(Row {
            what: what.into(),
            ours,
            theirs: Some(theirs),
            unit,
            higher_is_better: true,
        });
    }

    /// Add a row where less is better.
    pub(crate) fn less(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        ours: f64,
        theirs: f64,
    ) {
        self.push(Row {
            what: what.into(),
            ours,
            theirs: Some(theirs),
            unit,
            higher_is_better: false,
        });
    }

    /// Add a row without a peer.
    pub(crate) fn alone(&mut self, what: impl Into<String>, unit: &'static str, ours: f64) {
        self.push(Row {
            what: what.into(),
            ours,
            theirs: None,
            unit,
            higher_is_better: false,
        });
    }

    fn push(&mut self, row: Row) {
        if self.rows.is_empty() {
            println!(
                "{:<44} {:>12} {:>12} {:<7} better by",
                "", "quorate", "etcd", "unit"
            );
        }
        let ratio = row.theirs.map_or(String::new(), |theirs| {
            let ratio = if row.higher_is_better {
                row.ours / theirs
            } else {
                theirs / row.ours
            };
            format!("{ratio:.2}x")
        });
        let theirs = row
            .theirs
            .map_or(String::from("-"), |theirs| format!("{theirs:.2}"));
        println!(
            "{:<44} {:>12.2} {:>12} {:<7} {ratio}",
            row.what, row.ours, theirs, row.unit
        );
        self.rows.push(row);
    }
}
