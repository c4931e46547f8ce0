//! The names of everything in a checked world, made once.

use std::{net::SocketAddr, sync::Arc};

use deployer_core::model::{
    Artifact, InstanceId, Member, PinnedRelease, Place, Release, ReleaseId, SetId, WorkloadId,
};

use super::slot::{Flags, Slot};

/// How many sets a world can have.
pub(super) const SETS: usize = 3;
/// How many instances of one set can be told apart.
const IDS: u8 = 40;

/// Names by number.
#[derive(Debug)]
pub(super) struct Names {
    instances: Vec<Vec<InstanceId>>,
    gone: Vec<InstanceId>,
    digests: Vec<Arc<str>>,
    wrong: Arc<str>,
    places: Vec<Vec<Place>>,
    /// One of each kind of short text.
    pub(super) no_trouble: Arc<str>,
    /// What a failing probe says.
    pub(super) trouble: Arc<str>,
}

impl Names {
    pub(super) fn new() -> Self {
        let instance = |set: u8, id: u8| InstanceId::new(format!("{}-{id:02}", set_text(set)));
        let place = |set: u8, id: u8| Place::new(format!("host-{}-{id:02}", set_text(set)));
        let valid = "letters, digits and dashes make a name";
        Self {
            instances: each(|set, id| instance(set, id).expect(valid)),
            gone: (0..IDS).map(|id| InstanceId::new(format!("x-{id:02}")).expect(valid)).collect(),
            digests: (0..SETS).map(|set| Arc::from(digest_text(set))).collect(),
            wrong: Arc::from("sha256:other"),
            places: each(|set, id| place(set, id).expect(valid)),
            no_trouble: Arc::from(""),
            trouble: Arc::from("status 500"),
        }
    }

    /// The name of an instance.
    pub(super) fn instance(&self, slot: &Slot) -> &InstanceId {
        &self.instances[usize::from(slot.set)][usize::from(slot.id)]
    }

    /// The name of a counted failure that exists no more.
    pub(super) fn gone(&self, number: u8) -> &InstanceId {
        &self.gone[usize::from(number)]
    }

    /// Whether a name is one of [`gone`](Self::gone).
    pub(super) fn is_gone(id: &InstanceId) -> bool {
        id.as_str().starts_with("x-")
    }

    /// Where an instance runs.
    pub(super) fn place(&self, slot: &Slot) -> &Place {
        &self.places[usize::from(slot.set)][usize::from(slot.id)]
    }

    /// Set and number in the name of an instance.
    pub(super) fn parse(id: &InstanceId) -> Option<(u8, u8)> {
        let (set, number) = id.as_str().split_once('-')?;
        Some((set.strip_prefix('v')?.parse().ok()?, number.parse().ok()?))
    }

    /// What an instance shows that it runs.
    pub(super) fn digest(&self, slot: &Slot) -> Arc<str> {
        if slot.is(Flags::WRONG) { self.wrong.clone() } else { self.digests[usize::from(slot.set)].clone() }
    }

    /// Where an instance answers now.
    pub(super) fn address(slot: &Slot) -> SocketAddr {
        let generation = u8::from(slot.is(Flags::RESTARTED));
        SocketAddr::from(([10, slot.set, generation, slot.id], 8080))
    }

    /// It as the router has it.
    pub(super) fn member(&self, slot: &Slot, by_address: bool) -> Member {
        let mut address = Self::address(slot);
        if slot.is(Flags::MOVED) {
            address = SocketAddr::from(([10, slot.set, 0, slot.id], 8080));
        }
        Member { instance: self.instance(slot).clone(), address: by_address.then_some(address) }
    }
}

/// The workload of all checks.
pub(super) fn workload() -> WorkloadId {
    WorkloadId::new("web").expect("letters make a name")
}

/// The name of a set.
pub(super) fn set_id(set: u8) -> SetId {
    SetId::new(set_text(set)).expect("a letter and a digit make a name")
}

/// The number of a set.
pub(super) fn set_number(set: &SetId) -> Option<u8> {
    set.as_str().strip_prefix('v')?.parse().ok().filter(|number| usize::from(*number) < SETS)
}

/// The release of a set.
pub(super) fn release(set: u8) -> Release {
    Release {
        id: ReleaseId::new(set_text(set)).expect("a letter and a digit make a name"),
        artifact: format!("web:{}", set_text(set)),
        config: serde_json::Value::Null,
        secrets: Vec::new(),
    }
}

/// What the release of a set resolves to.
pub(super) fn artifact(set: u8) -> Artifact {
    Artifact { digest: Arc::from(digest_text(usize::from(set))), detail: serde_json::Value::Null }
}

/// The release of a set, resolved.
pub(super) fn pinned(set: u8) -> PinnedRelease {
    PinnedRelease { release: release(set), artifact: artifact(set) }
}

/// The name of a set as text.
pub(super) fn set_text(set: u8) -> String {
    format!("v{set}")
}

fn digest_text(set: usize) -> String {
    format!("sha256:v{set}")
}

fn each<T>(make: impl Fn(u8, u8) -> T) -> Vec<Vec<T>> {
    let sets = u8::try_from(SETS).expect("three");
    (0..sets).map(|set| (0..IDS).map(|id| make(set, id)).collect()).collect()
}
