//! All crashes of a pipeline in the fake world.

use std::{sync::Arc, time::Duration};

use deployer::strategy::{StepPause, Strategy};

use crate::{
    fake_runs::{at_each, at_each_twice, in_virtual_time},
    options::Options,
    shop::{Flaw, Shop, ShopWay},
    support::{blue_green, canary, rolling},
    table::Table,
};

/// Every so many-th first crash is followed by a second one at every point of what remains, if not all are asked for.
const SAMPLE: usize = 23;
/// Every so many-th point is part of a sample.
const FEW: usize = 19;

/// How the two workloads of a pipeline are put live.
pub(crate) struct ShopRow {
    pub(crate) name: &'static str,
    strategies: [Arc<dyn Strategy>; 2],
}

/// All pipelines.
pub(crate) fn rows() -> Vec<ShopRow> {
    let canary = canary(StepPause::For(Duration::from_secs(5)));
    vec![
        ShopRow { name: "shop", strategies: [Arc::new(rolling(1, 0)), Arc::new(blue_green())] },
        ShopRow { name: "shop-in-place", strategies: [Arc::new(canary), Arc::new(rolling(0, 1))] },
    ]
}

/// Every crash of one pipeline on every way, and a choice of those that come in pairs.
pub(crate) fn all_of(row: &ShopRow, options: &Options) -> Table {
    in_virtual_time(async |table| {
        for way in ShopWay::ALL {
            once(row, way, 1, options, table).await;
        }
        // The others differ in figures.
        for way in [ShopWay::Forward, ShopWay::LastFails] {
            if options.all || row.name == "shop" {
                twice(row, way, options, table).await;
            }
        }
    })
}

/// A few crashes of one pipeline, forward and back.
pub(crate) fn a_sample_of(row: &ShopRow) -> Table {
    in_virtual_time(async |table| {
        for way in [ShopWay::Forward, ShopWay::LastFails] {
            once(row, way, FEW, &Options::usual(), table).await;
        }
    })
}

fn column(way: ShopWay) -> &'static str {
    if way.is_forward() { "pipeline ->" } else { "pipeline <-" }
}

async fn once(row: &ShopRow, way: ShopWay, step: usize, options: &Options, table: &mut Table) {
    let name = format!("fake/{}/{}/0s", row.name, way.name());
    let make = async || Shop::new(&row.strategies, way, Duration::ZERO, Flaw::None).await;
    at_each(column(way), &name, make, step, options, table).await;
}

async fn twice(row: &ShopRow, way: ShopWay, options: &Options, table: &mut Table) {
    let name = format!("fake/{}/{}/twice", row.name, way.name());
    let make = async || Shop::new(&row.strategies, way, Duration::from_secs(3), Flaw::None).await;
    at_each_twice(column(way), &name, make, SAMPLE, options, table).await;
}
