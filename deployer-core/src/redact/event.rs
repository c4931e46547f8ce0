//! Text in events.

use serde_json::Value;

use super::Redactor;
use crate::{
    event::EventKind,
    strategy::{Cause, Outcome, RequestKind, RolloutState, Verdict, WaitReason},
};

impl Redactor {
    /// The event without secret values. Only text is touched, never a name or a number, so it means what it meant.
    pub(crate) fn event(&self, mut kind: EventKind) -> EventKind {
        if !self.knows_nothing() {
            self.kind(&mut kind);
        }
        kind
    }

    fn kind(&self, kind: &mut EventKind) {
        match kind {
            EventKind::DeploymentStarted { .. }
            | EventKind::Resumed { .. }
            | EventKind::StageStarted
            | EventKind::UndoStarted
            | EventKind::UndoFinished
            | EventKind::Resolved { .. } => {}
            EventKind::StageSucceeded { output } => self.value(output),
            EventKind::StageFailed { message }
            | EventKind::UndoFailed { message }
            | EventKind::Note { message } => self.take_out(message),
            EventKind::Requested { request } => {
                if let RequestKind::Abort { reason } = &mut request.kind {
                    self.take_out(reason);
                }
            }
            EventKind::RolloutStarted { state, .. } => self.state(state),
            EventKind::Advanced { state, why } => {
                self.state(state);
                self.take_out(why);
            }
            EventKind::Intent { why, results, .. } => {
                self.take_out(why);
                self.take_out_all(results.iter_mut().filter_map(|result| result.error.as_mut()));
            }
            EventKind::RolloutFinished { outcome } | EventKind::DeploymentFinished { outcome } => {
                self.outcome(outcome);
            }
            EventKind::Interrupted { why } => self.take_out(why),
            EventKind::Waiting { why, .. } => self.reason(why),
            EventKind::Retrying { command, error, .. } => {
                self.take_out(command);
                self.take_out(error);
            }
            EventKind::EvidenceFound { why, evidence, .. } => {
                self.take_out(why);
                self.take_out(&mut evidence.log);
                self.take_out_all(evidence.exit.iter_mut().chain(&mut evidence.events));
            }
        }
    }

    pub(super) fn cause(&self, cause: &mut Cause) {
        match cause {
            Cause::InstancesFailed { reason, .. }
            | Cause::GateFailed { reason, .. }
            | Cause::GateTimedOut { reason, .. }
            | Cause::CommandFailed { reason }
            | Cause::AbortRequested { reason }
            | Cause::RemovalRequested { reason }
            | Cause::StageFailed { reason, .. } => self.take_out(reason),
            Cause::NoProgress { waiting_for } => self.take_out(waiting_for),
        }
    }

    fn outcome(&self, outcome: &mut Outcome) {
        match outcome {
            Outcome::Succeeded | Outcome::Superseded { .. } => {}
            Outcome::RolledBack { cause } => self.cause(cause),
            Outcome::Aborted { reason } => self.take_out(reason),
            Outcome::Stuck { why, left } => {
                self.take_out(why);
                self.take_out_all(left);
            }
            Outcome::Refused { problems } => self.take_out_all(problems),
        }
    }

    fn reason(&self, reason: &mut WaitReason) {
        match reason {
            WaitReason::Gate { reason: why, .. }
            | WaitReason::TargetUnknown { why }
            | WaitReason::RouterUnknown { why }
            | WaitReason::NoRoom { why }
            | WaitReason::Other { why } => self.take_out(why),
            WaitReason::Preparing
            | WaitReason::Verifying { .. }
            | WaitReason::SwitchUnproven
            | WaitReason::Settling
            | WaitReason::Draining { .. }
            | WaitReason::Stopping { .. }
            | WaitReason::Baking
            | WaitReason::BetweenSteps => {}
        }
    }

    fn state(&self, state: &mut RolloutState) {
        if let crate::strategy::Direction::Backward { cause } = &mut state.direction {
            self.cause(cause);
        }
        for verdict in state.gates.iter_mut().filter_map(|gate| gate.verdict.as_mut()) {
            match verdict {
                Verdict::Pass { reason }
                | Verdict::Fail { reason }
                | Verdict::Hold { reason }
                | Verdict::Unknown { reason } => self.take_out(reason),
            }
        }
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.take_out(text),
            Value::Array(values) => {
                for value in values {
                    self.value(value);
                }
            }
            Value::Object(fields) => {
                for value in fields.values_mut() {
                    self.value(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
