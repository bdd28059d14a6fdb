//! A reader that knows which bytes it must see.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use towpath_model::Digest;

use crate::oci::Descriptor;

/// Bytes that are not the ones their name promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bytes have the digest {found}, expected {expected}")]
pub struct DigestMismatch {
    /// What was asked for.
    pub expected: Digest,
    /// What the bytes are.
    pub found: Digest,
}

/// Reads bytes and compares them with a digest at their end.
///
/// Reading to the end of other bytes is an [`io::ErrorKind::InvalidData`] error that holds a
/// [`DigestMismatch`]. Whoever stops before the end has checked nothing.
pub struct VerifiedReader<R> {
    inner: R,
    expected: Digest,
    hasher: Sha256,
}

impl<R: Read> VerifiedReader<R> {
    /// Wraps `inner`, whose bytes must have the digest `expected`.
    pub fn new(inner: R, expected: Digest) -> Self {
        Self { inner, expected, hasher: Sha256::new() }
    }

    /// Reads what is left and checks the digest.
    ///
    /// # Errors
    /// Fails if reading fails or the bytes are other ones.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(|_| ())
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() {
            let found = Digest::from_raw(self.hasher.clone().finalize().into());
            if found != self.expected {
                let mismatch = DigestMismatch { expected: self.expected, found };
                return Err(io::Error::new(io::ErrorKind::InvalidData, mismatch));
            }
        }
        Ok(count)
    }
}

/// Names and measures the bytes that `reader` has left.
///
/// # Errors
/// Fails if reading fails.
pub fn describe(reader: &mut dyn Read) -> io::Result<Descriptor> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Descriptor { digest: Digest::from_raw(hasher.finalize().into()), size }),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_at_the_end_and_again_after_it() {
        let mut good = VerifiedReader::new(&b"towpath"[..], Digest::of(b"towpath"));
        let mut text = String::new();
        good.read_to_string(&mut text).unwrap();
        assert_eq!(text, "towpath");
        assert_eq!(good.read(&mut [0; 4]).unwrap(), 0);
    }

    #[test]
    fn refuses_other_shorter_and_longer_bytes() {
        for bytes in [&b"towpatH"[..], b"towpat", b"towpath!", b""] {
            let error = VerifiedReader::new(bytes, Digest::of(b"towpath")).drain().unwrap_err();
            let mismatch = error.get_ref().unwrap().downcast_ref::<DigestMismatch>().unwrap();
            assert_eq!(mismatch.found, Digest::of(bytes));
        }
    }
}
