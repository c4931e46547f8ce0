//! A switch in the very moment in which a request is given to a member.

use deployer_core::ports::TrafficRouter as _;
use deployer_nginx::NginxSettings;
use tokio::time::{Duration, Instant, sleep};

use crate::{
    rig::{LiveRig, context},
    splits::{all_to, in_flight, switch},
    support::{LIMIT, get, request, workload},
};

/// Between the choice of a member and the last look at the split, once: what is sent here is put into force.
const INTERRUPT: &str = r#"
server { listen 127.0.0.1:ARM;
location = /arm {
    client_body_buffer_size 64k;
    content_by_lua_block {
        ngx.req.read_body()
        local text = ngx.req.get_body_data()
        local generation = tonumber(text:match("\ngeneration (%d+)\n"))
        local dict = ngx.shared.deployer
        local methods = getmetatable(dict).__index
        local incr = methods.incr
        methods.incr = function(self, key, value, init)
            if value == 1 and key:find("^busy/") then
                methods.incr = incr
                dict:set("text/web/" .. generation, text)
                dict:set("generation/web", generation)
            end
            return incr(self, key, value, init)
        end
        ngx.header["Content-Length"] = 6
        ngx.print("armed\n")
    }
}
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sees_the_new_split_sees_every_request_of_the_old_one() {
    let arm = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let extra = INTERRUPT.replace("ARM", &arm.port().to_string());
    // One worker, so that the one that is armed gets the request.
    let rig = LiveRig::tuned(NginxSettings::default(), 1, &extra).await;
    let web = workload("web");
    let (context, router) = (context(&web), rig.live(&web).await);
    let old = rig.backends.members(&"v1".parse().unwrap(), 1).await;
    let new = rig.backends.members(&"v2".parse().unwrap(), 1).await;
    let address = rig.address(&web).await;
    let server = rig.own.server();
    let master = server.master().await.unwrap();
    let deadline = Instant::now() + LIMIT;
    while master.workers().unwrap().len() > 1 {
        assert!(Instant::now() < deadline, "a worker of the configuration before is left");
        sleep(Duration::from_millis(5)).await;
    }
    switch(&router, &context, &all_to("v2", &new)).await;
    let to_new = std::fs::read_to_string(server.paths().state(&web)).unwrap();
    let before = switch(&router, &context, &all_to("v1", &old)).await;
    assert!(get(address, "/").await.unwrap().body.starts_with("v1-"));

    let later =
        to_new.replacen(&format!("generation {}", before - 1), &format!("generation {}", before + 1), 1);
    let mut post = crate::client::Client::connect(arm).await;
    assert_eq!(post.post_body("/arm", &later).await.status, 200);
    // It was on its way to the old one; nobody who looked then would have seen it there.
    let answer = request(address, "/", &[]).await.unwrap();
    assert!(answer.status == 200 && answer.body.starts_with("v2-"), "{answer:?}");
    for member in old.iter().chain(&new) {
        in_flight(&router, &context, member, 0).await;
    }
    let told = server.ask("GET", "/live/web/split", b"", LIMIT).await.unwrap();
    assert!(told.body.starts_with(&format!("{} ", before + 1)), "{told:?}");
    assert_eq!(router.in_flight(&context, &[]).await.unwrap(), []);
}
