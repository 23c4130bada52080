//! The command line of a kiosk. Under another program name, that of a till, of a stand, or of a
//! kennel.

use backing_services::cli::{Containers, run, run_with};
use backing_services::{Environment, Service as _};
use backing_services_cli_tests::{Hound, Kennel, Services, Stand, Till, hound};

fn main() -> std::process::ExitCode {
    match std::env::args_os().next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("till-services") => run::<Till>(),
        Some("stand-services") => run::<Stand>(),
        Some("kennel-services") => {
            let containers = Containers::new().with_container(Hound::NAME, hound);
            run_with::<Kennel>(&Environment::process(), &containers)
        }
        _ => run::<Services>(),
    }
}
