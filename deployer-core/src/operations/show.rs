//! What people read.

use std::fmt;

use super::{
    HistoryEntry, LiveRelease, LockStatus, OpenDeployment, OpenRollout, PastDeployment, Status, Unreadable,
};
use crate::{event::OutcomeText, strategy::Direction};

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "workload: {}", self.workload)?;
        match &self.live {
            Some(live) => writeln!(f, "live: {live}")?,
            None => writeln!(f, "live: nothing that the journal knows")?,
        }
        writeln!(f, "lock: {}", self.lock)?;
        match &self.open {
            Some(open) => write!(f, "open: {open}")?,
            None => writeln!(f, "open: nothing")?,
        }
        if let Some(last) = &self.last {
            writeln!(f, "last: {last}")?;
        }
        self.unreadable.iter().try_for_each(|unreadable| writeln!(f, "unreadable: {unreadable}"))
    }
}

impl fmt::Display for LiveRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}), {} instances, by {} since {}",
            self.release, self.digest, self.replicas, self.deployment, self.since
        )
    }
}

impl fmt::Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked"),
            Self::Free => f.write_str("free"),
            Self::Held(holder) => {
                write!(f, "held by {} since {}", holder.owner, holder.since)?;
                if holder.dead { f.write_str(", which is dead: it can be taken over") } else { Ok(()) }
            }
            Self::Unknown { why } => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for OpenDeployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = self.about.owners.last().map_or("nobody", String::as_str);
        write!(f, "{}, begun {}, last record {}", self.about.deployment, self.about.started_at, self.since)?;
        match (self.is_driven, &self.interrupted) {
            (Some(true), _) => writeln!(f, ", driven by {owner}")?,
            (_, Some(why)) => writeln!(f, ", interrupted ({why}); run it again to resume it")?,
            (Some(false), None) => {
                writeln!(f, ", left by {owner}, which is gone; run it again to resume it")?;
            }
            (None, None) => writeln!(f, ", last driven by {owner}")?,
        }
        if let Some(stage) = &self.stage {
            write!(f, "  stage {} of {}: {}: {}", stage.number, stage.of, stage.id, stage.what)?;
            match (stage.is_undo, stage.has_begun) {
                (true, _) => writeln!(f, ", being undone")?,
                (false, false) => writeln!(f, ", about to begin")?,
                (false, true) => writeln!(f)?,
            }
            stage.rollout.as_ref().map_or(Ok(()), |rollout| write!(f, "{rollout}"))?;
        }
        if self.is_paused {
            writeln!(f, "  paused before the next stage; resume to go on")?;
        }
        for request in &self.requests {
            let taken = if request.taken_in { "taken in" } else { "not taken in yet" };
            writeln!(f, "  asked {}: {}, by {} ({taken})", request.number, request.kind, request.by)?;
        }
        Ok(())
    }
}

impl fmt::Display for OpenRollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = format!("{:?}", self.phase).to_lowercase();
        write!(f, "  {} rollout of {} to {} instances: ", self.strategy, self.release, self.replicas)?;
        match &self.direction {
            Direction::Forward => writeln!(f, "{phase}, step {}", self.step)?,
            Direction::Backward { cause } => writeln!(f, "going back, {cause}")?,
        }
        if let Some(waits_for) = &self.waits_for {
            writeln!(f, "  waits for {waits_for}")?;
        }
        if let Some(decision) = &self.last_decision {
            writeln!(f, "  last decision: {decision}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PastDeployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let releases: Vec<String> = self
            .releases
            .iter()
            .map(|release| format!("{} of {}", release.release, release.workload))
            .collect();
        write!(f, "{}  {}  ", self.started_at, self.deployment)?;
        if releases.is_empty() {
            f.write_str(&self.stages.join(", "))?;
        } else {
            f.write_str(&releases.join(", "))?;
        }
        match (&self.outcome, self.finished_at) {
            (Some(outcome), Some(at)) => write!(f, "  {} at {at}", OutcomeText(outcome))?,
            _ => f.write_str("  has not ended")?,
        }
        write!(f, "  by {}", self.owners.join(", "))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.deployment, self.why)
    }
}

impl fmt::Display for HistoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(past) => past.fmt(f),
            Self::Unreadable(unreadable) => write!(f, "unreadable: {unreadable}"),
        }
    }
}
