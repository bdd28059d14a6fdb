//! One request: to an arm, to one of its endpoints, and the response back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::{Body, Incoming};

use super::body::{Answered, Download, Outcome, Upload};
use super::forward::{self, Asked, Forwarding};
use super::pace::{Account, Pace};
use super::upstream::Sender;
use super::{Peer, UnderWay, grpc};
use crate::table::{Arm, Busy, Choice, Endpoint, Purpose, Route};
use crate::wire::answer::{self, Answer};

/// How often one request may meet a connection that was just being closed.
const MAX_STALE: u8 = 4;

/// Answers one request.
pub(super) async fn respond(
    peer: &Rc<Peer>,
    under_way: UnderWay,
    request: Request<Incoming>,
) -> Response<Download> {
    let asked = Asked::of(&request);
    let pace = Rc::clone(&under_way.pace);
    attempt(peer, under_way, request).await.unwrap_or_else(|answer| {
        pace.last_words();
        forward::answer(&answer, asked)
    })
}

async fn attempt(
    peer: &Rc<Peer>,
    under_way: UnderWay,
    request: Request<Incoming>,
) -> Result<Response<Download>, Answer> {
    let (parts, body) = request.into_parts();
    let route = peer.site.route.load_full();
    let Choice { arm, turn, meter, number } = choose(peer, &route, &parts)?;
    let cookie = number.map(|(number, sticky)| answer::cookie(sticky, number, peer.secure));
    let parts = head(peer, arm, parts)?;
    let pace = Rc::clone(&under_way.pace);
    pace.expect(&parts.headers);
    let mut sending = Sending {
        peer,
        arm,
        account: Account::new(meter.begin(peer.worker.index, Instant::now()), &pace),
        pace,
        replay: is_replayable(&parts.method, &body).then(|| parts.clone()),
    };
    let upload = Upload::new(body, peer.version == super::Version::Http2, &sending.pace);
    let sent = sending.send(turn, Request::from_parts(parts, upload)).await?;
    let Sending { account, pace, .. } = sending;
    Ok(sent.into_response(peer, pace, account, under_way, cookie))
}

/// Whom the request falls to.
fn choose<'r>(peer: &Peer, route: &'r Route, parts: &Parts) -> Result<Choice<'r>, Answer> {
    let (worker, environment) = (&peer.worker, &peer.site.environment);
    match peer.purpose {
        Purpose::Front => {
            let head = if route.reads_heads() { forward::text(parts) } else { Vec::new() };
            route.pick(worker.index, &head).ok_or_else(|| Answer::nothing_deployed(environment))
        }
        Purpose::Preview => route.preview(worker.index).ok_or_else(|| Answer::no_candidate(environment)),
        Purpose::Redirect(port) => Err(Answer::encrypted_address(&forward::text(parts), port)),
    }
}

/// The head that the arm's endpoints get.
fn head(peer: &Peer, arm: &Arm, parts: Parts) -> Result<Parts, Answer> {
    let mut ids = peer.worker.ids.borrow_mut();
    let forwarding = Forwarding { client: peer.address, secure: peer.secure, request_id: ids.next() };
    forward::forward(parts, arm.protocol, &forwarding)
}

/// Whether a request may be sent twice: a safe method without a body.
fn is_replayable(method: &Method, body: &Incoming) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_end_stream()
}

/// One request on its way to an endpoint.
struct Sending<'r> {
    peer: &'r Rc<Peer>,
    arm: &'r Arm,
    account: Account,
    pace: Rc<Pace>,
    /// What to send again, where that does no harm.
    replay: Option<Parts>,
}

