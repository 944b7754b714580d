//! The server that process tests start: the same `main` as `pinion`, built with the tests so that
//! `cargo test --workspace` never tests a stale binary.

fn main() -> std::process::ExitCode {
    pinion::main()
}
