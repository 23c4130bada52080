//! The shop's services, for its operators:
//! `cargo run -p shop --features cli --bin shop-services -- attach`.

fn main() -> std::process::ExitCode {
    backing_services::cli::run::<shop::Services>()
}
