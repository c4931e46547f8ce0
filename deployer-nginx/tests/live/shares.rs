//! Who gets how many requests.

use deployer_core::model::{Member, Split, WorkloadId};
use deployer_nginx::{NginxSettings, Stickiness};
use deployer_testkit::cases::say;

use crate::{
    client::Client,
    rig::{LiveRig, context},
    splits::{all_to, by_header, serve, share, switch},
};

const REQUESTS: usize = 20_000;
const CLIENTS: usize = 8;
/// Rarer than one of a hundred thousand by chance.
const SIGMAS: f64 = 4.5;

async fn members(rig: &LiveRig, set: &str, count: usize) -> Vec<Member> {
    rig.backends.members(&set.parse().unwrap(), count).await
}

/// Asks so often, on connections that are kept; how often a member of v2 answered.
async fn to_v2(rig: &LiveRig, workload: &WorkloadId, requests: usize) -> usize {
    let address = rig.address(workload).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        tasks.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut hits = 0;
            for _ in 0..requests / CLIENTS {
                let answer = client.get("/").await;
                assert_eq!(answer.status, 200, "{answer:?}");
                hits += usize::from(answer.body.starts_with("v2-"));
            }
            hits
        });
    }
    tasks.join_all().await.into_iter().sum()
}

#[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
fn deviations(hits: usize, requests: usize, part: f64) -> f64 {
    let expected = requests as f64 * part;
    (hits as f64 - expected) / (expected * (1.0 - part)).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_exact_over_all_workers() {
    let rig = LiveRig::start().await;
    let workload: WorkloadId = "shares".parse().unwrap();
    let (context, router) = (context(&workload), rig.live(&workload).await);
    let (old, new) = (members(&rig, "v1", 3).await, members(&rig, "v2", 2).await);
    for (weights, part) in [((90, 10), 0.10), ((75, 25), 0.25), ((99, 1), 0.01)] {
        let split = serve(vec![share("v1", weights.0, &old), share("v2", weights.1, &new)]);
        switch(&router, &context, &split).await;
        let hits = to_v2(&rig, &workload, REQUESTS).await;
        let off = deviations(hits, REQUESTS, part);
        say(&format!(
            "live, weights {weights:?}: {hits} of {REQUESTS} requests to v2 ({off:+.2} standard deviations)"
        ));
        assert!(off.abs() <= SIGMAS, "{off}");
        // Better than chance: all workers walk one sequence, and each round of it is exact.
        let exact = REQUESTS * weights.1 as usize / 100;
        assert!(hits.abs_diff(exact) <= 1, "{hits} of {exact}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sets_and_their_members_get_their_turns() {
    let rig = LiveRig::start().await;
    let workload: WorkloadId = "three".parse().unwrap();
    let (context, router) = (context(&workload), rig.live(&workload).await);
    let sets = [members(&rig, "v1", 2).await, members(&rig, "v2", 1).await, members(&rig, "v3", 3).await];
    let split = serve(vec![share("v1", 5, &sets[0]), share("v2", 3, &sets[1]), share("v3", 12, &sets[2])]);
    switch(&router, &context, &split).await;
    let mut client = Client::connect(rig.address(&workload).await).await;
    let mut tally = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        *tally.entry(client.get("/").await.body).or_default() += 1;
    }
    let expected: Vec<(&str, u32)> = sets[0]
        .iter()
        .map(|member| (member.instance.as_str(), 25))
        .chain(sets[1].iter().map(|member| (member.instance.as_str(), 30)))
        .chain(sets[2].iter().map(|member| (member.instance.as_str(), 40)))
        .collect();
    for (instance, count) in expected {
        let seen = tally.get(instance).copied().unwrap_or(0);
        assert!(seen.abs_diff(count) <= 1, "{instance}: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_always_leads_to_the_candidate() {
    let rig = LiveRig::start().await;
    let workload: WorkloadId = "header".parse().unwrap();
    let (context, router) = (context(&workload), rig.live(&workload).await);
    let (old, new) = (members(&rig, "v1", 2).await, members(&rig, "v2", 2).await);
    let address = rig.address(&workload).await;
    let mut client = Client::connect(address).await.header("X-Lane", "candidate");
    for weight in [0, 1, 50] {
        let shares = vec![share("v1", 100 - weight, &old), share("v2", weight, &new)];
        let split = Split::Serve { shares, routes: vec![by_header("x-lane", "candidate", "v2")] };
        switch(&router, &context, &split).await;
        for _ in 0..200 {
            let answer = client.get("/").await;
            assert!(answer.status == 200 && answer.body.starts_with("v2-"), "{answer:?}");
        }
    }
    say(
        "live: a client with the header reached the candidate in 600 of 600 requests, at weights 0, 1 and 50",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay_and_only_those_between_the_boundaries_move() {
    const VISITORS: usize = 400;
    let settings = NginxSettings { stickiness: Some(Stickiness::default()), ..NginxSettings::default() };
    let rig = LiveRig::with(settings).await;
    let workload: WorkloadId = "sticky".parse().unwrap();
    let (context, router) = (context(&workload), rig.live(&workload).await);
    let (old, new) = (members(&rig, "v1", 2).await, members(&rig, "v2", 2).await);
    let address = rig.address(&workload).await;
    let split = |weight: u32| serve(vec![share("v1", 100 - weight, &old), share("v2", weight, &new)]);
    switch(&router, &context, &all_to("v1", &old)).await;
    switch(&router, &context, &split(10)).await;
    let mut visitors = Vec::new();
    for _ in 0..VISITORS {
        let mut client = Client::connect(address).await;
        let first = client.get("/").await;
        let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        visitors.push((client.header("cookie", &cookie), first.body[..2].to_owned()));
    }
    let mut in_new = visitors.iter().filter(|(_, set)| set == "v2").count();
    for weight in [10, 25, 60, 25, 0] {
        switch(&router, &context, &split(weight)).await;
        let (mut moved, mut count) = (0, 0);
        for (client, set) in &mut visitors {
            let seen = client.get("/").await;
            assert_eq!(seen.header("set-cookie"), None, "it has one");
            let again = client.get("/").await;
            assert_eq!(seen.body[..2], again.body[..2], "a client stays");
            moved += usize::from(seen.body[..2] != *set);
            count += usize::from(&seen.body[..2] == "v2");
            seen.body[..2].clone_into(set);
        }
        say(&format!("live, sticky, weight {weight}: {count} of {VISITORS} clients at v2, {moved} moved"));
        assert_eq!(moved, count.abs_diff(in_new), "nobody moves against the others");
        let off = if weight == 0 { 0.0 } else { deviations(count, VISITORS, f64::from(weight) / 100.0) };
        assert!(off.abs() <= SIGMAS && (weight > 0 || count == 0), "{count} at weight {weight}");
        in_new = count;
    }
}
