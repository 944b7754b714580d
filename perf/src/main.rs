//! `pinion-perf`: the load generator and the side-by-side harness. The work is in the library.

fn main() -> std::process::ExitCode {
    pinion_perf::cli::run(std::env::args_os().skip(1).collect())
}
