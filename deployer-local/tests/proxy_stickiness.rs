//! Clients that stay with a set while the weights allow it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its figures"
)]

mod proxy_support;

use std::sync::Arc;

use deployer_core::model::{Maintenance, Route, RouteMatch, Split};
use deployer_local::proxy::{Proxy, ProxySettings, Stickiness};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use proxy_support::{Backend, Client, Dead, Reply, serve, set, share, start_with, text, within};
use tokio::task::JoinSet;

const COOKIE: &str = "client";

fn sticky(split: &Split) -> Proxy {
    let stickiness = Some(Stickiness::cookie(COOKIE).unwrap());
    start_with(ProxySettings { stickiness, ..ProxySettings::default() }, split)
}

/// The number that an answer gives to its client.
fn given(reply: &Reply) -> Option<String> {
    let mut lines = reply.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let line = lines.find_map(|line| line.strip_prefix("client="))?;
    let (number, attributes) = line.split_once(';').unwrap();
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(number.len(), 32);
    Some(number.to_owned())
}

async fn ask_as(client: &mut Client, number: &str) -> Reply {
    client.get(&[("cookie", &format!("{COOKIE}={number}"))]).await
}

/// Many new clients: their numbers, and who answered each.
async fn newcomers(proxy: &Proxy, count: usize) -> Vec<(String, String)> {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let mut client = Client::new(proxy.local_address());
        tasks.spawn(async move {
            let mut clients = Vec::new();
            for _ in 0..count / 8 {
                let reply = client.get(&[]).await;
                clients.push((given(&reply).expect("a new client gets a number"), reply.text().to_owned()));
            }
            clients
        });
    }
    within(tasks.join_all()).await.concat()
}

/// Who answers these clients now.
async fn answerers(proxy: &Proxy, clients: &[(String, String)]) -> Vec<String> {
    let mut client = Client::new(proxy.local_address());
    let mut names = Vec::new();
    for (number, _) in clients {
        let reply = within(ask_as(&mut client, number)).await;
        assert_eq!(given(&reply), None, "{number} is known");
        names.push(reply.text().to_owned());
    }
    names
}

