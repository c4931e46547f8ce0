//! Reaching exactly one instance.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{model::Instance, strategy::Probe};

/// When a probe has to be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// How long it may take as a whole.
    pub(super) total: Duration,
    /// The moment at which it is over.
    pub(super) until: Instant,
}

impl Limit {
    /// Ends a little before the caller's deadline, so that the check says what went wrong and not the caller, who
    /// would know nothing but the time.
    pub(super) fn within(deadline: Duration, bound: Option<Duration>) -> Self {
        let own = deadline.saturating_sub((deadline / 10).min(Duration::from_millis(100)));
        let total = bound.map_or(own, |bound| bound.min(own));
        let now = Instant::now();
        // A deadline beyond the range of the clock is as good as a day.
        let until = now.checked_add(total).unwrap_or(now + Duration::from_secs(24 * 60 * 60));
        Self { total, until }
    }

    /// What the future says, or `None` when the time is over.
    pub(super) async fn run<F: Future>(self, future: F) -> Option<F::Output> {
        timeout_at(self.until, future).await.ok()
    }
}

pub(super) fn failed(why: impl Into<String>) -> Probe {
    Probe::Failed { why: why.into() }
}

pub(super) fn unknown(why: impl Into<String>) -> Probe {
    Probe::Unknown { why: why.into() }
}

/// Connects to the instance, or says why not.
pub(super) async fn connect(instance: &Instance, limit: Limit) -> Result<TcpStream, Probe> {
    let address = address_of(instance)?;
    match limit.run(TcpStream::connect(address)).await {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(verdict_on(address, &error)),
        None => Err(unknown(format!("could not connect to {address} within {:?}", limit.total))),
    }
}

/// Where the instance answers, unless that is no place to send a probe to.
pub(super) fn address_of(instance: &Instance) -> Result<SocketAddr, Probe> {
    let address =
        instance.address.ok_or_else(|| unknown(format!("instance {} has no address yet", instance.id)))?;
    if is_metadata(address.ip()) {
        return Err(unknown(format!("{address} is a metadata service and no instance, so it is not probed")));
    }
    Ok(address)
}

/// The addresses at which clouds hand credentials to whoever asks: a target that was tricked into reporting one
/// must not make us ask.
fn is_metadata(ip: IpAddr) -> bool {
    const V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    match ip {
        IpAddr::V4(ip) => ip == V4,
        IpAddr::V6(ip) => ip == V6 || ip.to_ipv4() == Some(V4),
    }
}

/// A refusal is an answer. Everything else (no route, no free port or file on this side) says nothing about the
/// instance.
fn verdict_on(address: SocketAddr, error: &io::Error) -> Probe {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => failed(format!("nothing listens on {address}")),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            failed(format!("{address} broke off the connection"))
        }
        _ => unknown(format!("could not connect to {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_the_other_side_is_a_failure() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let cases = [
            (rustix::io::Errno::CONNREFUSED, true),
            (rustix::io::Errno::CONNRESET, true),
            (rustix::io::Errno::HOSTUNREACH, false),
            (rustix::io::Errno::NETUNREACH, false),
            (rustix::io::Errno::ADDRNOTAVAIL, false),
            (rustix::io::Errno::MFILE, false),
            (rustix::io::Errno::TIMEDOUT, false),
            (rustix::io::Errno::PERM, false),
        ];
        for (errno, is_failure) in cases {
            let probe = verdict_on(address, &errno.into());
            assert_eq!(matches!(probe, Probe::Failed { .. }), is_failure, "{errno:?}: {probe:?}");
        }
    }

    #[test]
    fn metadata_services_are_found_in_every_spelling() {
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "::169.254.169.254", "fd00:ec2::254"] {
            assert!(is_metadata(text.parse().unwrap()), "{text} was let through");
        }
        for text in ["169.254.169.253", "127.0.0.1", "::1", "10.0.0.1", "fe80::1"] {
            assert!(!is_metadata(text.parse().unwrap()), "{text} was refused");
        }
    }

    #[tokio::test]
    async fn the_own_limit_is_shorter_than_the_callers() {
        let seconds = Duration::from_secs;
        assert_eq!(Limit::within(seconds(5), None).total, Duration::from_millis(4900));
        assert_eq!(Limit::within(seconds(5), Some(seconds(1))).total, seconds(1));
        assert_eq!(Limit::within(seconds(1), Some(seconds(9))).total, Duration::from_millis(900));
        assert_eq!(Limit::within(Duration::ZERO, None).total, Duration::ZERO);
        assert_eq!(Limit::within(Duration::MAX, None).run(async { 7 }).await, Some(7));
    }
}
