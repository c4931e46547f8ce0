//! Programs of others: checked before they are started, bounded in time and output, with nothing left behind.

mod argv;
mod output;
mod run;

pub(crate) use argv::{Argv, check_variable};
pub(crate) use output::MOST_OUTPUT;
pub(crate) use run::{Command, Ended, Run, RunError, run};
