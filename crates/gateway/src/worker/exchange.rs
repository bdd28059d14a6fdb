//! One request: to an arm, to one of its endpoints, and the response back.

mod transfer;
mod tunnel;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::client::Client;
use super::upstream;
use crate::meter::{Ending, Ticket};
use crate::table::{Arm, Choice, Endpoint, Purpose, Route};
use crate::wire::answer::{self, Answer};
use crate::wire::framing::Body;
use crate::wire::push_field;
use crate::wire::request::Request;
use transfer::{End, Transfer};
use tunnel::tunnel;

/// How young a pooled connection must be to carry a request that cannot be sent twice.
const FRESH: Duration = Duration::from_secs(1);

/// Carries out one request whose head is in `to_backend`; says whether the connection stays open.
pub(super) async fn exchange(client: &mut Client, route: &Route, mut request: Request) -> bool {
    if !take_early_body(client, &mut request) {
        return refuse(client, &request, &bad_body()).await;
    }
    let environment = &client.site.environment;
    let choice = match client.purpose {
        Purpose::Front => route
            .pick(client.worker.index, &client.to_backend)
            .ok_or_else(|| Answer::nothing_deployed(environment)),
        Purpose::Preview => {
            route.preview(client.worker.index).ok_or_else(|| Answer::no_candidate(environment))
        }
        Purpose::Redirect(port) => Err(Answer::encrypted_address(&client.to_backend, port)),
    };
    let Choice { arm, turn, meter, number } = match choice {
        Ok(choice) => choice,
        Err(answer) => return refuse(client, &request, &answer).await,
    };
    client.more.clear();
    if let Some((number, sticky)) = number {
        let cookie = answer::cookie(sticky, number, client.stream.is_encrypted());
        push_field(&mut client.more, "set-cookie", cookie.as_bytes());
    }
    let ticket = meter.begin(client.worker.index, Instant::now());
    let mut tried = Vec::new();
    loop {
        let (endpoint, stream, reused) = match connect(client, &request, arm, turn, &mut tried).await {
            Ok(connected) => connected,
            Err(answer) => return fail(client, &request, ticket, &answer).await,
        };
        let busy = endpoint.busy();
        let mut transfer = Transfer::new(client, &mut request, stream);
        let end = transfer.run().await;
        if end == End::Switched {
            // The request ends here: what follows has no status and no end that could be judged.
            drop(ticket);
            let (backend, early) = transfer.into_tunnel();
            client.deadline.set(client.worker.millis(client.worker.limits.tunnel));
            tunnel(client, backend, early).await;
            return false;
        }
        let may_retry = reused && transfer.can_be_sent_again();
        let outcome = transfer.outcome();
        drop(busy);
        match end {
            End::Complete => return complete(client, &request, ticket, outcome, (arm, endpoint)).await,
            // The endpoint closed a resting connection as this request set out on it: nobody's fault.
            End::Broken(_) if may_retry => client.worker.pool.forget(&endpoint.address),
            other => return settle(client, &request, ticket, (arm, endpoint), outcome, other).await,
        }
    }
}

/// Puts the part of the body that came with the head behind it, so that both leave in one write.
///
/// `false` means that the body is malformed.
fn take_early_body(client: &mut Client, request: &mut Request) -> bool {
    if request.body.is_done() || client.buffer.is_empty() {
        return true;
    }
    let Ok(count) = request.body.take(client.buffer.bytes()) else { return false };
    client.to_backend.extend_from_slice(&client.buffer.bytes()[..count]);
    client.buffer.consume(count);
    true
}

/// A connection to an endpoint of the arm: a resting one, or a new one; endpoints that refuse are passed over.
async fn connect<'a>(
    client: &Client,
    request: &Request,
    arm: &'a Arm,
    turn: u64,
    tried: &mut Vec<SocketAddr>,
) -> Result<(&'a std::sync::Arc<Endpoint>, TcpStream, bool), Answer> {
    let worker = &client.worker;
    let mut timed_out = false;
    if arm.endpoints.is_empty() {
        return Err(Answer::no_instance(&client.site.environment, &arm.revision));
    }
    while let Some(endpoint) = arm.pick(turn, worker.now.get(), tried) {
        let youth =
            if request.replayable { Duration::ZERO } else { worker.limits.pooled.saturating_sub(FRESH) };
        if let Some(stream) = worker.pool.take(&endpoint.address, worker.millis(youth)) {
            return Ok((endpoint, stream, true));
        }
        match upstream::connect(endpoint.address, worker.limits.connect).await {
            Ok(stream) => {
                endpoint.connected();
                return Ok((endpoint, stream, false));
            }
            Err(error) => {
                timed_out = error.kind() == std::io::ErrorKind::TimedOut;
                tracing::debug!(%error, endpoint = %endpoint.address, "an endpoint takes no connection");
                endpoint.refused(worker.now.get());
                tried.push(endpoint.address);
            }
        }
    }
    Err(Answer::unreachable(&client.site.environment, &arm.revision, timed_out))
}

