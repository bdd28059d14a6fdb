//! The bytes of a request: unpacked if need be, counted, never held whole.

use std::io::{self, Write as _};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures_util::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How much is given to the decoder at once. Gzip grows at most a thousandfold, so this bounds memory.
const PIECE: usize = 2048;

/// A request's body, chunk by chunk.
pub(super) struct RequestBytes {
    stream: BodyDataStream,
    decoder: Option<GzDecoder<Vec<u8>>>,
    waiting: Bytes,
    left: u64,
    ended: bool,
}

impl RequestBytes {
    /// Reads `body`, up to `limit` bytes after decoding.
    pub(super) fn new(body: Body, headers: &HeaderMap, limit: u64) -> Self {
        let gzip =
            headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip" || encoding == "x-gzip");
        Self {
            stream: body.into_data_stream(),
            decoder: gzip.then(|| GzDecoder::new(Vec::new())),
            waiting: Bytes::new(),
            left: limit,
            ended: false,
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let chunk = self.piece().await?;
            let Some(chunk) = chunk else { return Ok(None) };
            if chunk.is_empty() {
                continue;
            }
            self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(|| {
                io::Error::new(io::ErrorKind::FileTooLarge, "the request is larger than this server allows")
            })?;
            return Ok(Some(chunk));
        }
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        if self.waiting.is_empty() {
            match self.stream.next().await {
                Some(chunk) => self.waiting = chunk.map_err(io::Error::other)?,
                None => return self.finish().map(Some),
            }
        }
        let Some(decoder) = &mut self.decoder else { return Ok(Some(std::mem::take(&mut self.waiting))) };
        let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
        decoder.write_all(&piece)?;
        Ok(Some(std::mem::take(decoder.get_mut()).into()))
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        self.ended = true;
        self.decoder.take().map_or(Ok(Bytes::new()), |decoder| decoder.finish().map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: Vec<u8>, encoding: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        let mut body = RequestBytes::new(Body::from(bytes), &headers, limit);
        let mut all = Vec::new();
        while let Some(chunk) = body.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn unpacks_gzip_and_stops_a_bomb() {
        let plain = vec![7; 5 << 20];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&plain).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 10_000);
        assert_eq!(read(packed.clone(), "gzip", 5 << 20).await.unwrap(), plain);
        let refused = read(packed.clone(), "gzip", 1 << 20).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        assert!(read(packed[..packed.len() / 2].to_vec(), "gzip", 5 << 20).await.is_err(), "half was taken");
        assert_eq!(read(b"plain".to_vec(), "identity", 5).await.unwrap(), b"plain");
    }
}
