//! The example configuration is right, and the messages of wrong ones name the key.

use std::collections::BTreeMap;

use folder_metadata::FolderMetadata;
use windlass_sdk::{Plugin, TestHost};

fn configure(text: &str) -> Result<FolderMetadata, String> {
    let config: toml::Table = toml::from_str(text).expect("the test's own TOML is right");
    let codes = BTreeMap::from([("ACME".to_owned(), "Acme".to_owned())]);
    let tables = BTreeMap::from([("clients".to_owned(), codes)]);
    let host = TestHost {
        tables,
        ..TestHost::default()
    };
    FolderMetadata::configure(
        &serde_json::to_string(&config).expect("TOML fits JSON"),
        FolderMetadata::ASKS,
        &host,
    )
}

#[test]
fn the_example_configuration_is_right() {
    let text = include_str!("../example.toml");
    configure(text).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_key() {
    let template = "templates = ['/{client}/**']\n";
    for (text, part) in [
        ("", "missing field `templates`"),
        ("templates = []", "key \"templates\": 1 to 64"),
        ("templates = ['/a', '/{']", "key \"templates\", no. 2"),
        (
            "templates = ['/a']\ntemplatez = 1",
            "unknown field `templatez`",
        ),
        ("templates = ['/a']\ncollection = 'a'", "key \"collection\""),
        (
            "templates = ['/a']\nname = '{client}'",
            "key \"name\": no template keeps {client}",
        ),
        (
            "[capture.brand]\ntable = 'brands'",
            "key \"capture.brand\": no template keeps {brand}",
        ),
        (
            "[capture.client]\ntable = 'brands'",
            "there is no table \"brands\", here or at the host",
        ),
        (
            "[capture.client]\ntable = 'clients'\ncolumn = 'x'",
            "no such column",
        ),
        (
            "[capture.client]\nnormalise = ['shout']",
            "unknown variant `shout`",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = '{x}'",
            "key \"field\", \"a\": no template keeps {x}",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = ['x']",
            "only keywords and references",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = 'x'\nlocale = 'de'",
            "\"locale\" belongs to",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = 'x'\ntype = 'localized-text'",
            "\"locale\" belongs to",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = 'x'\nseparator = ','",
            "\"separator\" belongs to",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = 'x'\ntype = 'date'\nformat = 'MM'",
            "has no YYYY",
        ),
        (
            "[[field]]\nfield = 'a'\nvalue = 'x'\n[[field]]\nfield = 'a'\nvalue = 'y'",
            "assigned twice",
        ),
        (
            "[asset_type.by_extension]\nA = ['jpg']\nB = ['.JPG']",
            "\"jpg\" is both A and B",
        ),
    ] {
        let text = if text.contains("[") && !text.contains("templates") {
            format!("{template}{text}")
        } else {
            text.to_owned()
        };
        let error = configure(&text).expect_err(&text);
        assert!(error.contains(part), "{text}\n{error}");
    }
}
