use backing_services::service::Parameter;

const _: &[Parameter] =
    &[Parameter::number("most_lines", 1, 1000), Parameter::number("connect_timeout", 1, 60)];

fn main() {}
