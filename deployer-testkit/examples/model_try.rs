//! Scratch.
#![allow(clippy::print_stdout)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("{}", deployer_testkit::model::run(&arguments).unwrap());
}
