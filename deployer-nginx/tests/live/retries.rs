//! Members that do not take a request.

use deployer_core::ports::{MetricSource as _, TrafficRouter as _};
use deployer_nginx::{LiveMetrics, NginxSettings};

use crate::{
    client::Client,
    rig::{LiveRig, context},
    splits::{all_to, in_flight, member, switch},
    support::{LIMIT, workload},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_tried_at_another_member() {
    // So that no member is left out because of earlier requests.
    let settings = NginxSettings { max_fails: 0, ..NginxSettings::default() };
    let rig = LiveRig::with(settings).await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let mut members = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    members.push(member("v1-8888", "127.0.0.1:1".parse().unwrap()));
    members.push(member("v1-9999", "127.0.0.1:2".parse().unwrap()));
    switch(&router, &context, &all_to("v1", &members)).await;
    let mut client = Client::connect(rig.address(&web).await).await;
    for number in 0..30 {
        let answer = if number % 2 == 0 { client.post("/").await } else { client.get("/").await };
        assert_eq!((answer.status, answer.body.as_str()), (200, members[0].instance.as_str()));
    }
    for member in &members {
        in_flight(&router, &context, member, 0).await;
    }
    let metrics = LiveMetrics::new(rig.own.server().clone(), web.clone());
    let counts = metrics.counts(&context, &"v1".parse().unwrap(), LIMIT).await.unwrap();
    assert_eq!((counts.total, counts.bad), (30, 0), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_it() {
    let rig = LiveRig::start().await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let members = [1, 2].map(|port| member(&format!("v1-{port}"), ([127, 0, 0, 1], port).into()));
    switch(&router, &context, &all_to("v1", &members)).await;
    let mut client = Client::connect(rig.address(&web).await).await;
    for _ in 0..5 {
        assert_eq!(client.post("/").await.status, 502);
    }
    for member in &members {
        in_flight(&router, &context, member, 0).await;
    }
    let metrics = LiveMetrics::new(rig.own.server().clone(), web.clone());
    let counts = metrics.counts(&context, &"v1".parse().unwrap(), LIMIT).await.unwrap();
    assert_eq!((counts.total, counts.bad), (5, 5), "{counts:?}");
    assert_eq!(router.in_flight(&context, &[]).await.unwrap(), []);
}
