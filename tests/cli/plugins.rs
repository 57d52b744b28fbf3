//! What an author of plugins does: build, test, bless.

use std::fs;
use std::path::Path;

use crate::bad_input::run_on;
use crate::plans::folders;
use crate::program::{Finished, Served, finish, windlass};

/// Runs the binary with a cache of its own, as one user's calls share it.
fn run(dir: &Path, args: &[&str]) -> Finished {
    finish(
        windlass(dir)
            .args(args)
            .env("XDG_CACHE_HOME", dir.join("cache")),
    )
}

fn folder_metadata() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/folder-metadata");
    folder.to_str().unwrap().to_owned()
}

/// The folder in which this repository's plugins are built: projects that are built there, too, share the standard
/// library and the crates that they have in common.
fn shared_target() -> String {
    format!("{}/../target", folder_metadata())
}

/// Starts a project, builds it, and answers its component and its cases.
fn started(dir: &Path, name: &str, language: &str, hook: &str, more: &[&str]) -> [String; 2] {
    let new = ["plugin", "new", name, "--lang", language, "--hook", hook];
    run(dir, &new).expect(0);
    let build = [&["plugin", "build", name, "--json"], more].concat();
    let built = run(dir, &build).expect(0);
    let component = built.records("component")[0]["file"]
        .as_str()
        .unwrap()
        .to_owned();
    [component, format!("{name}/cases")]
}

fn its_cases_hold(dir: &Path, [component, cases]: &[String; 2]) {
    let test = ["plugin", "test", component, "--cases", cases, "--json"];
    let tested = run(dir, &test).expect(0);
    assert!(tested.records("tested")[0]["hold"].as_u64() >= Some(4));
    let check = ["plugin", "check", component, "--cases", cases];
    let checked = run(dir, &check).expect(0);
    assert!(!checked.stdout.contains("BAD"), "{}", checked.stdout);
}

#[test]
fn a_javascript_project_of_each_hook_builds_at_once_and_its_cases_hold() {
    let dir = tempfile::tempdir().unwrap();
    for hook in ["metadata", "rights", "localization"] {
        let built = started(dir.path(), &format!("my-{hook}"), "js", hook, &[]);
        its_cases_hold(dir.path(), &built);
    }
    // Where it failed is said, as for a panic in Rust.
    let code = dir.path().join("my-metadata/plugin.js");
    let text = fs::read_to_string(&code).unwrap();
    let failing = text.replace(
        "function describe(asset) {",
        "function describe(asset) {\n  none();",
    );
    fs::write(&code, failing).unwrap();
    let failed = run(dir.path(), &["plugin", "test", "my-metadata"]).expect(1);
    for part in [
        "the plugin failed: ReferenceError: none",
        "at describe (/plugin.js:",
    ] {
        assert!(failed.stdout.contains(part), "{part}\n{}", failed.stdout);
    }
    // Nothing is built twice.
    let again = run(dir.path(), &["plugin", "build", "my-metadata"]).expect(0);
    assert!(!again.stderr.contains("building"), "{}", again.stderr);
    // What does not become a component says where it went wrong.
    fs::write(
        dir.path().join("my-metadata/plugin.js"),
        "export const = 1;",
    )
    .unwrap();
    let broken = run(dir.path(), &["plugin", "build", "my-metadata"]).expect(2);
    assert!(broken.stderr.contains("plugin.js:1:"), "{}", broken.stderr);
}

#[test]
fn a_rust_project_of_each_hook_builds_at_once_and_its_cases_hold() {
    let dir = tempfile::tempdir().unwrap();
    let target = shared_target();
    for hook in ["metadata", "rights", "localization"] {
        let name = format!("started-{hook}");
        let built = started(dir.path(), &name, "rust", hook, &["--target-dir", &target]);
        its_cases_hold(dir.path(), &built);
    }
}

