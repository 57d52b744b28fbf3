//! The tenant: its capability sheet, what is known of it, and whether it can be used.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use windlass_core::{
    Capabilities, CheckItem, Endpoint, Error, HeldBack, Result, Reuse, Stamp, Status, Together,
    UploadOrder,
};
use windlass_http::{CountedTransport, Transport};

use crate::attempts::Attempts;
use crate::calibration::Calibration;
use crate::catalogue::Catalogue;
use crate::client::{Api, Got};
use crate::options::CelumOptions;
use crate::profile::{CelumProfile, Checksum};
use crate::references::Names;
use crate::relations::RelationTypes;
use crate::renditions::Formats;
use crate::resolve::NAME_UNITS_MAX;
use crate::tree::Tree;
use crate::vocabulary::Vocabularies;
use crate::wire::FieldKind;

/// Contents up to this size take longer in calls than in bytes: about what a good line moves in one round trip.
const SMALL_BYTES_MAX: u64 = 4 << 20;

/// A correlation mark is this long.
const MARK_UNITS: usize = 32;

/// A CELUM tenant as source and sink.
pub struct CelumEndpoint {
    name: String,
    capabilities: Capabilities,
    transport: CountedTransport,
    pub(crate) shared: Arc<Shared>,
}

/// What sessions need of the endpoint after it handed them out.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) profile: CelumProfile,
    /// Values that are to become new entries.
    pub(crate) accepted: BTreeSet<(String, String)>,
    pub(crate) tree: Tree,
    pub(crate) vocabularies: Vocabularies,
    pub(crate) calibration: Calibration,
    pub(crate) attempts: Attempts,
    /// Whoever loads it holds it, so that it is loaded once.
    catalogue: Mutex<Option<Loaded>>,
    pub(crate) names: Names,
    pub(crate) formats: Formats,
    pub(crate) relation_types: RelationTypes,
    /// The keys of external references: what kind of use, and who says so.
    pub(crate) usage_keys: (String, String),
    original: OnceCell<i64>,
    me: OnceCell<i64>,
}

struct Loaded {
    catalogue: Arc<Catalogue>,
    at: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl fmt::Debug for CelumEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CelumEndpoint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl CelumEndpoint {
    /// Connects, and asks once who we are. Errors: `Unauthenticated` for a wrong key, `Unavailable`.
    pub async fn connect(
        transport: Arc<dyn Transport>,
        options: CelumOptions,
    ) -> Result<Arc<Self>> {
        let transport = CountedTransport::new(transport);
        let api = Api::new(Arc::new(transport.clone()), &options)?;
        let endpoint = CelumEndpoint {
            transport,
            capabilities: capabilities(&options.profile),
            name: options.name,
            shared: Arc::new(Shared {
                api,
                calibration: Calibration::new(options.profile.checksum),
                attempts: Attempts::default(),
                vocabularies: Vocabularies::new(Duration::from_secs(options.profile.index_lag)),
                profile: options.profile,
                accepted: options.accepted,
                tree: Tree::default(),
                catalogue: Mutex::default(),
                names: Names::default(),
                formats: Formats::default(),
                relation_types: RelationTypes::default(),
                usage_keys: (options.usage_description, options.usage_provider),
                original: OnceCell::new(),
                me: OnceCell::new(),
            }),
        };
        endpoint
            .shared
            .me()
            .await
            .map_err(|error| error.with_context("endpoint", &endpoint.name))?;
        Ok(Arc::new(endpoint))
    }

    /// Finds out how the tenant computes checksums, from one small asset whose original is downloaded
    /// and compared; `None` while there is none to learn from.
    pub async fn calibrate(&self) -> Result<Option<Checksum>> {
        self.shared.calibrate().await
    }

    /// Forgets what is known of types, fields, vocabularies and collections; all is read again when it
    /// is needed next.
    pub async fn refresh(&self) {
        self.shared.refresh().await;
    }
}

impl Shared {
    /// The tenant's types and fields; read once.
    pub(crate) async fn catalogue(&self) -> Result<Arc<Catalogue>> {
        let mut slot = self.catalogue.lock().await;
        if let Some(loaded) = &*slot {
            return Ok(Arc::clone(&loaded.catalogue));
        }
        let catalogue = Arc::new(Catalogue::load(&self.api).await?);
        *slot = Some(Loaded {
            catalogue: Arc::clone(&catalogue),
            at: Instant::now(),
        });
        Ok(catalogue)
    }

