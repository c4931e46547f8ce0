//! The project's own commands: `cargo xtask help` lists them.
#![allow(clippy::print_stdout, reason = "printing is what a command line tool does")]

mod command;
mod dependencies;
mod license;
mod quickstart;
mod structure;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <command>

  test [part…]   everything that has to hold, part by part; some parts only where they are named
  test --list    the names of the parts
  help           this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments.as_slice()),
    };
    match command {
        "test" => test::run(rest),
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
