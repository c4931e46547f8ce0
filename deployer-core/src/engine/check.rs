//! Everything that is wrong with the description of a deployment, at once.

use std::{sync::Arc, time::Duration};

use super::{DeploymentBuilder, EngineSettings};
use crate::{
    error::Problem,
    model::{AttachPoint, Replicas},
};

/// All problems. Names that were none are known already.
pub(super) fn check(builder: &DeploymentBuilder) -> Vec<Problem> {
    let mut found = Vec::new();
    missing(builder, &mut found);
    against_capabilities(builder, &mut found);
    gates(builder, &mut found);
    times(builder, &mut found);
    found
}

fn missing(builder: &DeploymentBuilder, found: &mut Vec<Problem>) {
    let given = [
        ("release", builder.wanted.is_some(), "say which release is to be live"),
        ("replicas", builder.replicas.is_some(), "say how many instances there are to be"),
        ("strategy", builder.strategy.is_some(), "say how the release replaces the one before"),
        ("target", builder.target.is_some(), "say where instances run"),
    ];
    let missing = given.iter().filter(|(_, is_given, _)| !is_given);
    found.extend(missing.map(|(at, _, what)| Problem::new(*at, *what)));
    if builder.replicas == Some(Replicas::Fixed(0)) {
        found.push(Problem::new("replicas", "a rollout to zero instances puts nothing live; use at least 1"));
    }
}

fn against_capabilities(builder: &DeploymentBuilder, found: &mut Vec<Problem>) {
    let (Some(strategy), Some(target)) = (&builder.strategy, &builder.target) else { return };
    let router = builder.router.as_ref().map(|router| router.capabilities());
    if let Err(problems) = strategy.check(&target.capabilities(), router.as_ref()) {
        found.extend(problems);
    }
}

fn gates(builder: &DeploymentBuilder, found: &mut Vec<Problem>) {
    for (number, (binding, gate)) in builder.gates.iter().enumerate() {
        if binding.at == AttachPoint::Stage {
            let why = "no rollout comes to this point; use `Stage::gate` in a pipeline";
            found.push(Problem::new(format!("gate {}", binding.gate), why));
        }
        let named_alike = builder.gates[..number].iter().filter(|(other, _)| other.gate == binding.gate);
        for (other, other_gate) in named_alike {
            let at = format!("gate {}", binding.gate);
            if other.at == binding.at {
                found.push(Problem::new(at, "it is asked twice at the same point; once is enough"));
            } else if !Arc::ptr_eq(gate, other_gate) {
                found.push(Problem::new(at, "two different gates have this name; give each its own"));
            }
        }
    }
}

fn times(builder: &DeploymentBuilder, found: &mut Vec<Problem>) {
    let (settings, probing) = (&builder.settings, &builder.probing);
    let mut refuse = |wrong: bool, at: &str, message: &str| {
        if wrong {
            found.push(Problem::new(at, message));
        }
    };
    refuse(
        settings.min_ready >= settings.start_deadline,
        "settings.start_deadline",
        "no instance can be ready for min_ready before it passes; make it longer",
    );
    refuse(
        settings.min_ready >= settings.progress_deadline,
        "settings.progress_deadline",
        "no instance can be ready for min_ready before it passes; make it longer",
    );
    refuse(probing.timeout.is_zero(), "probing.timeout", "no probe answers in no time");
    refuse(
        probing.interval.is_zero(),
        "probing.interval",
        "probes without a pause are load; use at least 10 ms",
    );
    refuse(
        probing.start_interval.is_zero(),
        "probing.start_interval",
        "probes without a pause are load; use at least 10 ms",
    );
}

/// What is wrong with how patient the engine is to be.
pub(crate) fn check_engine(engine: &EngineSettings) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut refuse = |wrong: bool, at: &str, message: &str| {
        if wrong {
            found.push(Problem::new(at, message));
        }
    };
    refuse(engine.call_deadline.is_zero(), "engine.call_deadline", "no backend answers in no time");
    refuse(engine.prepare_deadline.is_zero(), "engine.prepare_deadline", "no release is prepared in no time");
    refuse(engine.retry.attempts == 0, "engine.retry.attempts", "a call is made at least once");
    let looks = [
        engine.first_look,
        engine.active_look,
        engine.idle_look,
        engine.safety_look,
        engine.request_look,
        engine.renew_lock,
    ];
    let hot = looks.iter().any(|look| *look < Duration::from_millis(1));
    refuse(hot, "engine", "looks and renewals less than 1 ms apart are a hot loop");
    found
}
