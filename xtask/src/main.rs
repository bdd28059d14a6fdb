//! Chores of the repository: `ci`, `tidy`, `bench`, `crash`.

mod bench;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench", rest @ ..] => bench::run(rest),
        _ => anyhow::bail!("usage: cargo xtask bench gateway [--binary FILE] [--seconds N] [--rounds N]"),
    }
}
