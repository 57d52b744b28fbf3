//! Write a Windlass plugin in Rust: implement [`Plugin`] and a hook, name both in [`plugin!`], build.
//!
//! | hook | trait | in `plugin!` |
//! |---|---|---|
//! | what an asset becomes | [`MetadataHook`] | `metadata` |
//! | whether an asset may leave | [`RightsHook`] | `rights` |
//! | where an asset is to appear | [`LocalizationHook`] | `localization` |
//!
//! The crate holds the generated bindings of `windlass:hooks@1.0.0`, re-exports its types under
//! their own names, and adds what a plugin would otherwise write again: state between `configure` and the
//! hook, panics that reach the operator as a message, and a [`Host`] that tests can replace.
//!
//! ```
//! use windlass_sdk::{AssetView, Host, Mapping, MetadataHook, Origin, Plugin, Value, Verdict};
//!
//! struct Extension;
//!
//! impl Plugin for Extension {
//!     const NAME: &'static str = "extension";
//!     const VERSION: &'static str = "1.0.0";
//!
//!     fn configure(_config: &str, _granted: &[Origin], _host: &dyn Host) -> Result<Self, String> {
//!         Ok(Extension)
//!     }
//! }
//!
//! impl MetadataHook for Extension {
//!     fn describe(&self, asset: &AssetView, _host: &dyn Host) -> Verdict {
//!         let extension = asset.path.rsplit('.').next().unwrap_or_default();
//!         let mut mapping = Mapping::default();
//!         mapping.assign("fileKind", Value::Text(extension.to_owned()), "the file's extension");
//!         Verdict::Ready(mapping)
//!     }
//! }
//!
//! windlass_sdk::plugin!(Extension: metadata);
//! # fn main() {}
//! ```

#[doc(hidden)]
pub mod bindings;
mod host;
mod macros;

pub use bindings::localization::exports::windlass::hooks::localization::{
    Market, Placement, Routed, Routing,
};
pub use bindings::metadata::exports::windlass::hooks::metadata::{
    Assigned, Availability, Mapping, Span, Verdict,
};
pub use bindings::plugin::exports::windlass::hooks::plugin::Identity;
pub use bindings::plugin::windlass::hooks::host::{Level, LookupError};
pub use bindings::plugin::windlass::hooks::types::{
    AssetView, Date, Finding, Hold, Instant, Localized, Origin, Statement, Value,
};
pub use bindings::rights::exports::windlass::hooks::rights::{Decision, Release, Ruling};
#[doc(hidden)]
pub use host::{ComponentHost, report_panics};
pub use host::{Host, TestHost};

/// What every plugin is.
pub trait Plugin: Sized + 'static {
    /// The plugin's short name in `kebab-case`.
    const NAME: &'static str;
    /// The plugin's own version, by semantic versioning.
    const VERSION: &'static str;
    /// Whose statements about assets it can use.
    const ASKS: &'static [Origin] = &[];

    /// Reads the operator's configuration, a JSON object (`{}` if there is none). `granted` is what of
    /// [`Plugin::ASKS`] the operator grants.
    ///
    /// Runs for every batch: keep it fast. An error is one sentence that names the offending key.
    fn configure(config: &str, granted: &[Origin], host: &dyn Host) -> Result<Self, String>;
}

/// A plugin that maps assets to metadata.
pub trait MetadataHook: Plugin {
    /// Answers for one asset. Must depend on nothing but the asset, the configuration and `host`.
    fn describe(&self, asset: &AssetView, host: &dyn Host) -> Verdict;
}

/// A plugin that decides whether assets may leave.
///
/// ```
/// use windlass_sdk::{Host, Origin, Plugin, Release, RightsHook, Ruling};
///
/// struct OwnMarketOnly;
///
/// impl Plugin for OwnMarketOnly {
///     const NAME: &'static str = "own-market-only";
///     const VERSION: &'static str = "1.0.0";
///
///     fn configure(_config: &str, _granted: &[Origin], _host: &dyn Host) -> Result<Self, String> {
///         Ok(OwnMarketOnly)
///     }
/// }
///
/// impl RightsHook for OwnMarketOnly {
///     fn decide(&self, release: &Release, _host: &dyn Host) -> Ruling {
///         let rule = "the folder of a market";
///         match release.market.as_deref() {
///             Some(market) if release.asset.path.starts_with(&format!("/{market}/")) => {
///                 Ruling::allow(format!("made for {market}"), rule)
///             }
///             Some(market) => Ruling::deny(format!("not made for {market}"), rule),
///             None => Ruling::hold("no market is named", rule),
///         }
///     }
/// }
///
/// windlass_sdk::plugin!(OwnMarketOnly: rights);
/// # fn main() {}
/// ```
pub trait RightsHook: Plugin {
    /// Answers for one release. Hold what is not known: only an `allow` lets an asset leave.
    fn decide(&self, release: &Release, host: &dyn Host) -> Ruling;
}

