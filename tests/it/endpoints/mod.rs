//! The conformance suite, run on every endpoint there is and on every way that a tenant may differ.

mod suite;

use std::any::Any;
use std::sync::Arc;

use windlass_celum::{CelumProfile, ChecksumRule, UploadMode};
use windlass_core::memory::MemoryEndpoint;
use windlass_core::{AssetPath, Capabilities, Endpoint, Reuse, Sink, Source, UploadOrder};
use windlass_local::{LocalEndpoint, LocalOptions};
use windlass_sandbox::celum::{self, Profile};
use windlass_sandbox::{Sandbox, SandboxOptions};

use crate::support::{self, faults, sandbox_options, tenant_profile};
use suite::Subject;

/// Every kind of trouble that leaves the caller in doubt or makes him wait.
const DOUBT: &str = "p=0.03,do=reset-after;p=0.01,do=truncate;p=0.01,do=429:0";

fn subject<E: Source + Sink + 'static>(
    endpoint: Arc<E>,
    collection: &str,
    keep: impl Any,
) -> Subject {
    Subject {
        source: Arc::<E>::clone(&endpoint),
        sink: endpoint,
        collection: AssetPath::new(collection),
        asset_type: None,
        _keep: Box::new(keep),
    }
}

#[tokio::test]
async fn memory_keeps_every_promise() {
    let endpoint = Arc::new(MemoryEndpoint::new("memory"));
    endpoint.create_folder("/Suite").unwrap();
    suite::run(&subject(endpoint, "/Suite", ())).await;
}

#[tokio::test]
async fn memory_that_copies_or_links_keeps_every_promise() {
    for reuse in [Reuse::Copy, Reuse::Link] {
        let sheet = Capabilities {
            digests_in_place: true,
            reuse: Some(reuse),
            ..MemoryEndpoint::new("rich").capabilities().clone()
        };
        let endpoint = Arc::new(MemoryEndpoint::with_capabilities("memory", sheet));
        endpoint.create_folder("/Suite").unwrap();
        suite::run(&subject(endpoint, "/Suite", ())).await;
    }
}

#[tokio::test]
async fn memory_with_a_poor_sheet_keeps_every_promise() {
    let rich = MemoryEndpoint::new("rich").capabilities().clone();
    let poor = Capabilities {
        lists_content_hash: false,
        states_content_hash: false,
        tags: false,
        metadata: false,
        upload_order: UploadOrder::InOrder,
        chunk_multiple: 4 << 20,
        ..rich
    };
    let endpoint = Arc::new(MemoryEndpoint::with_capabilities("poor", poor));
    endpoint.create_folder("/Suite").unwrap();
    suite::run(&subject(endpoint, "/Suite", ())).await;
}

#[tokio::test]
async fn a_local_folder_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("Suite")).unwrap();
    let options = LocalOptions {
        name: "nas".to_owned(),
        root: folder.path().to_owned(),
        exclusive: false,
    };
    let endpoint = Arc::new(LocalEndpoint::open(options).unwrap());
    suite::run(&subject(endpoint, "/Suite", folder)).await;
}

async fn run_on_dropbox(dropbox_faults: &str) {
    let options = SandboxOptions {
        dropbox_faults: faults(dropbox_faults),
        ..sandbox_options(11)
    };
    let sandbox = support::start(options).await;
    sandbox.dropbox().put_folder("/Suite").unwrap();
    let endpoint = support::dropbox(&sandbox).await;
    let in_flight = Arc::clone(&endpoint);
    let service = Arc::clone(sandbox.dropbox());
    suite::run(&subject(endpoint, "/Suite", sandbox)).await;
    assert_eq!(in_flight.in_flight(), 0);
    if !dropbox_faults.is_empty() {
        let fired: u64 = service.faults_fired().iter().sum();
        assert!(fired > 3, "the network was too good: {fired} faults");
    }
}

#[tokio::test]
async fn dropbox_keeps_every_promise() {
    run_on_dropbox("").await;
}

#[tokio::test]
async fn dropbox_keeps_every_promise_while_it_is_often_unavailable() {
    run_on_dropbox("p=0.05,do=503").await;
}

#[tokio::test]
async fn dropbox_keeps_every_promise_while_answers_are_lost() {
    run_on_dropbox(DOUBT).await;
}

#[tokio::test]
async fn dropbox_keeps_every_promise_while_contents_are_damaged_and_bodies_break_off() {
    let damaged = "route=files/upload*,every=5,do=corrupt;\
                   route=files/upload_session/append*,every=4,do=service:partial;\
                   every=9,do=503-after";
    run_on_dropbox(damaged).await;
}

#[tokio::test]
async fn dropbox_keeps_every_promise_while_its_cursors_and_pages_are_odd() {
    let odd = "route=files/list_folder*,every=3,do=service:empty-page;\
               route=files/list_folder*,every=2,do=service:reversed-page;\
               every=7,do=unknown-member";
    run_on_dropbox(odd).await;
}

