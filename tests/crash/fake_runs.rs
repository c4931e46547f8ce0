//! All crashes in the fake world.

use std::{sync::Arc, time::Duration};

use deployer::strategy::{Recreate, StepPause, Strategy};
use deployer_testkit::crash::{CrashPoint, CrashScene, Explorer};

use crate::{
    fake::{Fake, Way},
    options::Options,
    support::{blue_green, canary, rolling},
    table::{Done, Table},
};

/// No run of virtual time may be longer.
const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);
/// Every so many-th first crash is followed by a second one at every point of what remains, if not all are asked for.
const SAMPLE: usize = 13;
/// Every so many-th point of an older deployment is superseded, if not all are asked for.
const OLDER: usize = 29;
/// Every so many-th point is part of a sample.
const FEW: usize = 6;

/// A strategy and its name in tables.
pub(crate) struct Row {
    /// Unlike that of any other.
    pub(crate) name: &'static str,
    /// Which column it counts for.
    column: &'static str,
    pub(crate) strategy: Arc<dyn Strategy>,
}

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, column, strategy| Row { name, column, strategy };
    vec![
        row("rolling", "rolling", Arc::new(rolling(1, 0)) as Arc<dyn Strategy>),
        row("rolling-in-place", "rolling", Arc::new(rolling(0, 1))),
        row("rolling-wide", "rolling", Arc::new(rolling(2, 1))),
        row("blue-green", "blue-green", Arc::new(blue_green())),
        row("canary", "canary", Arc::new(canary(StepPause::For(Duration::from_secs(5))))),
        row("recreate", "recreate", Arc::new(Recreate::default())),
    ]
}

/// Every crash of one strategy, and a choice of those that come in pairs.
pub(crate) fn all_of(row: &Row, options: &Options) -> Table {
    in_virtual_time(async |table| {
        for way in WAYS {
            once(row, &way, 0, 1, options, table).await;
        }
        // The others of a column differ in figures, not in what they do.
        if options.all || row.name == row.column {
            once(row, &Way::Forward, 3, 1, options, table).await;
            twice(row, &Way::Forward, options, table).await;
            superseding(row, options, table).await;
        }
        if options.all {
            for way in &WAYS[1..] {
                once(row, way, 3, 1, options, table).await;
                twice(row, way, options, table).await;
            }
        }
    })
}

/// A few crashes of one strategy, forward and back.
pub(crate) fn a_sample_of(row: &Row) -> Table {
    in_virtual_time(async |table| {
        for way in [Way::Forward, Way::Refused] {
            once(row, &way, 0, FEW, &Options::usual(), table).await;
        }
    })
}

const WAYS: [Way; 4] = [Way::Forward, Way::Interrupted, Way::NeverReady, Way::Refused];

pub(crate) fn in_virtual_time(crash: impl AsyncFnOnce(&mut Table)) -> Table {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut table = Table::new("fake world");
    runtime.block_on(crash(&mut table));
    table
}

async fn once(row: &Row, way: &Way, seconds: u64, step: usize, options: &Options, table: &mut Table) {
    let name = format!("fake/{}/{}/{seconds}s", row.name, way_name(way));
    let make = async || Fake::new(&row.strategy, way, Duration::from_secs(seconds)).await;
    at_each(&column(row, way), &name, make, step, options, table).await;
}

async fn twice(row: &Row, way: &Way, options: &Options, table: &mut Table) {
    let name = format!("fake/{}/{}/twice", row.name, way_name(way));
    let make = async || Fake::new(&row.strategy, way, Duration::ZERO).await;
    at_each_twice(&column(row, way), &name, make, SAMPLE, options, table).await;
}

/// One crash at each point of a scene.
pub(crate) async fn at_each<S: CrashScene>(
    column: &str,
    name: &str,
    make: impl AsyncFn() -> S,
    step: usize,
    options: &Options,
    table: &mut Table,
) {
    if !options.may_have(name) {
        return;
    }
    let explorer = match Explorer::new(make, LIMIT).await {
        Ok(explorer) => explorer,
        Err(problems) => return table.problems.push(format!("{name}, undisturbed: {problems:?}")),
    };
    for point in explorer.points().iter().step_by(step) {
        one(column, name, &explorer, std::slice::from_ref(point), options, table).await;
    }
}

/// A second crash in what remains after a first one, of which every so many-th is taken if not all are asked for.
pub(crate) async fn at_each_twice<S: CrashScene>(
    column: &str,
    name: &str,
    make: impl AsyncFn() -> S,
    sample: usize,
    options: &Options,
    table: &mut Table,
) {
    if !options.may_have(name) {
        return;
    }
    let explorer = match Explorer::new(make, LIMIT).await {
        Ok(explorer) => explorer,
        Err(problems) => return table.problems.push(format!("{name}, undisturbed: {problems:?}")),
    };
    let step = if options.all { 1 } else { sample };
    for first in explorer.points().iter().step_by(step) {
        let rest = explorer.run(std::slice::from_ref(first)).await.rest;
        for second in rest {
            one(column, name, &explorer, &[first.clone(), second], options, table).await;
        }
    }
}

/// A newer release while an older one was crashed in the middle, and the newer one is crashed too.
async fn superseding(row: &Row, options: &Options, table: &mut Table) {
    let older = async || Fake::new(&row.strategy, &Way::Forward, Duration::ZERO).await;
    let Ok(older) = Explorer::new(older, LIMIT).await else { return };
    let step = if options.all { 1 } else { OLDER };
    // The last point is no middle: the older one has ended there.
    let points = older.points();
    for point in points[..points.len() - 1].iter().step_by(step) {
        once(row, &Way::Superseding(point.clone()), 0, 1, options, table).await;
    }
}

async fn one<S: CrashScene, F: AsyncFn() -> S>(
    column: &str,
    name: &str,
    explorer: &Explorer<F, S::End>,
    crashes: &[CrashPoint],
    options: &Options,
    table: &mut Table,
) {
    let points: Vec<_> = crashes.iter().map(ToString::to_string).collect();
    let name = format!("{name}/{}", points.join("+"));
    if !options.has(&name) {
        return;
    }
    let run = explorer.run(crashes).await;
    table.done.push(Done {
        name,
        column: column.to_owned(),
        resumed: run.resumed,
        orphans: run.problems.iter().filter(|problem| problem.starts_with("orphan")).count(),
        crashes: run.crashes,
        problems: run.problems,
    });
}

fn column(row: &Row, way: &Way) -> String {
    let arrow = if matches!(way, Way::NeverReady | Way::Refused) { "<-" } else { "->" };
    format!("{} {arrow}", row.column)
}

fn way_name(way: &Way) -> String {
    match way {
        Way::Forward => "forward".to_owned(),
        Way::Interrupted => "interrupted".to_owned(),
        Way::NeverReady => "never-ready".to_owned(),
        Way::Refused => "refused".to_owned(),
        Way::Superseding(point) => format!("superseding-{point}"),
    }
}
