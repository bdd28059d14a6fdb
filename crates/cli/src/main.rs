//! The one binary: server, agent, gateway and command line.

fn main() {}
