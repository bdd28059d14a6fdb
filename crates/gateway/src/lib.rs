//! The traffic-splitting reverse proxy.
//!
//! [`run`] serves one data directory: it takes the listening sockets of an older gateway if one runs, serves the last
//! desired state from its disk, polls the server for newer ones, and reports what it measures. It needs the server
//! for nothing but news.
//!
//! | part | decides or does |
//! |---|---|
//! | `wire` | reads heads strictly, writes them anew, follows bodies to their end; pure |
//! | `choose` | which arm and which endpoint take a request; pure |
//! | `listen` | which Environment gets which socket; pure but for opening it |
//! | `tls` | certificates from files, chosen by name, replaced while they serve |
//! | `outbox` | keeps what the server has not acknowledged; pure |
//! | `worker` | one thread with its connections: the data path; `worker/http2` is the one for many requests at once |
//! | `plane` | makes the workers serve the desired routes, reads back, collects |
//! | `control` | the control socket: probe, hand-over, shutdown |
//! | `link`, `disk` | the server, the directory |

mod choose;
pub mod control;
mod disk;
mod gateway;
mod link;
mod listen;
mod meter;
mod outbox;
mod plane;
mod table;
mod tls;
mod wire;
mod worker;

pub use disk::DiskError;
pub use gateway::{GatewayError, GatewayOptions, run};
pub use worker::Limits;
