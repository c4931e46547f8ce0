//! Everything that can differ between two moments of a checked rollout, small and comparable.

use super::{
    names::SETS,
    slot::{Flags, Life, Slot, Slots},
};

/// What kind of answer the router gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum ShapeKind {
    /// Requests go to sets.
    #[default]
    Serve,
    /// The maintenance page.
    Maintenance,
}

/// A split without its members, which are flags of the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Shape {
    /// What kind of answer.
    pub(super) kind: ShapeKind,
    /// How many shares.
    pub(super) len: u8,
    /// Which routes or which page, by number.
    pub(super) extra: u8,
    /// Set and weight of each share, in the order in which they were given.
    pub(super) shares: [(u8, u16); SETS],
}

impl Shape {
    /// The shares.
    pub(super) fn shares(&self) -> &[(u8, u16)] {
        &self.shares[..usize::from(self.len)]
    }

    /// The weight of a set; none if it has no share.
    pub(super) fn weight(&self, set: u8) -> Option<u16> {
        self.shares().iter().find(|share| share.0 == set).map(|share| share.1)
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u32 {
        self.shares().iter().map(|share| u32::from(share.1)).sum()
    }

    fn word(&self) -> u64 {
        let mut word = self.kind as u64 | u64::from(self.len) << 1 | u64::from(self.extra) << 4;
        for (at, (set, weight)) in self.shares().iter().enumerate() {
            word |= (u64::from(*set) | u64::from(*weight) << 2) << (8 + 18 * at);
        }
        word
    }
}

/// What a timer of the rollout was set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Binding {
    /// There is no timer.
    #[default]
    None,
    /// This split, with the members that are flagged.
    Split(Shape),
    /// Something that no longer is.
    Other(u64),
}

impl Binding {
    fn words(&self) -> [u64; 2] {
        match self {
            Self::None => [0, 0],
            Self::Split(shape) => [1, shape.word()],
            Self::Other(raw) => [2, *raw],
        }
    }
}

/// The last answer of a gate that this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Answer {
    /// 0 for none, else the verdict.
    pub(super) verdict: u8,
    /// For which step.
    pub(super) step: u8,
    /// Ticks until it wants to be asked again.
    pub(super) again_in: u8,
}

/// How many gates one scenario has at most.
pub(super) const GATES: usize = 2;
/// How many requests wait at most.
pub(super) const REQUESTS: usize = 1;
/// The age of what has not happened.
pub(super) const NEVER: u8 = u8::MAX;

/// One moment: the world, what the running process knows, and the number of what the rollout remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    /// All instances.
    pub(super) slots: Slots,
    /// The split that was accepted last.
    pub(super) split: Shape,
    /// What the settle timer was set for.
    pub(super) settle: Binding,
    /// What the drain timer was set for.
    pub(super) drain: Binding,
    /// The data plane does not follow the split yet.
    pub(super) pending: bool,
    /// Ticks since the candidate has all traffic, or [`NEVER`].
    pub(super) full: u8,
    /// The router cannot be asked.
    pub(super) router_unknown: bool,
    /// The target cannot be looked at.
    pub(super) target_unknown: bool,
    /// Nothing has happened since a process was started after a long time without one.
    pub(super) resumed: bool,
    /// This process prepared the release.
    pub(super) prepared: bool,
    /// 0, or which kind of command was refused since the last advance.
    pub(super) refused: u8,
    /// The size that the target accepted last from this process, where that matters.
    pub(super) accepted: Option<(u8, u8)>,
    /// Which release a platform that replaces releases by itself is becoming.
    pub(super) becoming: Option<(u8, u8)>,
    /// Answers of gates that this process has.
    pub(super) answers: [Answer; GATES],
    /// Requests that were not taken in yet; 0 is none.
    pub(super) requests: [u8; REQUESTS],
    /// How many more requests nobody asked for may come.
    pub(super) requests_left: u8,
    /// How many counted failures exist no more.
    pub(super) failed_gone: u8,
    /// The number of the next instance of each set.
    pub(super) next_id: [u8; SETS],
    /// Number of what the rollout remembers.
    pub(super) memo: u32,
}

impl World {
    /// Nothing anywhere.
    pub(super) fn empty() -> Self {
        Self {
            slots: Slots::none(),
            split: Shape::default(),
            settle: Binding::None,
            drain: Binding::None,
            pending: false,
            full: NEVER,
            router_unknown: false,
            target_unknown: false,
            resumed: false,
            prepared: false,
            refused: 0,
            accepted: None,
            becoming: None,
            answers: [Answer::default(); GATES],
            requests: [0; REQUESTS],
            requests_left: 0,
            failed_gone: 0,
            next_id: [0; SETS],
            memo: 0,
        }
    }

