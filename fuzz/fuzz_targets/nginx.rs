#![no_main]
#[allow(dead_code, reason = "one of the targets is run")]
#[path = "../../xtask/src/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::nginx(input));
