//! The project's own commands: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, reason = "printing is what a command line tool does")]

mod bench;
mod command;
mod crash;
mod dependencies;
mod examples;
mod fuzz;
mod license;
mod model;
mod mutants;
mod quickstart;
mod scenarios;
mod simulate;
mod structure;
mod test;
mod tool;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <command>

  test [part…]   everything that has to hold, part by part; some parts only where they are named
  test --list    the names of the parts
  bench          the figures of the README, each with its bound; with --json the last line is one JSON object
  bench fleet    only a thousand deployments at once: memory and CPU time of one
  bench nginx    only the CPU time of a request with the live router of nginx
  model [word…]  every state that the strategies can get into with a few instances; words choose scenarios
  model --planted  whether bugs on purpose are found
  fuzz [target…] the corpus of each target, and changes of it by chance; --seconds N a target, --seed N;
                 --renew writes the journals of the corpus anew
  mutants        mistakes planted in the strategies, and whether tests find them; goes on where it stopped, for as
                 long as --minutes says; --missed plants again what was missed
  scenarios      the field's scenarios in the fake world, and their table; with --write the one in the repository is renewed
  simulate       deployments by the thousand with faults; --seeds N, --from S, --seed S to tell one, --json
  simulate --planted  whether bugs on purpose are found
  examples       what each example prints, compared with what it should; with --write the files of that are renewed
  crash          the deployer killed at each point of its work: all of them in the fake world, a choice at real
                 processes; with --all every point and pair, --fake-only or --real-only one half, --only NAME the
                 runs whose names begin so, --json as the last line one JSON object
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
        "examples" => examples::run(rest),
        "fuzz" => fuzz::run(rest),
        "model" => model::run(rest),
        "mutants" => mutants::run(rest),
        "scenarios" => scenarios::run(rest),
        "simulate" => simulate::run(rest),
        "crash" => crash::run(rest),
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
