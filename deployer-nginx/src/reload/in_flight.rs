//! Requests in flight, counted by the connections that nginx has to its members.

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use deployer_core::model::{InFlight, Member, Split};

use crate::server::{Master, Worker, process};

/// How many requests each of these members is still answering, at most: connections to it, and for one that has left
/// the split also old workers, each of which may be reading a request that it will send there. Unknown where this user
/// may not see the connections.
pub(super) fn count(
    master: &Master,
    old: &[Worker],
    workers: &[Worker],
    split: &Split,
    members: &[Member],
) -> Vec<InFlight> {
    let Some(connections) = connections(master, workers) else {
        return vec![InFlight::Unknown; members.len()];
    };
    let present: HashSet<SocketAddr> =
        split.shares().iter().flat_map(|share| &share.members).filter_map(|member| member.address).collect();
    let of_one = |member: &Member| {
        let Some(address) = member.address else { return InFlight::Unknown };
        let open = connections.iter().filter(|to| **to == address).count();
        let count = if present.contains(&address) { open } else { open.max(old.len()) };
        InFlight::Known(u32::try_from(count).unwrap_or(u32::MAX))
    };
    members.iter().map(of_one).collect()
}

/// Where the connections of these workers lead; `None` if one of them may not be looked at.
fn connections(master: &Master, workers: &[Worker]) -> Option<Vec<SocketAddr>> {
    let mut sockets = HashSet::new();
    for worker in workers {
        match process::sockets(worker.pid) {
            Ok(inodes) => sockets.extend(inodes),
            // It ended meanwhile, and its connections with it.
            Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        // Without version 6 the second one is not there.
        let Ok(text) = fs::read_to_string(format!("/proc/{}/net/{table}", master.pid())) else { continue };
        let ours = text.lines().filter_map(row).filter(|(_, inode)| sockets.contains(inode));
        found.extend(ours.map(|(address, _)| address));
    }
    Some(found)
}

/// The other end and the inode of one row of `/proc/net/tcp`, if it is connected to somewhere.
fn row(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(2);
    let remote = fields.next()?;
    (fields.next()? != LISTEN).then_some(())?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some((address(remote)?, inode))
}

/// The kernel writes each 32 bits as it has them.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (number, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(number * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn rows_of_the_kernel() {
        let text = "   1: 0100007F:B3C2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 30184 1 0";
        assert_eq!(row(text), Some(("127.0.0.1:8080".parse().unwrap(), 30184)));
        let listening = text.replace(" 01 ", " 0A ");
        assert_eq!(row(&listening), None);
        let six = "   0: 00000000000000000000000001000000:0016 00000000000000000000000001000000:0050 01 00000000:00000000 00:00000000 00000000     0        0 7 1 0";
        assert_eq!(row(six), Some(("[::1]:80".parse().unwrap(), 7)));
        assert_eq!(row("  sl  local_address rem_address   st tx_queue rx_queue"), None);
    }

    #[test]
    fn an_open_connection_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let _stream = std::net::TcpStream::connect(to).unwrap();
        let own = process::sockets(std::process::id()).unwrap();
        let text = fs::read_to_string("/proc/self/net/tcp").unwrap();
        assert!(text.lines().filter_map(row).any(|(address, inode)| address == to && own.contains(&inode)));
    }
}
