//! The gateway on real sockets and as real processes.

mod grpc;
mod guide;
mod http2;
mod process;
mod proxy;
mod stream;
mod streams;
mod support;
mod tls;
mod upgrade;
