//! Scratch.
#![allow(clippy::print_stdout)]
fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    if filter == "planted" {
        for caught in deployer_testkit::model::check_planted() {
            match &caught.violation {
                Some(v) => println!(
                    "{}: {} ({}) after {} {:?}",
                    caught.bug, v.oracle, v.what, v.after_states, caught.known
                ),
                None => println!("{}: SURVIVED {:?} in {}", caught.bug, caught.known, caught.scenario),
            }
        }
        return;
    }
    let mut seen = std::collections::BTreeMap::new();
    for found in deployer_testkit::model::check_all(&filter) {
        println!(
            "{}: {} states, {} transitions, {:.2?}, {:?}",
            found.scenario, found.states, found.transitions, found.took, found.ends
        );
        for v in found.violations {
            println!("   {}: {} ({} lines, after {})", v.oracle, v.what, v.trace.len(), v.after_states);
            let e = seen.entry(v.oracle).or_insert((usize::MAX, String::new(), Vec::new()));
            if v.trace.len() < e.0 {
                *e = (v.trace.len(), format!("{} // {}", found.scenario, v.what), v.trace);
            }
        }
    }
    for (oracle, (_, what, trace)) in seen {
        println!("\n=== {oracle}: {what}");
        for line in trace {
            println!("{line}");
        }
    }
}
