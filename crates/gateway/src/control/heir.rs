//! The successor's side of a hand-over.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};

use towpath_api::gateway::Routes;

use super::{ControlError, Done, Estate, Line, Op, descriptors};
use crate::disk::Directory;

/// What a successor has taken over. The older gateway goes on serving until [`Inheritance::serve`].
pub(crate) struct Inheritance {
    pub(crate) routes: Routes,
    pub(crate) listeners: Vec<(SocketAddr, TcpListener)>,
    pub(crate) lock: File,
    line: Line,
}

/// Takes over from the gateway that serves this directory; `None` if none does.
pub(crate) async fn hand_over(directory: &Directory) -> Result<Option<Inheritance>, ControlError> {
    let Some(mut line) = Line::connect(directory).await? else { return Ok(None) };
    let Estate { routes, listeners: addresses } = line.ask(Op::HandOver).await?;
    let io = |source| ControlError::Io { directory: directory.path().to_owned(), source };
    line.send(&Op::Sockets).await.map_err(io)?;
    let receive = descriptors::receive(&line.stream, addresses.len() + 1);
    let received = tokio::time::timeout(super::PATIENCE, receive)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(io)?;
    let mut received = received.into_iter();
    let lock = received.next().ok_or_else(|| io(io::ErrorKind::UnexpectedEof.into()))?;
    let listeners = addresses.into_iter().zip(received.map(TcpListener::from)).collect();
    Ok(Some(Inheritance { routes, listeners, lock: File::from(lock), line }))
}

impl Inheritance {
    /// Tells the older gateway that this one accepts connections, so that it can stop.
    pub(crate) async fn serve(mut line: Line) -> Result<(), ControlError> {
        line.ask::<Done>(Op::Serving).await.map(drop)
    }

    /// Takes it apart: routes, sockets, the lock, and the line to the older gateway.
    pub(crate) fn into_parts(self) -> (Routes, Vec<(SocketAddr, TcpListener)>, File, Line) {
        (self.routes, self.listeners, self.lock, self.line)
    }
}
