//! Both directions of one request at the same time, each at the pace of its receiver.
//!
//! Nothing is read before what was read earlier has been passed on, so that a slow receiver slows its sender and
//! the memory of a transfer is bounded by its two buffers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::{Outcome, ends_with_connection};
use crate::wire::request::Request;
use crate::wire::response::{self, Response};
use crate::worker::buffer::{Buffer, Filled};
use crate::worker::client::Client;

/// How much of a response's body is copied behind its head to leave in one write.
const EARLY_BODY: usize = 16 * 1024;

/// How many interim responses (`1xx`) one request may get.
const MAX_INTERIM: u8 = 16;

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The whole response was passed on.
    Complete,
    /// Client and endpoint speak another protocol from here on.
    Switched,
    /// The client closed its connection.
    ClientGone,
    /// The client neither sent nor took anything for too long.
    ClientStalled,
    /// The client's chunks are malformed.
    BadRequest,
    /// The endpoint closed the connection too early or broke the rules: what it did.
    Broken(String),
    /// The endpoint neither sent nor took anything for too long.
    Slow,
}

/// One request under way.
pub(super) struct Transfer<'c> {
    client: &'c mut Client,
    request: &'c mut Request,
    backend: TcpStream,
    /// What the backend sent and the client did not get yet.
    answer: Buffer,
    /// How much of `to_backend` was sent.
    sent: usize,
    /// How many bytes at the start of the client's buffer are checked body, ready to be sent.
    request_ready: usize,
    /// The backend takes no more bytes. It may have answered before it closed its side.
    deaf: bool,
    /// Whether the backend sent anything at all.
    heard: bool,
    interim: u8,
    /// The final response, once its head is there.
    response: Option<Response>,
    /// How much of `to_client` was sent.
    told: usize,
    /// Whether encryption still holds some of it back.
    held_back: bool,
    /// How many bytes at the start of `answer` are checked body, ready to be sent.
    response_ready: usize,
}

/// Whether one side can go on.
enum Step {
    Again,
    Wait,
    End(End),
}

impl<'c> Transfer<'c> {
    /// Prepares to send what is in the client's `to_backend`.
    pub(super) fn new(client: &'c mut Client, request: &'c mut Request, backend: TcpStream) -> Self {
        client.to_client.clear();
        Self {
            client,
            request,
            backend,
            answer: Buffer::default(),
            sent: 0,
            request_ready: 0,
            deaf: false,
            heard: false,
            interim: 0,
            response: None,
            told: 0,
            held_back: false,
            response_ready: 0,
        }
    }

    /// Moves bytes in both directions to the end.
    pub(super) async fn run(&mut self) -> End {
        self.progress();
        poll_fn(|context| self.poll(context)).await
    }

    /// Whether another connection may carry the same request: nothing of it can have had an effect, or a second
    /// effect does no harm; and nothing of its body is lost.
    pub(super) fn can_be_sent_again(&self) -> bool {
        !self.heard && (self.sent == 0 || self.request.replayable)
    }

    /// The endpoint's connection, and what it said behind its `101`.
    pub(super) fn into_tunnel(self) -> (TcpStream, Buffer) {
        (self.backend, self.answer)
    }

    /// What the caller needs to go on with the client's connection.
    pub(super) fn outcome(mut self) -> Outcome {
        let whole = self.request.body.is_done() && self.request_ready == 0;
        let clean =
            whole && !self.deaf && self.answer.is_empty() && self.sent == self.client.to_backend.len();
        self.answer.release(&self.client.worker.buffers);
        self.client.buffer.release(&self.client.worker.buffers);
        let response = self.response.as_ref();
        let done = response.is_some_and(|response| response.reusable && response.body.is_done());
        Outcome {
            status: response.map(|response| response.status),
            body_until_close: response.is_some_and(|response| ends_with_connection(&response.body)),
            keep_alive: response.is_some_and(|response| response.keep_alive) && whole,
            reusable: (done && clean).then_some(self.backend),
        }
    }