/// A tenant as the sandbox plays it and as the client is told it is.
struct Tenant {
    sandbox: Profile,
    client: CelumProfile,
    faults: &'static str,
}

impl Tenant {
    fn new() -> Self {
        Tenant {
            sandbox: sandbox_options(0).celum_profile,
            client: tenant_profile(),
            faults: "",
        }
    }

    async fn run(self) -> Sandbox {
        let options = SandboxOptions {
            celum_profile: self.sandbox,
            celum_faults: faults(self.faults),
            ..sandbox_options(12)
        };
        let sandbox = support::start(options).await;
        let endpoint = support::celum(&sandbox, self.client).await;
        let sandbox = Arc::new(sandbox);
        // Below a tolerant root: the suite's drafts have no fields.
        let subject = subject(endpoint, "/Drop Zone/Suite", Arc::clone(&sandbox));
        suite::run(&subject).await;
        assert_eq!(sandbox.celum().leaked_credentials(), 0);
        if !self.faults.is_empty() {
            let fired: u64 = sandbox.celum().faults().fired().iter().sum();
            assert!(fired > 3, "the network was too good: {fired} faults");
        }
        drop(subject);
        Arc::into_inner(sandbox).unwrap()
    }
}

#[tokio::test]
async fn celum_keeps_every_promise() {
    let sandbox = Tenant::new().run().await;
    let calls = sandbox.celum().counters();
    // A ticket is asked for when bytes come, and what was given up is not committed.
    assert!(calls["POST /assets"].calls > 40, "{calls:?}");
}

#[tokio::test]
async fn celum_without_ranges_keeps_every_promise() {
    let mut tenant = Tenant::new();
    tenant.sandbox.range = false;
    tenant.client.range = false;
    tenant.run().await;
}

#[tokio::test]
async fn celum_that_ignores_ranges_keeps_every_promise() {
    let mut tenant = Tenant::new();
    tenant.sandbox.range = false;
    tenant.run().await;
}

#[tokio::test]
async fn celum_that_takes_only_forms_keeps_every_promise() {
    let mut tenant = Tenant::new();
    tenant.sandbox.upload_mode = celum::UploadMode::PostMultipart;
    tenant.client.upload_mode = UploadMode::PostMultipart;
    tenant.run().await;
}

#[tokio::test]
async fn celum_that_takes_puts_and_answers_otherwise_keeps_every_promise() {
    let mut tenant = Tenant::new();
    tenant.sandbox = Profile {
        upload_mode: celum::UploadMode::Put,
        missing_status: 404,
        empty_status: 200,
        auto_activate: false,
        api_key_prefix: Some("Bearer".to_owned()),
        date_precision: celum::DatePrecision::Seconds,
        ..tenant.sandbox
    };
    tenant.client = CelumProfile {
        upload_mode: UploadMode::Put,
        auto_activate: false,
        api_key_prefix: Some("Bearer".to_owned()),
        ..tenant.client
    };
    tenant.run().await;
}

/// Both spell a rule the same way in a profile file.
fn checksum(toml: &str) -> (celum::Checksum, ChecksumRule) {
    let sandbox = Profile::from_toml(toml).unwrap();
    let client = CelumProfile::parse(toml).unwrap();
    (sandbox.checksum, client.checksum)
}

#[tokio::test]
async fn celum_with_any_known_checksum_keeps_every_promise() {
    for (algorithm, encoding) in [("sha1", "hex-upper"), ("sha512", "base64")] {
        let toml = format!("checksum = {{ algorithm = {algorithm:?}, encoding = {encoding:?} }}");
        let mut tenant = Tenant::new();
        (tenant.sandbox.checksum, tenant.client.checksum) = checksum(&toml);
        tenant.run().await;
    }
}

#[tokio::test]
async fn celum_whose_checksum_is_found_out_or_not_stated_keeps_every_promise() {
    for toml in [
        r#"checksum = { algorithm = "sha256", encoding = "base64" }"#,
        r#"checksum = "none""#,
    ] {
        let mut tenant = Tenant::new();
        tenant.sandbox.checksum = Profile::from_toml(toml).unwrap().checksum;
        tenant.client.checksum = ChecksumRule::Uncalibrated;
        tenant.run().await;
    }
}

#[tokio::test]
async fn celum_keeps_every_promise_while_it_is_often_unavailable() {
    let mut tenant = Tenant::new();
    tenant.faults = "p=0.05,do=503";
    tenant.run().await;
}

#[tokio::test]
async fn celum_keeps_every_promise_while_answers_are_lost() {
    let mut tenant = Tenant::new();
    tenant.faults = DOUBT;
    tenant.run().await;
}

#[tokio::test]
async fn celum_that_takes_only_forms_keeps_every_promise_while_answers_are_lost() {
    let mut tenant = Tenant::new();
    tenant.sandbox.upload_mode = celum::UploadMode::PostMultipart;
    tenant.client.upload_mode = UploadMode::PostMultipart;
    tenant.faults = DOUBT;
    tenant.run().await;
}
