//! Manifests: a file that says which files a delivery has.
//!
//! CSV with a head, a column called `path`, `file`, `filename` or `name` and perhaps one called `size` or `bytes`; JSON,
//! a list of such objects or an object with the list as `files`; and the lists of `md5sum` and its like, a digest and
//! a name a line, which are told by the ending of their name, or as `manifest-sha256.txt` and its like of a BagIt bag. Names
//! are paths below the folder of the manifest. Digests are not compared here: no service states these, and to read every
//! byte twice before it moves is what the transfer's own proof makes needless.

use std::collections::BTreeMap;

use windlass_core::AssetPath;

/// The largest manifest that is read: some hundred thousand names.
pub(super) const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// The names of columns and members that say which file it is, the surest first.
const PATH: &[&str] = &["path", "file", "filename", "file_name", "name"];

/// Those that say how many bytes it has.
const SIZE: &[&str] = &["size", "bytes", "filesize", "file_size"];

/// Digests a line begins with, by the ending of the list's name, and their length in hex.
const SUMS: &[(&str, usize)] = &[("md5", 32), ("sha1", 40), ("sha256", 64), ("sha512", 128)];

/// A file that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it is, below the folder of the manifest.
    pub(super) path: AssetPath,
    /// Its size, where that is said.
    pub(super) size: Option<u64>,
}

/// What a manifest of this name says. The error says what is wrong with it, in one clause.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let extension = AssetPath::new(name).extension();
    let digits = |kind: &str| Some(SUMS.iter().find(|(known, _)| *known == kind)?.1);
    let of_bag = bagged(name).and_then(|kind| digits(&kind));
    let entries = match (extension.as_str(), of_bag, digits(&extension)) {
        ("json", _, _) => json(text)?,
        (_, Some(digits), _) => sums(text, digits, unescaped)?,
        (_, _, Some(digits)) => sums(text, digits, str::to_owned)?,
        _ => csv(text)?,
    };
    match entries.is_empty() {
        true => Err("it names no file".to_owned()),
        false => Ok(entries),
    }
}

/// The kind of digest in a bag's manifest of this name, such as `manifest-sha256.txt`.
fn bagged(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let name = name.rsplit('/').next()?;
    let kind = name.strip_prefix("tag").unwrap_or(name);
    let kind = kind.strip_prefix("manifest-")?.strip_suffix(".txt")?;
    Some(kind.to_owned())
}

/// A name as a bag's manifest writes it: ends of lines and the percent sign itself are escaped, and nothing else is.
fn unescaped(name: &str) -> String {
    let ends = name.replace("%0A", "\n").replace("%0a", "\n");
    let ends = ends.replace("%0D", "\r").replace("%0d", "\r");
    ends.replace("%25", "%")
}

fn entry(path: &str, size: Option<u64>) -> Result<Entry, String> {
    let mut at = AssetPath::default();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => return Err(format!("it names {path:?}, which is outside of its folder")),
            part => at = at.join(part),
        }
    }
    match at.as_str().is_empty() {
        true => Err("it has an entry without a name".to_owned()),
        false => Ok(Entry { path: at, size }),
    }
}

fn size(text: &str) -> Result<Option<u64>, String> {
    match text.trim() {
        "" => Ok(None),
        text => match text.parse() {
            Ok(size) => Ok(Some(size)),
            Err(_) => Err(format!("{text:?} is no number of bytes")),
        },
    }
}

fn sums(text: &str, digits: usize, name_of: fn(&str) -> String) -> Result<Vec<Entry>, String> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (digest, name) = line.split_once(' ').unwrap_or((line, ""));
            let is_digest = digest.len() == digits && digest.bytes().all(|b| b.is_ascii_hexdigit());
            // A second blank says that it was read as text, a star that it was not.
            let name = name.strip_prefix([' ', '*']).unwrap_or(name);
            match is_digest && !name.is_empty() {
                true => entry(&name_of(name), None),
                false => Err(format!("{line:?} is no digest and name")),
            }
        })
        .collect()
}

fn json(text: &str) -> Result<Vec<Entry>, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let list = value.get("files").unwrap_or(&value);
    let list = list
        .as_array()
        .ok_or("it is neither a list of files nor an object with one as \"files\"")?;
    list.iter().map(json_entry).collect()
}

fn json_entry(value: &serde_json::Value) -> Result<Entry, String> {
    if let Some(path) = value.as_str() {
        return entry(path, None);
    }
    let member = |names: &[&str]| names.iter().find_map(|name| value.get(*name));
    let path = member(PATH).and_then(serde_json::Value::as_str);
    let path = path.ok_or("it has an entry without a path")?;
    let size = match member(SIZE) {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(text)) => size(text)?,
        Some(number) => Some(
            number
                .as_u64()
                .ok_or_else(|| format!("{number} is no number of bytes"))?,
        ),
    };
    entry(path, size)
}

