//! One instance of the checked world.

use std::ops::{BitOr, BitOrAssign};

/// Where an instance really is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Life {
    /// Asked for, and not ready yet.
    Starting,
    /// It works, but this process has not probed it yet: what a crash of the deployer makes of a ready one.
    Fresh,
    /// It works, and probes say so.
    Ready,
    /// It worked once; probes fail now.
    Fallen,
    /// Told to stop.
    Stopping,
    /// Ended by itself.
    Failed,
    /// It exists no more; the router still has it as a member.
    Gone,
}

/// What else is true of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Flags(pub(super) u16);

impl Flags {
    /// A member of the split that was accepted last.
    pub(super) const IN_SPLIT: Self = Self(1);
    /// A member of the split that the settle timer was set for.
    pub(super) const OF_SETTLE: Self = Self(1 << 1);
    /// A member of the split that the drain timer was set for.
    pub(super) const OF_DRAIN: Self = Self(1 << 2);
    /// The rollout counted it as failed.
    pub(super) const COUNTED: Self = Self(1 << 3);
    /// It left the rotation and still answers requests.
    pub(super) const BUSY: Self = Self(1 << 4);
    /// It left the rotation, but the data plane may still send it requests.
    pub(super) const LINGERING: Self = Self(1 << 5);
    /// Its place cannot be looked at.
    pub(super) const UNKNOWN: Self = Self(1 << 6);
    /// Its place cannot be looked at, and this process never saw it.
    pub(super) const HIDDEN: Self = Self(1 << 7);
    /// It runs something else than its release.
    pub(super) const WRONG: Self = Self(1 << 8);
    /// The platform restarted it under a new address.
    pub(super) const RESTARTED: Self = Self(1 << 9);
    /// The split has its old address.
    pub(super) const MOVED: Self = Self(1 << 10);
    /// It runs, and no probe of this process has said anything about it yet.
    pub(super) const UNJUDGED: Self = Self(1 << 11);
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One instance. Ages are in ticks and stop growing where nothing depends on them any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    /// Index of its set.
    pub(super) set: u8,
    /// Where it is in its life.
    pub(super) life: Life,
    /// Ticks since this run of it was started.
    pub(super) born: u8,
    /// Ticks since it is ready.
    pub(super) ready: u8,
    /// Ticks since it left the rotation, while somebody asks for that.
    pub(super) left: u8,
    /// What else is true.
    pub(super) flags: Flags,
    /// Number in its name.
    pub(super) id: u8,
}

impl Slot {
    /// An instance that was just asked for.
    pub(super) fn starting(set: u8, id: u8) -> Self {
        Self { set, life: Life::Starting, born: 0, ready: 0, left: 0, flags: Flags::default(), id }
    }

    /// Whether all of `flags` are true.
    pub(super) fn is(&self, flags: Flags) -> bool {
        self.flags.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is true.
    pub(super) fn is_any(&self, flags: Flags) -> bool {
        self.flags.0 & flags.0 != 0
    }

    /// Makes `flags` true or false.
    pub(super) fn set_flags(&mut self, flags: Flags, value: bool) {
        if value {
            self.flags.0 |= flags.0;
        } else {
            self.flags.0 &= !flags.0;
        }
    }

    /// Whether it takes part in the size of its set.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.life, Life::Starting | Life::Fresh | Life::Ready | Life::Fallen)
    }

    /// Whether it takes room: alive or on its way out.
    pub(super) fn exists(&self) -> bool {
        self.is_alive() || self.life == Life::Stopping
    }

    /// Whether it really answers requests, whatever this process knows of it.
    pub(super) fn works(&self) -> bool {
        matches!(self.life, Life::Fresh | Life::Ready) && !self.is(Flags::WRONG)
    }

    /// Everything but its name in one word.
    pub(super) fn word(&self) -> u64 {
        u64::from(self.set)
            | (self.life as u64) << 8
            | u64::from(self.born) << 16
            | u64::from(self.ready) << 24
            | u64::from(self.flags.0) << 32
            | u64::from(self.left) << 56
    }
}

/// Room for the instances of one world.
pub(super) const MOST: usize = 16;

/// The instances of one world, without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    all: [Slot; MOST],
    len: u8,
}

impl Slots {
    /// None.
    pub(super) fn none() -> Self {
        Self { all: [Slot::starting(0, 0); MOST], len: 0 }
    }

    /// Adds one; false if there is no room.
    pub(super) fn push(&mut self, slot: Slot) -> bool {
        let at = usize::from(self.len);
        if at == MOST {
            return false;
        }
        self.all[at] = slot;
        self.len += 1;
        true
    }

    /// Keeps those for which `keep` says so.
    pub(super) fn retain(&mut self, keep: impl Fn(&Slot) -> bool) {
        let mut kept = Self::none();
        for slot in self.iter().filter(|slot| keep(slot)) {
            kept.push(*slot);
        }
        *self = kept;
    }
}

impl std::ops::Deref for Slots {
    type Target = [Slot];
    fn deref(&self) -> &[Slot] {
        &self.all[..usize::from(self.len)]
    }
}

impl std::ops::DerefMut for Slots {
    fn deref_mut(&mut self) -> &mut [Slot] {
        &mut self.all[..usize::from(self.len)]
    }
}
