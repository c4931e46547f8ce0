//! How members and answers are written on the control socket.

use std::net::{IpAddr, SocketAddr};

use deployer_core::model::InstanceId;

/// A member as nginx knows it: name, address and port. The address has brackets if it is one of version 6.
pub(super) fn member(instance: &InstanceId, address: SocketAddr, between: &str) -> String {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) => format!("{instance}{between}{ip}{between}{port}"),
        IpAddr::V6(ip) => format!("{instance}{between}[{ip}]{between}{port}"),
    }
}

/// Under which name nginx counts a member.
pub(super) fn counted(instance: &InstanceId, address: SocketAddr) -> String {
    let text = member(instance, address, "\n");
    // An instance has neither `@` nor `:` in its name.
    text.replacen('\n', "@", 1).replacen('\n', ":", 1)
}

/// What is in force: its number and its stamp.
pub(super) fn in_force(body: &str) -> Option<(u64, &str)> {
    let (generation, stamp) = body.trim().split_once(' ')?;
    Some((generation.parse().ok()?, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_both_versions() {
        let instance = "v1-1".parse().unwrap();
        for (address, sent, name) in [
            ("127.0.0.1:80", "v1-1 127.0.0.1 80", "v1-1@127.0.0.1:80"),
            ("[::1]:80", "v1-1 [::1] 80", "v1-1@[::1]:80"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(
                (member(&instance, address, " ").as_str(), counted(&instance, address).as_str()),
                (sent, name)
            );
        }
    }

    #[test]
    fn answers() {
        assert_eq!(in_force("17 ab\n"), Some((17, "ab")));
        assert_eq!(in_force("nothing"), None);
    }
}