/// 4.5 standard deviations: wrong once in 150 000 runs.
fn assert_share(what: &str, got: usize, of: usize, part: f64) {
    let (got, of) = (f64::from(u32::try_from(got).unwrap()), f64::from(u32::try_from(of).unwrap()));
    let deviation = (of * part * (1.0 - part)).sqrt();
    assert!(
        (got - of * part).abs() <= 4.5 * deviation,
        "{what}: {got} of {of}, expected {} ± {deviation}",
        of * part
    );
    println!("{what}: {got} of {of}, {:+.2} standard deviations", (got - of * part) / deviation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raising_a_weight_moves_only_the_clients_between_the_boundaries() {
    let (stable, canary) = (Backend::named("stable").await, Backend::named("canary").await);
    let split = |weight: u32| {
        serve(vec![share("v1", 100 - weight, &[stable.address]), share("v2", weight, &[canary.address])])
    };
    let proxy = sticky(&split(10));
    let clients = newcomers(&proxy, 4000).await;
    let numbers: std::collections::HashSet<_> = clients.iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), clients.len(), "two clients got one number");
    let mut before: Vec<String> = clients.iter().map(|(_, name)| name.clone()).collect();
    let of_canary = |names: &[String]| names.iter().filter(|name| *name == "canary").count();
    assert_share("weight 10", of_canary(&before), clients.len(), 0.10);
    assert_eq!(answerers(&proxy, &clients).await, before, "somebody moved without a reason");
    for (weight, part) in [(25, 0.25), (60, 0.60)] {
        proxy.set(&split(weight)).unwrap();
        let now = answerers(&proxy, &clients).await;
        let back = before.iter().zip(&now).filter(|(was, is)| *was == "canary" && *is == "stable").count();
        assert_eq!(back, 0, "clients left the canary when its weight rose to {weight}");
        assert_share(&format!("weight {weight}"), of_canary(&now), clients.len(), part);
        before = now;
    }
    proxy.set(&split(10)).unwrap();
    let now = answerers(&proxy, &clients).await;
    assert!(now.iter().eq(clients.iter().map(|(_, name)| name)), "the way back leads to where they were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_the_shares_and_the_scale_of_the_weights_move_nobody() {
    let backends = [Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let a = |weight| share("a", weight, &[backends[0].address]);
    let b = |weight| share("b", weight, &[backends[1].address]);
    let c = |weight| share("c", weight, &[backends[2].address]);
    let proxy = sticky(&serve(vec![a(1), b(2), c(1)]));
    let clients = newcomers(&proxy, 800).await;
    let before: Vec<_> = clients.iter().map(|(_, name)| name.clone()).collect();
    for name in ["a", "b", "c"] {
        assert!(before.iter().any(|this| this == name), "nobody came to {name}");
    }
    proxy.set(&serve(vec![c(25), a(25), b(50)])).unwrap();
    assert_eq!(answerers(&proxy, &clients).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_win() {
    let (stable, canary) = (Backend::named("stable").await, Backend::named("canary").await);
    let proxy = sticky(&Split::Serve {
        shares: vec![share("v1", 1, &[stable.address]), share("v2", 0, &[canary.address])],
        routes: vec![Route {
            matches: RouteMatch::Header { name: "x-canary".into(), value: "1".into() },
            set: set("v2"),
        }],
    });
    let mut client = Client::new(proxy.local_address());
    for _ in 0..50 {
        let number = given(&client.get(&[]).await).unwrap();
        let cookie = format!("client={number}");
        assert_eq!(client.get(&[("cookie", &cookie), ("x-canary", "1")]).await.text(), "canary");
        assert_eq!(client.get(&[("cookie", &cookie)]).await.text(), "stable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_is_between_the_client_and_the_proxy() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let backend = {
        let seen = seen.clone();
        Backend::start(move |request| {
            let lines =
                request.headers().get_all("cookie").iter().map(|line| line.to_str().unwrap().to_owned());
            seen.lock().push(lines.collect::<Vec<_>>());
            async move {
                let _ = request.into_body().collect().await;
                let mut answer = text("ok");
                for line in ["session=7; Path=/", "client=0; Path=/"] {
                    answer.headers_mut().append("set-cookie", line.parse().unwrap());
                }
                answer
            }
        })
        .await
    };
    let proxy = sticky(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    let reply = client.get(&[("cookie", "session=6")]).await;
    let number = given(&reply).unwrap();
    let lines: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "session=7; Path=/");
    let own = format!("client={number}");
    let reply = client.get(&[("cookie", &format!("session=7; {own}; theme=dark"))]).await;
    assert_eq!(reply.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["session=7; Path=/"]);
    client.get(&[("cookie", &own)]).await;
    assert_eq!(
        *seen.lock(),
        [vec!["session=6".to_owned()], vec!["session=7; theme=dark".to_owned()], vec![]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_never_given_out_is_replaced() {
    let backend = Backend::named("v1").await;
    let proxy = sticky(&serve(vec![share("v1", 1, &[backend.address])]));
    let mut client = Client::new(proxy.local_address());
    let upper = "ABCDEF0123456789ABCDEF0123456789";
    for wrong in ["", "1", upper, "0123456789abcdef0123456789abcdef0", "\"0123456789abcdef0123456789abcdef\""]
    {
        let reply = ask_as(&mut client, wrong).await;
        assert!(given(&reply).is_some_and(|number| number != wrong), "{wrong:?}");
    }
    // The first that is one counts, as clients send the one of the longest path first.
    let reply = client.get(&[("cookie", "client=old; client=0123456789abcdef0123456789abcdef")]).await;
    assert_eq!(given(&reply), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_proxy_itself_give_no_number() {
    let proxy = sticky(&Split::EMPTY);
    let mut client = Client::new(proxy.local_address());
    for (split, status) in [
        (Split::EMPTY, 503),
        (serve(vec![share("v1", 1, &[])]), 502),
        (Split::Maintenance(Maintenance::default()), 503),
    ] {
        proxy.set(&split).unwrap();
        let reply = client.get(&[]).await;
        assert_eq!(reply.status, status);
        assert_eq!(given(&reply), None, "{split:?}");
    }
}

/// A client does not change its set because a member of it refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_sent_again_stays_with_the_set_of_its_client() {
    let (stable, canary) = (Backend::named("stable").await, Backend::named("canary").await);
    let dead = Dead::new();
    let proxy = sticky(&serve(vec![
        share("v1", 1, &[stable.address]),
        share("v2", 1, &[dead.address, canary.address]),
    ]));
    let clients = newcomers(&proxy, 160).await;
    assert!(clients.iter().any(|(_, name)| name == "canary"));
    let before: Vec<_> = clients.iter().map(|(_, name)| name.clone()).collect();
    assert_eq!(answerers(&proxy, &clients).await, before);
    assert!(proxy.stats().sets.iter().any(|set| set.retried > 0), "nothing was sent again");
}
