//! Everything that a step may look at, assembled by the driver from target, router, probes, gates and requests.

use std::{fmt, net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::model::{
    Artifact, AttachPoint, GateId, InFlight, InstanceId, InstancePhase, Proof, ReleaseId, SetId, SetSpec,
    Split, Timestamp,
};

/// A value that may not be known at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// Looked at just now.
    Known(T),
    /// Could not be looked at.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// One instance, with what probes and router say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSeen {
    /// Which instance.
    pub id: InstanceId,
    /// Where it answers.
    pub address: Option<SocketAddr>,
    /// Where it is in its life; the last one known where its place is unknown.
    pub phase: InstancePhase,
    /// When this run of it was started, or when this process saw it first if that is later: nobody watched it before.
    pub started_at: Timestamp,
    /// How often the platform has restarted it.
    pub restarts: u32,
    /// Since when it has been ready, if it is: probes over their threshold and, where there is such a notion, the
    /// platform's readiness.
    pub ready_since: Option<Timestamp>,
    /// It was ready once and is no longer.
    pub has_fallen: bool,
    /// A probe has said something about it since this process watches it, or there are no probes. Without that
    /// nothing is known of an instance that another process started: neither that it works nor that it does not.
    pub judged: bool,
    /// What the last failed probe said; empty if none failed.
    pub trouble: Arc<str>,
    /// Identity of what it runs.
    pub digest: Arc<str>,
    /// It is a member of the split that the router accepted last, under its present address.
    pub in_rotation: bool,
    /// Requests that it is still answering. Only asked for once it is out of rotation.
    pub in_flight: InFlight,
    /// Its place could not be looked at: it counts as existing, and as not available.
    pub unknown: bool,
}

/// One set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSeen {
    /// Which set.
    pub set: SetId,
    /// Its instances, sorted by id.
    pub instances: Vec<InstanceSeen>,
    /// How many more the target was told to start that were never seen, while a place cannot be looked at: they may be
    /// there.
    #[serde(default)]
    pub hidden: u32,
}

/// A place that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceSeen {
    /// Which place.
    pub place: crate::model::Place,
    /// Why not.
    pub why: String,
    /// This process saw it before: what ran there is listed as unknown. Otherwise nobody knows what runs there.
    pub remembered: bool,
}

/// What the router says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficSeen {
    /// The split that was accepted last.
    pub split: Split,
    /// Whether the data plane follows it.
    pub proof: Proof,
    /// [`Observation::fingerprint_of`] the split: what timers are bound to.
    pub fingerprint: u64,
    /// Members of the split that no longer exist or have another address.
    pub stale_members: u32,
}

/// The last answer of a gate that was asked by this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateSeen {
    /// Which gate.
    pub gate: GateId,
    /// Where it was asked.
    pub at: AttachPoint,
    /// For which step or batch it was asked.
    pub step: u32,
    /// What it said.
    pub verdict: Verdict,
    /// When it wants to be asked again if that was not definite.
    pub next_at: Timestamp,
}

/// What a person, or another process, asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestKind {
    /// Stop going forward, but stay.
    Pause,
    /// Go on.
    Resume,
    /// Go past the present pause, step or bake time.
    Promote,
    /// Skip all remaining pauses, steps and gates; instances are still verified.
    PromoteFully,
    /// Go back.
    Abort {
        /// Why.
        reason: String,
    },
    /// Another number of replicas.
    Scale {
        /// How many.
        replicas: u32,
    },
    /// A newer deployment of this workload takes over.
    Supersede {
        /// Who.
        by: String,
    },
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Promote => f.write_str("promote"),
            Self::PromoteFully => f.write_str("promote fully"),
            Self::Abort { reason } => write!(f, "abort, because {reason}"),
            Self::Scale { replicas } => write!(f, "scale to {replicas} replicas"),
            Self::Supersede { by } => write!(f, "make way for {by}"),
        }
    }
}

/// A request with its number; each is taken in once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Grows by one with each request of a deployment, starting at 1.
    pub number: u64,
    /// What is asked.
    pub kind: RequestKind,
    /// Where it came from, if another process posted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<Posted>,
}

/// Where a request of another process came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Its number where it was posted: grows by one with each that is posted for a deployment, starting at 1.
    pub number: u64,
    /// Who posted it.
    pub by: String,
}

/// Kinds of commands that can be refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// [`Command::Prepare`](super::Command::Prepare).
    Prepare,
    /// [`Command::Apply`](super::Command::Apply).
    Apply,
    /// [`Command::Shift`](super::Command::Shift).
    Shift,
    /// [`Command::Remove`](super::Command::Remove).
    Remove,
}

/// A command that a backend refused for good: repeating it would not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFailure {
    /// What kind of command.
    pub kind: CommandKind,
    /// The whole error, redacted.
    pub reason: String,
}

/// Everything that a step may look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When it was made.
    pub now: Timestamp,
    /// All sets, or why the target could not be looked at. Sorted by id.
    pub sets: Seen<Vec<SetSeen>>,
    /// Places that could not be looked at.
    pub unknown_places: Vec<PlaceSeen>,
    /// The router, if there is one.
    pub traffic: Option<Seen<TrafficSeen>>,
    /// What releases resolved to, as far as this process prepared them.
    pub prepared: Vec<(ReleaseId, Artifact)>,
    /// The last size that the target accepted from this process, if any.
    pub accepted: Option<SetSpec>,
    /// Gates that this process asked.
    pub gates: Vec<GateSeen>,
    /// Requests that may not have been taken in yet, by number.
    pub requests: Vec<Request>,
    /// The last command that was refused for good since the last advance.
    pub refused: Option<CommandFailure>,
}

impl Observation {
    /// A number that changes when a split changes: FNV-1a over sets, weights and member ids.
    pub fn fingerprint_of(split: &Split) -> u64 {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        match split {
            Split::Maintenance(_) => hash.eat(b"maintenance"),
            Split::Serve { shares, .. } => {
                for share in shares {
                    hash.eat(share.set.as_str().as_bytes());
                    hash.eat(&share.weight.to_le_bytes());
                    for member in &share.members {
                        hash.eat(member.instance.as_str().as_bytes());
                    }
                }
            }
        }
        hash.0
    }
}

struct Fnv(u64);

impl Fnv {
    fn eat(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
