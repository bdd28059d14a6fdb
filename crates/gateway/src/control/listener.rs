//! The serving gateway's side of the control socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use towpath_api::gateway::Routes;

use super::{Done, Estate, Line, Op, Presence, Short, descriptors};
use crate::disk::Directory;

/// How long a conversation may rest. A successor starts its workers between two requests.
const REST: Duration = Duration::from_secs(10);

/// What a conversation asks of the gateway.
pub(crate) enum Ask {
    /// Who it is.
    Presence(oneshot::Sender<Presence>),
    /// To apply nothing more and to give copies of what it serves from.
    Estate(oneshot::Sender<io::Result<HandedOver>>),
    /// The successor went away: to go on as before.
    Resume,
    /// To accept nothing more and to end. A successor has the directory then, if `succeeded`.
    Retire {
        /// Whether another gateway serves now.
        succeeded: bool,
        /// Told when nothing is accepted any more.
        done: oneshot::Sender<()>,
    },
}

/// What a gateway gives away.
pub(crate) struct HandedOver {
    pub(crate) routes: Routes,
    pub(crate) sockets: Vec<(SocketAddr, TcpListener)>,
    pub(crate) lock: std::fs::File,
}

/// Listens on the control socket, in the place of an older gateway if there was one.
pub(crate) fn open(directory: &Directory) -> io::Result<UnixListener> {
    let short = Short::of(directory)?;
    let (fresh, known) = (short.path("control.sock.new"), short.path("control.sock"));
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    // A rename leaves no moment in which nobody can be asked.
    std::fs::rename(&fresh, known)?;
    Ok(listener)
}

/// Answers on the control socket until the gateway ends.
pub(crate) async fn serve(listener: UnixListener, directory: Directory, asks: mpsc::Sender<Ask>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let line = Line::new(stream, &directory);
                let asks = asks.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(line, &asks).await {
                        tracing::debug!(%error, "a conversation on the control socket ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket for a moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut line: Line, asks: &mpsc::Sender<Ask>) -> io::Result<()> {
    while let Some(op) = next(&mut line).await? {
        match op {
            Op::Probe => {
                let presence = ask(asks, Ask::Presence).await?;
                line.send(&presence).await?;
            }
            Op::Shutdown => {
                ask(asks, |done| Ask::Retire { succeeded: false, done }).await?;
                line.send(&Done {}).await?;
            }
            Op::HandOver => {
                let handed_over = ask(asks, Ask::Estate).await??;
                let result = hand_over(&mut line, asks, handed_over).await;
                if result.is_err() {
                    let _ = asks.send(Ask::Resume).await;
                }
                return result;
            }
            Op::Sockets | Op::Serving => {
                return Err(io::Error::other("it asks for what it did not take over"));
            }
        }
    }
    Ok(())
}

/// Gives everything to a successor. Until it says that it serves, nothing has changed.
async fn hand_over(line: &mut Line, asks: &mpsc::Sender<Ask>, estate: HandedOver) -> io::Result<()> {
    let HandedOver { routes, sockets, lock } = estate;
    let listeners = sockets.iter().map(|(address, _)| *address).collect();
    line.send(&Estate { routes, listeners }).await?;
    expect(line, Op::Sockets).await?;
    let mut descriptors = vec![lock.as_fd()];
    descriptors.extend(sockets.iter().map(|(_, socket)| socket.as_fd()));
    descriptors::send(&line.stream, &descriptors).await?;
    expect(line, Op::Serving).await?;
    ask(asks, |done| Ask::Retire { succeeded: true, done }).await?;
    // The successor serves whether or not it hears this.
    let _ = line.send(&Done {}).await;
    Ok(())
}

async fn expect(line: &mut Line, wanted: Op) -> io::Result<()> {
    match next(line).await? {
        Some(op) if op == wanted => Ok(()),
        _ => Err(io::Error::other("the successor went away")),
    }
}

async fn next(line: &mut Line) -> io::Result<Option<Op>> {
    tokio::time::timeout(REST, line.receive()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask<T>(asks: &mpsc::Sender<Ask>, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> io::Result<T> {
    let (reply, answer) = oneshot::channel();
    let ended = |_| io::Error::other("the gateway is ending");
    asks.send(make(reply)).await.map_err(|_| io::Error::other("the gateway is ending"))?;
    answer.await.map_err(ended)
}
