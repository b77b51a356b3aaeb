//! What the benchmarks say: Markdown tables that a README can carry as they are printed, the limits with what was measured, and
//! the same as JSON for machines.

use serde_json::{Value, json};
use std::fmt::Write as _;

use super::rounds::{Cell, Sample, Spread};

/// A limit, and what was measured against it.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    /// What is compared with what.
    pub(super) what: String,
    pub(super) bound: Bound,
    pub(super) limit: f64,
    pub(super) unit: &'static str,
    pub(super) measured: Spread,
    /// For throughputs: the same ratio by processor time, which a busy machine disturbs less. It is shown, and limits nothing.
    by_processor: Option<f64>,
}

/// Which way a limit limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtLeast,
    AtMost,
}

/// How much a limit may be missed in a short run, whose figures scatter.
const LENIENT: f64 = 0.1;

impl Limit {
    /// A ratio of two rows, at least so much.
    pub(super) fn at_least(what: impl Into<String>, limit: f64, measured: Spread) -> Self {
        Self { what: what.into(), bound: Bound::AtLeast, limit, unit: "", measured, by_processor: None }
    }

    /// A ratio, at most so much.
    pub(super) fn at_most(what: impl Into<String>, limit: f64, measured: Spread) -> Self {
        Self { what: what.into(), bound: Bound::AtMost, limit, unit: "", measured, by_processor: None }
    }

    /// An absolute figure, at most so much.
    pub(super) fn figure(what: impl Into<String>, limit: f64, unit: &'static str, measured: Spread) -> Self {
        Self { what: what.into(), bound: Bound::AtMost, limit, unit, measured, by_processor: None }
    }

    /// Shows the ratio by processor time as well: how much of the other's a request of ours takes, turned over so that more is
    /// better.
    pub(super) fn processor(mut self, ours: &Cell, theirs: &Cell) -> Self {
        self.by_processor = Some(theirs.ratio(ours, Sample::processor).median);
        self
    }

    /// Whether the median holds the limit; in a lenient run it may miss it by a tenth.
    pub(super) fn holds(&self, lenient: bool) -> bool {
        let slack = if lenient { LENIENT } else { 0.0 };
        match self.bound {
            Bound::AtLeast => self.measured.median >= self.limit * (1.0 - slack),
            Bound::AtMost => self.measured.median <= self.limit * (1.0 + slack),
        }
    }

