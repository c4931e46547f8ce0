//! Whether every state has a way to an end.

use super::search::{Graph, NOBODY};

/// Looks for states from which no end can be reached without a further fault, and for rollouts that go on for ever
/// if nothing gets better.
pub(super) fn check(graph: &mut Graph) {
    if let Some(node) = without_exit(graph) {
        graph.late_hit("liveness", "no end can be reached from here, even if all goes well", node);
    }
    if let Some(node) = endless(graph) {
        graph.late_hit("no hang", "if nothing gets better this goes on for ever", node);
    }
}

/// The first state that was found without a way to an end.
fn without_exit(graph: &Graph) -> Option<u32> {
    let count = graph.nodes.len();
    let mut starts = vec![0_u32; count + 1];
    for (_, to) in &graph.edges {
        starts[*to as usize + 1] += 1;
    }
    for at in 0..count {
        starts[at + 1] += starts[at];
    }
    let mut filled = starts.clone();
    let mut sources = vec![0_u32; graph.edges.len()];
    for (from, to) in &graph.edges {
        let place = &mut filled[*to as usize];
        sources[*place as usize] = *from;
        *place += 1;
    }
    let mut reaches = graph.closed.clone();
    let mut open: Vec<u32> =
        (0_u32..).zip(&reaches).filter(|(_, closed)| **closed).map(|(at, _)| at).collect();
    while let Some(node) = open.pop() {
        let range = starts[node as usize] as usize..starts[node as usize + 1] as usize;
        for source in &sources[range] {
            if !std::mem::replace(&mut reaches[*source as usize], true) {
                open.push(*source);
            }
        }
    }
    (0_u32..).zip(&reaches).find(|(_, reaches)| !**reaches).map(|(at, _)| at)
}

/// The first state from which the worst course of events never ends.
fn endless(graph: &Graph) -> Option<u32> {
    // 0: not seen, 1: ends, otherwise the number of the walk that passed it, plus 2.
    let mut seen = vec![0_u32; graph.nodes.len()];
    for start in 0..u32::try_from(graph.nodes.len()).expect("node numbers are u32") {
        let mut at = start;
        while at != NOBODY && seen[at as usize] == 0 {
            seen[at as usize] = start + 2;
            at = if graph.closed[at as usize] { NOBODY } else { graph.worst[at as usize] };
        }
        if at != NOBODY && seen[at as usize] == start + 2 {
            return Some(at);
        }
        let mut at = start;
        while at != NOBODY && seen[at as usize] == start + 2 {
            seen[at as usize] = 1;
            at = if graph.closed[at as usize] { NOBODY } else { graph.worst[at as usize] };
        }
    }
    None
}
