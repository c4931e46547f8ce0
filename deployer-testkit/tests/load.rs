//! The load generator sees what a server does, all of it, and nothing else.

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use deployer_testkit::load::{FailureKind, Load, LoadBuilder, LoadResult, Mix};
use support::{Act, Connections, Server};

/// Patient with this machine, so that a busy one does not turn up as unsent requests.
fn load(server: &Server, maximum: Duration) -> LoadBuilder {
    Load::builder(server.address).maximum_duration(maximum).send_within(Duration::from_secs(5))
}

fn only(result: &LoadResult, kind: FailureKind, count: u64) {
    assert_eq!(result.failed_as(kind), count, "{result}");
    assert_eq!(result.failed, count, "other failures: {result}");
}

#[tokio::test]
async fn every_request_of_the_schedule_is_sent_once_and_counted_once() {
    let server = Server::start(|_, _| Act::AnswerAs("v1")).await;
    let result = load(&server, Duration::from_secs(1)).rate(500).connections(8).start().unwrap().wait().await;
    result.assert_lossless();
    assert_eq!((result.requests, result.succeeded, result.in_flight), (500, 500, 0));
    assert_eq!(result.duration, Duration::from_secs(1));
    let counted = &server.counted;
    assert_eq!(counted.posts.load(Ordering::SeqCst), 250);
    assert_eq!(counted.gets.load(Ordering::SeqCst), 250);
    assert_eq!(counted.connections.load(Ordering::SeqCst), 250 + 8, "one for each GET, and the kept ones");
    assert_eq!(result.by_version["v1"].total, 500);
    assert_eq!(result.latency.count(), 500);
    let text = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<LoadResult>(&text).unwrap(), result);
    assert!(result.to_string().starts_with("failed 0 of 500\n"), "{result}");
}

#[tokio::test]
async fn every_shape_of_request_can_be_chosen() {
    let server = Server::start(|_, _| Act::Answer).await;
    let mix = Mix { keep_alive_post: 1, keep_alive_get: 2, fresh_get: 3, fresh_post: 4 };
    let result =
        load(&server, Duration::from_secs(1)).rate(100).connections(2).mix(mix).start().unwrap().wait().await;
    result.assert_lossless();
    assert_eq!(server.counted.posts.load(Ordering::SeqCst), 50);
    assert_eq!(server.counted.gets.load(Ordering::SeqCst), 50);
    assert_eq!(server.counted.connections.load(Ordering::SeqCst), 70 + 2);
    assert_eq!(result.by_version["(none)"].total, 100);
}

#[tokio::test]
async fn a_connection_that_is_dropped_is_one_failure_each_time() {
    let connections = Connections { drop_every: Some(100), ..Connections::default() };
    let server = Server::on(([127, 0, 0, 1], 0).into(), connections, Arc::new(|_, _| Act::Answer)).await;
    let mix = Mix { fresh_get: 1, ..Mix::NONE };
    let result = load(&server, Duration::from_secs(1)).rate(600).mix(mix).start().unwrap().wait().await;
    assert_eq!(server.counted.dropped.load(Ordering::SeqCst), 6);
    only(&result, FailureKind::Reset, 6);
    assert_eq!(result.succeeded, 594);
    assert_eq!(result.first_failures.len(), 6);
    assert_eq!(server.counted.connections.load(Ordering::SeqCst), 600, "nothing was tried again");
}

#[tokio::test]
async fn a_kept_connection_that_is_torn_under_a_request_is_a_failure_and_is_not_tried_again() {
    let server = Server::start(|_, n| if n.is_multiple_of(50) { Act::Tear } else { Act::Answer }).await;
    for mix in [Mix { keep_alive_post: 1, ..Mix::NONE }, Mix { keep_alive_get: 1, ..Mix::NONE }] {
        let builder = load(&server, Duration::from_secs(1)).rate(200).connections(4).mix(mix);
        only(&builder.start().unwrap().wait().await, FailureKind::Reset, 4);
    }
    let counted = &server.counted;
    assert_eq!((counted.posts.load(Ordering::SeqCst), counted.gets.load(Ordering::SeqCst)), (200, 200));
}

