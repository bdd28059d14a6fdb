//! Chores of the repository: `ci`, `tidy`, `bench`, `crash`.

fn main() {}
