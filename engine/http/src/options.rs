//! What a client is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use url::Url;
use windlass_core::{Clock, SystemClock};

use crate::governor::Governor;
use crate::retry::Jitter;

/// How a [`Client`](crate::Client) behaves. Start from [`ClientOptions::new`] and change fields.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// What messages call the far side: the endpoint's name.
    pub name: String,
    /// Where the credentials belong. A request to any other scheme, host or port goes out without
    /// them. Paths are ignored.
    pub origins: Vec<Url>,
    /// How many requests of the client's own lane are under way at once at most, counted until their bodies
    /// end; at least 1. See [`LaneOptions`](crate::LaneOptions) for how it gets there.
    pub concurrency: usize,
    /// How often one call is sent at most when sends fail; at least 1. Waits that the far side asked
    /// for do not count.
    pub tries: u32,
    /// The ceiling of the first backoff; later ceilings double.
    pub backoff_base: Duration,
    /// The highest ceiling of a backoff.
    pub backoff_max: Duration,
    /// How long one call waits in all because the far side asked it to, before it gives up as
    /// `Kind::Limited`. Sustained overuse has drawn single waits of 300 s.
    pub patience: Duration,
    /// How many bytes of a refusal's body are kept; the rest is dropped.
    pub refusal_bytes_max: usize,
    /// The response header that names a request for the vendor's support.
    pub request_id_header: Option<HeaderName>,
    /// Where the randomness of backoffs comes from.
    pub jitter: Jitter,
    /// The time of day, to which a `Retry-After` date is compared.
    pub clock: Arc<dyn Clock>,
    /// What holds the account's calls to what it bears, shared by all clients of the account. Without one,
    /// the client makes its own.
    pub governor: Option<Governor>,
}

impl ClientOptions {
    /// Options that fit an ordinary service whose credentials belong to one origin.
    pub fn new(name: impl Into<String>, origin: Url) -> Self {
        ClientOptions {
            name: name.into(),
            origins: vec![origin],
            concurrency: 8,
            tries: 5,
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            patience: Duration::from_secs(30 * 60),
            refusal_bytes_max: 256 << 10,
            request_id_header: None,
            jitter: Jitter::random(),
            clock: Arc::new(SystemClock),
            governor: None,
        }
    }
}
