//! Splits and proxies in few words.

use std::net::SocketAddr;

use deployer_core::model::{InstanceId, Member, SetId, Share, Split};
use deployer_local::proxy::{Proxy, ProxySettings};

pub fn set(name: &str) -> SetId {
    SetId::new(name).unwrap()
}

pub fn instance(name: &str) -> InstanceId {
    InstanceId::new(name).unwrap()
}

pub fn member(name: &str, address: SocketAddr) -> Member {
    Member { instance: instance(name), address: Some(address) }
}

/// Members are named after the set.
pub fn share(name: &str, weight: u32, addresses: &[SocketAddr]) -> Share {
    let members = addresses.iter().enumerate().map(|(i, a)| member(&format!("{name}-{i}"), *a)).collect();
    Share { set: set(name), weight, members }
}

pub fn serve(shares: Vec<Share>) -> Split {
    Split::Serve { shares, routes: Vec::new() }
}

/// On the runtime of the caller.
pub fn start(split: &Split) -> Proxy {
    start_with(ProxySettings::default(), split)
}

pub fn start_with(settings: ProxySettings, split: &Split) -> Proxy {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener, settings, &tokio::runtime::Handle::current()).unwrap();
    proxy.set(split).unwrap();
    proxy
}
