//! Large bodies in both directions, in bounded memory.

#![expect(clippy::unwrap_used, reason = "what goes wrong in a helper fails the test")]

use crate::support::{World, arm, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SIZE: usize = 100 * 1024 * 1024;

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_hundred_megabytes_pass_both_ways_without_being_kept() {
    let world = World::start().await;
    let echo = listen(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let mut left = SIZE;
        while left > 0 {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            // Slower than the client at first: what it may not have yet must wait in the client.
            if left == SIZE {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
            stream.get_mut().write_all(&buffer[..count]).await.unwrap();
            left -= count;
        }
    })
    .await;
    world.route(vec![arm("v1", 1000, &[echo])]).await;
    let before = peak();
    let stream = world.client().await.0.into_inner();
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        let block: Vec<u8> = (0..64 * 1024).map(|index| (index % 251) as u8).collect();
        for _ in 0..SIZE / block.len() {
            writer.write_all(&block).await.unwrap();
        }
        writer
    });
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(reader.read_u8().await.unwrap());
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0usize;
    while received < SIZE {
        let count = reader.read(&mut buffer).await.unwrap();
        assert!(count > 0, "ended after {received}");
        for (offset, byte) in buffer[..count].iter().enumerate() {
            assert_eq!(
                usize::from(*byte),
                (received + offset) % (64 * 1024) % 251,
                "byte {}",
                received + offset
            );
        }
        received += count;
    }
    drop(sending.await.unwrap());
    let grown = peak() - before;
    assert!(grown < 40 * 1024 * 1024, "{grown} bytes of memory for a transfer");
}
