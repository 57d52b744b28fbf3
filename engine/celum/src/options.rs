//! What an endpoint is told when it is made.

use std::collections::BTreeSet;

use url::Url;
use windlass_core::Secret;
use windlass_http::Jitter;

use crate::profile::CelumProfile;

/// How to reach a tenant. Start from [`CelumOptions::new`] and change fields.
#[derive(Clone, Debug)]
pub struct CelumOptions {
    /// The endpoint's name in the configuration.
    pub name: String,
    /// The root of the Content API, such as `https://tenant.celum.cloud/content-api/v1`. Opaque.
    pub api_root: Url,
    /// Who we are.
    pub credential: Credential,
    /// How this tenant differs.
    pub profile: CelumProfile,
    /// Values that people decided to be new entries of the tenant's vocabularies: field and folded value. They are
    /// created whether or not the profile lets others be.
    pub accepted: BTreeSet<(String, String)>,
    /// The key of the kind of use that external references beside assets say; an administrator of the tenant sets it up.
    pub usage_description: String,
    /// The key of who writes them; the same.
    pub usage_provider: String,
    /// How often one call is sent at most when sends fail.
    pub tries: u32,
    /// Where the randomness of backoffs comes from.
    pub jitter: Jitter,
}

/// Who we are to a tenant.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The API key of a dedicated user.
    ApiKey(Secret),
    /// A user and its password.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl CelumOptions {
    /// A tenant reached with an API key.
    pub fn new(name: &str, api_root: Url, api_key: Secret, profile: CelumProfile) -> Self {
        CelumOptions {
            name: name.to_owned(),
            api_root,
            credential: Credential::ApiKey(api_key),
            profile,
            accepted: BTreeSet::new(),
            usage_description: "mirror".to_owned(),
            usage_provider: "windlass".to_owned(),
            tries: 5,
            jitter: Jitter::random(),
        }
    }
}
