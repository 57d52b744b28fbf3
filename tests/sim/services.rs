//! Both emulated services as a story wants them, and the clients that speak to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;
use windlass_celum::{CelumEndpoint, CelumOptions, CelumProfile};
use windlass_core::{Result, Secret};
use windlass_dropbox::{Credential, DropboxEndpoint, DropboxOptions};
use windlass_http::{Jitter, Transport};
use windlass_sandbox::celum::{Celum, CelumOptions as TenantOptions, Profile};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as AccountOptions, LockModel, RateModel};
use windlass_sandbox::fault::{FaultProfile, Faults};

use crate::story::Story;
use crate::wire::{Trace, Wire};
use crate::world::WorldClock;

/// An account and a tenant with the story's faults, empty but for the tenant's set-up.
pub(crate) fn open(story: &Story, clock: WorldClock) -> (Arc<Dropbox>, Arc<Celum>) {
    let tenant = tenant(story, clock);
    (account(story, clock), tenant)
}

fn parse(text: &str) -> FaultProfile {
    text.parse().expect("a fault profile")
}

fn account(story: &Story, clock: WorldClock) -> Arc<Dropbox> {
    Dropbox::open(AccountOptions {
        seed: story.seed,
        faults: parse(&story.dropbox_faults),
        lock: story.locks.then(LockModel::default),
        append_batch: !story.old_dropbox,
        job_entries_min: story.job_entries_min,
        session_lifetime: Duration::from_secs(story.session_seconds),
        rate: story.ceiling.map(|calls_per_second| RateModel {
            calls_per_second,
            burst: calls_per_second,
            retry_after_max: 5,
            penalty: 20,
        }),
        clock: Arc::new(clock),
        ..AccountOptions::default()
    })
    .expect("an account")
}

fn tenant(story: &Story, clock: WorldClock) -> Arc<Celum> {
    let tenant = Celum::open(TenantOptions {
        seed: story.seed,
        faults: Faults::new(parse(&story.celum_faults), story.seed),
        profile: Profile {
            index_lag: story.index_lag,
            preview_delay: 0,
            range: true,
            ..Profile::default()
        },
        clock: Arc::new(clock),
        ..TenantOptions::default()
    })
    .expect("a tenant");
    tenant.seed_default_tenant().expect("its default set-up");
    tenant.set_transfer_base(url("celum-transfer"));
    tenant
}

/// The network to both.
pub(crate) fn wire(
    (account, tenant): (&Arc<Dropbox>, &Arc<Celum>),
    trace: &Trace,
    since: Instant,
) -> Arc<dyn Transport> {
    Arc::new(Wire {
        routers: vec![
            ("dropbox-api", account.router_api()),
            ("dropbox-content", account.router_content()),
            ("dropbox-notify", account.router_notify()),
            ("celum-api", tenant.router_api()),
            ("celum-transfer", tenant.router_transfer()),
        ],
        trace: Arc::clone(trace),
        since,
    })
}

pub(crate) async fn connect_dropbox(
    account: &Dropbox,
    wire: &Arc<dyn Transport>,
    seed: u64,
) -> Result<Arc<DropboxEndpoint>> {
    let credential = Credential::Refresh {
        app_key: account.app_key(),
        app_secret: Some(account.app_secret()),
        refresh_token: account.refresh_token(),
    };
    let options = DropboxOptions {
        api_url: url("dropbox-api"),
        content_url: url("dropbox-content"),
        notify_url: url("dropbox-notify"),
        jitter: Jitter::seeded(seed),
        stamps: true,
        ..DropboxOptions::new("studio", credential)
    };
    DropboxEndpoint::connect(Arc::clone(wire), options).await
}

pub(crate) async fn connect_celum(
    tenant: &Celum,
    index_lag: u64,
    wire: &Arc<dyn Transport>,
    seed: u64,
) -> Result<Arc<CelumEndpoint>> {
    let mut root = url("celum-api");
    root.set_path("/content-api/v1");
    let profile = CelumProfile {
        index_lag,
        range: true,
        correlation_field: Some("windlassCorrelation".to_owned()),
        ..CelumProfile::default()
    };
    let key = Secret::new(tenant.api_key().expose().to_owned());
    let options = CelumOptions {
        jitter: Jitter::seeded(seed),
        ..CelumOptions::new("dam", root, key, profile)
    };
    CelumEndpoint::connect(Arc::clone(wire), options).await
}

fn url(host: &str) -> Url {
    Url::parse(&format!("http://{host}/")).expect("a URL")
}