    fn sign(&self) -> &'static str {
        match self.bound {
            Bound::AtLeast => "≥",
            Bound::AtMost => "≤",
        }
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Report {
    /// The machine and the run, as lines of `name: value`.
    pub(super) about: Vec<(&'static str, String)>,
    /// The tables in their order: a title and its cells.
    tables: Vec<(String, Vec<Row>)>,
    /// Single figures: what, and how much.
    pub(super) figures: Vec<(String, String)>,
    pub(super) limits: Vec<Limit>,
    /// The parts that could not be measured, and why.
    pub(super) failed: Vec<String>,
    /// Whether limits are judged with a tenth to spare.
    pub(super) lenient: bool,
}

struct Row {
    filter: String,
    what: String,
    connections: usize,
    rate: Spread,
    p50: f64,
    p99: f64,
    envoy: f64,
    beside: Option<f64>,
}

impl Report {
    pub(super) fn new(lenient: bool) -> Self {
        Self { lenient, ..Self::default() }
    }

    /// Takes the medians of measured cells as a table.
    pub(super) fn table(&mut self, title: &str, cells: &[Cell]) {
        let row = |cell: &Cell| Row {
            filter: cell.filter.clone(),
            what: cell.what.clone(),
            connections: cell.connections,
            rate: Spread::of(cell.samples.iter().map(|sample| sample.rate).collect()),
            p50: cell.median(|sample: &Sample| sample.p50),
            p99: cell.median(|sample| sample.p99),
            envoy: cell.median(|sample| sample.envoy),
            beside: cell.beside.map(|_| cell.median(|sample| sample.beside)),
        };
        self.tables.push((title.to_owned(), cells.iter().map(row).collect()));
    }

    /// The limits that were missed.
    pub(super) fn missed(&self) -> Vec<&Limit> {
        self.limits.iter().filter(|limit| !limit.holds(self.lenient)).collect()
    }

    /// The whole as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::new();
        // writing to a String cannot fail
        let _ = self.write_markdown(&mut out);
        out
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        for (name, value) in &self.about {
            writeln!(out, "- {name}: {value}")?;
        }
        for (title, rows) in &self.tables {
            writeln!(out, "\n{title}\n")?;
            writeln!(
                out,
                "| filter | request | connections | requests/s | middle half | p50 µs | p99 µs | processor µs: Envoy | server |"
            )?;
            writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|---:|")?;
            for row in rows {
                writeln!(
                    out,
                    "| {} | {} | {} | {:.0} | {:.0}–{:.0} | {:.0} | {:.0} | {:.1} | {} |",
                    row.filter,
                    row.what,
                    row.connections,
                    row.rate.median,
                    row.rate.lower,
                    row.rate.upper,
                    row.p50,
                    row.p99,
                    row.envoy,
                    row.beside.map(|time| format!("{time:.1}")).unwrap_or_default(),
                )?;
            }
        }
        if !self.figures.is_empty() {
            writeln!(out, "\n| figure | measured |\n|---|---:|")?;
            for (what, value) in &self.figures {
                writeln!(out, "| {what} | {value} |")?;
            }
        }
        if !self.limits.is_empty() {
            writeln!(
                out,
                "\n| limit | to reach | measured | middle half of the rounds | by processor time | |\n|---|---:|---:|---:|---:|---|"
            )?;
            for limit in &self.limits {
                let Spread { median, lower, upper } = limit.measured;
                let (sign, unit) = (limit.sign(), limit.unit);
                let verdict = if limit.holds(self.lenient) { "holds" } else { "**missed**" };
                writeln!(
                    out,
                    "| {} | {sign} {}{unit} | {median:.3}{unit} | {lower:.3}–{upper:.3} | {} | {verdict} |",
                    limit.what,
                    limit.limit,
                    limit.by_processor.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
                )?;
            }
            if self.lenient {
                writeln!(
                    out,
                    "\nA quick run: its figures scatter, so a limit counts as missed only by more than a tenth."
                )?;
            }
        }
        Ok(())
    }

    /// The whole as JSON.
    pub(super) fn json(&self) -> Value {
        let spread = |spread: &Spread| json!({ "median": spread.median, "lower_quartile": spread.lower, "upper_quartile": spread.upper });
        let rows = |rows: &Vec<Row>| -> Vec<Value> {
            let row = |row: &Row| {
                json!({ "filter": row.filter, "request": row.what, "connections": row.connections,
                        "requests_per_second": spread(&row.rate), "p50_us": row.p50, "p99_us": row.p99,
                        "envoy_cpu_us": row.envoy, "server_cpu_us": row.beside })
            };
            rows.iter().map(row).collect()
        };
        let tables: Vec<Value> =
            self.tables.iter().map(|(title, all)| json!({ "title": title, "rows": rows(all) })).collect();
        let limits: Vec<Value> = self
            .limits
            .iter()
            .map(|limit| {
                json!({ "what": limit.what, "bound": if limit.bound == Bound::AtLeast { "at least" } else { "at most" },
                        "limit": limit.limit, "unit": limit.unit.trim(), "measured": spread(&limit.measured),
                        "by_processor_time": limit.by_processor, "holds": limit.holds(self.lenient) })
            })
            .collect();
        let about: serde_json::Map<String, Value> =
            self.about.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let figures: serde_json::Map<String, Value> =
            self.figures.iter().map(|(what, value)| (what.clone(), json!(value))).collect();
        json!({ "about": about, "tables": tables, "figures": figures, "limits": limits, "failed": self.failed,
                "lenient": self.lenient })
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Requests;
    use super::*;

    fn report() -> Report {
        let mut cell = Cell::new("carded", "RS256", ([127, 0, 0, 1], 1).into(), Requests::same(Vec::new()), 16);
        cell.samples = vec![Sample { rate: 1234.4, p50: 10.0, p99: 20.0, envoy: 5.0, beside: 7.0 }];
        let mut report = Report::new(false);
        report.about = vec![("processor", "Some CPU".to_owned())];
        report.table("Tokens", &[cell]);
        report.limits = vec![
            Limit::at_least("a against b", 1.0, Spread::of(vec![0.95])),
            Limit::figure("start", 0.4, " s", Spread::of(vec![0.2])),
        ];
        report
    }

    #[test]
    fn limits_hold_or_not() {
        let spread = |value| Spread::of(vec![value]);
        assert!(Limit::at_least("", 1.0, spread(1.0)).holds(false));
        assert!(!Limit::at_least("", 1.0, spread(0.99)).holds(false));
        assert!(Limit::at_least("", 1.0, spread(0.91)).holds(true));
        assert!(!Limit::at_least("", 1.0, spread(0.89)).holds(true));
        assert!(Limit::at_most("", 0.6, spread(0.6)).holds(false));
        assert!(!Limit::at_most("", 0.6, spread(0.61)).holds(false));
        assert!(Limit::at_most("", 0.6, spread(0.65)).holds(true));
        assert!(!Limit::at_most("", 0.6, spread(0.67)).holds(true));
        // what was not measured is not reached
        assert!(!Limit::at_least("", 1.0, spread(f64::NAN)).holds(true));
        assert!(!Limit::at_most("", 1.0, spread(f64::NAN)).holds(true));
    }

    #[test]
    fn the_table_and_the_missed_limits() {
        let mut report = report();
        let text = report.markdown();
        assert!(text.contains("- processor: Some CPU\n"), "{text}");
        assert!(text.contains("| carded | RS256 | 16 | 1234 | 1234–1234 | 10 | 20 | 5.0 |  |"), "{text}");
        assert!(text.contains("| a against b | ≥ 1 | 0.950 | 0.950–0.950 |  | **missed** |"), "{text}");
        assert!(text.contains("| start | ≤ 0.4 s | 0.200 s | 0.200–0.200 |  | holds |"), "{text}");
        assert_eq!(report.missed().len(), 1);
        report.lenient = true;
        assert!(report.missed().is_empty());
        assert!(report.markdown().contains("by more than a tenth"));
    }

    #[test]
    fn the_same_as_json() {
        let json = report().json();
        assert_eq!(json["tables"][0]["rows"][0]["requests_per_second"]["median"], 1234.4);
        assert_eq!(json["tables"][0]["rows"][0]["server_cpu_us"], Value::Null);
        assert_eq!(json["limits"][0]["holds"], false);
        assert_eq!(json["about"]["processor"], "Some CPU");
    }
}