    fn progress(&self) {
        let worker = &self.client.worker;
        self.client.deadline.set(worker.millis(worker.limits.idle));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        if self.client.deadline.has_passed(context) {
            return Poll::Ready(self.who_is_late());
        }
        loop {
            match self.step_request(context) {
                Step::Again => self.progress(),
                Step::Wait => break,
                Step::End(end) => return Poll::Ready(end),
            }
        }
        loop {
            match self.step_response(context) {
                Step::Again => self.progress(),
                Step::Wait => return Poll::Pending,
                Step::End(end) => return Poll::Ready(end),
            }
        }
    }

    fn who_is_late(&self) -> End {
        let client_reads =
            self.told < self.client.to_client.len() || self.response_ready > 0 || self.held_back;
        let all_sent = self.sent == self.client.to_backend.len() && self.request_ready == 0;
        let client_sends = !self.request.body.is_done() && all_sent && self.response.is_none();
        if client_reads || client_sends { End::ClientStalled } else { End::Slow }
    }

    fn step_request(&mut self, context: &mut Context<'_>) -> Step {
        if !self.deaf && self.sent < self.client.to_backend.len() {
            let rest = &self.client.to_backend[self.sent..];
            return match write(&mut self.backend, context, rest) {
                Written::Some(count) => {
                    self.sent += count;
                    Step::Again
                }
                Written::Wait => Step::Wait,
                Written::Failed => self.go_deaf(),
            };
        }
        if !self.deaf && self.request_ready > 0 {
            let rest = &self.client.buffer.bytes()[..self.request_ready];
            return match write(&mut self.backend, context, rest) {
                Written::Some(count) => {
                    self.client.buffer.consume(count);
                    self.request_ready -= count;
                    Step::Again
                }
                Written::Wait => Step::Wait,
                Written::Failed => self.go_deaf(),
            };
        }
        if self.deaf {
            return Step::Wait;
        }
        if self.request.body.is_done() { self.watch_client(context) } else { self.read_request(context) }
    }

    fn go_deaf(&mut self) -> Step {
        self.deaf = true;
        Step::Again
    }

    fn read_request(&mut self, context: &mut Context<'_>) -> Step {
        if !self.client.buffer.is_empty() {
            return match self.request.body.take(self.client.buffer.bytes()) {
                Ok(count) => {
                    self.request_ready = count;
                    Step::Again
                }
                Err(_) => Step::End(End::BadRequest),
            };
        }
        let client = &mut *self.client;
        match client.buffer.poll_fill(context, &mut client.stream, &client.worker.buffers) {
            Poll::Ready(Ok(Filled::Some)) => {
                client.buffer.grow_if_filled();
                Step::Again
            }
            Poll::Ready(Ok(Filled::Closed) | Err(_)) => Step::End(End::ClientGone),
            Poll::Pending => Step::Wait,
        }
    }

    /// Notices a client that goes away while it waits. What it sends ahead is kept for later.
    fn watch_client(&mut self, context: &mut Context<'_>) -> Step {
        let client = &mut *self.client;
        if !client.buffer.is_empty() {
            return Step::Wait;
        }
        match client.buffer.poll_fill(context, &mut client.stream, &client.worker.buffers) {
            Poll::Ready(Ok(Filled::Some)) | Poll::Pending => Step::Wait,
            Poll::Ready(Ok(Filled::Closed) | Err(_)) => Step::End(End::ClientGone),
        }
    }

    fn step_response(&mut self, context: &mut Context<'_>) -> Step {
        if self.told < self.client.to_client.len() {
            let rest = &self.client.to_client[self.told..];
            return match write(&mut self.client.stream, context, rest) {
                Written::Some(count) => {
                    self.told += count;
                    Step::Again
                }
                Written::Wait => Step::Wait,
                Written::Failed => Step::End(End::ClientGone),
            };
        }
        if self.response_ready > 0 {
            let rest = &self.answer.bytes()[..self.response_ready];
            return match write(&mut self.client.stream, context, rest) {
                Written::Some(count) => {
                    self.answer.consume(count);
                    self.response_ready -= count;
                    Step::Again
                }
                Written::Wait => Step::Wait,
                Written::Failed => Step::End(End::ClientGone),
            };
        }
        self.held_back = false;
        match self.client.stream.poll_sent(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Step::End(End::ClientGone),
            Poll::Pending => {
                self.held_back = true;
                return Step::Wait;
            }
        }
        if self.response.is_none() { self.read_head(context) } else { self.read_body(context) }
    }

