//! Bodies on their way, each at the pace of its receiver.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;

use super::pace::{Account, Pace};
use super::upstream::Slot;
use super::{UnderWay, grpc};
use crate::table::Busy;
use crate::worker::Worker;

/// What went wrong with a body.
pub(super) type Broken = Box<dyn Error + Send + Sync>;

/// Whether a body that says no more has come to its end. One of HTTP/2 that was reset without an error has not: what is there
/// is a part of it, whatever `hyper` makes of that.
fn is_whole(body: &Incoming, is_http2: bool) -> bool {
    !is_http2 || body.is_end_stream()
}

/// A request's body, from the client to the endpoint.
pub(super) struct Upload {
    body: Option<Incoming>,
    is_http2: bool,
    pace: Rc<Pace>,
}

impl Upload {
    pub(super) fn new(body: Incoming, is_http2: bool, pace: &Rc<Pace>) -> Self {
        Self { body: Some(body), is_http2, pace: Rc::clone(pace) }
    }

    /// No body.
    pub(super) fn none(pace: &Rc<Pace>) -> Self {
        Self { body: None, is_http2: false, pace: Rc::clone(pace) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { body, is_http2, pace } = &mut *self;
        let Some(body) = body else { return Poll::Ready(None) };
        if pace.has_ended() {
            return Poll::Ready(Some(Err("nobody waits for an answer any more".into())));
        }
        let frame = Pin::new(&mut *body).poll_frame(context);
        pace.client_owes.set(frame.is_pending());
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                pace.progress();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                pace.client_left.set(true);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) if is_whole(body, *is_http2) => Poll::Ready(None),
            Poll::Ready(None) => {
                pace.client_left.set(true);
                Poll::Ready(Some(Err("the client broke off its request".into())))
            }
            Poll::Pending => {
                pace.wake_upload(context);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A response's body, from an endpoint or from the gateway itself, to the client.
pub(super) enum Download {
    Own(Option<Bytes>),
    Endpoint(Box<Answered>),
}

/// A response of an endpoint on its way.
pub(super) struct Answered {
    pub(super) body: Incoming,
    pub(super) is_http2: bool,
    pub(super) pace: Rc<Pace>,
    pub(super) account: Account,
    pub(super) outcome: Outcome,
    /// The connection that another request may use afterwards.
    pub(super) resting: Option<Resting>,
    pub(super) whole: bool,
    pub(super) broken: bool,
    pub(super) _slot: Option<Slot>,
    pub(super) _busy: Busy,
    pub(super) _under_way: UnderWay,
}

/// What is known of how a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Well,
    Failed,
    /// The trailers will tell.
    InTrailers,
}

/// A connection to an endpoint that has one request at a time.
pub(super) struct Resting {
    pub(super) worker: Rc<Worker>,
    pub(super) address: SocketAddr,
    pub(super) sender: SendRequest<Upload>,
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Endpoint(answered) => answered.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Endpoint(answered) => answered.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Endpoint(answered) => answered.body.size_hint(),
        }
    }
}

impl Answered {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.pace.endpoint_owes.set(frame.is_pending());
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.pace.progress();
                if let Some(trailers) = frame.trailers_ref() {
                    self.whole = true;
                    if self.outcome == Outcome::InTrailers && trailers.contains_key(grpc::STATUS) {
                        let failed = grpc::has_failed(trailers);
                        self.outcome = if failed { Outcome::Failed } else { Outcome::Well };
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.broken = true;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) if is_whole(&self.body, self.is_http2) => {
                self.whole = true;
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                self.broken = true;
                Poll::Ready(Some(Err("the instance broke off its response".into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if self.broken {
            // An upload that the client broke off breaks the response as well.
            if self.pace.client_left.get() { self.account.is_the_clients() } else { self.account.failed() }
        } else if self.whole || self.body.is_end_stream() {
            match self.outcome {
                Outcome::Well => self.account.went_well(),
                // A call that ends without its outcome was broken off by somebody who did not say so.
                Outcome::Failed | Outcome::InTrailers => self.account.failed(),
            }
            // A client that left before the end leaves a connection behind that is still being written to.
            if let Some(Resting { worker, address, sender }) = self.resting.take() {
                worker.senders.keep(address, sender, worker.millis(worker.limits.pooled));
            }
        }
    }
}