impl Sending<'_> {
    /// Sends the request to an endpoint of the arm; endpoints that take no connection are passed over.
    async fn send(&mut self, turn: u64, mut request: Request<Upload>) -> Result<Sent, Answer> {
        let (peer, arm) = (self.peer, self.arm);
        let (worker, environment) = (&peer.worker, &peer.site.environment);
        let (mut tried, mut stale, mut timed_out) = (Vec::new(), 0, false);
        while let Some(endpoint) = arm.pick(turn, worker.now.get(), &tried) {
            let opened = Sender::to(worker, endpoint, arm.protocol, self.replay.is_some()).await;
            let (sender, reused) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    timed_out = error.kind() == std::io::ErrorKind::TimedOut;
                    tracing::debug!(%error, endpoint = %endpoint.address, "an endpoint takes no connection");
                    endpoint.refused(worker.now.get());
                    tried.push(endpoint.address);
                    continue;
                }
            };
            endpoint.connected();
            match self.ask(endpoint, sender, request).await {
                Ok(sent) => return Ok(sent),
                // The endpoint closed the connection as this request set out on it: nobody's fault.
                Err((_, Some(unsent))) if reused && stale < MAX_STALE => {
                    self.account.asks_nobody();
                    stale += 1;
                    request = unsent;
                }
                Err((answer, _)) => return Err(answer),
            }
        }
        self.account.is_unanswered();
        if arm.endpoints.is_empty() {
            return Err(Answer::no_instance(environment, &arm.revision));
        }
        Err(Answer::unreachable(environment, &arm.revision, timed_out))
    }

    /// Asks one endpoint. What comes back beside an error can be sent again.
    async fn ask(
        &mut self,
        endpoint: &Arc<Endpoint>,
        mut sender: Sender,
        request: Request<Upload>,
    ) -> Result<Sent, (Answer, Option<Request<Upload>>)> {
        self.account.asks(endpoint, self.arm);
        let busy = endpoint.busy();
        let (environment, revision) = (&self.peer.site.environment, &self.arm.revision);
        self.pace.endpoint_owes.set(true);
        match in_time(&self.pace, sender.send(request)).await {
            Some(Ok(response)) => Ok(Sent { response, sender, endpoint: Arc::clone(endpoint), busy }),
            Some(Err(mut unsent)) => {
                if self.pace.client_left.get() {
                    self.account.is_the_clients();
                    return Err((Answer::stalled(), None));
                }
                self.account.is_unanswered();
                let how = format!("broke the connection: {}", root(unsent.error()));
                let once_more = |parts| Request::from_parts(parts, Upload::none(&self.pace));
                let again = unsent.take_message().or_else(|| self.replay.clone().map(once_more));
                Err((Answer::broken(environment, revision, &how), again))
            }
            None if self.pace.client_owes.get() => {
                self.account.is_the_clients();
                Err((Answer::stalled(), None))
            }
            None => {
                self.account.is_unanswered();
                Err((Answer::too_slow(environment, revision), None))
            }
        }
    }
}

/// The cause at the bottom of an error, which says the most.
fn root<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root
}

/// Waits for an answer as long as either side goes on. `None` where neither did for too long.
async fn in_time<T>(pace: &Pace, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    poll_fn(|context| match answer.as_mut().poll(context) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending if pace.is_late(context) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// An endpoint's answer, and the connection that it came over.
struct Sent {
    response: Response<Incoming>,
    sender: Sender,
    endpoint: Arc<Endpoint>,
    busy: Busy,
}

impl Sent {
    /// The answer as the client gets it.
    fn into_response(
        self,
        peer: &Peer,
        pace: Rc<Pace>,
        account: Account,
        under_way: UnderWay,
        cookie: Option<String>,
    ) -> Response<Download> {
        let Self { response, sender, endpoint, busy } = self;
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        forward::strip(&mut parts.headers);
        if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
            parts.headers.append(SET_COOKIE, value);
        }
        let in_head = parts.headers.contains_key(grpc::STATUS);
        let outcome = if parts.status.is_server_error() || grpc::has_failed(&parts.headers) {
            Outcome::Failed
        } else if grpc::is_grpc(&parts.headers) && parts.status.is_success() && !in_head {
            Outcome::InTrailers
        } else {
            Outcome::Well
        };
        pace.progress();
        let (resting, slot) = sender.into_parts(&peer.worker, endpoint.address);
        let answered = Answered {
            body,
            is_http2: resting.is_none(),
            pace,
            account,
            outcome,
            resting,
            whole: false,
            broken: false,
            _slot: slot,
            _busy: busy,
            _under_way: under_way,
        };
        Response::from_parts(parts, Download::Endpoint(Box::new(answered)))
    }
}
