//! Free ports for instances.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
};

/// Below the range from which Linux takes ports of outgoing connections: a port from that range can be taken by any
/// connection between the choice and the moment when the instance listens.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_767;

/// Chooses ports round-robin, so that a port that was just given back is not the next one given out.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    /// Starts somewhere in the range, so that two helpers of one host seldom meet.
    pub(crate) fn new(seed: u32) -> Self {
        let span = u32::from(LAST - FIRST) + 1;
        Self { next: FIRST + u16::try_from(seed.wrapping_mul(2_654_435_761) % span).unwrap_or(0) }
    }

    /// A port that nobody listens on and no instance has.
    pub(crate) fn choose(&mut self, used: &BTreeSet<u16>) -> Option<u16> {
        (FIRST..=LAST).find_map(|_| {
            let port = self.next;
            self.next = if port == LAST { FIRST } else { port + 1 };
            (!used.contains(&port) && is_free(port)).then_some(port)
        })
    }
}

/// Nobody listens on this port, whatever the address.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_or_taken_port_is_never_chosen() {
        let mut ports = Ports::new(7);
        let first = ports.choose(&BTreeSet::new()).unwrap();
        let second = ports.choose(&BTreeSet::new()).unwrap();
        assert_ne!(first, second);
        let Ok(taken) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) else { return };
        assert!(!is_free(first));
        let mut ports = Ports { next: first };
        let third = ports.choose(&BTreeSet::from([second])).unwrap();
        assert!(third != first && third != second);
        drop(taken);
    }

    #[test]
    fn the_range_wraps() {
        let mut ports = Ports { next: LAST };
        ports.choose(&BTreeSet::from([LAST])).unwrap();
        assert!(ports.next >= FIRST && ports.next < LAST);
    }
}
