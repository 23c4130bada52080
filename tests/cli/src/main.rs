//! The command line of a kiosk.

fn main() -> std::process::ExitCode {
    backing_services::cli::run::<backing_services_cli_tests::Services>()
}