#[tokio::test]
async fn a_get_on_a_kept_connection_is_sent_once_more_if_asked_for() {
    let server = Server::start(|_, n| if n.is_multiple_of(50) { Act::Tear } else { Act::Answer }).await;
    let builder = load(&server, Duration::from_secs(1)).rate(200).connections(4).retry_kept_gets(true);
    let gets = builder.clone().mix(Mix { keep_alive_get: 1, ..Mix::NONE });
    let result = gets.start().unwrap().wait().await;
    result.assert_lossless();
    assert_eq!(result.retried, 4, "{result}");
    assert!(result.to_string().contains("4 retried"), "{result}");
    // Others are sent once: a server may have done what a POST asked for, and a new connection is not just being closed.
    let others = builder.mix(Mix { keep_alive_post: 1, fresh_get: 1, ..Mix::NONE });
    let result = others.start().unwrap().wait().await;
    only(&result, FailureKind::Reset, 4);
    assert_eq!(result.retried, 0, "{result}");
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_while_idle_is_opened_anew() {
    let connections = Connections { close_idle: Some(Duration::from_millis(5)), ..Connections::default() };
    let server = Server::on(([127, 0, 0, 1], 0).into(), connections, Arc::new(|_, _| Act::Answer)).await;
    let mix = Mix { keep_alive_post: 1, ..Mix::NONE };
    let builder = load(&server, Duration::from_secs(1)).rate(10).connections(2).mix(mix);
    let result = builder.start().unwrap().wait().await;
    result.assert_lossless();
    assert_eq!(result.reopened, 8, "10 requests on 2 connections: {result}");
}

#[tokio::test]
async fn a_server_that_stalls_shows_as_timeouts_and_unsent_requests() {
    let server = Server::start(|_, _| Act::Hang).await;
    let builder = Load::builder(server.address)
        .maximum_duration(Duration::from_secs(1))
        .rate(200)
        .connections(4)
        .timeout(Duration::from_millis(400))
        .send_within(Duration::from_millis(100));
    let result = builder.start().unwrap().wait().await;
    assert_eq!((result.requests, result.succeeded, result.in_flight), (200, 0, 0), "the rate was kept");
    let (timeout, unsent) = (result.failed_as(FailureKind::Timeout), result.failed_as(FailureKind::Unsent));
    assert_eq!(timeout + unsent, 200, "{result}");
    assert!(timeout >= 8, "at least one on each of 8 connections: {result}");
    assert!(unsent >= 100, "8 connections cannot carry 200 requests that hang: {result}");
    assert!(!result.is_valid());
    assert!(result.to_string().contains("INVALID RUN"), "{result}");
    assert_eq!(result.longest_gap, result.duration);
}

#[tokio::test]
async fn a_server_that_is_down_for_a_moment_is_seen_to_be_down() {
    const RATE: u32 = 500;
    let server = Server::start(|_, _| Act::Answer).await;
    let address = server.address;
    let running = load(&server, Duration::from_secs(30)).rate(RATE).start().unwrap();
    wait_for(|| running.snapshot().succeeded > 200).await;
    let down = Instant::now();
    drop(server);
    // Simulates an outage of so long.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let down = down.elapsed();
    let before = running.snapshot().succeeded;
    let server = Server::on(address, Connections::default(), Arc::new(|_, _| Act::Answer)).await;
    wait_for(|| running.snapshot().succeeded > before + 200).await;
    let result = running.stop().await;
    let expected = down.as_secs_f64() * f64::from(RATE);
    let failed = f64::from(u32::try_from(result.failed).unwrap());
    assert!(failed >= expected * 0.8, "down for {down:?}: {result}");
    assert!(failed <= expected * 2.0 + 64.0, "down for {down:?}: {result}");
    assert_eq!(result.failed, result.failed_as(FailureKind::Refused) + result.failed_as(FailureKind::Reset));
    assert!(result.longest_gap >= down.mul_f64(0.8), "down for {down:?}: {result}");
    assert_eq!(result.requests, result.succeeded + result.failed);
    drop(server);
}

#[tokio::test]
async fn bad_answers_are_told_apart() {
    let cases = [
        (Act::Status(503), FailureKind::Status5xx),
        (Act::Status(404), FailureKind::StatusOther),
        (Act::Status(204), FailureKind::StatusOther),
        (Act::Lie, FailureKind::BadBody),
    ];
    for (act, kind) in cases {
        let server = Server::start(move |_, n| if n.is_multiple_of(10) { act } else { Act::Answer }).await;
        let mix = Mix { keep_alive_post: 1, ..Mix::NONE };
        let builder = load(&server, Duration::from_millis(500)).rate(100).mix(mix);
        only(&builder.start().unwrap().wait().await, kind, 5);
    }
}

#[tokio::test]
async fn versions_are_told_apart_and_have_their_times() {
    let server = Server::start(|_, n| Act::AnswerAs(if n <= 60 { "v1" } else { "v2" })).await;
    let result = load(&server, Duration::from_secs(1)).rate(100).start().unwrap().wait().await;
    result.assert_lossless();
    let (old, new) = (&result.by_version["v1"], &result.by_version["v2"]);
    assert_eq!((old.total, new.total, old.failed, new.failed), (60, 40, 0, 0));
    assert!(old.first_answer < new.first_answer && new.first_answer < new.last_answer, "{result}");
    assert!(new.last_answer >= Duration::from_millis(990), "{result}");
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let server = Server::start(|_, _| Act::Answer).await;
    let builder = load(&server, Duration::from_millis(500)).rate(100);
    drop(server);
    only(&builder.start().unwrap().wait().await, FailureKind::Refused, 50);
}

#[tokio::test]
async fn latency_counts_from_the_scheduled_moment() {
    // One connection, 20 ms an answer, a request each 10 ms: the queue grows, and latency has to show it.
    let server = Server::start(|_, _| Act::Answer).await;
    let slow = Server::on(
        ([127, 0, 0, 1], 0).into(),
        Connections::default(),
        Arc::new(|_, _| {
            // Simulates a slow server.
            std::thread::sleep(Duration::from_millis(20));
            Act::Answer
        }),
    )
    .await;
    let mix = Mix { keep_alive_get: 1, ..Mix::NONE };
    let builder = |server| load(server, Duration::from_secs(1)).rate(100).connections(1).mix(mix);
    let queued = builder(&slow).start().unwrap().wait().await;
    queued.assert_lossless();
    assert_eq!(queued.requests, 100);
    assert!(queued.latency.max() >= Duration::from_millis(900), "{queued}");
    assert!(queued.latency.per_mille(500) >= Duration::from_millis(400), "{queued}");
    let quick = builder(&server).start().unwrap().wait().await;
    assert!(quick.latency.per_mille(500) < Duration::from_millis(400), "{quick}");
}

#[tokio::test]
async fn dropping_the_handle_ends_the_load_at_once() {
    let server = Server::start(|_, _| Act::Hang).await;
    let running = load(&server, Duration::from_secs(60)).rate(100).start().unwrap();
    wait_for(|| running.snapshot().in_flight > 10).await;
    let seen = server.counted.gets.load(Ordering::SeqCst);
    let start = Instant::now();
    drop(running);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(seen > 0);
}

async fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition did not come true in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
