//! What turns a type into a component's exports.

/// Turns a [`Plugin`](crate::Plugin) into the component's exports, with the hooks that are named: one or several of
/// `metadata`, `rights` and `localization`. Once per plugin, at the crate's root.
///
/// ```text
/// windlass_sdk::plugin!(MyPlugin: metadata, rights);
/// ```
#[macro_export]
macro_rules! plugin {
    ($plugin:ty: $($hook:ident),+ $(,)?) => {
        const _: () = {
            #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "not exported"))]
            struct Component;

            std::thread_local! {
                static CONFIGURED: std::cell::OnceCell<$plugin> = const { std::cell::OnceCell::new() };
            }

            fn configured<T>(answer: impl FnOnce(&$plugin, &$crate::ComponentHost) -> T) -> T {
                CONFIGURED.with(|cell| {
                    let plugin = cell.get().expect("the host configures an instance first");
                    answer(plugin, &$crate::ComponentHost)
                })
            }

            impl $crate::bindings::plugin::exports::windlass::hooks::plugin::Guest for Component {
                fn identify() -> $crate::Identity {
                    $crate::Identity {
                        name: <$plugin as $crate::Plugin>::NAME.to_owned(),
                        version: <$plugin as $crate::Plugin>::VERSION.to_owned(),
                        asks: <$plugin as $crate::Plugin>::ASKS.to_vec(),
                    }
                }

                fn configure(config: String, granted: Vec<$crate::Origin>) -> Result<(), String> {
                    $crate::report_panics();
                    let host = $crate::ComponentHost;
                    let plugin = <$plugin as $crate::Plugin>::configure(&config, &granted, &host)?;
                    CONFIGURED.with(|cell| {
                        cell.set(plugin).map_err(|_| "configured twice".to_owned())
                    })
                }
            }

            // Native linkers, which `cargo test` uses, do not take the names of a component's exports.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::plugin::export!(Component with_types_in $crate::bindings::plugin);

            $($crate::__hook!($hook, $plugin);)+
        };
    };
}

/// The exports of one hook, within [`plugin!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __hook {
    (metadata, $plugin:ty) => {
        impl $crate::bindings::metadata::exports::windlass::hooks::metadata::Guest for Component {
            fn describe(assets: Vec<$crate::AssetView>) -> Vec<$crate::Verdict> {
                configured(|plugin, host| {
                    let answer = |asset| $crate::MetadataHook::describe(plugin, asset, host);
                    assets.iter().map(answer).collect()
                })
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::metadata::export!(Component with_types_in $crate::bindings::metadata);
    };
    (rights, $plugin:ty) => {
        impl $crate::bindings::rights::exports::windlass::hooks::rights::Guest for Component {
            fn decide(releases: Vec<$crate::Release>) -> Vec<$crate::Ruling> {
                configured(|plugin, host| {
                    let answer = |release| $crate::RightsHook::decide(plugin, release, host);
                    releases.iter().map(answer).collect()
                })
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::rights::export!(Component with_types_in $crate::bindings::rights);
    };
    (localization, $plugin:ty) => {
        impl $crate::bindings::localization::exports::windlass::hooks::localization::Guest
            for Component
        {
            fn route(
                assets: Vec<$crate::AssetView>,
                markets: Vec<$crate::Market>,
            ) -> Vec<$crate::Routed> {
                configured(|plugin, host| {
                    let answer =
                        |asset| $crate::LocalizationHook::route(plugin, asset, &markets, host);
                    assets.iter().map(answer).collect()
                })
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::localization::export!(
            Component with_types_in $crate::bindings::localization
        );
    };
}
