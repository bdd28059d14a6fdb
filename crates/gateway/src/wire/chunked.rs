//! Follows a chunked body to its end without changing it.
//!
//! Stricter than RFC 9112 where leniency was used for request smuggling: lines end in CR LF, a bare CR or LF is
//! an error also in extensions and trailers, sizes have at most 15 digits.

/// The most bytes of one chunk extension or of all trailers together.
const MAX_EXTRA: u32 = 8 * 1024;

/// Where in a chunked body the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SizeFirst,
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerFirst,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    Done,
}

/// A body whose chunks are not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed")]
pub struct BadChunk;

/// Recognises the end of one chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanner {
    state: State,
    /// The bytes of the current chunk that are still to come.
    left: u64,
    digits: u8,
    extra: u32,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::SizeFirst, left: 0, digits: 0, extra: 0 }
    }
}

impl Scanner {
    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes as many of `bytes` as belong to the body and says how many those are.
    ///
    /// # Errors
    /// [`BadChunk`] at the first byte that cannot be part of a chunked body.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let there = (bytes.len() - at) as u64;
                let step = self.left.min(there);
                self.left -= step;
                at += step as usize;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        match (self.state, byte) {
            (State::SizeFirst | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (State::Size, b';' | b' ' | b'\t') => Ok(State::Extension),
            (State::Size | State::Extension, b'\r') => Ok(State::SizeLineFeed),
            (State::Extension, b'\t' | 0x20..=0x7e | 0x80..) => self.count(State::Extension),
            (State::SizeLineFeed, b'\n') => Ok(self.begin_chunk()),
            (State::DataReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::SizeFirst),
            (State::TrailerFirst, b'\r') => Ok(State::LastLineFeed),
            (State::TrailerFirst, 0x21..=0x7e) => self.count(State::Trailer),
            (State::Trailer, b'\t' | 0x20..=0x7e | 0x80..) => self.count(State::Trailer),
            (State::Trailer, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerFirst),
            (State::LastLineFeed, b'\n') => Ok(State::Done),
            _ => Err(BadChunk),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, BadChunk> {
        if self.digits == 15 {
            return Err(BadChunk);
        }
        let value = (byte as char).to_digit(16).ok_or(BadChunk)?;
        self.left = self.left * 16 + u64::from(value);
        self.digits += 1;
        Ok(State::Size)
    }

    fn begin_chunk(&mut self) -> State {
        self.digits = 0;
        self.extra = 0;
        if self.left == 0 { State::TrailerFirst } else { State::Data }
    }

    fn count(&mut self, next: State) -> Result<State, BadChunk> {
        self.extra += 1;
        if self.extra > MAX_EXTRA { Err(BadChunk) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `body` in pieces of `step` bytes; says where the body ended, if it did.
    fn scan(body: &[u8], step: usize) -> Result<Option<usize>, BadChunk> {
        let mut scanner = Scanner::default();
        let mut taken = 0;
        for piece in body.chunks(step) {
            let now = scanner.take(piece)?;
            taken += now;
            if scanner.is_done() {
                return Ok(Some(taken));
            }
            assert_eq!(now, piece.len(), "an unfinished body takes everything");
        }
        Ok(None)
    }

    #[test]
    fn finds_the_end_whatever_the_pieces() {
        let body = b"5;ext=\"a b\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET / next";
        let end = body.len() - "GET / next".len();
        for step in 1..body.len() {
            assert_eq!(scan(body, step), Ok(Some(end)), "in pieces of {step}");
        }
        assert_eq!(scan(b"3\r\nab", 1), Ok(None));
    }

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        let bad: [&[u8]; 12] = [
            b"\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\nhello",
            b"5\nhello",
            b"5;a\nb\r\nhello",
            b"5\rhello",
            b"5\r\nhelloX",
            b"5\r\nhello\n0\r\n\r\n",
            b"0\r\nX: a\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"1000000000000000\r\n",
        ];
        for body in bad {
            assert_eq!(scan(body, 1), Err(BadChunk), "{:?}", String::from_utf8_lossy(body));
        }
        let endless = [b"1;".as_slice(), &vec![b'x'; 9000]].concat();
        assert_eq!(scan(&endless, 4096), Err(BadChunk), "an endless extension");
    }
}