    /// Instances of one set.
    pub(super) fn of(&self, set: u8) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.set == set)
    }

    /// Alive instances of one set.
    pub(super) fn alive(&self, set: u8) -> u32 {
        count(self.of(set).filter(|slot| slot.is_alive()))
    }

    /// Existing instances of all sets.
    pub(super) fn total(&self) -> u32 {
        count(self.slots.iter().filter(|slot| slot.exists()))
    }

    /// Whether requests reach this instance by the accepted split.
    pub(super) fn serves(&self, slot: &Slot) -> bool {
        slot.is(Flags::IN_SPLIT) && !slot.is(Flags::MOVED) && self.split.weight(slot.set).unwrap_or(0) > 0
    }

    /// Brings equal moments to equal form: order, names, and what no longer matters.
    pub(super) fn canonicalise(&mut self, symmetry: bool) {
        if self.settle == Binding::None || matches!(self.settle, Binding::Other(_)) {
            self.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::OF_SETTLE, false));
        }
        if self.drain == Binding::None || matches!(self.drain, Binding::Other(_)) {
            self.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::OF_DRAIN, false));
        }
        self.bury();
        if symmetry {
            self.slots.sort_unstable_by_key(|slot| (slot.set, slot.word()));
            let mut numbers = [0_u8; SETS];
            for slot in self.slots.iter_mut() {
                let number = &mut numbers[usize::from(slot.set)];
                slot.id = *number;
                *number += 1;
            }
            self.next_id = numbers;
        } else {
            self.slots.sort_unstable_by_key(|slot| (slot.set, slot.id));
        }
    }

    /// Drops what exists no more and is a member of nothing; a timer for a split with such a member is stale for ever.
    fn bury(&mut self) {
        let lost = |slot: &Slot| slot.life == Life::Gone && !slot.is(Flags::IN_SPLIT);
        if !self.slots.iter().any(lost) {
            return;
        }
        if self.slots.iter().any(|slot| lost(slot) && slot.is(Flags::OF_SETTLE)) {
            self.settle = Binding::Other(1);
            self.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::OF_SETTLE, false));
        }
        if self.slots.iter().any(|slot| lost(slot) && slot.is(Flags::OF_DRAIN)) {
            self.drain = Binding::Other(1);
            self.slots.iter_mut().for_each(|slot| slot.set_flags(Flags::OF_DRAIN, false));
        }
        let counted = self.slots.iter().filter(|slot| lost(slot) && slot.is(Flags::COUNTED)).count();
        self.failed_gone += u8::try_from(counted).expect("at most 16 slots");
        self.slots.retain(|slot| !lost(slot));
    }

    /// 128 bits that tell it from all others.
    pub(super) fn key(&self, symmetry: bool) -> u128 {
        let mut mix = Mix::default();
        for slot in self.slots.iter() {
            mix.eat(if symmetry { slot.word() } else { slot.word() | u64::from(slot.id) << 48 });
        }
        mix.eat(0xfeed);
        mix.eat(self.split.word());
        for word in self.settle.words().into_iter().chain(self.drain.words()) {
            mix.eat(word);
        }
        let bits = [self.pending, self.router_unknown, self.target_unknown, self.prepared, self.resumed];
        let bits = bits.iter().fold(0_u64, |word, bit| word << 1 | u64::from(*bit));
        mix.eat(bits | u64::from(self.full) << 16 | u64::from(self.refused) << 24);
        let wanted =
            |spec: Option<(u8, u8)>| spec.map_or(0, |(set, n)| 1 | u64::from(set) << 8 | u64::from(n) << 16);
        mix.eat(wanted(self.accepted) | wanted(self.becoming) << 32);
        for answer in &self.answers {
            mix.eat(
                u64::from(answer.verdict) | u64::from(answer.step) << 8 | u64::from(answer.again_in) << 16,
            );
        }
        let requests = self.requests.iter().fold(0_u64, |word, kind| word << 8 | u64::from(*kind));
        mix.eat(requests | u64::from(self.requests_left) << 32 | u64::from(self.failed_gone) << 40);
        if !symmetry {
            mix.eat(self.next_id.iter().fold(0_u64, |word, id| word << 8 | u64::from(*id)));
        }
        mix.eat(u64::from(self.memo));
        mix.finish()
    }
}

/// How many there are.
pub(super) fn count<T>(things: impl Iterator<Item = T>) -> u32 {
    u32::try_from(things.count()).expect("at most 16 slots")
}

/// Two independent 64-bit multiply-and-rotate hashes.
struct Mix(u64, u64);

impl Default for Mix {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f)
    }
}

impl Mix {
    fn eat(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(25) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 ^= self.0 >> 31;
        self.1 = (self.1.rotate_left(41) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
        self.1 ^= self.1 >> 29;
    }

    fn finish(self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1)
    }
}
