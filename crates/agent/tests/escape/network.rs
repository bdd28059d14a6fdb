//! Reaching what listens.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::support::Bench;
use crate::{Control, SIGN, has, must_fail, python};

fn cut_off(bench: &mut Bench) {
    bench.network = false;
}

#[test]
fn connect_to_a_service_of_the_host_without_a_network() {
    if !has("python3") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!("socket.create_connection(('127.0.0.1', {port}), 2) and print('{SIGN}')");
    must_fail(Control::ComesThrough, cut_off, |_| python(&text));
}

/// Landlock has no rule for UDP; the filter of system calls stands in for it.
#[test]
fn send_a_datagram_without_a_network() {
    if !has("python3") {
        return;
    }
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_nonblocking(true).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let text =
        format!("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))");
    must_fail(Control::NotTried, cut_off, |_| python(&text));
    let heard = receiver.recv(&mut [0; 8]);
    assert!(heard.is_err(), "a datagram came through");
}

#[test]
fn ask_the_metadata_service_without_a_network() {
    if has("python3") {
        let text = format!("socket.create_connection(('169.254.169.254', 80), 2) and print('{SIGN}')");
        must_fail(Control::NotTried, cut_off, |_| python(&text));
    }
}

/// Abstract sockets belong to a network, not to a file system: what is granted with the network must not grant them.
#[test]
fn connect_to_an_abstract_socket_of_the_host() {
    if !has("python3") {
        return;
    }
    let name = format!("towpath-escape-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let text = format!("s = socket.socket(socket.AF_UNIX); s.connect('\\0{name}'); print('{SIGN}')");
    must_fail(Control::ComesThrough, |_| {}, |_| python(&text));
    must_fail(Control::ComesThrough, cut_off, |_| python(&text));
}

/// Whoever reaches the socket of Docker is root on the host.
#[test]
fn connect_to_the_socket_of_a_daemon() {
    if !has("python3") {
        return;
    }
    let listen = |bench: &mut Bench| {
        let listener = UnixListener::bind(bench.root.path().join("docker.sock")).unwrap();
        // It lives as long as the test process.
        std::mem::forget(listener);
    };
    must_fail(Control::ComesThrough, listen, |bench| {
        let path = bench.root.path().join("docker.sock");
        python(&format!(
            "s = socket.socket(socket.AF_UNIX); s.connect('{}'); print('{SIGN}')",
            path.display()
        ))
    });
    must_fail(
        Control::NotTried,
        |_| {},
        |_| {
            let paths = "'/run/docker.sock', '/run/podman/podman.sock', '/run/dbus/system_bus_socket'";
            python(&format!(
                "for path in [{paths}]:\n    try:\n        socket.socket(socket.AF_UNIX).connect(path); print('{SIGN}')\n    \
                 except OSError as error:\n        print(error)"
            ))
        },
    );
}

/// Families that builds do not need and in which kernels had their holes; one of them reaches the hypervisor.
#[test]
fn make_a_socket_of_a_rare_family() {
    if has("python3") {
        for (family, kind) in [("38", "5"), ("40", "1"), ("17", "3"), ("21", "5")] {
            let text = format!(
                "try:\n    socket.socket({family}, {kind}, 0); print('{SIGN}')\nexcept OSError as error:\n    print('{SIGN}' if error.errno != 97 else 'refused', error)"
            );
            must_fail(Control::NotTried, |_| {}, |_| python(&text));
        }
    }
}
