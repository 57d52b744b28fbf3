//! Write a Windlass plugin in Rust: implement [`MetadataHook`], name it in [`plugin!`], build it.
//!
//! The crate holds the generated bindings of `windlass:hooks@1.0.0`, re-exports its types under
//! their own names, and adds what a plugin would otherwise write again: state between `configure` and
//! `describe`, panics that reach the operator as a message, and a [`Host`] that tests can replace.
//!
//! ```
//! use windlass_sdk::{AssetView, Host, Mapping, MetadataHook, Value, Verdict};
//!
//! struct Extension;
//!
//! impl MetadataHook for Extension {
//!     const NAME: &'static str = "extension";
//!     const VERSION: &'static str = "1.0.0";
//!
//!     fn configure(_config: &str, _host: &dyn Host) -> Result<Self, String> {
//!         Ok(Extension)
//!     }
//!
//!     fn describe(&self, asset: &AssetView, _host: &dyn Host) -> Verdict {
//!         let extension = asset.path.rsplit('.').next().unwrap_or_default();
//!         let mut mapping = Mapping::default();
//!         mapping.assign("fileKind", Value::Text(extension.to_owned()), "the file's extension");
//!         Verdict::Ready(mapping)
//!     }
//! }
//!
//! windlass_sdk::plugin!(Extension);
//! # fn main() {}
//! ```

#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from the WIT, which documents it"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        world: "metadata-hook",
        pub_export_macro: true,
        default_bindings_module: "windlass_sdk::bindings",
        additional_derives: [PartialEq],
    });
}

mod host;

pub use bindings::exports::windlass::hooks::metadata::{Assigned, Mapping, Verdict};
pub use bindings::exports::windlass::hooks::plugin::Identity;
pub use bindings::windlass::hooks::host::{Level, LookupError};
pub use bindings::windlass::hooks::types::{AssetView, Date, Finding, Hold, Localized, Value};
#[doc(hidden)]
pub use host::ComponentHost;
pub use host::{Host, TestHost};

/// A plugin that maps assets to metadata.
pub trait MetadataHook: Sized + 'static {
    /// The plugin's short name in `kebab-case`.
    const NAME: &'static str;
    /// The plugin's own version, by semantic versioning.
    const VERSION: &'static str;

    /// Reads the operator's configuration, a JSON object (`{}` if there is none).
    ///
    /// Runs for every batch: keep it fast. An error is one sentence that names the offending key.
    fn configure(config: &str, host: &dyn Host) -> Result<Self, String>;

    /// Answers for one asset. Must depend on nothing but the asset, the configuration and `host`.
    fn describe(&self, asset: &AssetView, host: &dyn Host) -> Verdict;
}

impl Default for Mapping {
    /// A mapping that assigns nothing and leaves the flow's defaults.
    fn default() -> Self {
        Mapping {
            fields: Vec::new(),
            asset_type: None,
            collection: None,
            name: None,
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
        self.findings.push(Finding {
            subject: subject.into(),
            message: message.into(),
        });
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

/// Sends a panic's message to the host's log, from where it reaches the operator with the trap.
///
/// Without it a panic on this target is a bare `unreachable`. Called by [`plugin!`].
#[doc(hidden)]
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        bindings::windlass::hooks::host::log(Level::Error, &panic.to_string());
    }));
}

/// Turns a [`MetadataHook`] into the component's exports. Once per plugin, at the crate's root.
#[macro_export]
macro_rules! plugin {
    ($hook:ty) => {
        const _: () = {
            #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "not exported"))]
            struct Component;

            std::thread_local! {
                static CONFIGURED: std::cell::OnceCell<$hook> = const { std::cell::OnceCell::new() };
            }

            impl $crate::bindings::exports::windlass::hooks::plugin::Guest for Component {
                fn identify() -> $crate::Identity {
                    $crate::Identity {
                        name: <$hook as $crate::MetadataHook>::NAME.to_owned(),
                        version: <$hook as $crate::MetadataHook>::VERSION.to_owned(),
                    }
                }

                fn configure(config: String) -> Result<(), String> {
                    $crate::report_panics();
                    let host = $crate::ComponentHost;
                    let hook = <$hook as $crate::MetadataHook>::configure(&config, &host)?;
                    CONFIGURED.with(|cell| {
                        cell.set(hook).map_err(|_| "configured twice".to_owned())
                    })
                }
            }

            impl $crate::bindings::exports::windlass::hooks::metadata::Guest for Component {
                fn describe(assets: Vec<$crate::AssetView>) -> Vec<$crate::Verdict> {
                    let host = $crate::ComponentHost;
                    CONFIGURED.with(|cell| {
                        let hook = cell.get().expect("the host configures an instance first");
                        assets
                            .iter()
                            .map(|asset| $crate::MetadataHook::describe(hook, asset, &host))
                            .collect()
                    })
                }
            }

            // Native linkers, which `cargo test` uses, do not take the names of a component's exports.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}
