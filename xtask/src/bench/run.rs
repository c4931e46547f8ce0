//! Runs the measurements, prints them, and says whether each is within its bound.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;

use super::{cpu, decisions, fleet, nginx, rollout};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// CPU time a request with the live router of nginx ÷ that of plain nginx.
const MOST_LIVE: f64 = 1.3;

/// All figures; the last line of `--json`.
#[derive(Debug, Serialize)]
struct Figures {
    decisions: Vec<decisions::Decisions>,
    rollout: rollout::Rollout,
    cpu: cpu::Cpu,
    nginx: nginx::LiveCpu,
    fleet: fleet::Fleet,
    /// Bounds that were missed.
    missed: Vec<String>,
}

/// Runs all measurements.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "fleet") {
        return fleet_alone();
    }
    if arguments.iter().any(|argument| argument == "nginx") {
        return nginx_alone();
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    match figures() {
        Ok(figures) => {
            println!("{}", text(&figures));
            if json && let Ok(line) = serde_json::to_string(&figures) {
                println!("{line}");
            }
            if figures.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The one measurement that a busy machine does not spoil: it counts CPU time and memory.
fn fleet_alone() -> ExitCode {
    let measured = runtime().and_then(|runtime| runtime.block_on(fleet::measure()));
    match measured {
        Ok(fleet) => {
            println!("{}", fleet_line(&fleet));
            if fleet.kib_each <= fleet::MOST_KIB { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Interleaved rounds on the same machine: what else runs there slows both.
fn nginx_alone() -> ExitCode {
    let measured = runtime().and_then(|runtime| runtime.block_on(nginx::measure(6)));
    match measured {
        Ok(nginx) => {
            println!("{}", nginx_line(&nginx));
            if nginx.ratio <= MOST_LIVE { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

fn figures() -> Result<Figures, Failure> {
    let runtime = runtime()?;
    let decisions = vec![decisions::measure(10)?, decisions::measure(10_000)?];
    let rollout = runtime.block_on(rollout::measure(5))?;
    let cpu = runtime.block_on(cpu::measure(6))?;
    let nginx = runtime.block_on(nginx::measure(6))?;
    let fleet = runtime.block_on(fleet::measure())?;
    let mut figures = Figures { decisions, rollout, cpu, nginx, fleet, missed: Vec::new() };
    figures.missed = missed(&figures);
    Ok(figures)
}

fn missed(figures: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    let mut bound = |holds: bool, what: &str| {
        if !holds {
            missed.push(what.to_owned());
        }
    };
    for decisions in &figures.decisions {
        if decisions.instances <= 10 {
            bound(decisions.per_second >= 1e6, "a million decisions a second at 10 instances");
        } else {
            bound(decisions.worst <= Duration::from_millis(2), "2 ms for a decision at 10 000 instances");
        }
    }
    bound(figures.rollout.ratio <= 1.05, "rollout time at most 1.05 × its floor");
    bound(figures.cpu.ratio <= 1.4, "CPU time a request at most 1.4 × that of nginx");
    bound(
        figures.nginx.ratio <= MOST_LIVE,
        "CPU time a request at most 1.3 × that of plain nginx with the live router",
    );
    let what = format!("{} KiB a deployment, with its fake world, when 1 000 run at once", fleet::MOST_KIB);
    bound(figures.fleet.kib_each <= fleet::MOST_KIB, &what);
    missed
}

fn text(figures: &Figures) -> String {
    let mut lines = Vec::new();
    for d in &figures.decisions {
        lines.push(format!(
            "decisions at {} instances: {:.2} million/s over {} recorded ones, slowest {:?}",
            d.instances,
            d.per_second / 1e6,
            d.recorded,
            d.worst
        ));
    }
    let r = &figures.rollout;
    lines.push(format!(
        "rolling update of {} instances: {:.3} s, floor {:.3} s, ratio {:.3} (worst of {} rounds {:.3})",
        r.instances, r.seconds, r.floor_seconds, r.ratio, r.rounds, r.worst_ratio
    ));
    let c = &figures.cpu;
    lines.push(format!(
        "CPU a request at {}/s: proxy {:.1} µs, nginx {:.1} µs, ratio {:.2} (median of {} interleaved rounds)",
        c.rate, c.proxy_micros, c.nginx_micros, c.ratio, c.rounds
    ));
    lines.push(nginx_line(&figures.nginx));
    lines.push(fleet_line(&figures.fleet));
    lines.extend(figures.missed.iter().map(|what| format!("MISSED: {what}")));
    lines.join("\n")
}

fn nginx_line(n: &nginx::LiveCpu) -> String {
    format!(
        "CPU a request at {}/s: nginx with the live router {:.1} µs, plain {:.1} µs, ratio {:.2} (median of {} interleaved rounds)",
        n.rate, n.live_micros, n.plain_micros, n.ratio, n.rounds
    )
}

fn fleet_line(f: &fleet::Fleet) -> String {
    format!(
        "{} deployments at once: {:.1} s, each {:.0} KiB, {:.2} ms of CPU, {:.0} decisions and {:.0} actions; while it waits {:.0} µs of CPU a second",
        f.deployments,
        f.seconds,
        f.kib_each,
        f.cpu_millis_each,
        f.decisions_each,
        f.actions_each,
        f.idle_micros_each
    )
}
