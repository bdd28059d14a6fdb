//! Takes apart what an engine sends of a container's outputs: frames of standard output and standard error.

use crate::executor::Stream;

/// Bytes before each frame: the stream, three zeros, the length.
const HEADER: usize = 8;

/// The frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    stream: Option<Stream>,
    left: usize,
}

impl Frames {
    /// Takes bytes as they were read and gives on what the frames hold.
    pub(super) fn push(&mut self, mut bytes: &[u8], take: &mut impl FnMut(Stream, &[u8])) {
        while !bytes.is_empty() {
            if let Some(stream) = self.stream.filter(|_| self.left > 0) {
                let count = self.left.min(bytes.len());
                take(stream, &bytes[..count]);
                self.left -= count;
                bytes = &bytes[count..];
                continue;
            }
            let count = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if let [stream, _, _, _, a, b, c, d] = *self.header.as_slice() {
                self.stream = Some(if stream == 2 { Stream::Stderr } else { Stream::Stdout });
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.header.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_frames_however_they_are_cut() {
        let bytes =
            b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x03bad\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01!";
        for size in 1..bytes.len() {
            let (mut frames, mut out, mut err) = (Frames::default(), Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.push(piece, &mut |stream, bytes| match stream {
                    Stream::Stderr => err.extend_from_slice(bytes),
                    Stream::Stdout | Stream::Towpath => out.extend_from_slice(bytes),
                });
            }
            assert_eq!((out.as_slice(), err.as_slice()), (&b"hello!"[..], &b"bad"[..]), "pieces of {size}");
        }
    }
}
