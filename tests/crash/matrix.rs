//! The whole matrix, printed.

use std::{process::ExitCode, time::Instant};

use deployer_testkit::cases::say;
use parking_lot::Mutex;
use serde_json::json;

use crate::{
    fake_runs,
    options::Options,
    real_runs::{self, Column},
    shop_runs,
    table::Table,
};

/// Crashes of one kind of deployment.
type Part = Box<dyn Fn(&Options) -> Table + Send>;

/// The least that a default run kills at real processes: it would otherwise have become a smaller promise unnoticed.
const LEAST: usize = 48;

/// Crashes everything that the arguments ask for, and prints what came of it.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(problem) => {
            say(&problem);
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    let fake = options.fake.then(|| in_the_fake_world(&options));
    let real = options.real.then(|| at_real_processes(&options));
    let tables: Vec<&Table> = fake.iter().chain(&real).collect();
    let kills: usize = tables.iter().map(|table| table.kills()).sum();
    let orphans: usize = tables.iter().map(|table| table.orphans()).sum();
    let resumed: usize = tables.iter().map(|table| table.resumed()).sum();
    let failures: usize = tables.iter().map(|table| table.failures().len()).sum();
    let seconds = start.elapsed().as_secs_f64();
    let requests = real.as_ref().and_then(|table| table.requests).unwrap_or_default();
    say(&format!(
        "{kills} kills, {resumed} resumed, {orphans} orphans, failed {} of {} requests, {failures} failures, {seconds:.0} s",
        requests.failed, requests.sent
    ));
    if options.json {
        let tables = json!({
            "fake": fake.as_ref().map(Table::json),
            "real": real.as_ref().map(Table::json),
            "seconds": seconds,
        });
        say(&tables.to_string());
    }
    if kills > 0 && failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_the_fake_world(options: &Options) -> Table {
    let whole = Mutex::new(Table::new("fake world"));
    let start = Instant::now();
    let parts = Mutex::new(parts());
    let next = || parts.lock().pop();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(part) = next() {
                    let table = part(options);
                    whole.lock().join(table);
                }
            });
        }
    });
    let whole = whole.into_inner();
    say(&format!("{whole}  {:.1} s\n", start.elapsed().as_secs_f64()));
    whole
}

/// What can be done side by side, the longest last.
fn parts() -> Vec<Part> {
    let rows = fake_runs::rows().into_iter();
    let mut parts: Vec<Part> =
        rows.map(|row| Box::new(move |options: &Options| fake_runs::all_of(&row, options)) as Part).collect();
    let shops = shop_runs::rows().into_iter().rev();
    parts
        .extend(shops.map(|row| Box::new(move |options: &Options| shop_runs::all_of(&row, options)) as Part));
    parts
}

fn at_real_processes(options: &Options) -> Table {
    let start = Instant::now();
    let mut table = real_runs::all_of(&Column::all(options), options, usize::MAX);
    if options.only.is_none() && table.kills() < LEAST {
        table.problems.push(format!("{} kills are fewer than the {LEAST} of old", table.kills()));
    }
    say(&format!("{table}  {:.1} s\n", start.elapsed().as_secs_f64()));
    table
}