    pub(crate) async fn refresh(&self) {
        *self.catalogue.lock().await = None;
        self.vocabularies.forget().await;
        self.tree.forget().await;
        self.names.forget().await;
        self.formats.forget().await;
    }

    /// Whether types and fields were read longer ago than this.
    pub(crate) async fn is_older_than(&self, age: Duration) -> bool {
        let slot = self.catalogue.lock().await;
        slot.as_ref()
            .is_some_and(|loaded| loaded.at.elapsed() >= age)
    }

    /// The id of the download format that gives the original.
    pub(crate) async fn original(&self) -> Result<i64> {
        let find = || async {
            // Every installation seen so far has the original under 1.
            Ok::<_, Error>(self.stated_original().await?.unwrap_or(1))
        };
        self.original.get_or_try_init(find).await.copied()
    }

    /// The id of the user that we act as.
    pub(crate) async fn me(&self) -> Result<i64> {
        let ask = || async {
            let user = self.api.me().await?.or_refused("asking who we are")?;
            Ok::<_, Error>(user.id)
        };
        self.me.get_or_try_init(ask).await.copied()
    }

    /// The format that the tenant itself calls the original.
    async fn stated_original(&self) -> Result<Option<i64>> {
        let formats = self.api.download_formats().await?;
        let original = formats.iter().find(|format| format.original == Some(true));
        Ok(original.map(|format| format.id))
    }

    /// Whether the configured correlation field can carry a mark; `None` where none is configured.
    async fn correlation_item(&self) -> Result<(bool, String)> {
        let Some(name) = &self.profile.correlation_field else {
            let text =
                "none is configured: a lost answer is settled by reading the newest assets back";
            return Ok((true, text.to_owned()));
        };
        let catalogue = self.catalogue().await?;
        let found = catalogue.fields_of(name);
        // Types may each have one of their own: the one that takes least decides.
        let poorest = found.into_iter().min_by_key(|field| {
            (
                field.kind == FieldKind::Text,
                field.max_length.unwrap_or(usize::MAX),
            )
        });
        Ok(match poorest {
            None => (false, format!("no asset type has a field {name:?}")),
            Some(field) if field.kind != FieldKind::Text => {
                (false, format!("the field {name:?} is not a text field"))
            }
            Some(field) if field.max_length.is_some_and(|max| max < MARK_UNITS) => (
                false,
                format!("the field {name:?} is shorter than {MARK_UNITS} characters"),
            ),
            Some(field)
                if field.validation_pattern.is_some()
                    || field.max_length.is_some_and(|max| max < Stamp::UNITS) =>
            {
                (
                    true,
                    format!(
                        "{name} is there, but not for any {} characters: a lost ledger can be made again from it only by reading files",
                        Stamp::UNITS
                    ),
                )
            }
            Some(_) => (true, format!("{name} is there")),
        })
    }
}

fn capabilities(profile: &CelumProfile) -> Capabilities {
    Capabilities {
        range_reads: profile.range,
        lists_content_hash: false,
        tags: false,
        metadata: true,
        upload_order: UploadOrder::InOrder,
        chunk_multiple: 1,
        chunk_bytes_max: 1 << 30,
        asset_bytes_max: profile.max_bytes,
        name_units_max: NAME_UNITS_MAX,
        folds_names: false,
        states_content_hash: false,
        wants_chunk_hash: false,
        // An upload is one request; what resumes is the reading at the other side.
        resumes: false,
        // They share no requests: each small asset is three calls one after the other, of which at any
        // moment one is under way. So many at once keep every place of both lanes taken; what is more
        // waits here for its turn and never reaches the tenant.
        together: Some(Together {
            bytes_max: SMALL_BYTES_MAX,
            at_once: profile.api_calls + profile.transfers,
        }),
        digests_in_place: false,
        reuse: Some(Reuse::Link),
        rings: false,
    }
}

#[async_trait]
impl Endpoint for CelumEndpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn calls_made(&self) -> u64 {
        self.transport.sent()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        let shared = &self.shared;
        let release = shared.release_item().await?;
        let user = shared.api.me().await?.or_refused("asking who we are")?;
        let name = user.username.unwrap_or_else(|| user.id.to_string());
        let (ok, finding) = shared.correlation_item().await?;
        let correlation = item(
            "correlation field",
            ok,
            finding,
            "add a text field of at least 32 characters with that name to the asset types, or \
             correct correlationField",
        );
        let [types, collections] = shared.catalogue_items().await?;
        Ok(vec![
            release,
            item("credential", true, format!("it acts as {name}"), ""),
            types,
            collections,
            correlation,
            shared.original_item().await?,
            shared.checksum_item().await?,
        ])
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.shared.api.held_back()
    }
}

