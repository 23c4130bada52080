//! Fetches a resource's credentials before it is connected to.

use std::sync::Arc;

use crate::net::progress::{self, Step};
use crate::report::refusal::Refusal;
use crate::service::erased::{Connected, ServiceEntry};
use crate::service::target::Target;

/// Fetches the credentials, where something does, and connects. Gives the target that was connected to as well, with those credentials.
pub(crate) async fn fetch_and_connect(
    service: &'static ServiceEntry,
    target: Arc<Target>,
) -> Result<(Arc<Target>, Connected), Refusal> {
    watch::at(Step::Fetching);
    let (target, findings) = credentials::fetched(service, target).await?;
    let connected = (service.connect)(Arc::clone(&target)).await?;
    Ok((target, connected.with_findings(findings)))
}