fn csv(text: &str) -> Result<Vec<Entry>, String> {
    let mut rows = rows(text)?.into_iter();
    let head = rows.next().ok_or("it is empty")?;
    let columns: BTreeMap<String, usize> = head
        .iter()
        .enumerate()
        .map(|(at, name)| (name.trim().to_lowercase(), at))
        .collect();
    let column = |names: &[&str]| names.iter().find_map(|name| columns.get(*name)).copied();
    let path_at = column(PATH).ok_or("no column is called path, file, filename or name")?;
    let size_at = column(SIZE);
    let mut entries = Vec::new();
    for row in rows {
        // A row that was cut is no row that says nothing: the file is still being written.
        if row.len() < head.len() {
            return Err(format!(
                "it has a row of {} cells under {}",
                row.len(),
                head.len()
            ));
        }
        let size = match size_at {
            Some(at) => size(&row[at])?,
            None => None,
        };
        entries.push(entry(&row[path_at], size)?);
    }
    Ok(entries)
}

/// The cells of each row that is not empty, split by what separates the first one.
fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let head = text.lines().next().unwrap_or_default();
    let separator = [',', ';', '\t']
        .into_iter()
        .max_by_key(|separator| (head.matches(*separator).count(), *separator == ','))
        .unwrap_or(',');
    let mut rows = Vec::new();
    let mut row = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => push(&mut row, chars.next()),
            '"' => quoted = !quoted,
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => rows.push(std::mem::replace(&mut row, vec![String::new()])),
            char if char == separator && !quoted => row.push(String::new()),
            char => push(&mut row, Some(char)),
        }
    }
    if quoted {
        return Err("it ends within a quoted cell".to_owned());
    }
    rows.push(row);
    rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
    Ok(rows)
}

fn push(row: &mut [String], char: Option<char>) {
    if let (Some(cell), Some(char)) = (row.last_mut(), char) {
        cell.push(char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, text: &str) -> Vec<(String, Option<u64>)> {
        let entries = read(name, text.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        let told = |entry: Entry| (entry.path.as_str().to_owned(), entry.size);
        entries.into_iter().map(told).collect()
    }

    #[test]
    fn each_kind_of_manifest_names_files_below_its_folder() {
        let both = [
            ("/a.tif".to_owned(), Some(4)),
            ("/sub/b, c.tif".to_owned(), None),
        ];
        for (name, text) in [
            (
                "m.csv",
                "\u{feff}Path,Size\r\na.tif,4\r\n\"sub/b, c.tif\",\r\n",
            ),
            ("m.txt", "bytes;file\n4;./a.tif\n;sub\\b, c.tif"),
            (
                "m.json",
                r#"[{"path":"a.tif","size":4},{"name":"sub/b, c.tif"}]"#,
            ),
            (
                "m.json",
                r#"{"files":[{"file":"a.tif","bytes":"4"},"sub/b, c.tif"]}"#,
            ),
        ] {
            assert_eq!(named(name, text), both, "{text}");
        }
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let text = format!("# by hand\n{md5}  a.tif\n{md5} *sub/b.tif\n");
        let paths: Vec<_> = named("x.md5", &text)
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(paths, ["/a.tif", "/sub/b.tif"]);
    }

    #[test]
    fn the_manifest_of_a_bag_is_known_by_its_name_and_says_where_files_are() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let text = format!("{md5}  data/a 100%25.tif\n{md5} data/sub/b.tif\n");
        let both = [
            ("/data/a 100%.tif".to_owned(), None),
            ("/data/sub/b.tif".to_owned(), None),
        ];
        assert_eq!(named("manifest-md5.txt", &text), both);
        assert_eq!(named("Manifest-MD5.TXT", &text), both);
        let cut = format!("{md5}  data/a.tif\n{}", &md5[..9]);
        let refused = read("manifest-md5.txt", cut.as_bytes()).unwrap_err();
        assert!(refused.contains("no digest and name"), "{refused}");
        // Elsewhere a percent sign is a percent sign.
        let plain = named("x.md5", &format!("{md5}  a%25.tif\n"));
        assert_eq!(plain, [("/a%25.tif".to_owned(), None)]);
    }

    #[test]
    fn a_manifest_that_is_cut_or_names_nothing_is_refused() {
        for (name, text, why) in [
            ("m.csv", "path,size\na.tif,4\nb.t", "row of 1 cells"),
            ("m.csv", "path,size\n\"a.ti", "within a quoted cell"),
            ("m.csv", "size\n4\n", "no column"),
            ("m.csv", "path\n", "names no file"),
            ("m.csv", "", "it is empty"),
            ("m.csv", "path\n../x\n", "outside of its folder"),
            ("m.csv", "path,size\na,many\n", "no number of bytes"),
            ("m.json", r#"[{"path":"a.tif""#, "no JSON"),
            ("m.json", "{}", "neither a list"),
            ("m.json", r#"[{"size":1}]"#, "without a path"),
            ("m.md5", "d41d8cd98f00b204  a.tif", "no digest and name"),
        ] {
            let error = read(name, text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(read("m.csv", b"\xff").unwrap_err().contains("UTF-8"));
    }
}
