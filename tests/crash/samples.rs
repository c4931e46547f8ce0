//! What plain `cargo test` runs of the matrix.

use crate::{
    fake_runs,
    options::Options,
    real_runs::{self, Column},
    recipes::Kind,
    shop_runs,
    table::Table,
};

/// Crashes of each strategy at real processes.
const REAL: usize = 6;

/// Crashes of a pipeline at real processes.
const UNDONE: usize = 4;

#[track_caller]
fn assert_passed(table: &Table, least: usize) {
    assert!(table.failures().is_empty(), "{table}");
    assert!(table.kills() >= least && table.resumed() + 2 >= least, "{table}");
    deployer_testkit::cases::say(&format!("{table}"));
}

fn fake(name: &str) {
    let row = fake_runs::rows().into_iter().find(|row| row.name == name).unwrap();
    assert_passed(&fake_runs::a_sample_of(&row), 15);
}

/// A few of the undo of a pipeline of two workloads.
pub(crate) fn a_pipeline_at_real_processes() {
    let table = real_runs::all_of(&[Column::undone()], &Options::usual(), UNDONE);
    assert_passed(&table, UNDONE);
}

fn real(kind: Kind) {
    assert_passed(&real_runs::all_of(&[Column::forward(kind)], &Options::usual(), REAL), REAL);
}

pub(crate) fn a_pipeline_in_the_fake_world() {
    for row in shop_runs::rows() {
        assert_passed(&shop_runs::a_sample_of(&row), 20);
    }
}

pub(crate) fn rolling_in_the_fake_world() {
    fake("rolling");
}

pub(crate) fn blue_green_in_the_fake_world() {
    fake("blue-green");
}

pub(crate) fn canary_in_the_fake_world() {
    fake("canary");
}

pub(crate) fn recreate_in_the_fake_world() {
    fake("recreate");
}

pub(crate) fn rolling_at_real_processes() {
    real(Kind::Rolling);
}

pub(crate) fn blue_green_at_real_processes() {
    real(Kind::BlueGreen);
}

pub(crate) fn canary_at_real_processes() {
    real(Kind::Canary);
}

pub(crate) fn recreate_at_real_processes() {
    real(Kind::Recreate);
}
