//! What of a request may be logged or shown in a message.
//!
//! Headers are shown by a list of those known to be harmless; everything else reads `***`, so a new
//! credential header is hidden before anybody thinks of it. URLs lose their user, query and fragment:
//! upload and download addresses carry their permission there. Where the path itself may be the
//! permission, use [`origin`].

use std::fmt;

use http::HeaderMap;
use http::header::HeaderName;
use url::Url;

/// Headers whose values say nothing secret.
const HARMLESS: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-ranges",
    "cache-control",
    "connection",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "host",
    "if-none-match",
    "range",
    "retry-after",
    "server",
    "transfer-encoding",
    "user-agent",
    "x-server-response-time",
];

/// A URL without user, query and fragment: `https://host:8443/path?…`.
pub fn url(url: &Url) -> String {
    let mut text = format!("{}{}", origin(url), url.path());
    if url.query().is_some() {
        text.push_str("?…");
    }
    text
}

/// Scheme, host and port of a URL, for addresses whose path is itself a permission.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Headers as `Debug` may show them.
#[derive(Clone, Copy)]
pub struct SafeHeaders<'a>(pub &'a HeaderMap);

impl fmt::Debug for SafeHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &HeaderName, value: &http::HeaderValue| {
            // Every service has a request id of its own name; it is what its support asks for.
            let harmless =
                HARMLESS.contains(&name.as_str()) || name.as_str().ends_with("-request-id");
            if value.is_sensitive() || !harmless {
                return "***".to_owned();
            }
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        f.debug_map()
            .entries(
                self.0
                    .iter()
                    .map(|(name, value)| (name.as_str(), shown(name, value))),
            )
            .finish()
    }
}
