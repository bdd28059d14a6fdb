//! Read buffers, lent to a connection only while bytes are on their way.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The size of a buffer; grown only for a long head or a fast transfer.
const SIZE: usize = 16 * 1024;

/// The size that a transfer grows to which fills its buffer at each read.
const LARGE: usize = 64 * 1024;

/// How many buffers are kept for reuse.
const SPARE: usize = 64;

/// Bytes that were read and not yet passed on.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// A worker's spare buffers.
#[derive(Default)]
pub(super) struct Buffers(RefCell<Vec<Vec<u8>>>);

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Some,
    /// The other end closed its side.
    Closed,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; SIZE])
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        if bytes.len() == SIZE && spare.len() < SPARE {
            spare.push(bytes);
        }
    }
}

impl Buffer {
    /// What is there.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Gives the memory back if it holds nothing.
    pub(super) fn release(&mut self, buffers: &Buffers) {
        if self.is_empty() && !self.bytes.is_empty() {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
    }

    /// Reads once, after what is there.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        buffers: &Buffers,
    ) -> Poll<io::Result<Filled>> {
        self.make_room(buffers);
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        let read = Pin::new(stream).poll_read(context, &mut room);
        let count = room.filled().len();
        if read.is_pending() {
            self.release(buffers);
        }
        ready!(read)?;
        self.end += count;
        Poll::Ready(Ok(if count == 0 { Filled::Closed } else { Filled::Some }))
    }

    fn make_room(&mut self, buffers: &Buffers) {
        if self.bytes.is_empty() {
            self.bytes = buffers.take();
        } else if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                let larger = (self.bytes.len() * 2).max(SIZE);
                self.bytes.resize(larger, 0);
            }
        }
    }

    /// Makes the empty buffer larger after a read that filled it: the next one saves system calls.
    pub(super) fn grow_if_filled(&mut self) {
        if self.end == self.bytes.len() && self.bytes.len() < LARGE {
            self.bytes.resize(LARGE, 0);
        }
    }
}
