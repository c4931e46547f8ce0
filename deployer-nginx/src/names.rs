//! Names in nginx configuration: one for each workload and set, whatever characters they have.

use std::fmt::Write as _;

use deployer_core::model::{SetId, WorkloadId};
use sha2::{Digest as _, Sha256};

/// nginx finds variables by a hash of 64 bytes a bucket, which takes names of at most 46.
const READABLE: usize = 16;

/// What all names of a workload begin with: without case, as nginx compares, and no two workloads share one.
pub(crate) fn workload(workload: &WorkloadId) -> String {
    format!("deployer_{}", distinct(workload.as_str()))
}

/// The upstream with the members of one set.
pub(crate) fn set_upstream(workload_id: &WorkloadId, set: &SetId) -> String {
    format!("{}_set_{}", workload(workload_id), distinct(set.as_str()))
}

fn distinct(text: &str) -> String {
    let readable = text
        .chars()
        .take(READABLE)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    let mut name: String = readable.collect();
    name.push('_');
    for byte in &Sha256::digest(text.as_bytes())[..5] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_where_nginx_sees_no_difference() {
        let names: std::collections::BTreeSet<_> = ["web", "Web", "we.b", "we-b", "we_b", "WE_B"]
            .map(|text| workload(&WorkloadId::new(text).unwrap()))
            .into_iter()
            .collect();
        assert_eq!(names.len(), 6, "{names:?}");
    }

    #[test]
    fn a_variable_is_short_enough() {
        let longest = workload(&WorkloadId::new("x".repeat(63)).unwrap());
        assert!(longest.len() + "_upstream".len() <= 46, "{longest}");
    }
}
