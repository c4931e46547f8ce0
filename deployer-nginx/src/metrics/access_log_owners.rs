//! Whose an address is, and was.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use deployer_core::model::{SetId, Split};

/// Former owners of one address that are remembered.
const MOST_FORMER: usize = 8;
/// Addresses without a set that are remembered; those seen longest ago go first.
const MOST_ADDRESSES: usize = 10_000;

/// nginx looks at the clock once for many requests, and writes milliseconds, so a request may look this much older. The
/// former owner was stopped, and the next one started, before a split had it.
const CLOCK_LAGS: Duration = Duration::from_millis(100);

/// Whose an address is, and was: ports are used again by the next version.
#[derive(Debug, Default)]
pub(super) struct Owners {
    addresses: HashMap<SocketAddr, Vec<Owner>>,
}

#[derive(Debug)]
struct Owner {
    set: SetId,
    /// Since the epoch, when it was seen first and last.
    first: Duration,
    last: Duration,
}

impl Owners {
    /// Takes note of a split as it is now.
    pub(super) fn learn(&mut self, split: &Split, now: Duration) {
        for share in split.shares() {
            for address in share.members.iter().filter_map(|member| member.address) {
                let owners = self.addresses.entry(address).or_default();
                match owners.last_mut() {
                    Some(owner) if owner.set == share.set => owner.last = now,
                    former => {
                        let earliest = former.map_or(Duration::ZERO, |former| former.last);
                        let first = now.saturating_sub(CLOCK_LAGS).max(earliest);
                        owners.push(Owner { set: share.set.clone(), first, last: now });
                    }
                }
                let excess = owners.len().saturating_sub(MOST_FORMER);
                owners.drain(..excess);
            }
        }
        self.forget();
    }

    /// Whose this address was at that time, since the epoch.
    ///
    /// The first owner had it ever before, the last one has it ever since. Between two, from when the former was seen
    /// last until the next was seen first, nobody knows, and it is nobody's.
    pub(super) fn at(&self, address: SocketAddr, time: Duration) -> Option<&SetId> {
        let owners = self.addresses.get(&address)?;
        let index = owners.iter().rposition(|owner| owner.first <= time).unwrap_or(0);
        let owner = &owners[index];
        let is_known = index + 1 == owners.len() || time <= owner.last;
        is_known.then_some(&owner.set)
    }

    fn forget(&mut self) {
        let Some(excess) = self.addresses.len().checked_sub(MOST_ADDRESSES) else { return };
        let last = |owners: &Vec<Owner>| owners.last().map(|owner| owner.last);
        let mut ages: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (address, owners) in &self.addresses {
            ages.entry(last(owners)).or_default().push(*address);
        }
        for address in ages.into_values().flatten().take(excess) {
            self.addresses.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use deployer_core::model::{InstanceId, Member, Share};

    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn split(shares: &[(&str, &[u16])]) -> Split {
        let share = |(set, ports): &(&str, &[u16])| {
            let member = |port: &u16| Member {
                instance: InstanceId::new(format!("{set}-{port}")).unwrap(),
                address: Some(address(*port)),
            };
            Share { set: SetId::new(set).unwrap(), weight: 1, members: ports.iter().map(member).collect() }
        };
        Split::Serve { shares: shares.iter().map(share).collect(), routes: Vec::new() }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_that_is_used_again_is_the_next_sets_from_then_on() {
        let mut owners = Owners::default();
        owners.learn(&split(&[("v1", &[1, 2])]), s(100));
        owners.learn(&split(&[("v1", &[1, 2]), ("v2", &[3])]), s(110));
        owners.learn(&split(&[("v2", &[3])]), s(120));
        owners.learn(&split(&[("v2", &[3]), ("v3", &[1])]), s(130));
        let set = |port, time| owners.at(address(port), s(time)).map(SetId::as_str);
        assert_eq!(set(1, 50), Some("v1"), "before anything was known");
        assert_eq!(set(1, 110), Some("v1"));
        assert_eq!(set(1, 120), None, "nobody knows when v3 took it");
        assert_eq!(set(1, 130), Some("v3"));
        let just_before = owners.at(address(1), Duration::from_millis(129_950)).map(SetId::as_str);
        assert_eq!(just_before, Some("v3"), "by a clock that lags");
        assert_eq!(owners.at(address(1), Duration::from_millis(129_800)), None);
        assert_eq!(set(1, 500), Some("v3"));
        assert_eq!(set(2, 500), Some("v1"), "it left, and nobody else took the address");
        assert_eq!(set(3, 105), Some("v2"));
        assert_eq!(set(4, 105), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut owners = Owners::default();
        for round in 0..100 {
            owners.learn(&split(&[(&format!("v{round}"), &[1])]), s(round));
        }
        assert_eq!(owners.addresses[&address(1)].len(), MOST_FORMER);
        let ports: Vec<u16> = (1..=u16::try_from(MOST_ADDRESSES).unwrap()).collect();
        owners.learn(&split(&[("old", &ports)]), s(200));
        owners.learn(&split(&[("new", &[20_000, 20_001])]), s(300));
        assert_eq!(owners.addresses.len(), MOST_ADDRESSES);
        assert!(owners.at(address(20_000), s(300)).is_some());
    }
}
