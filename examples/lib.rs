//! The examples of `backing-services` are programs: `cargo run --example quickstart`.
