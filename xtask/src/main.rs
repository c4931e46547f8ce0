//! The project's own commands: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, reason = "printing is what a command line tool does")]

mod bench;
mod command;
mod dependencies;
mod license;
mod model;
mod quickstart;
mod structure;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <command>

  test [part…]   everything that has to hold, part by part; some parts only where they are named
  test --list    the names of the parts
  bench          the figures of the README, each with its bound; with --json the last line is one JSON object
  bench fleet    only a thousand deployments at once: memory and CPU time of one
  model [word…]  every state that the strategies can get into with a few instances; words choose scenarios
  model --planted  whether bugs on purpose are found
  help           this text
";

fn main() -> ExitCode {
    // The measurements start this program again as helper and as demo application.
    deployer_local::init();
    deployer_testkit::app::run_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments.as_slice()),
    };
    match command {
        "test" => test::run(rest),
        "bench" => bench::run(rest),
        "model" => model::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        unknown => {
            println!("there is no command {unknown:?}\n\n{HELP}");
            ExitCode::FAILURE
        }
    }
}