#[test]
fn a_python_project_builds_at_once_and_its_cases_hold() {
    let dir = tempfile::tempdir().unwrap();
    let built = started(dir.path(), "my-mapping", "python", "metadata", &[]);
    its_cases_hold(dir.path(), &built);
}

/// Compiling CPython three times takes minutes; the metadata project is in every run.
#[test]
#[ignore = "minutes: cargo test -p windlass-cli --test cli -- --ignored python"]
fn a_python_project_of_each_further_hook_builds_at_once_and_its_cases_hold() {
    let dir = tempfile::tempdir().unwrap();
    for hook in ["rights", "localization"] {
        let built = started(dir.path(), &format!("my-{hook}"), "python", hook, &[]);
        its_cases_hold(dir.path(), &built);
    }
}

#[test]
fn a_foreign_import_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("foreign.wasm");
    let text = r#"(component
        (import "wasi:clocks/wall-clock@0.2.3" (instance))
        (instance $plugin)
        (export "windlass:hooks/plugin@1.0.0" (instance $plugin)))"#;
    fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let checked = run(dir.path(), &["plugin", "check", "foreign.wasm"]).expect(1);
    for part in [
        "it imports wasi:clocks/wall-clock@0.2.3, which no plugin is given",
        "build it without WASI",
        "exports no hook",
        "there are no cases",
    ] {
        assert!(checked.stdout.contains(part), "{part}\n{}", checked.stdout);
    }
}

#[test]
fn a_plugin_is_installed_with_its_digest_and_refused_once_its_file_changed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let plugin = folder_metadata();
    let install = ["plugin", "install", &plugin, "--name", "mapping"];
    let without_config = run(dir, &install).expect(2);
    assert!(
        without_config.stderr.contains("--config"),
        "{}",
        without_config.stderr
    );

    // It refuses its configuration: nothing is changed.
    folders(
        dir,
        "plugin = \"mapping\"\n[plugin.mapping]\nfile = \"old.wasm\" # ours",
    );
    let before = fs::read_to_string(dir.join("windlass.toml")).unwrap();
    let refused = run(dir, &install).expect(2);
    assert!(
        refused.stderr.contains("missing field `templates`"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        fs::read_to_string(dir.join("windlass.toml")).unwrap(),
        before
    );
    assert_eq!(fs::read_dir(dir.join("plugins")).unwrap().count(), 0);
    for name in ["", "../x", "a/b"] {
        let elsewhere = run(dir, &["plugin", "install", &plugin, "--name", name]).expect(2);
        assert!(
            elsewhere.stderr.contains("is no name of a plugin"),
            "{}",
            elsewhere.stderr
        );
    }

    let config = "[plugin.mapping.config] # rules\ntemplates = ['/**']\n";
    fs::write(dir.join("windlass.toml"), format!("{before}\n{config}")).unwrap();
    let installed = run(dir, &install).expect(0);
    assert!(installed.stdout.contains("digest "), "{}", installed.stdout);
    let after = fs::read_to_string(dir.join("windlass.toml")).unwrap();
    assert!(
        after.contains("# ours") && after.contains("# rules"),
        "{after}"
    );
    run(dir, &["plan", "move"]).expect(0);
    // The same again is the same.
    run(dir, &install).expect(0);
    assert_eq!(
        fs::read_to_string(dir.join("windlass.toml")).unwrap(),
        after
    );

    let kept = fs::read_dir(dir.join("plugins"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&kept).unwrap();
    bytes.push(0);
    fs::write(&kept, bytes).unwrap();
    let tampered = run(dir, &["plan", "move"]).expect(2);
    assert!(
        tampered.stderr.contains("not the one that was pinned"),
        "{}",
        tampered.stderr
    );
}

#[test]
fn a_shadow_counts_what_another_configuration_would_change_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let plugin = folder_metadata();
    let of_flow = format!(
        "plugin = \"mapping\"\n[plugin.mapping]\nsource = {plugin:?}\n\
         [plugin.mapping.config]\ntemplates = ['/**']\nname = 'old {{file.name}}'\n"
    );
    folders(dir, &of_flow);
    run(dir, &["run", "move"]).expect(0);
    let shadow = [
        "plugin",
        "shadow",
        "move",
        &plugin,
        "--plugin-config",
        "new.toml",
    ];
    let json = [&shadow[..], &["--json"]].concat();

    fs::write(
        dir.join("new.toml"),
        "templates = ['/**']\nname = 'old {file.name}'\n",
    )
    .unwrap();
    let same = run(dir, &json).expect(0);
    let same = &same.records("shadow")[0];
    assert_eq!(
        [&same["assets"], &same["placed"], &same["differ"]],
        [3, 3, 0]
    );

    fs::write(dir.join("nas/d.tif"), "d").unwrap();
    fs::write(
        dir.join("new.toml"),
        "templates = ['/**']\nname = '{file.name}'\n",
    )
    .unwrap();
    let named = run(dir, &json).expect(0);
    let named = &named.records("shadow")[0];
    assert_eq!(
        [&named["assets"], &named["differ"], &named["placed_differ"]],
        [4, 4, 3]
    );
    assert_eq!(named["things"]["name"]["changed"], 4);
    assert_eq!(named["things"]["name"]["first"][0]["before"], "old a.tif");
    let shown = run(dir, &shadow).expect(0);
    for part in ["4 differ, 3 of them placed", "- old a.tif", "+ a.tif"] {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }

    fs::write(dir.join("new.toml"), "templates = ['/{client}/**']\n").unwrap();
    let held = run(dir, &json).expect(0);
    let held = &held.records("shadow")[0]["things"];
    assert_eq!(held["held"]["added"], 4, "{held}");
    // All of it was only looked at.
    assert!(!dir.join("out/d.tif").exists() && dir.join("out/a.tif").exists());
    let planned = run(dir, &["plan", "move", "--json"]).expect(0);
    assert_eq!(planned.records("step").len(), 1);
}

