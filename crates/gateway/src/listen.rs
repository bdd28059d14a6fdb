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
/// `held` is who listens where now, `wished` who wants to and where all, `refused` the addresses that could not be opened. Whoever
/// cannot get all that it wishes keeps what it has, and so takes it from those who wanted that.
///
/// Returns the reason for each Environment that must stay as it is.
pub fn settle(
    held: &HashMap<SocketAddr, EnvironmentKey>,
    wished: &BTreeMap<EnvironmentKey, Vec<SocketAddr>>,
    refused: &HashMap<SocketAddr, String>,
) -> BTreeMap<EnvironmentKey, String> {
    let mut stuck = BTreeMap::new();
    let mut first_wish: HashMap<SocketAddr, &EnvironmentKey> = HashMap::new();
    let wishes = |environment: &EnvironmentKey, address: &SocketAddr| {
        wished.get(environment).is_some_and(|all| all.contains(address))
    };
    let each =
        wished.iter().flat_map(|(environment, all)| all.iter().map(move |address| (environment, address)));
    for (environment, address) in each {
        // Who holds an address keeps it; else the first in order gets it.
        let winner = held.get(address).filter(|holder| wishes(holder, address));
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
        let blocked = wished.iter().filter(|(environment, _)| !stuck.contains_key(*environment)).find_map(
            |(environment, all)| {
                let by_other = |address: &&SocketAddr| {
                    held.get(*address)
                        .is_some_and(|holder| holder != environment && stuck.contains_key(holder))
                };
                let address = all.iter().find(by_other)?;
                let holder = held.get(address)?;
                Some((environment.clone(), format!("{address} is still the listener of {holder}")))
            },
        );
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
        let mut all: BTreeMap<EnvironmentKey, Vec<SocketAddr>> = BTreeMap::new();
        wished.iter().for_each(|&(name, port)| all.entry(key(name)).or_default().push(at(port)));
        let refused = taken.iter().map(|&port| (at(port), "taken".to_owned())).collect();
        settle(&held, &all, &refused).into_keys().map(|key| key.environment.to_string()).collect()
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
    fn who_cannot_have_all_its_addresses_gets_none_of_them() {
        assert_eq!(stuck(&[("a", 1)], &[("a", 2), ("a", 9), ("b", 1)], &[9]), ["a", "b"]);
        assert_eq!(stuck(&[("a", 1)], &[("a", 1), ("a", 2), ("b", 3)], &[]), Vec::<String>::new());
    }

    #[test]
    fn one_address_has_one_environment() {
        assert_eq!(stuck(&[], &[("a", 1), ("b", 1)], &[]), ["b"]);
        assert_eq!(stuck(&[("b", 1)], &[("a", 1), ("b", 1)], &[]), ["a"], "the holder keeps it");
        assert_eq!(stuck(&[], &[("a", 0)], &[]), ["a"]);
    }
}