impl Shared {
    async fn release_item(&self) -> Result<CheckItem> {
        Ok(match self.api.version().await? {
            Got::Value(version) => {
                let known = version.release_version.or(version.version);
                let text = known.unwrap_or_else(|| "an unknown release".to_owned());
                item("release", true, format!("the tenant runs {text}"), "")
            }
            Got::Refused(_) => item(
                "release",
                false,
                "the tenant has no Content API at this root".to_owned(),
                "api_root ends with /content-api/v1; releases before about 6.19 lack it",
            ),
        })
    }

    async fn catalogue_items(&self) -> Result<[CheckItem; 2]> {
        let catalogue = self.catalogue().await?;
        let types: Vec<&str> = catalogue.type_names().collect();
        let takes_uploads = catalogue.has_upload_type();
        let finding = match takes_uploads {
            true => "there are collections that take uploads",
            false => "no collection type is permission-defining",
        };
        Ok([
            item(
                "asset types",
                !types.is_empty(),
                format!("it sees {}: {}", types.len(), types.join(", ")),
                "give the API user's role access to the asset types that the flows use",
            ),
            item(
                "collections",
                takes_uploads,
                finding.to_owned(),
                "uploads need a permission-defining collection",
            ),
        ])
    }

    async fn original_item(&self) -> Result<CheckItem> {
        let original = self.stated_original().await?;
        Ok(item(
            "download format",
            original.is_some(),
            match original {
                Some(id) => format!("originals are format {id}"),
                None => "no download format is said to be the original; 1 is tried".to_owned(),
            },
            "give the API user's role the download format of the original",
        ))
    }

    async fn checksum_item(&self) -> Result<CheckItem> {
        let (ok, finding) = match self.calibrate().await {
            Ok(Some(checksum)) => {
                let Checksum {
                    algorithm,
                    encoding,
                } = checksum;
                (
                    true,
                    format!("the tenant states {algorithm:?} as {encoding:?}"),
                )
            }
            Ok(None) => {
                let text = "not known yet: it is learned from the first small upload";
                (true, text.to_owned())
            }
            Err(error) if error.status() == Status::Permanent => (
                false,
                format!("it cannot be found out: {}", error.message()),
            ),
            Err(error) => return Err(error),
        };
        Ok(item(
            "checksum",
            ok,
            finding,
            "set checksum in the tenant's profile, or let the API user search and download assets; \
             until then only sizes are compared",
        ))
    }
}

/// One finding; the hint is for when it is not as it must be.
fn item(subject: &str, ok: bool, finding: String, hint: &str) -> CheckItem {
    CheckItem {
        subject: subject.to_owned(),
        finding,
        ok,
        hint: (!ok).then(|| hint.to_owned()),
    }
}
