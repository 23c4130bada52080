//! The command line of a kiosk. Under another program name, that of a till, of a stand, or of a
//! kennel.

use backing_services::cli::run;
use backing_services_cli_tests::{Kennel, Services, Stand, Till};

fn main() -> std::process::ExitCode {
    match std::env::args_os().next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("till-services") => run::<Till>(),
        Some("stand-services") => run::<Stand>(),
        Some("kennel-services") => run::<Kennel>(),
        _ => run::<Services>(),
    }
}
