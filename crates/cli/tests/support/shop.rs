//! The service of these tests: how it is built, described, and asked.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::World;

/// A pipeline file that nothing comes of: the first push makes the working copy.
pub const NOTHING: &str = "name: shop\njobs: { nothing: { executor: host, steps: ['true'] } }\n";

/// Builds a program of one file.
pub fn compile(world: &World, source: &str, to: &Path) {
    let file = world.path("shop.rs");
    std::fs::write(&file, source).unwrap();
    let rustc = Command::new("rustc")
        .args(["--edition=2024", "-Cdebuginfo=0", "-Cstrip=symbols", "-O", "-o"])
        .args([to, &file])
        .status();
    assert!(rustc.unwrap().success());
}

/// The document of the Environment `edge`, in which the newest of `main` runs.
pub fn document(listen: &str, target: &str) -> String {
    format!(
        "environment: edge\nproject: shop\ntarget: {{ {target} }}\nlisten: {listen}\n\
         allow: {{ refs: [refs/heads/main] }}\n"
    )
}

/// A pipeline file that takes `files` as they are pushed to the Environment `edge`.
pub fn pipeline(files: &str, workload: &str, stage: &str) -> String {
    format!(
        "\
name: shop
on:
  push: {{ branches: [main] }}
jobs:
  build:
    executor: host
    steps: [{{ run: 'test -x shop' }}]
    artifacts: {{ shop: {{ files: [{files}] }} }}
workloads:
  shop: {{ artifact: shop, {workload} }}
stages:
  - {{ name: edge, environments: [edge], {stage} }}
"
    )
}

/// What a service answered.
pub struct Answer {
    /// `200`.
    pub status: String,
    /// All of it.
    pub body: Vec<u8>,
}

/// One request: a GET, or a POST where there is a body.
pub fn request(address: impl ToSocketAddrs, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let method = if body.is_empty() { "GET" } else { "POST" };
    let head = format!(
        "{method} / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
    let body = answer.split_off(end.map_or(answer.len(), |end| end + 4));
    let head = super::text(&answer);
    Ok(Answer { status: head.split(' ').nth(1).unwrap_or("none").to_owned(), body })
}