/// What remains of a transfer.
struct Outcome {
    status: Option<u16>,
    body_until_close: bool,
    keep_alive: bool,
    /// The backend's connection, if another request may use it.
    reusable: Option<TcpStream>,
}

async fn complete(
    client: &mut Client,
    request: &Request,
    mut ticket: Ticket,
    outcome: Outcome,
    (arm, endpoint): (&Arm, &Endpoint),
) -> bool {
    let (now, address) = (client.worker.now.get(), endpoint.address);
    if outcome.status.is_some_and(|status| status >= 500) {
        ticket.ended(Ending::Error);
        arm.failed(endpoint, now);
    } else {
        endpoint.answered(now);
    }
    drop(ticket);
    if let Some(stream) = outcome.reusable {
        client.worker.pool.keep(address, stream, client.worker.millis(client.worker.limits.pooled));
    }
    let keep_alive = outcome.keep_alive && request.body.is_done();
    // Bytes that nobody will read would reset the connection, and the client might lose the response.
    // An encrypted end has to be said, else it could be anyone's.
    let unread = !request.body.is_done() || !client.buffer.is_empty();
    if !keep_alive && (unread || client.stream.is_encrypted()) {
        client.linger().await;
    }
    keep_alive
}

/// Ends a request that did not complete.
async fn settle(
    client: &mut Client,
    request: &Request,
    mut ticket: Ticket,
    (arm, endpoint): (&Arm, &Endpoint),
    outcome: Outcome,
    end: End,
) -> bool {
    if matches!(end, End::Broken(_) | End::Slow) {
        arm.failed(endpoint, client.worker.now.get());
    }
    let environment = client.site.environment.clone();
    let answered = outcome.status.is_some();
    match end {
        End::Complete | End::Switched | End::ClientGone => false,
        End::BadRequest if !answered => refuse_after(client, request, ticket, &bad_body()).await,
        End::ClientStalled if !answered => refuse_after(client, request, ticket, &Answer::stalled()).await,
        End::BadRequest | End::ClientStalled => false,
        End::Broken(how) if !answered => {
            let answer = Answer::broken(&environment, &arm.revision, &how);
            fail(client, request, ticket, &answer).await
        }
        End::Slow if !answered => {
            let answer = Answer::too_slow(&environment, &arm.revision);
            fail(client, request, ticket, &answer).await
        }
        End::Broken(_) | End::Slow => {
            ticket.ended(Ending::Error);
            if outcome.body_until_close {
                // Only a reset tells the client that this end is not the end.
                client.stream.reset_at_end();
            }
            false
        }
    }
}

/// Answers for an endpoint that could not.
async fn fail(client: &mut Client, request: &Request, mut ticket: Ticket, answer: &Answer) -> bool {
    ticket.ended(Ending::GatewayError);
    drop(ticket);
    refuse(client, request, answer).await
}

/// Answers a request that went wrong through no fault of the endpoint.
async fn refuse_after(client: &mut Client, request: &Request, ticket: Ticket, answer: &Answer) -> bool {
    drop(ticket);
    refuse(client, request, answer).await
}

async fn refuse(client: &mut Client, request: &Request, answer: &Answer) -> bool {
    // A body that is not here yet would have to be read and thrown away before the next request.
    let keep_alive =
        request.keep_alive && request.body.is_done() && !answer.ends_connection() && client.may_stay();
    client.answer(answer, keep_alive, !request.is_head).await
}

fn bad_body() -> Answer {
    Answer::new(400, "the request's chunked body is malformed")
}

/// Whether a response's end can only be told by the end of the connection.
fn ends_with_connection(body: &Body) -> bool {
    matches!(body, Body::UntilClose)
}
