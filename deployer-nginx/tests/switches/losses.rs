//! What switches lose.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use deployer_nginx::{NginxSettings, RouterKind};
use deployer_testkit::load::Mix;
use tokio::time::{Instant, sleep_until};

use crate::{
    instances::Set,
    stand::{SWITCHES, Stand, ended, finish, period},
};

const RATE: u32 = 1000;
const KEPT_POST: Mix = Mix { keep_alive_post: 1, ..Mix::NONE };
const KEPT_GET: Mix = Mix { keep_alive_get: 1, ..Mix::NONE };
const FRESH: Mix = Mix { fresh_get: 1, fresh_post: 1, ..Mix::NONE };

/// The live router loses nothing.
pub(crate) async fn live() {
    let stand = Stand::start(RouterKind::Live).await;
    let first = stand.first().await;
    let load = stand.load(RATE, KEPT_POST).start().unwrap();
    ended(&load, 50).await;
    let _last = stand.release_often(first).await;
    let result = finish("live router, 20 switches in 12 s, kept POST", load).await;
    result.assert_lossless();
    assert_eq!(result.reopened, 0, "a switch does not touch the connections of clients\n{result}");
    assert!(result.by_version.len() > SWITCHES as usize, "all releases answered\n{result}");
}

/// The reload router loses nothing on connections of their own, and no GET that is sent once more as clients do.
pub(crate) async fn reload() {
    let stand = Stand::start(RouterKind::Reload).await;
    let first = stand.first().await;
    let fresh = stand.load(RATE / 2, FRESH).start().unwrap();
    let gets = stand.load(RATE / 2, KEPT_GET).retry_kept_gets(true).start().unwrap();
    ended(&gets, 50).await;
    let _last = stand.release_often(first).await;
    let fresh = finish("reload router, 20 switches in 12 s, a connection per request", fresh).await;
    let gets = finish("reload router, the same switches, kept GET", gets).await;
    fresh.assert_lossless();
    gets.assert_lossless();
    assert!(fresh.by_version.len() > SWITCHES as usize, "all releases answered\n{fresh}");
}

/// What the reload router loses of requests that nobody may send twice, beside what a reload by hand loses.
pub(crate) async fn kept_posts() {
    let stand = Stand::start(RouterKind::Reload).await;
    let first = stand.first().await;
    let load = stand.load(RATE, KEPT_POST).start().unwrap();
    ended(&load, 50).await;
    let last = stand.release_often(first).await;
    let ours = finish("reload router, 20 switches in 12 s, kept POST", load).await;

    let load = stand.load(RATE, KEPT_POST).start().unwrap();
    ended(&load, 50).await;
    let start = Instant::now();
    for number in 1..=SWITCHES {
        let settings = stand.own.server().settings();
        let mut by_hand = Command::new(&settings.executable);
        by_hand
            .stderr(Stdio::null())
            .arg("-p")
            .arg(stand.own.directory())
            .arg("-c")
            .arg(&settings.main_config)
            .args(["-s", "reload"]);
        assert!(by_hand.status().unwrap().success());
        sleep_until(start + period(number)).await;
    }
    let theirs = finish("nginx -s reload, 20 times in 12 s, kept POST, no switch at all", load).await;
    last.end();

    let settings = NginxSettings {
        router: Some(RouterKind::Reload),
        closing_time: Duration::from_millis(150),
        ..NginxSettings::default()
    };
    let stand = Stand::with(settings).await;
    let first = stand.first().await;
    let load = stand.load(RATE, KEPT_POST).start().unwrap();
    ended(&load, 50).await;
    let _last = stand.release_often(first).await;
    let spared = finish("reload router that lets clients close first, 20 switches, kept POST", load).await;
    assert!(spared.is_valid() && spared.failed <= theirs.failed, "{spared}{theirs}");
    assert!(ours.is_valid() && theirs.is_valid(), "{ours}{theirs}");
    // Only what the reload itself does to kept connections: never a refused connection or a bad answer.
    for result in [&ours, &theirs, &spared] {
        let resets = result.failed_as(deployer_testkit::load::FailureKind::Reset);
        assert_eq!(result.failed, resets, "{result}");
        assert!(result.failed * 100 <= result.requests * 3, "{result}");
    }
}

/// The old instances end first and the traffic is switched afterwards.
pub(crate) async fn control() {
    let stand = Stand::start(RouterKind::Live).await;
    let first = stand.first().await;
    let load = stand.load(RATE, KEPT_POST).start().unwrap();
    ended(&load, 50).await;
    let next = Set::start("r1", 2).await;
    first.end();
    ended(&load, 20).await;
    stand.switch(&next.split()).await;
    let result = finish("control run without proof and drain, which has to lose requests", load).await;
    assert!(result.failed > 0 && result.is_valid(), "the measure is blind\n{result}");
}
