//! Where a ledger is: a SQLite file, or a PostgreSQL server.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;
use windlass_core::{Blake3, Error, Kind, Result, Secret};

/// Which database keeps a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// Where a ledger is. Made by [`Place::of_file`] and [`Place::of_server`]; as text it is what messages name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A SQLite file, absolute.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Server(Server),
}

/// A database of a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// May hold a password.
    url: Secret,
    /// Host, port and database.
    shown: String,
    /// What the names of scratch files on this machine begin with, absolute.
    beside: PathBuf,
}

impl Place {
    /// The file behind a path or an `sqlite:` URL. Its folder must be there.
    ///
    /// Errors: `Config` for what is no path of a file.
    pub fn of_file(path: &Path) -> Result<Place> {
        let Some(text) = path.to_str() else {
            return Err(
                Error::new(Kind::Config, "the path of the ledger is not UTF-8")
                    .with_context("ledger", path.display()),
            );
        };
        if is_server(text) {
            return Err(Error::new(
                Kind::Config,
                "the ledger's file is the URL of a server, which may hold a password",
            )
            .with_hint(
                "say where the URL is kept: [ledger] url = { env = \"WINDLASS_LEDGER_URL\" }",
            ));
        }
        let text = text.strip_prefix("sqlite:").unwrap_or(text);
        let text = text.strip_prefix("//").unwrap_or(text);
        if text.contains("://") {
            // Not repeated: it may hold a password.
            return Err(
                Error::new(Kind::Config, "the ledger's file is a URL of another kind")
                    .with_hint("name a file such as windlass.db"),
            );
        }
        Ok(Place::File(absolute(Path::new(text))?))
    }

    /// The first schema of the search path in a database of a PostgreSQL server, 13 or newer. Files of this machine that
    /// belong to the ledger (what is jotted before it is committed, scratch space) have names that begin with `beside`,
    /// whose folder must be there, and go on with what tells this database from others.
    ///
    /// Errors: `Config` for what is no `postgres:` URL; they do not repeat it, since it may hold a password.
    pub fn of_server(url: &Secret, beside: &Path) -> Result<Place> {
        let refuse = |message: &str| {
            Err(Error::new(Kind::Config, message.to_owned())
                .with_hint("it is written postgres://USER@HOST:PORT/DATABASE"))
        };
        if !is_server(url.expose()) {
            return refuse("the ledger's URL does not begin with postgres:");
        }
        // What is wrong with it is not repeated: the text may hold a password.
        let Ok(parsed) = Url::parse(url.expose()) else {
            return refuse("the ledger's URL cannot be understood");
        };
        if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| !is_setting(name)) {
            return Err(Error::new(
                Kind::Config,
                format!("the ledger's URL has a setting {name:?}, which is not known"),
            )
            .with_hint("known are sslmode, sslrootcert, sslcert, sslkey, user, password, host, port, dbname, options and application_name"));
        }
        let shown = shown(&parsed);
        let which =
            Blake3::of(format!("{shown}?{}", parsed.query().unwrap_or_default()).as_bytes());
        let mut scratch = absolute(beside)?.into_os_string();
        scratch.push(format!(".{}", &which.to_hex()[..8]));
        Ok(Place::Server(Server {
            url: url.clone(),
            shown,
            beside: scratch.into(),
        }))
    }

    pub(crate) fn database(&self) -> Database {
        match self {
            Place::File(_) => Database::Sqlite,
            Place::Server(_) => Database::Postgres,
        }
    }

    /// What the names of files that belong to the ledger on this machine begin with: jots, lock, scratch.
    pub(crate) fn beside(&self) -> &Path {
        match self {
            Place::File(file) => file,
            Place::Server(server) => &server.beside,
        }
    }
}

impl Server {
    pub(crate) fn url(&self) -> &Secret {
        &self.url
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file) => file.display().fmt(f),
            Place::Server(server) => f.write_str(&server.shown),
        }
    }
}

/// Whether a text is the URL of a server rather than the path of a file.
pub fn is_server(text: &str) -> bool {
    let scheme = text.split(':').next().unwrap_or_default();
    text.contains(':')
        && ["postgres", "postgresql"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
}

/// What the driver knows; others it would tell with their values.
fn is_setting(name: &str) -> bool {
    let known = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "user",
        "password",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "options",
        "application_name",
    ];
    known.contains(&name) || name.starts_with("options[")
}

/// A URL without what may be a secret.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("localhost");
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("postgres://{host}{port}{}", url.path())
}

/// A file's path without links in its folder, which must be there.
fn absolute(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(
            Error::new(Kind::Config, "the path of the ledger names no file")
                .with_context("ledger", path.display())
                .with_hint("name a file such as windlass.db"),
        );
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|error| {
        Error::new(Kind::Config, "the folder of the ledger does not exist")
            .with_context("ledger", path.display())
            .with_source(error)
            .with_hint(format!(
                "create {}, or name another ledger file",
                folder.display()
            ))
    })?;
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_without_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let url = Secret::new("postgres://anna:geheim@db.example:6432/windlass?sslmode=require");
        let place = Place::of_server(&url, &folder.path().join("windlass.db")).unwrap();
        assert_eq!(place.to_string(), "postgres://db.example:6432/windlass");
        assert!(!format!("{place:?}").contains("geheim"));
    }

    #[test]
    fn scratch_files_of_one_name_are_apart_where_databases_are() {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join("windlass.db");
        let scratch = |text: &str| {
            let place = Place::of_server(&Secret::new(text), &beside).unwrap();
            place.beside().file_name().unwrap().to_owned()
        };
        let one = scratch("postgres://anna@db/windlass");
        assert!(one.to_str().unwrap().starts_with("windlass.db."), "{one:?}");
        // Whoever connects, it is the same ledger.
        assert_eq!(scratch("postgres://otto:geheim@db/windlass"), one);
        for other in [
            "postgres://anna@db/other",
            "postgres://anna@db2/windlass",
            "postgres://anna@db:6432/windlass",
            "postgres://anna@db/windlass?options[search_path]=other",
        ] {
            assert_ne!(scratch(other), one, "{other}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join("windlass.db");
        for text in [
            "mysql://anna:geheim@db/w",
            "postgres://anna:geheim@[db/w",
            "postgres://anna@db/w?passwort=geheim",
            "geheim",
        ] {
            let error = Place::of_server(&Secret::new(text), &beside).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(!error.chain().to_string().contains("geheim"), "{text}");
        }
        for text in [
            "postgres://anna:geheim@db/w",
            "Postgres://anna:geheim@db/w",
            "mysql://anna:geheim@db/w",
        ] {
            let error = Place::of_file(Path::new(text)).unwrap_err();
            assert!(!error.chain().to_string().contains("geheim"), "{text}");
        }
        let error = Place::of_file(Path::new("postgres://db/w")).unwrap_err();
        assert!(error.hint().unwrap().contains("[ledger] url"));
    }
}
