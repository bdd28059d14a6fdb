//! File descriptors over a unix socket (`SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// How many travel in one message; the kernel takes 253.
const BATCH: usize = 64;

/// Sends all of `descriptors`, each batch with one byte that carries it.
pub(super) async fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH) {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(batch));
            let sent =
                rustix::net::sendmsg(stream, &[IoSlice::new(b"+")], &mut control, SendFlags::NOSIGNAL)?;
            Ok(sent)
        };
        stream.async_io(Interest::WRITABLE, send).await?;
    }
    Ok(())
}

/// Receives exactly `count` descriptors.
pub(super) async fn receive(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    while received.len() < count {
        let receive = || {
            let mut byte = [0u8];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let message =
                rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
            let mut batch = Vec::new();
            for ancillary in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = ancillary {
                    batch.extend(descriptors);
                }
            }
            Ok((message.bytes, batch))
        };
        let (bytes, batch) = stream.async_io(Interest::READABLE, receive).await?;
        if bytes == 0 || batch.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend(batch);
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn descriptors_arrive_in_order() {
        let (left, right) = UnixStream::pair().unwrap();
        let files: Vec<File> = (0..130u8)
            .map(|number| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[number]).unwrap();
                file.rewind().unwrap();
                file
            })
            .collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        send(&left, &borrowed).await.unwrap();
        for (number, descriptor) in receive(&right, files.len()).await.unwrap().into_iter().enumerate() {
            let mut content = Vec::new();
            File::from(descriptor).read_to_end(&mut content).unwrap();
            assert_eq!(content, [number as u8]);
        }
        drop(left);
        assert!(receive(&right, 1).await.is_err(), "the other side is gone");
    }
}
