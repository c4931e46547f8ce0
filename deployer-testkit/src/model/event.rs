//! What can happen to a checked world.

use std::fmt;

use super::{names::set_text, slot::Slot, world::World};

/// Who is to blame for an event, which decides how often it may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// The decision is carried out.
    Decision,
    /// The world goes on as it should.
    Benign,
    /// What happens if only one waits: an instance that was told to stop ends, a probe is answered.
    Forced,
    /// Time passes.
    Time,
    /// Something goes wrong.
    Fault,
    /// The deployer dies.
    Crash,
    /// A person asks for something out of the blue.
    Request,
    /// A person answers a rollout that waits for one.
    Human,
}

/// One thing that happens. Numbers are positions of instances or of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Start,
    Advance,
    Act,
    /// Only these commands are carried out, then the deployer dies.
    ActAndCrash(u8),
    /// All but this one are carried out.
    ActBut(u8),
    /// All are carried out, this one only in part.
    ActPartly(u8),
    /// All but this one are carried out; it is refused for good.
    ActRefused(u8),
    /// All are carried out, gates answer this.
    Answer(u8),
    Crash,
    /// The deployer dies and comes back when every deadline has passed.
    LongCrash,
    Time(u8),
    Ready(u8),
    ReadyWrong(u8),
    Probed(u8),
    StartFailed(u8),
    Died(u8),
    Vanished(u8),
    Fell(u8),
    Recovered(u8),
    Restarted(u8),
    Stopped(u8),
    Drained(u8),
    PlaceLost(u8),
    PlaceFound(u8),
    Proven,
    PlatformStarts,
    PlatformStops(u8),
    TargetLost,
    TargetFound,
    RouterLost,
    RouterFound,
    Requested(u8),
}

impl Event {
    /// Who is to blame.
    pub(super) fn class(self) -> Class {
        match self {
            Self::Start | Self::Advance | Self::Act => Class::Decision,
            Self::ActAndCrash(_) | Self::Crash | Self::LongCrash => Class::Crash,
            Self::Answer(_)
            | Self::Ready(_)
            | Self::Recovered(_)
            | Self::Drained(_)
            | Self::PlaceFound(_)
            | Self::Proven
            | Self::TargetFound
            | Self::RouterFound => Class::Benign,
            Self::Stopped(_) | Self::Probed(_) | Self::PlatformStarts | Self::PlatformStops(_) => {
                Class::Forced
            }
            Self::Time(_) => Class::Time,
            Self::Requested(_) => Class::Request,
            _ => Class::Fault,
        }
    }

    /// Whether it is among the faults of [`Detail::Core`](super::scenario::Detail::Core).
    pub(super) fn is_core(self) -> bool {
        matches!(
            self,
            Self::ActBut(_) | Self::ActPartly(_) | Self::Died(_) | Self::StartFailed(_) | Self::TargetLost
        )
    }

    /// It in words, seen from the world that it happens to.
    pub(super) fn describe(self, world: &World) -> String {
        let name = |at: u8| world.slots.get(usize::from(at)).map_or_else(String::new, slot_text);
        match self {
            Self::Start => "the rollout begins".to_owned(),
            Self::Advance => "the new memory is journaled".to_owned(),
            Self::Act => "all commands are carried out".to_owned(),
            Self::ActAndCrash(mask) => format!("CRASH after the commands {}", bits(mask)),
            Self::ActBut(at) => format!("FAULT all commands but number {at} are carried out"),
            Self::ActPartly(at) => format!("FAULT command number {at} is carried out for one instance only"),
            Self::ActRefused(at) => format!("FAULT command number {at} is refused for good"),
            Self::Answer(verdict) => format!("the gates answer {:?}", super::view::verdict(verdict)),
            Self::Crash => "CRASH of the deployer, resumed at once".to_owned(),
            Self::LongCrash => "CRASH of the deployer, resumed when every deadline has passed".to_owned(),
            Self::Time(ticks) => format!("{ticks} s pass"),
            Self::Ready(at) => format!("{} becomes ready", name(at)),
            Self::ReadyWrong(at) => format!("FAULT {} becomes ready, but runs something else", name(at)),
            Self::Probed(at) => format!("{} is probed again after the crash", name(at)),
            Self::StartFailed(at) => format!("FAULT {} fails to start", name(at)),
            Self::Died(at) => format!("FAULT {} dies", name(at)),
            Self::Vanished(at) => format!("FAULT {} is removed by somebody else", name(at)),
            Self::Fell(at) => format!("FAULT {} becomes unhealthy", name(at)),
            Self::Recovered(at) => format!("{} becomes healthy again", name(at)),
            Self::Restarted(at) => format!("FAULT {} is restarted under a new address", name(at)),
            Self::Stopped(at) => format!("{} has stopped", name(at)),
            Self::Drained(at) => format!("{} has answered its last request", name(at)),
            Self::PlaceLost(at) => format!("FAULT the place of {} becomes unreachable", name(at)),
            Self::PlaceFound(at) => format!("the place of {} is reachable again", name(at)),
            Self::Proven => "the data plane follows the split".to_owned(),
            Self::PlatformStarts => "the platform starts an instance".to_owned(),
            Self::PlatformStops(at) => format!("the platform stops {}", name(at)),
            Self::TargetLost => "FAULT the target becomes unreachable".to_owned(),
            Self::TargetFound => "the target is reachable again".to_owned(),
            Self::RouterLost => "FAULT the router becomes unreachable".to_owned(),
            Self::RouterFound => "the router is reachable again".to_owned(),
            Self::Requested(kind) => format!("a person asks to {}", request_text(kind)),
        }
    }
}

fn slot_text(slot: &Slot) -> String {
    format!("{}-{:02}", set_text(slot.set), slot.id)
}

fn bits(mask: u8) -> impl fmt::Display {
    let numbers: Vec<String> = (0..8).filter(|at| mask & 1 << at != 0).map(|at| at.to_string()).collect();
    numbers.join(", ")
}

fn request_text(kind: u8) -> &'static str {
    match kind {
        1 => "abort",
        2 => "pause",
        3 => "resume",
        4 => "promote",
        5 => "promote fully",
        6 => "supersede",
        _ => "scale",
    }
}
