//! The traffic-splitting reverse proxy.
