//! Sets of this program as the demo application.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use deployer_core::model::{Member, Share, Split};
use deployer_testkit::app::AppSettings;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::support::LIMIT;

/// A set of instances, which are told to end when this is dropped.
#[derive(Debug)]
pub(crate) struct Set {
    name: String,
    instances: Vec<Instance>,
}

#[derive(Debug)]
struct Instance {
    child: Child,
    address: SocketAddr,
}

impl Set {
    /// Starts so many instances and waits until they listen.
    pub(crate) async fn start(name: &str, count: usize) -> Self {
        let instances: Vec<_> = (0..count).map(|_| Instance::start(name)).collect();
        let deadline = Instant::now() + LIMIT;
        for instance in &instances {
            while TcpStream::connect(instance.address).await.is_err() {
                assert!(Instant::now() < deadline, "{} does not listen", instance.address);
                sleep(Duration::from_millis(2)).await;
            }
        }
        Self { name: name.to_owned(), instances }
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let member = |(number, instance): (usize, &Instance)| Member {
            instance: format!("{}-{number}", self.name).parse().unwrap(),
            address: Some(instance.address),
        };
        self.instances.iter().enumerate().map(member).collect()
    }

    /// All requests to it.
    pub(crate) fn split(&self) -> Split {
        let shares = vec![Share { set: self.name.parse().unwrap(), weight: 1, members: self.members() }];
        Split::Serve { shares, routes: Vec::new() }
    }

    /// Tells them to end, which they do at once, and waits until they have.
    pub(crate) fn end(self) {
        drop(self);
    }
}

impl Instance {
    fn start(release: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(AppSettings::new(release, address.port()).arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let _ = self.child.wait();
    }
}