/// A plugin that routes assets to markets.
///
/// ```
/// use windlass_sdk::{
///     AssetView, Host, LocalizationHook, Market, Origin, Placement, Plugin, Routed, Routing,
/// };
///
/// struct Everywhere;
///
/// impl Plugin for Everywhere {
///     const NAME: &'static str = "everywhere";
///     const VERSION: &'static str = "1.0.0";
///
///     fn configure(_config: &str, _granted: &[Origin], _host: &dyn Host) -> Result<Self, String> {
///         Ok(Everywhere)
///     }
/// }
///
/// impl LocalizationHook for Everywhere {
///     fn route(&self, asset: &AssetView, markets: &[Market], _host: &dyn Host) -> Routed {
///         let name = asset.path.rsplit('/').next().unwrap_or_default();
///         let mut routing = Routing::default();
///         for market in markets {
///             for language in &market.languages {
///                 for channel in &market.channels {
///                     routing.placements.push(Placement {
///                         market: market.code.clone(),
///                         language: language.clone(),
///                         channel: channel.clone(),
///                         folder: format!("/{}/{channel}", market.code),
///                         file_name: name.to_owned(),
///                         rendition: None,
///                         piece: asset.path.clone(),
///                         fallback: 0,
///                         rule: "everything everywhere".to_owned(),
///                     });
///                 }
///             }
///         }
///         Routed::Ready(routing)
///     }
/// }
///
/// windlass_sdk::plugin!(Everywhere: localization);
/// # fn main() {}
/// ```
pub trait LocalizationHook: Plugin {
    /// Says where one asset is to appear, stand-ins for other languages included.
    fn route(&self, asset: &AssetView, markets: &[Market], host: &dyn Host) -> Routed;
}

impl AssetView {
    /// The file's name.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What an origin states of a property.
    pub fn stated(&self, origin: Origin, name: &str) -> Option<&Value> {
        let statements = self.statements.iter();
        let mut named = statements.filter(|stated| stated.origin == origin && stated.name == name);
        named.next().map(|stated| &stated.value)
    }
}

impl Default for Mapping {
    /// A mapping that assigns nothing and leaves the flow's defaults.
    fn default() -> Self {
        Mapping {
            fields: Vec::new(),
            asset_type: None,
            collection: None,
            name: None,
            availability: None,
            findings: Vec::new(),
        }
    }
}

impl Mapping {
    /// Assigns a field. The host refuses a field that is assigned twice.
    pub fn assign(&mut self, field: impl Into<String>, value: Value, rule: impl Into<String>) {
        self.fields.push(Assigned {
            field: field.into(),
            value,
            rule: rule.into(),
        });
    }

    /// Adds a remark that does not stop the asset.
    pub fn remark(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(finding(subject, message));
    }
}

impl Verdict {
    /// Makes the asset wait for a person.
    pub fn held(reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Verdict::Hold(Hold {
            reason: reason.into(),
            rule: rule.into(),
        })
    }
}

impl Ruling {
    /// It may leave.
    pub fn allow(reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Ruling::new(Decision::Allow, reason, rule)
    }

    /// A person must settle something first.
    pub fn hold(reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Ruling::new(Decision::Hold, reason, rule)
    }

    /// It may not leave.
    pub fn deny(reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Ruling::new(Decision::Deny, reason, rule)
    }

    fn new(decision: Decision, reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Ruling {
            decision,
            until: None,
            reason: reason.into(),
            rule: rule.into(),
            findings: Vec::new(),
        }
    }

    /// The same, until a moment.
    #[must_use]
    pub fn until(mut self, moment: Option<Instant>) -> Self {
        self.until = moment;
        self
    }

    /// Adds a remark.
    pub fn remark(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(finding(subject, message));
    }
}

impl Default for Routing {
    /// Nowhere.
    fn default() -> Self {
        Routing {
            placements: Vec::new(),
            findings: Vec::new(),
        }
    }
}

impl Routing {
    /// Adds a remark.
    pub fn remark(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(finding(subject, message));
    }
}

impl Routed {
    /// Makes the asset wait for a person.
    pub fn held(reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Routed::Hold(Hold {
            reason: reason.into(),
            rule: rule.into(),
        })
    }
}

fn finding(subject: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding {
        subject: subject.into(),
        message: message.into(),
    }
}
