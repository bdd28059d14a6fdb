//! The gateway on real sockets and as real processes.

mod guide;
mod process;
mod proxy;
mod stream;
mod support;
mod tls;
mod upgrade;
