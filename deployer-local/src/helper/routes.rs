//! Which path is which order.

use std::time::Duration;

use deployer_core::{
    error::ErrorKind,
    model::{InstanceId, InvalidName, SetId, WorkloadId},
};
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::{
    log,
    server::{Body, Shared, changes, done, json, read},
};
use crate::{
    host::OnShutdown,
    protocol::{
        ApplySet, ApplySplit, BindListener, BoundListener, CountsQuery, HelperInfo, InFlightQuery, Refusal,
        RemoveSet, Shutdown,
    },
};

/// How long answers in progress may take when a listener is given up.
const RELEASE_DEADLINE: Duration = Duration::from_secs(10);

/// Does what a request asks for.
pub(crate) async fn route(shared: Shared, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["v1", "helper"]) => json(&HelperInfo {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: shared.supervisor.borrow().host().to_owned(),
        }),
        (&Method::GET, ["v1", "ports", port]) => {
            let port = port.parse().map_err(|_| bad(format!("{port:?} is no port")))?;
            json(&shared.supervisor.borrow().port_use(port))
        }
        (&Method::POST, ["v1", "shutdown"]) => {
            let order: Shutdown = read(request).await?;
            shut_down(shared, order.instances).await
        }
        (_, ["v1", "workloads", workload, rest @ ..]) => {
            let workload = WorkloadId::new(workload).map_err(name)?;
            let traffic = ["listener", "split", "traffic", "in-flight", "counts", "stats"];
            if rest.first().is_some_and(|first| traffic.contains(first)) {
                of_traffic(shared, workload, rest, request).await
            } else {
                of_instances(shared, workload, rest, request).await
            }
        }
        _ => Err(no_such(&request)),
    }
}

async fn of_instances(
    shared: Shared,
    workload: WorkloadId,
    rest: &[&str],
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let supervisor = shared.supervisor;
    match (request.method(), rest) {
        (&Method::GET, []) => json(&supervisor.borrow().observe(&workload)),
        (&Method::GET, ["watch"]) => Ok(changes(supervisor.borrow_mut().watch(&workload))),
        (&Method::PUT, ["sets", set]) => {
            let set = SetId::new(set).map_err(name)?;
            let order: ApplySet = read(request).await?;
            supervisor.borrow_mut().apply(&workload, &set, order)?;
            Ok(done())
        }
        (&Method::DELETE, ["sets", set]) => {
            let set = SetId::new(set).map_err(name)?;
            let order: RemoveSet = read(request).await?;
            supervisor.borrow_mut().remove(&workload, &set, order.epoch)?;
            Ok(done())
        }
        (&Method::GET, ["instances", instance, "evidence"]) => {
            let instance = InstanceId::new(instance).map_err(name)?;
            json(&supervisor.borrow().evidence(&workload, &instance)?)
        }
        _ => Err(no_such(&request)),
    }
}

async fn of_traffic(
    shared: Shared,
    workload: WorkloadId,
    rest: &[&str],
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let supervisor = shared.supervisor;
    match (request.method(), rest) {
        (&Method::PUT, ["listener"]) => {
            let order: BindListener = read(request).await?;
            json(&BoundListener { address: supervisor.borrow_mut().bind(&workload, &order)? })
        }
        (&Method::DELETE, ["listener"]) => {
            let proxy = supervisor.borrow_mut().release(&workload)?;
            if let Some(proxy) = proxy {
                proxy.shutdown(RELEASE_DEADLINE).await;
            }
            Ok(done())
        }
        (&Method::PUT, ["split"]) => {
            let order: ApplySplit = read(request).await?;
            supervisor.borrow_mut().shift(&workload, order)?;
            Ok(done())
        }
        (&Method::POST, ["traffic"]) => {
            let order: BindListener = read(request).await?;
            let mut supervisor = supervisor.borrow_mut();
            supervisor.may_bind(&workload, &order)?;
            json(&supervisor.current(&workload)?)
        }
        (&Method::GET, ["traffic"]) => json(&supervisor.borrow_mut().current(&workload)?),
        (&Method::GET, ["traffic", "watch"]) => {
            Ok(changes(supervisor.borrow_mut().traffic_changes(&workload)?))
        }
        (&Method::POST, ["in-flight"]) => {
            let query: InFlightQuery = read(request).await?;
            json(&supervisor.borrow_mut().in_flight(&workload, &query.members)?)
        }
        (&Method::POST, ["counts"]) => {
            let query: CountsQuery = read(request).await?;
            let interval = Duration::from_millis(query.interval_millis);
            json(&supervisor.borrow_mut().counts(&workload, &query.set, interval)?)
        }
        (&Method::GET, ["stats"]) => json(&supervisor.borrow_mut().stats(&workload)?),
        _ => Err(no_such(&request)),
    }
}

/// Listeners first, then instances: nobody is sent to an instance that is stopping.
async fn shut_down(shared: Shared, instances: OnShutdown) -> Result<Response<Body>, Refusal> {
    log::line(&format!("told to end, instances: {instances:?}"));
    shared.supervisor.borrow_mut().close();
    let proxies = shared.supervisor.borrow_mut().take_proxies();
    futures::future::join_all(proxies.iter().map(|proxy| proxy.shutdown(RELEASE_DEADLINE))).await;
    if instances == OnShutdown::StopInstances {
        let ending = shared.supervisor.borrow().ending.clone();
        shared.supervisor.borrow_mut().stop_all();
        loop {
            let notified = ending.notified();
            if shared.supervisor.borrow().instances_left() == 0 {
                break;
            }
            notified.await;
        }
    }
    shared.supervisor.borrow_mut().save_end()?;
    shared.told_to_end.notify_one();
    Ok(done())
}

fn bad(message: String) -> Refusal {
    Refusal::new(ErrorKind::InvalidInput, message)
}

fn name(error: InvalidName) -> Refusal {
    bad(error.to_string())
}

fn no_such(request: &Request<Incoming>) -> Refusal {
    let message = format!("there is no {} {}", request.method(), request.uri().path());
    Refusal::new(ErrorKind::NotFound, message)
}
