//! Splits of tests.

use std::{net::SocketAddr, time::Duration};

use deployer_core::{
    model::{InFlight, Member, Proof, Route, RouteMatch, Share, Split},
    ports::{CallContext, TrafficRouter},
};
use tokio::time::{Instant, sleep};

use crate::support::LIMIT;

pub(crate) fn member(instance: &str, address: SocketAddr) -> Member {
    Member { instance: instance.parse().unwrap(), address: Some(address) }
}

pub(crate) fn share(set: &str, weight: u32, members: &[Member]) -> Share {
    Share { set: set.parse().unwrap(), weight, members: members.to_vec() }
}

pub(crate) fn serve(shares: Vec<Share>) -> Split {
    Split::Serve { shares, routes: Vec::new() }
}

pub(crate) fn all_to(set: &str, members: &[Member]) -> Split {
    serve(vec![share(set, 100, members)])
}

pub(crate) fn by_header(name: &str, value: &str, set: &str) -> Route {
    let matches = RouteMatch::Header { name: name.to_owned(), value: value.to_owned() };
    Route { matches, set: set.parse().unwrap() }
}

/// Applies a split and makes sure that it is proven, and with which number.
pub(crate) async fn switch(router: &dyn TrafficRouter, context: &CallContext, split: &Split) -> u64 {
    router.apply(context, split).await.unwrap();
    proven(router, context, split).await
}

pub(crate) async fn proven(router: &dyn TrafficRouter, context: &CallContext, split: &Split) -> u64 {
    let view = router.current(context).await.unwrap();
    assert_eq!(view.split, *split);
    let Proof::Proven { generation } = view.proof else { panic!("{view:?}") };
    generation
}

/// Waits until so many requests are in flight at a member.
pub(crate) async fn in_flight(
    router: &dyn TrafficRouter,
    context: &CallContext,
    member: &Member,
    wanted: u32,
) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = router.in_flight(context, std::slice::from_ref(member)).await.unwrap();
        if seen == [InFlight::Known(wanted)] {
            return;
        }
        assert!(Instant::now() < deadline, "{seen:?}, not {wanted}");
        sleep(Duration::from_millis(5)).await;
    }
}
