//! Signals of the operating system.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    engine::{Deployment, Report},
    error::{DeployError, Problem},
};

/// Runs a deployment; SIGTERM or SIGINT stops it at the next safe point.
///
/// Then the world stays as it is, the error is [`DeployError::Interrupted`], and the same deployment built and run again
/// goes on. That takes as long as the call to a backend that is under way, so give a service manager at least
/// [`call_deadline`](crate::engine::EngineSettings::call_deadline) before it kills; being killed does no harm either.
/// Further signals change nothing. From the first call on the process does not end by itself on these two signals any
/// more, also after the run.
///
/// ```no_run
/// # async fn example(deployment: deployer::engine::Deployment) {
/// use deployer::error::DeployError;
/// match deployer::run_until_signal(&deployment).await {
///     Ok(report) => println!("{report}"),
///     Err(DeployError::Interrupted { why }) => println!("run it again to go on: {why}"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
///
/// # Errors
/// Those of [`Deployment::run`]; it is refused if signals cannot be listened to.
///
/// # Cancel safety
/// That of [`Deployment::run`].
pub async fn run_until_signal(deployment: &Deployment) -> Result<Report, DeployError> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let control = deployment.control();
    let mut run = std::pin::pin!(deployment.run());
    loop {
        let name = tokio::select! {
            biased;
            result = &mut run => return result,
            Some(()) = terminate.recv() => "SIGTERM",
            Some(()) = interrupt.recv() => "SIGINT",
        };
        control.interrupt(format!("the process was told to end by {name}"));
    }
}

fn listen(kind: SignalKind) -> Result<Signal, DeployError> {
    signal(kind).map_err(|error| DeployError::Refused(vec![Problem::new("signals", error.to_string())]))
}
