//! The two backends that all proxies are measured in front of: one thread, the cheapest honest answer.

use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The hidden word that starts it as a process of its own.
pub(crate) const WORD: &str = "gateway-backends";

/// Prints the two addresses in one line, then answers until it is killed.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (one, two) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        println!("{} {}", one.local_addr()?, two.local_addr()?);
        std::io::stdout().flush()?;
        tokio::try_join!(serve(one), serve(two))?;
        Ok(())
    })
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer(stream));
    }
}

/// Answers each request head; the benchmark sends no bodies.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let body = [b'x'; 128];
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend_from_slice(&body);
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        while let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            stream.write_all(&response).await?;
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
        }
    }
}
