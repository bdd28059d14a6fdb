//! The gateway on real sockets and as real processes.

mod process;
mod proxy;
mod stream;
mod support;
