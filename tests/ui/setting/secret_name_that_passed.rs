use backing_services::BackingServices;

type Text = String;

#[derive(BackingServices)]
struct Services {
    #[setting]
    pass_phrase: String,

    #[setting]
    key_pem: String,

    #[setting]
    slack_webhook: Option<String>,

    #[setting]
    celery_broker: String,

    #[setting]
    connection: Text,

    #[setting(env = "RECOVERY_CODE")]
    text: Text,
}

fn main() {}