/// An XMP packet with one title.
fn xmp(title: &str) -> String {
    format!(
        "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>\
         <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\
         <rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'>\
         <dc:title><rdf:Alt><rdf:li xml:lang='x-default'>{title}</rdf:li></rdf:Alt></dc:title>\
         </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    )
}

/// What a placed file is described as, and by which rule.
fn described(served: &Served, dir: &Path, file: &str) -> (String, String) {
    let explained = run_on(served, dir, &["explain", file, "--json"]).expect(0);
    let explanation = &explained.records("explanation")[0];
    let fields = explanation["draft"]["fields"].as_array();
    let fields = fields.unwrap_or_else(|| panic!("{explanation}"));
    let field = fields.iter().find(|field| field["field"] == "description");
    let field = field.unwrap_or_else(|| panic!("{explanation}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&field["value"]["value"]), text(&field["rule"]))
}

/// A flow of a folder into the served DAM, whose descriptions are stated in several ways.
fn described_flow(served: &Served, grants: &str) -> String {
    let (plugin, api_root) = (folder_metadata(), &served.endpoints["celum_api_root"]);
    format!(
        r#"
[endpoint.nas]
kind = "local"
root = "nas"
[endpoint.dam]
kind = "celum"
api_root = {api_root}
api_key = {{ env = "CELUM_API_KEY" }}
correlation_field = "windlassCorrelation"
[flow.move]
kind = "ingest"
from = "nas"
to = "dam"
collection = "/Brand Library/Inbox"
asset_type = "document"
plugin = "mapping"
[flow.move.sheet]
file = "texts.csv"
key = "File"
by = "name"
[plugin.mapping]
source = {plugin:?}
grants = [{grants}]
[plugin.mapping.config]
templates = ["/**"]
[[plugin.mapping.config.field]]
field = "description"
sheet = "Text"
sidecar = "dc:title"
embedded = "dc:title"
value = "{{file.stem}}"
trust = ["sheet", "sidecar", "embedded", "path"]
"#
    )
}

#[test]
fn sheets_sidecars_and_files_reach_the_plugin_in_the_order_of_trust() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let served = Served::start(dir, &[]);
    let configure = |grants: &str| {
        fs::write(dir.join("windlass.toml"), described_flow(&served, grants)).unwrap();
    };
    configure("'sheet', 'sidecar', 'embedded'");
    fs::create_dir(dir.join("nas")).unwrap();
    // A name in the other normal form, a row about no file, and a byte order mark.
    let sheet = "\u{feff}File;Text\na.tif;Käse ☀\njalape\u{f1}o.tif;Scharf\nnone.tif;Nichts\n";
    fs::write(dir.join("texts.csv"), sheet).unwrap();
    for (name, content) in [
        ("a.tif", "a".to_owned()),
        ("jalapen\u{303}o.tif", "j".to_owned()),
        ("b.tif", "b".to_owned()),
        ("b.tif.xmp", xmp("Daneben")),
        ("d.pdf", format!("%PDF-1.7 {}", xmp("Im Dokument"))),
        ("e.tif", "e".to_owned()),
    ] {
        fs::write(dir.join("nas").join(name), content).unwrap();
    }

    let planned = run_on(&served, dir, &["plan", "move"]).expect(0);
    for part in [
        "texts.csv: 1 of its 3 rows are about no file",
        "texts.csv, row 4: no file is called \"none.tif\"",
        "texts.csv: 3 files have no row",
        "/e.tif: it has no row in texts.csv",
        "what it states goes with the file that it is beside",
    ] {
        assert!(planned.stdout.contains(part), "{part}\n{}", planned.stdout);
    }
    run_on(&served, dir, &["run", "move"]).expect(0);
    for (file, text, rule) in [
        ("/a.tif", "Käse ☀", "sheet, column Text"),
        ("/jalapen\u{303}o.tif", "Scharf", "sheet, column Text"),
        ("/b.tif", "Daneben", "XMP beside it, dc:title"),
        ("/d.pdf", "Im Dokument", "embedded dc:title"),
        ("/e.tif", "e", "{file.stem}"),
    ] {
        let wanted = (text.to_owned(), rule.to_owned());
        assert_eq!(described(&served, dir, file), wanted, "{file}");
    }

    // Settled; then a file beside an asset changes, and only that.
    let acting = || -> Vec<String> {
        let planned = run_on(&served, dir, &["plan", "move", "--json"]).expect(0);
        let steps = planned.records("step").into_iter();
        let acting = steps.filter(|step| step["action"] != "skip");
        acting
            .map(|step| step["asset"]["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(acting(), Vec::<String>::new());
    fs::write(dir.join("nas/b.tif.xmp"), xmp("Daneben, und neu")).unwrap();
    assert_eq!(acting(), ["/b.tif"]);
    // So does a sheet.
    fs::write(dir.join("texts.csv"), sheet.replace("Käse", "Milch")).unwrap();
    assert_eq!(acting(), ["/a.tif", "/b.tif"]);

    // What is not granted is not read, and a configuration that needs it is refused.
    configure("'sidecar'");
    let refused = run_on(&served, dir, &["plan", "move"]).expect(2);
    assert!(
        refused.stderr.contains("plugin.mapping.grants"),
        "{}",
        refused.stderr
    );
    configure("'sheet', 'sidecar'");
    let refused = run_on(&served, dir, &["plan", "move"]).expect(2);
    assert!(
        refused.stderr.contains("\"embedded\" is not granted"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_value_that_is_all_but_an_entry_is_decided_about_once_for_all_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let served = Served::start(dir, &[]);
    let keywords = "\n[[plugin.mapping.config.field]]\nfield = 'keywords'\nsheet = 'Words'\n\
                    type = 'keywords'\nseparator = ','\n";
    let flow = described_flow(&served, "'sheet', 'sidecar', 'embedded'") + keywords;
    let flow = flow.replace(
        "[flow.move.sheet]",
        "vocabulary = 'words.toml'\n[flow.move.sheet]",
    );
    fs::write(dir.join("windlass.toml"), flow).unwrap();
    fs::create_dir(dir.join("nas")).unwrap();
    let sheet =
        "File,Text,Words\na.tif,A,\"Vidéo,Nightlife\"\nb.tif,B,\"vidéo, Print\"\nc.tif,C,Print\n";
    fs::write(dir.join("texts.csv"), sheet).unwrap();
    for name in ["a.tif", "b.tif", "c.tif"] {
        fs::write(dir.join("nas").join(name), name).unwrap();
    }
    // Only what needs no decision is to be done.
    let actions = |action: &str| {
        let planned = run_on(&served, dir, &["plan", "move", "--json"]).expect(0);
        let steps = planned.records("step").into_iter();
        steps.filter(|step| step["action"] == action).count()
    };
    assert_eq!([actions("create"), actions("hold")], [1, 2]);

    let asked = run_on(&served, dir, &["vocabulary", "move"]).expect(1);
    for part in ["Vidéo", "nearest is \"Video\"", "Nightlife", "may be new"] {
        assert!(asked.stdout.contains(part), "{part}\n{}", asked.stdout);
    }
    let file = dir.join("words.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("Nightlife = \"\"  # 1 file; may be new"),
        "{text}"
    );
    // Nothing is decided yet.
    assert_eq!(actions("hold"), 2);

    let decided = text
        .replace("\"Vidéo\" = \"\"", "\"Vidéo\" = \"Video\"")
        .replace("Nightlife = \"\"", "Nightlife = { new = true }");
    assert_ne!(decided, text);
    fs::write(&file, &decided).unwrap();
    run_on(&served, dir, &["vocabulary", "move"]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), decided);
    run_on(&served, dir, &["run", "move"]).expect(0);
    let explained = run_on(&served, dir, &["explain", "/b.tif", "--json"]).expect(0);
    let fields = &explained.records("explanation")[0]["draft"]["fields"];
    let field = fields
        .as_array()
        .unwrap()
        .iter()
        .find(|field| field["field"] == "keywords");
    let field = field.unwrap();
    assert_eq!(
        field["value"]["value"],
        serde_json::json!(["Video", "Print"])
    );
    assert!(
        field["rule"]
            .as_str()
            .unwrap()
            .ends_with("decided about \"vidéo\""),
        "{field}"
    );

    // What is placed and then held is asked about again, as often as it takes.
    fs::write(dir.join("texts.csv"), sheet.replace("C,Print", "C,Blorb")).unwrap();
    for _ in 0..2 {
        run_on(&served, dir, &["run", "move"]);
        assert_eq!(actions("hold"), 1);
        let asked = run_on(&served, dir, &["vocabulary", "move"]).expect(1);
        assert!(asked.stdout.contains("Blorb"), "{}", asked.stdout);
    }
    // A decision for an entry that there is not is the decision's mistake.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("Blorb = \"\"", "Blorb = \"Prnt\"")).unwrap();
    let asked = run_on(&served, dir, &["vocabulary", "move"]).expect(1);
    assert!(
        asked.stdout.contains("\"blorb\" is decided to be it"),
        "{}",
        asked.stdout
    );
    assert!(!fs::read_to_string(&file).unwrap().contains("Prnt = "));
    fs::write(dir.join("texts.csv"), sheet).unwrap();
    run_on(&served, dir, &["run", "move"]).expect(0);

    // A decision that is taken back is noticed, although no file changed.
    fs::write(&file, decided.replace("\"Video\"", "\"Social\"")).unwrap();
    assert_eq!(actions("update-metadata"), 2);
}

#[test]
fn a_call_on_which_a_plugin_fails_in_a_run_is_made_again_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let misbehaving = format!("{}/../misbehaving", folder_metadata());
    let of_flow = format!("plugin = \"bad\"\n[plugin.bad]\nsource = {misbehaving:?}\n");
    folders(dir, &of_flow);
    fs::write(dir.join("nas/trap.tif"), "x").unwrap();
    let planned = run(dir, &["plan", "move"]).expect(0);
    assert!(
        planned.stderr.contains("windlass plugin replay"),
        "{}",
        planned.stderr
    );
    let calls = fs::read_dir(dir.join("windlass.failed-calls"));
    let calls: Vec<_> = calls.unwrap().map(|entry| entry.unwrap().path()).collect();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    let replayed = run(dir, &["plugin", "replay", call.to_str().unwrap()]).expect(1);
    for part in [
        "failed on /trap.tif",
        "told to trap",
        "it fails in the same way",
    ] {
        assert!(
            replayed.stdout.contains(part),
            "{part}\n{}",
            replayed.stdout
        );
    }
}

#[test]
fn a_plugin_is_built_and_its_cases_are_run() {
    let dir = tempfile::tempdir().unwrap();
    let tested = run(
        dir.path(),
        &["plugin", "test", &folder_metadata(), "--json"],
    )
    .expect(0);
    let tally = &tested.records("tested")[0];
    assert!(tally["hold"].as_u64() >= Some(15), "{tally}");
    for other in ["differ", "blessed", "problems"] {
        assert_eq!(tally[other], 0, "{tally}");
    }
}

#[test]
fn a_case_that_differs_fails_until_it_is_blessed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    let config = "[config]\ntemplates = ['/{client}']\n\n\
                  [[config.field]]\nfield = 'client'\nvalue = '{client}'\n\n";
    let case = "[[case]]\nname = 'a client'\npath = '/ACME/a.tif'\nexpect.fields.client = 'Acme'\n";
    fs::write(&file, format!("{config}{case}")).unwrap();
    let plugin = folder_metadata();
    let command = ["plugin", "test", &plugin, "--cases", "."];

    let tested = run(dir.path(), &command).expect(1);
    for line in [
        "mine.toml: 0 of 1 hold",
        "  differs: a client",
        "    - fields.client = \"Acme\"",
        "    + fields.client = \"ACME\"",
        "0 of 1 cases hold",
    ] {
        assert!(tested.stdout.contains(line), "{line}\n{}", tested.stdout);
    }
    assert!(tested.stderr.contains("--bless"), "{}", tested.stderr);

    let blessing = [&command[..], &["--bless"]].concat();
    let blessed = run(dir.path(), &blessing).expect(0);
    assert!(blessed.stdout.contains("blessed: 1"), "{}", blessed.stdout);
    let written = fs::read_to_string(&file).unwrap();
    let wanted = case.replace("'Acme'", "\"ACME\"");
    assert_eq!(written, format!("{config}{wanted}"));
    run(dir.path(), &command).expect(0);

    // A key that the plugin does not know is told with its file, and fails.
    fs::write(&file, format!("config = {{ template = [] }}\n{case}")).unwrap();
    let broken = run(dir.path(), &command).expect(1);
    assert!(
        broken.stdout.contains("unknown field `template`"),
        "{}",
        broken.stdout
    );
    // Cases that cannot be blessed are shown all the same.
    let inline = "case = [{ name = 'a client', path = '/ACME/a.tif' }]";
    fs::write(
        &file,
        format!("config = {{ templates = ['/{{client}}'] }}\n{inline}"),
    )
    .unwrap();
    let left = run(dir.path(), &blessing).expect(1);
    for part in [
        "[[case]] to have them blessed",
        "differs: a client",
        "files with a problem: 1",
    ] {
        assert!(left.stdout.contains(part), "{part}\n{}", left.stdout);
    }
    // Nothing to run is no success.
    fs::remove_file(&file).unwrap();
    let nothing = run(dir.path(), &command).expect(2);
    assert!(
        nothing.stderr.contains("there are no cases"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn a_component_that_is_not_there_is_an_error_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let cases = Path::new(&folder_metadata()).join("cases");
    let cases = cases.to_str().unwrap();
    let command = ["plugin", "test", "missing.wasm", "--cases", cases];
    let missing = run(dir.path(), &command).expect(2);
    assert!(
        missing
            .stderr
            .contains("cannot read the plugin missing.wasm"),
        "{}",
        missing.stderr
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_plugin_is_measured_on_its_own_cases() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = folder_metadata();
    let command = ["plugin", "bench", &plugin, "--time", "10ms"];
    let shown = run(dir.path(), &command).expect(0);
    for part in ["compiled in", "once compiled", "agency.toml", "memory"] {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }
    let measured = run(dir.path(), &[&command[..], &["--json"]].concat()).expect(0);
    let batches = &measured.records("benched")[0]["batches"];
    let files = fs::read_dir(Path::new(&plugin).join("cases"))
        .unwrap()
        .count();
    // Batches of one asset and of 256.
    assert_eq!(batches.as_array().unwrap().len(), 2 * files, "{batches}");
}

/// The blocks of the guide's first part, in order: language and text.
fn guide_blocks() -> Vec<(String, String)> {
    let guide = Path::new(&folder_metadata()).join("../README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let part = guide
        .split("## Ten minutes to a mapping of your own")
        .nth(1)
        .unwrap();
    let part = part.split("\n## ").next().unwrap();
    let fences = part.split("```").skip(1).step_by(2);
    fences
        .map(|block| {
            let (language, text) = block.split_once('\n').unwrap();
            (language.to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn a_stranger_who_follows_the_guide_has_a_tested_installed_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "plugin = \"acme\"");
    fs::write(
        dir.join("clients.csv"),
        "code,client\nACME,Acme Corporation\n",
    )
    .unwrap();
    let append = |file: &str, text: &str| {
        let before = fs::read_to_string(dir.join(file)).unwrap();
        fs::write(dir.join(file), format!("{before}\n{text}")).unwrap();
    };
    let mut commands = 0;
    for (language, text) in guide_blocks() {
        match language.as_str() {
            "toml" if text.contains("[[case]]") => {
                append("acme-campaigns/cases/first.toml", &text);
            }
            "toml" => append("windlass.toml", &text),
            "sh" => {
                for line in text.lines() {
                    let typed = line.split('#').next().unwrap().replace("FLOW", "move");
                    let words: Vec<&str> = typed.split_whitespace().collect();
                    assert_eq!(words[0], "windlass", "{line}");
                    run(dir, &words[1..]).expect(0);
                    commands += 1;
                }
            }
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(commands >= 8, "only {commands} commands ran");
    let cases = fs::read_to_string(dir.join("acme-campaigns/cases/first.toml")).unwrap();
    assert!(
        cases.contains("/Campaigns/Acme Corporation/CMP-2001"),
        "{cases}"
    );
    let config = fs::read_to_string(dir.join("windlass.toml")).unwrap();
    assert!(config.contains("digest = "), "{config}");
    run(dir, &["plan", "move"]).expect(0);
}

#[test]
fn the_cases_that_the_guide_shows_hold() {
    let dir = tempfile::tempdir().unwrap();
    let guide = Path::new(&folder_metadata()).join("../README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let shown = guide.split("```toml\n[config]").nth(1).unwrap();
    let cases = shown.split("```").next().unwrap();
    let file = dir.path().join("shown.toml");
    fs::write(&file, format!("[config]{cases}")).unwrap();
    let plugin = folder_metadata();
    let tested = run(
        dir.path(),
        &["plugin", "test", &plugin, "--cases", "shown.toml"],
    )
    .expect(0);
    assert!(
        tested.stdout.contains("2 of 2 cases hold"),
        "{}",
        tested.stdout
    );
}
