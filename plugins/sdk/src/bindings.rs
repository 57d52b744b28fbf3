//! The guest's side of `wit/v1`, generated in parts: what every plugin exports, and each hook. A component's
//! type is the union of the parts that it exports.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from the WIT, which documents it"
)]

pub mod plugin {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package windlass:sdk-plugin;
            world plugin-part {
                import windlass:hooks/host@1.0.0;
                export windlass:hooks/plugin@1.0.0;
            }
        ",
        pub_export_macro: true,
        default_bindings_module: "windlass_sdk::bindings::plugin",
        additional_derives: [PartialEq],
        generate_all,
    });
}

pub mod metadata {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package windlass:sdk-metadata;
            world metadata-part {
                export windlass:hooks/metadata@1.0.0;
            }
        ",
        pub_export_macro: true,
        default_bindings_module: "windlass_sdk::bindings::metadata",
        additional_derives: [PartialEq],
        generate_all,
        with: { "windlass:hooks/types@1.0.0": super::plugin::windlass::hooks::types },
    });
}

pub mod rights {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package windlass:sdk-rights;
            world rights-part {
                export windlass:hooks/rights@1.0.0;
            }
        ",
        pub_export_macro: true,
        default_bindings_module: "windlass_sdk::bindings::rights",
        additional_derives: [PartialEq],
        generate_all,
        with: { "windlass:hooks/types@1.0.0": super::plugin::windlass::hooks::types },
    });
}

pub mod localization {
    wit_bindgen::generate!({
        path: "../../wit/v1",
        inline: "
            package windlass:sdk-localization;
            world localization-part {
                export windlass:hooks/localization@1.0.0;
            }
        ",
        pub_export_macro: true,
        default_bindings_module: "windlass_sdk::bindings::localization",
        additional_derives: [PartialEq],
        generate_all,
        with: { "windlass:hooks/types@1.0.0": super::plugin::windlass::hooks::types },
    });
}
