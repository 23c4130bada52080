use backing_services::{
    Attachment, Attempt, BackingServices, Postgres, Posture, Refusal, Resource, Scheme, Service,
    Target,
};

struct Gophers;

impl Service for Gophers {
    type Client = ();
    type Guard = backing_services::ClientGuard<Self>;
    const NAME: &'static str = "Gopher";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("gophers").with_port(7070)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }

    async fn health(_: &()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(_: &()) {}
}

#[derive(BackingServices)]
struct Services {
    #[service(needs = "holes")]
    den: Resource<Gophers>,

    #[service(needs = "")]
    orders: Resource<Postgres>,
}

fn main() {}
