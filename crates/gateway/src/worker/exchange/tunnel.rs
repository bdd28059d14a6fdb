//! After `101`: bytes both ways, whatever they mean, until both sides have ended or nothing has moved for too long.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::worker::buffer::{Buffer, Buffers, Filled};
use crate::worker::client::Client;

/// Passes bytes on between a client and the endpoint that switched protocols with it. `early` is what the endpoint
/// sent right behind its `101`.
pub(super) async fn tunnel(client: &mut Client, mut backend: TcpStream, mut early: Buffer) {
    let (mut up, mut down) = (Side::Open, Side::Open);
    poll_fn(|context| {
        let Client { worker, stream, buffer, deadline, .. } = &mut *client;
        if deadline.has_passed(context) {
            return Poll::Ready(());
        }
        let upward = pump(context, stream, &mut backend, buffer, &mut up, &worker.buffers);
        let downward = pump(context, &mut backend, stream, &mut early, &mut down, &worker.buffers);
        if upward == Pumped::Broken || downward == Pumped::Broken {
            return Poll::Ready(());
        }
        if up == Side::Closed && down == Side::Closed {
            return Poll::Ready(());
        }
        if upward == Pumped::Moved || downward == Pumped::Moved {
            // Once one side has nothing more to say, the other one should not need long.
            let half = up == Side::Closed || down == Side::Closed;
            let limit = if half { worker.limits.idle } else { worker.limits.tunnel };
            deadline.set(worker.millis(limit));
        }
        Poll::Pending
    })
    .await;
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    /// Its sender has ended; its receiver does not know yet.
    Ending,
    Closed,
}

/// What came of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    Moved,
    Waits,
    Broken,
}

/// Moves what can be moved now; nothing is read before what was read earlier is on its way.
fn pump<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    context: &mut Context<'_>,
    from: &mut R,
    to: &mut W,
    buffer: &mut Buffer,
    side: &mut Side,
    buffers: &Buffers,
) -> Pumped {
    let mut pumped = Pumped::Waits;
    loop {
        if !buffer.is_empty() {
            match Pin::new(&mut *to).poll_write(context, buffer.bytes()) {
                Poll::Ready(Ok(count)) if count > 0 => buffer.consume(count),
                Poll::Ready(_) => return Pumped::Broken,
                Poll::Pending => return pumped,
            }
            pumped = Pumped::Moved;
            continue;
        }
        match Pin::new(&mut *to).poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) if *side == Side::Closed => {}
            Poll::Ready(Err(_)) => return Pumped::Broken,
            Poll::Pending => return pumped,
        }
        match side {
            Side::Open => match buffer.poll_fill(context, from, buffers) {
                Poll::Ready(Ok(Filled::Some)) => buffer.grow_if_filled(),
                Poll::Ready(Ok(Filled::Closed)) => {
                    *side = Side::Ending;
                    pumped = Pumped::Moved;
                }
                Poll::Ready(Err(_)) => return Pumped::Broken,
                Poll::Pending => return pumped,
            },
            Side::Ending => match Pin::new(&mut *to).poll_shutdown(context) {
                Poll::Ready(Ok(())) => *side = Side::Closed,
                Poll::Ready(Err(_)) => return Pumped::Broken,
                Poll::Pending => return pumped,
            },
            Side::Closed => return pumped,
        }
    }
}
