//! The tenant: its capability sheet, what is known of it, and whether it can be used.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::OnceCell;
use windlass_core::{Capabilities, CheckItem, Endpoint, Error, Kind, Result, UploadOrder};
use windlass_http::Transport;

use crate::catalogue::Catalogue;
use crate::client::{Api, Got};
use crate::options::CelumOptions;
use crate::profile::{CelumProfile, Checksum, ChecksumRule};
use crate::resolve::NAME_UNITS_MAX;
use crate::tree::Tree;
use crate::vocabulary::Vocabularies;

/// The largest asset that calibration downloads.
const CALIBRATION_BYTES_MAX: u64 = 1 << 20;

/// A CELUM tenant as source and sink.
pub struct CelumEndpoint {
    name: String,
    capabilities: Capabilities,
    pub(crate) shared: Arc<Shared>,
}

/// What sessions need of the endpoint after it handed them out.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) profile: CelumProfile,
    pub(crate) tree: Tree,
    pub(crate) vocabularies: Vocabularies,
    catalogue: OnceCell<Catalogue>,
    original: OnceCell<i64>,
    me: OnceCell<i64>,
    calibrated: Mutex<Option<Checksum>>,
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
        let api = Api::new(transport, &options)?;
        let calibrated = match options.profile.checksum {
            ChecksumRule::Known(checksum) => Some(checksum),
            ChecksumRule::Uncalibrated => None,
        };
        let endpoint = CelumEndpoint {
            capabilities: capabilities(&options.profile),
            name: options.name,
            shared: Arc::new(Shared {
                api,
                profile: options.profile,
                tree: Tree::default(),
                vocabularies: Vocabularies::default(),
                catalogue: OnceCell::new(),
                original: OnceCell::new(),
                me: OnceCell::new(),
                calibrated: Mutex::new(calibrated),
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
        if let Some(known) = self.shared.checksum() {
            return Ok(Some(known));
        }
        let page = self
            .shared
            .api
            .search(&crate::filter::Filter::IdRange { from: 1 })
            .await?;
        let small = page.content.iter().find(|asset| {
            let version = &asset.current_version;
            version.file_checksum.is_some()
                && (1..=CALIBRATION_BYTES_MAX).contains(&version.filesize)
        });
        let Some(asset) = small else { return Ok(None) };
        let original = self.shared.original().await?;
        let Some(url) = self
            .shared
            .api
            .download_url(asset.id, original, None)
            .await?
        else {
            return Ok(None);
        };
        let Ok(mut response) = self.shared.api.download(url, None).await? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(piece) = response.body.next().await {
            let piece = piece.map_err(|error| {
                Error::new(Kind::Unavailable, "a download broke off").with_source(error)
            })?;
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > CALIBRATION_BYTES_MAX {
                return Ok(None);
            }
        }
        let stated = asset
            .current_version
            .file_checksum
            .as_deref()
            .unwrap_or_default();
        self.shared.learn(&bytes, stated);
        Ok(self.shared.checksum())
    }
}

impl Shared {
    pub(crate) async fn catalogue(&self) -> Result<&Catalogue> {
        self.catalogue
            .get_or_try_init(|| Catalogue::load(&self.api))
            .await
    }

    /// The id of the download format that gives the original.
    pub(crate) async fn original(&self) -> Result<i64> {
        let find = || async {
            let formats = self.api.download_formats().await?;
            // Every installation seen so far has the original under 1.
            Ok(formats
                .iter()
                .find(|format| format.original == Some(true))
                .map_or(1, |f| f.id))
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

    /// How the tenant computes checksums, where known.
    pub(crate) fn checksum(&self) -> Option<Checksum> {
        *self
            .calibrated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns it from bytes that are known and what the tenant stated of them.
    pub(crate) fn learn(&self, bytes: &[u8], stated: &str) {
        if bytes.is_empty() {
            return;
        }
        if let Some(found) = Checksum::recognise(bytes, stated) {
            tracing::info!(?found, "the tenant's checksum is known now");
            *self
                .calibrated
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(found);
        }
    }
}

fn capabilities(profile: &CelumProfile) -> Capabilities {
    Capabilities {
        // Without ranges a read streams the whole and keeps its part: right, only slower.
        range_reads: true,
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

    async fn check(&self) -> Result<Vec<CheckItem>> {
        let shared = &self.shared;
        let mut items = Vec::new();
        let mut tell = |subject: &str, ok: bool, finding: String, hint: Option<&str>| {
            let hint = hint.filter(|_| !ok).map(str::to_owned);
            items.push(CheckItem {
                subject: subject.to_owned(),
                finding,
                ok,
                hint,
            });
        };
        match shared.api.version().await? {
            Got::Value(version) => {
                let known = version.release_version.or(version.version);
                let text = known.unwrap_or_else(|| "of an unknown release".to_owned());
                tell("release", true, format!("the tenant runs {text}"), None);
            }
            Got::Refused(_) => tell(
                "release",
                false,
                "the tenant has no Content API at this root".to_owned(),
                Some("api_root ends with /content-api/v1; releases before about 6.19 lack it"),
            ),
        }
        let user = shared.api.me().await?.or_refused("asking who we are")?;
        let name = user.username.unwrap_or_else(|| user.id.to_string());
        tell("credential", true, format!("it acts as {name}"), None);
        let catalogue = shared.catalogue().await?;
        let types: Vec<&str> = catalogue.type_names().collect();
        tell(
            "asset types",
            !types.is_empty(),
            format!("it sees {}: {}", types.len(), types.join(", ")),
            Some("give the API user's role access to the asset types that the flows use"),
        );
        tell(
            "collections",
            catalogue.has_upload_type(),
            match catalogue.has_upload_type() {
                true => "there are collections that take uploads".to_owned(),
                false => "no collection type is permission-defining".to_owned(),
            },
            Some("uploads need a permission-defining collection"),
        );
        match &shared.profile.correlation_field {
            None => tell(
                "correlation field",
                true,
                "none is configured: a lost answer is settled by file name, size and creator"
                    .to_owned(),
                None,
            ),
            Some(field) => tell(
                "correlation field",
                catalogue.type_with(field).is_some(),
                match catalogue.type_with(field) {
                    Some(_) => format!("{field} is there"),
                    None => format!("no asset type has a field {field:?}"),
                },
                Some(
                    "add a text field of that name to the asset types, or correct correlation_field",
                ),
            ),
        }
        let checksum = self.calibrate().await?;
        tell(
            "checksum",
            true,
            match checksum {
                Some(checksum) => format!("the tenant states {:?}", checksum.algorithm),
                None => "not known yet: it is learned from the first small upload".to_owned(),
            },
            None,
        );
        Ok(items)
    }
}
