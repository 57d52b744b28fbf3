use proptest::prelude::*;
use windlass_core::{AssetId, classify_noise, fold_key, preflight_name};

use crate::*;

fn unique(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(AssetId, String)> = files
        .iter()
        .map(|(id, name)| (AssetId::new(*id), (*name).to_owned()))
        .collect();
    unique_names(&files)
}

#[test]
fn the_smallest_id_keeps_the_name_and_the_others_are_numbered() {
    let names = unique(&[
        ("10", "Hero.jpg"),
        ("9", "hero.JPG"),
        ("11", "HERO.jpg"),
        ("1", "other.jpg"),
    ]);
    assert_eq!(
        names,
        ["Hero (2).jpg", "hero.JPG", "HERO (3).jpg", "other.jpg"]
    );
}

#[test]
fn a_number_that_is_somebody_s_name_is_passed_over() {
    let names = unique(&[
        ("1", "a.jpg"),
        ("2", "a.jpg"),
        ("3", "A (2).jpg"),
        ("4", "README"),
    ]);
    assert_eq!(names, ["a.jpg", "a (3).jpg", "A (2).jpg", "README"]);
}

#[test]
fn normal_forms_are_one_name() {
    assert_eq!(
        unique(&[("1", "u\u{308}ber.jpg"), ("2", "über.jpg")]),
        ["über.jpg", "über (2).jpg"]
    );
}

#[test]
fn names_that_something_refuses_are_repaired() {
    for (name, becomes) in [
        ("a.jpg", "a.jpg"),
        ("Größe ❤.jpg", "Größe ❤.jpg"),
        ("a/b\\c:d*e?f\"g<h>i|j.jpg", "a_b_c_d_e_f_g_h_i_j.jpg"),
        ("tab\there\n.jpg", "tab_here_.jpg"),
        ("dots... ", "dots"),
        (" ..", "unnamed"),
        ("", "unnamed"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1.jpg", "_com1.jpg"),
        ("command.jpg", "command.jpg"),
        (".DS_Store", "_.DS_Store"),
        ("~$plan.docx", "_~$plan.docx"),
        ("film.part", "_film.part_"),
    ] {
        assert_eq!(repaired(name), becomes, "{name:?}");
    }
    let long = format!("{}.jpg", "ü".repeat(200));
    let short = repaired(&long);
    assert!(
        short.len() <= NAME_BYTES_MAX && short.ends_with("ü.jpg"),
        "{short}"
    );
}

proptest! {
    #[test]
    fn names_are_good_unique_and_the_same_in_any_order(
        names in prop::collection::vec("(a|A|é|e\u{301}|\\.|/| |\\(2\\)|con|[\u{0}-\u{ff}]|.){0,4}(\\.jpg|\\.part)?", 0..12),
        turn: prop::sample::Index,
    ) {
        let files: Vec<(AssetId, String)> =
            names.iter().enumerate().map(|(id, name)| (AssetId::new(id.to_string()), name.clone())).collect();
        let unique = unique_names(&files);
        let keys: std::collections::BTreeSet<String> = unique.iter().map(|name| fold_key(name)).collect();
        prop_assert_eq!(keys.len(), files.len());
        for name in &unique {
            prop_assert!(preflight_name(name, 255).is_ok(), "{name:?}");
            prop_assert!(check_path(&original_path(name)).is_ok(), "{name:?}");
            prop_assert!(name.len() <= NAME_BYTES_MAX && classify_noise(name).is_none(), "{name:?}");
            prop_assert_eq!(&repaired(name), name);
        }
        if !files.is_empty() {
            let at = turn.index(files.len());
            let (mut turned, mut wanted) = (files, unique);
            turned.rotate_left(at);
            wanted.rotate_left(at);
            prop_assert_eq!(unique_names(&turned), wanted);
        }
    }
}
