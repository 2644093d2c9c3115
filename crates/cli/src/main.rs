//! The program `clpctl`. Everything is in the library beside it.

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os(), std::env::vars_os())
}
