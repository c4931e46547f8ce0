//! What came of all the crashes, as a table for people and as JSON for programs.

use std::{collections::BTreeMap, fmt};

use deployer_testkit::crash::{CrashPoint, Moment};
use serde_json::{Value, json};

/// Kinds of records in the order of their lives, then effects.
pub(crate) const KINDS: [&str; 20] = [
    "deployment_started",
    "stage_started",
    "rollout_started",
    "intent",
    "advanced",
    "interrupted",
    "resumed",
    "rollout_finished",
    "stage_succeeded",
    "stage_failed",
    "undo_started",
    "undo_finished",
    "deployment_finished",
    "prepare",
    "apply",
    "shift",
    "remove",
    "stage",
    "undo",
    "other",
];

/// What came of one run with its crashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    /// `fake` or `real`, and so on down to the point: it is what `--only` takes.
    pub(crate) name: String,
    /// The strategy and the way, in the words of a column.
    pub(crate) column: String,
    /// Where it was crashed.
    pub(crate) crashes: Vec<CrashPoint>,
    pub(crate) resumed: usize,
    pub(crate) orphans: usize,
    pub(crate) problems: Vec<String>,
}

/// What load was sent meanwhile, of strategies that serve without a gap.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Requests {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
}

/// All that was done in one kind of world.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) done: Vec<Done>,
    pub(crate) requests: Option<Requests>,
    /// Of strategies that interrupt service, with whoever was turned away.
    pub(crate) interrupting: Option<Requests>,
    /// What went wrong apart from any crash.
    pub(crate) problems: Vec<String>,
    /// Runs that were made again because they showed nothing, and why.
    pub(crate) again: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    passed: u32,
    failed: u32,
}

impl Table {
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, ..Self::default() }
    }

    pub(crate) fn kills(&self) -> usize {
        self.done.iter().map(|done| done.crashes.len()).sum()
    }

    pub(crate) fn resumed(&self) -> usize {
        self.done.iter().map(|done| done.resumed).sum()
    }

    pub(crate) fn orphans(&self) -> usize {
        self.done.iter().map(|done| done.orphans).sum()
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        let failed = self.done.iter().filter(|done| !done.problems.is_empty());
        let runs = failed.map(|done| {
            let problems = done.problems.join("\n      ");
            format!("{}\n      {problems}\n      again: cargo xtask crash --only '{}'", done.name, done.name)
        });
        runs.chain(self.problems.iter().cloned()).collect()
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.done.extend(other.done);
        self.problems.extend(other.problems);
        self.again.extend(other.again);
        let sum = |a: Option<Requests>, b: Option<Requests>| match (a, b) {
            (Some(a), Some(b)) => Some(Requests { sent: a.sent + b.sent, failed: a.failed + b.failed }),
            (a, b) => a.or(b),
        };
        self.requests = sum(self.requests, other.requests);
        self.interrupting = sum(self.interrupting, other.interrupting);
    }

    fn cells(&self) -> BTreeMap<(usize, Moment), BTreeMap<&str, Cell>> {
        let mut cells: BTreeMap<_, BTreeMap<_, Cell>> = BTreeMap::new();
        for done in &self.done {
            let is_good = done.problems.is_empty();
            for point in &done.crashes {
                let kind = KINDS.iter().position(|kind| *kind == point.kind).unwrap_or(KINDS.len() - 1);
                let row = cells.entry((kind, point.moment)).or_default();
                let cell = row.entry(done.column.as_str()).or_default();
                if is_good { cell.passed += 1 } else { cell.failed += 1 }
            }
        }
        cells
    }

    fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = self.done.iter().map(|done| done.column.as_str()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.cells().into_iter().flat_map(|((kind, moment), row)| {
            row.into_iter().map(move |(column, cell)| {
                let Cell { passed, failed } = cell;
                json!({"kind": KINDS[kind], "moment": moment.to_string(), "column": column,
                    "passed": passed, "failed": failed})
            })
        });
        let requests = |requests: Option<Requests>| {
            requests.map(|requests| json!({"sent": requests.sent, "failed": requests.failed}))
        };
        json!({
            "cells": rows.collect::<Vec<_>>(),
            "runs": self.done.len(),
            "kills": self.kills(),
            "resumed": self.resumed(),
            "orphans": self.orphans(),
            "requests": requests(self.requests),
            "requests_of_recreate": requests(self.interrupting),
            "again": self.again,
            "failures": self.failures(),
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        writeln!(f, "{}: kills passed, -> a good release, <- a bad one", self.title)?;
        write!(f, "  {:<28}", "")?;
        columns.iter().try_for_each(|column| write!(f, "{column:>14}"))?;
        writeln!(f)?;
        for ((kind, moment), row) in self.cells() {
            write!(f, "  {:<28}", format!("{} {moment}", KINDS[kind]))?;
            for column in &columns {
                let cell = row.get(column).copied().unwrap_or_default();
                let text = match (cell.passed, cell.failed) {
                    (0, 0) => "·".to_owned(),
                    (passed, 0) => passed.to_string(),
                    (passed, failed) => format!("{failed} of {} !", passed + failed),
                };
                write!(f, "{text:>14}")?;
            }
            writeln!(f)?;
        }
        let (runs, kills, resumed, orphans) = (self.done.len(), self.kills(), self.resumed(), self.orphans());
        writeln!(f, "  {runs} runs, {kills} kills, {resumed} resumed, {orphans} orphans")?;
        if let Some(Requests { sent, failed }) = self.requests {
            writeln!(f, "  rolling, blue-green, canary: failed {failed} of {sent} requests")?;
        }
        if let Some(Requests { sent, failed }) = self.interrupting {
            writeln!(f, "  recreate, which interrupts service: failed {failed} of {sent} requests")?;
        }
        self.again.iter().try_for_each(|again| writeln!(f, "  made again: {again}"))?;
        self.failures().iter().try_for_each(|failure| writeln!(f, "  FAILED {failure}"))
    }
}
