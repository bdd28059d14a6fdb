//! Which Environment gets which listening socket, and opening those sockets.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use towpath_model::EnvironmentKey;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Opens a listening socket that does not block.
///
/// # Errors
/// When the address is taken, not this machine's, or not permitted.
pub fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Says for a person why an address cannot be listened on.
#[must_use]
pub fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is taken by another process; Towpath keeps trying. Find it with `ss -ltnp 'sport = :{port}'`, \
             or change `listen` of the environment",
            port = address.port()
        ),
        io::ErrorKind::PermissionDenied => format!(
            "this user may not listen on {address}; use a port from 1024 on, or give the gateway CAP_NET_BIND_SERVICE"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine; change `listen` of the environment")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}

/// Decides which wishes can be granted.
///
/// `held` is who listens where now, `wished` who wants to, `refused` the addresses that could not be opened. Whoever
/// cannot get its wish keeps what it has, and so takes it from those who wanted that.
///
/// Returns the reason for each Environment that must stay as it is.
pub fn settle(
    held: &HashMap<SocketAddr, EnvironmentKey>,
    wished: &BTreeMap<EnvironmentKey, SocketAddr>,
    refused: &HashMap<SocketAddr, String>,
) -> BTreeMap<EnvironmentKey, String> {
    let mut stuck = BTreeMap::new();
    let mut first_wish: HashMap<SocketAddr, &EnvironmentKey> = HashMap::new();
    for (environment, address) in wished {
        // Who holds an address keeps it; else the first in order gets it.
        let winner = held.get(address).filter(|holder| wished.get(holder) == Some(address));
        let winner = winner.unwrap_or_else(|| first_wish.entry(*address).or_insert(environment));
        if address.port() == 0 {
            stuck.insert(environment.clone(), "port 0 is no port to listen on".to_owned());
        } else if winner != environment {
            stuck.insert(environment.clone(), format!("{address} is already the listener of {winner}"));
        } else if let Some(reason) = refused.get(address) {
            stuck.insert(environment.clone(), reason.clone());
        }
    }
    loop {
        let blocked = wished.iter().find_map(|(environment, address)| {
            let holder = held.get(address).filter(|holder| *holder != environment)?;
            let blocks = stuck.contains_key(holder) && !stuck.contains_key(environment);
            blocks.then(|| (environment.clone(), format!("{address} is still the listener of {holder}")))
        });
        match blocked {
            Some((environment, reason)) => stuck.insert(environment, reason),
            None => return stuck,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EnvironmentKey {
        EnvironmentKey { project: "shop".parse().unwrap(), environment: name.parse().unwrap() }
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Who is stuck, given `held` and `wished` as (environment, port) and the ports that are taken.
    fn stuck(held: &[(&str, u16)], wished: &[(&str, u16)], taken: &[u16]) -> Vec<String> {
        let held = held.iter().map(|&(name, port)| (at(port), key(name))).collect();
        let wished = wished.iter().map(|&(name, port)| (key(name), at(port))).collect();
        let refused = taken.iter().map(|&port| (at(port), "taken".to_owned())).collect();
        settle(&held, &wished, &refused).into_keys().map(|key| key.environment.to_string()).collect()
    }

    #[test]
    fn environments_may_exchange_their_ports() {
        assert_eq!(stuck(&[("a", 1), ("b", 2)], &[("a", 2), ("b", 1)], &[]), Vec::<String>::new());
    }

    #[test]
    fn who_cannot_move_keeps_its_port_and_blocks_others() {
        let held = [("a", 1), ("b", 2), ("c", 3)];
        assert_eq!(stuck(&held, &[("a", 9), ("b", 1), ("c", 2)], &[9]), ["a", "b", "c"]);
        assert_eq!(stuck(&held, &[("b", 1), ("c", 2)], &[]), Vec::<String>::new(), "a is gone");
    }

    #[test]
    fn one_address_has_one_environment() {
        assert_eq!(stuck(&[], &[("a", 1), ("b", 1)], &[]), ["b"]);
        assert_eq!(stuck(&[("b", 1)], &[("a", 1), ("b", 1)], &[]), ["a"], "the holder keeps it");
        assert_eq!(stuck(&[], &[("a", 0)], &[]), ["a"]);
    }
}
