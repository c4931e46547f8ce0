//! Who answers, and who listens.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "checks_support/asked.rs"]
mod asked;
#[path = "checks_support/server.rs"]
mod server;

use std::time::Duration;

use asked::{assert_failed, assert_unknown, instance, probe_within};
use deployer_core::{
    checks::{AnswerField, Expected, HttpCheck, IdentityCheck, TcpCheck, TcpSettings},
    model::ReleaseId,
    ports::HealthCheck,
    strategy::Probe,
};
use server::{Server, answer, closed};
use tokio::io::AsyncWriteExt;

const SECONDS: Duration = Duration::from_secs(5);

fn identity(field: AnswerField, expected: Expected) -> IdentityCheck {
    IdentityCheck::new(HttpCheck::get("/version").build().unwrap(), field, expected).unwrap()
}

fn header() -> AnswerField {
    AnswerField::Header("X-Release".into())
}

fn release() -> Expected {
    Expected::Release(ReleaseId::new("v2").unwrap())
}

async fn probe(check: &dyn HealthCheck, server: &Server) -> Probe {
    probe_within(check, &instance(server.address), SECONDS).await
}

#[tokio::test]
async fn the_answer_must_come_from_the_expected_release() {
    let check = identity(header(), release());
    let new = Server::answering(answer("200 OK\r\nx-release: v2", "")).await;
    assert_eq!(probe(&check, &new).await, Probe::Ok);
    let old = Server::answering(answer("200 OK\r\nx-release: v1", "")).await;
    assert_failed(&probe(&check, &old).await, r#"answered as "v1", expected "v2""#);
    let mute = Server::answering(answer("200 OK", "")).await;
    assert_failed(&probe(&check, &mute).await, "nothing in the header X-Release");
    let broken = Server::answering(answer("503 Busy\r\nx-release: v2", "")).await;
    assert_failed(&probe(&check, &broken).await, "answered 503");
}

#[tokio::test]
async fn identity_in_a_body_may_be_a_text_or_a_number() {
    let field = || AnswerField::Json("/build/id".into());
    let server = Server::answering(answer("200 OK", r#"{"build": {"id": 7}}"#)).await;
    let seven = Expected::computed(|_| Some("7".into()));
    assert_eq!(probe(&identity(field(), seven), &server).await, Probe::Ok);
    assert_failed(&probe(&identity(field(), release()), &server).await, r#"answered as "7", expected "v2""#);
    let other = Server::answering(answer("200 OK", r#"{"build": {"id": ["v2"]}}"#)).await;
    assert_failed(&probe(&identity(field(), release()), &other).await, "does not say who it is");
}

#[tokio::test]
async fn an_expectation_can_follow_from_the_instance() {
    let server = Server::answering(answer("200 OK\r\nx-release: web-v2-1", "")).await;
    assert_eq!(probe(&identity(header(), Expected::InstanceId), &server).await, Probe::Ok);
    let digest = probe(&identity(header(), Expected::Digest), &server).await;
    assert_failed(&digest, r#"answered as "web-v2-1", expected "sha256:2""#);
    let before = server.connections();
    let nobody_knows = identity(header(), Expected::computed(|_| None));
    assert_unknown(&probe(&nobody_knows, &server).await, "web-v2-1");
    assert_eq!(server.connections(), before, "it was asked for nothing");
}

#[test]
fn a_field_that_cannot_exist_is_refused() {
    for field in [AnswerField::Header("a b".into()), AnswerField::Json("build".into())] {
        let http = HttpCheck::get("/").build().unwrap();
        assert_eq!(IdentityCheck::new(http, field, release()).unwrap_err().len(), 1);
    }
}

fn greeting(banner: &str) -> TcpCheck {
    TcpCheck::new(TcpSettings { banner: Some(banner.into()) }).unwrap()
}

#[tokio::test]
async fn a_connection_is_enough_where_no_greeting_is_expected() {
    let check = TcpCheck::new(TcpSettings::default()).unwrap();
    let server = Server::start(|mut stream| async move { closed(&mut stream).await }).await;
    assert_eq!(probe(&check, &server).await, Probe::Ok);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = probe_within(&check, &instance(unused), SECONDS).await;
    assert_failed(&refused, "nothing listens on");
    assert_unknown(
        &probe_within(&check, &instance("169.254.169.254:1".parse().unwrap()), SECONDS).await,
        "metadata",
    );
}

#[tokio::test]
async fn a_greeting_must_be_right_however_it_arrives() {
    let pieces = Server::start(|mut stream| async move {
        for piece in ["2", "20 mail", " ready\r\n"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        closed(&mut stream).await;
    })
    .await;
    assert_eq!(probe(&greeting("220 mail"), &pieces).await, Probe::Ok);
    assert_failed(&probe(&greeting("SSH-"), &pieces).await, "expected \"SSH-\"");
    let other = Server::start(|mut stream| async move {
        stream.write_all(b"SSH").await.unwrap();
        closed(&mut stream).await;
    })
    .await;
    // No need to wait for more than the first wrong byte.
    assert_failed(&probe(&greeting("220 mail"), &other).await, "said \"SSH\", expected \"220 mail\"");
    let short = Server::start(|mut stream| async move { stream.write_all(b"22").await.unwrap() }).await;
    assert_failed(&probe(&greeting("220 "), &short).await, "said \"22\"");
    let silent = Server::start(|mut stream| async move { closed(&mut stream).await }).await;
    let probe = probe_within(&greeting("220 "), &instance(silent.address), Duration::from_millis(200)).await;
    assert_failed(&probe, "said \"\" within");
}

#[test]
fn a_banner_has_a_sensible_length() {
    for banner in [String::new(), "x".repeat(1025)] {
        assert!(TcpCheck::new(TcpSettings { banner: Some(banner) }).is_err());
    }
    assert!(serde_json::from_str::<TcpSettings>(r#"{"baner": "x"}"#).is_err());
}
