//! The `pinion` binary.

fn main() -> std::process::ExitCode {
    pinion::main()
}