    fn read_head(&mut self, context: &mut Context<'_>) -> Step {
        if !self.answer.is_empty() {
            self.client.to_client.clear();
            self.told = 0;
            let asked = response::Context {
                is_head: self.request.is_head,
                is_http10: self.request.is_http10,
                keep_alive: self.request.keep_alive && self.client.may_stay(),
                upgrade: self.request.upgrade,
                more: &self.client.more,
            };
            match response::forward(self.answer.bytes(), asked, &mut self.client.to_client) {
                Ok(Some(response)) => return self.take_head(response),
                Ok(None) => {}
                Err(error) => return Step::End(End::Broken(error.to_string())),
            }
        }
        match self.fill_answer(context) {
            Poll::Ready(Ok(Filled::Some)) => Step::Again,
            Poll::Ready(Ok(Filled::Closed)) => {
                Step::End(End::Broken("closed the connection before it answered".to_owned()))
            }
            Poll::Ready(Err(error)) => Step::End(End::Broken(format!("broke the connection: {error}"))),
            Poll::Pending => Step::Wait,
        }
    }

    fn take_head(&mut self, mut response: Response) -> Step {
        self.answer.consume(response.head_length);
        if response.status == 101 {
            if !self.request.body.is_done() || self.request_ready > 0 {
                self.client.to_client.clear();
                return Step::End(End::Broken(
                    "switched protocols before it had the whole request".to_owned(),
                ));
            }
            self.response = Some(response);
            return Step::Again;
        }
        if response.status < 200 {
            self.interim += 1;
            let too_many = End::Broken("sent interim responses without end".to_owned());
            return if self.interim > MAX_INTERIM { Step::End(too_many) } else { Step::Again };
        }
        if !self.answer.is_empty() && !response.body.is_done() {
            let Ok(count) = response.body.take(self.answer.bytes()) else {
                self.client.to_client.clear();
                return Step::End(End::Broken("sent a malformed chunk".to_owned()));
            };
            if count <= EARLY_BODY {
                self.client.to_client.extend_from_slice(&self.answer.bytes()[..count]);
                self.answer.consume(count);
            } else {
                self.response_ready = count;
            }
        }
        self.response = Some(response);
        Step::Again
    }

    fn read_body(&mut self, context: &mut Context<'_>) -> Step {
        let Some(response) = &mut self.response else { return Step::Wait };
        if response.status == 101 {
            return Step::End(End::Switched);
        }
        if response.body.is_done() {
            return Step::End(End::Complete);
        }
        if !self.answer.is_empty() {
            return match response.body.take(self.answer.bytes()) {
                Ok(count) => {
                    self.response_ready = count;
                    Step::Again
                }
                Err(_) => Step::End(End::Broken("sent a malformed chunk".to_owned())),
            };
        }
        let until_close = ends_with_connection(&response.body);
        match self.fill_answer(context) {
            Poll::Ready(Ok(Filled::Some)) => {
                self.answer.grow_if_filled();
                Step::Again
            }
            Poll::Ready(Ok(Filled::Closed)) if until_close => Step::End(End::Complete),
            Poll::Ready(Ok(Filled::Closed)) => Step::End(End::Broken("broke off its response".to_owned())),
            Poll::Ready(Err(error)) => Step::End(End::Broken(format!("broke the connection: {error}"))),
            Poll::Pending => Step::Wait,
        }
    }

    fn fill_answer(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<Filled>> {
        let filled = self.answer.poll_fill(context, &mut self.backend, &self.client.worker.buffers);
        self.heard |= matches!(filled, Poll::Ready(Ok(Filled::Some)));
        filled
    }
}

/// What a write did.
enum Written {
    Some(usize),
    Wait,
    Failed,
}

fn write(stream: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>, bytes: &[u8]) -> Written {
    match Pin::new(stream).poll_write(context, bytes) {
        Poll::Ready(Ok(count)) if count > 0 => Written::Some(count),
        Poll::Ready(_) => Written::Failed,
        Poll::Pending => Written::Wait,
    }
}
