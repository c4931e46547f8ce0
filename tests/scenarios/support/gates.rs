//! Gates that answer what a scenario wants them to.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use deployer::{
    gates::gate_fn,
    ports::{Gate, GateAnswer},
    strategy::Verdict,
};

use super::seconds;

/// How often a gate was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<AtomicUsize>);

impl Answers {
    pub(crate) fn given(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gate that says this in turn, ten seconds apart, and then the last for ever: `?` it could not find out, `-` hold,
/// `+` pass, `!` fail.
pub(crate) fn answers(script: &'static str) -> (Arc<dyn Gate>, Answers) {
    let given = Answers::default();
    let count = given.0.clone();
    let gate = gate_fn("as the script says", move |_, window| {
        let number = count.fetch_add(1, Ordering::Relaxed).min(script.len() - 1);
        let reason = format!("answer {}", number + 1);
        let verdict = match script.as_bytes()[number] {
            b'+' => Verdict::Pass { reason },
            b'!' => Verdict::Fail { reason },
            b'-' => Verdict::Hold { reason },
            _ => Verdict::Unknown { reason: format!("status 500, {reason}") },
        };
        async move { GateAnswer { verdict, memory: window.memory, next_at: window.now.after(seconds(10)) } }
    });
    (Arc::new(gate), given)
}
