//! What is stated about the assets of a source: both ends of their files, the XMP files beside them, rows of a sheet.

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use windlass_core::{
    Asset, Blake3, Described, Error, Finding, Informant, Kind, Origin, Readable, Result, Source,
    Stated, Verdict,
};

use crate::{END_BYTES, Ends, Sheet, embedded, sidecar};

/// Files that are read at once: 2 MiB each at the most, while nothing is transferred yet.
const READS: usize = 8;

/// The largest XMP file that is read whole. Lightroom's have some hundred KB.
const SIDECAR_BYTES_MAX: u64 = 8 << 20;

/// Asks files and sheets what they state about assets.
#[derive(Debug)]
pub struct Survey {
    sheet: Option<Sheet>,
    origins: Vec<Origin>,
    digest: Blake3,
}

impl Survey {
    /// Of files and, if there is one, of a sheet.
    pub fn new(sheet: Option<Sheet>) -> Self {
        let mut origins = vec![Origin::Sidecar, Origin::Embedded];
        let mut text = b"survey 1".to_vec();
        if let Some(sheet) = &sheet {
            origins.push(Origin::Sheet);
            text.extend(sheet.digest().as_bytes());
        }
        Survey {
            sheet,
            origins,
            digest: Blake3::of(&text),
        }
    }

    async fn one(
        &self,
        source: &dyn Source,
        described: &Described,
        wanted: &[Origin],
    ) -> Result<Verdict<Stated>> {
        let asset = &described.asset;
        let mut all = Stated::default();
        if let Some(sheet) = self
            .sheet
            .as_ref()
            .filter(|_| wanted.contains(&Origin::Sheet))
        {
            all.statements
                .extend(sheet.join(&asset.path).unwrap_or_default());
        }
        if let Some(beside) = described
            .sidecar
            .as_ref()
            .filter(|_| wanted.contains(&Origin::Sidecar))
        {
            if beside.size > SIDECAR_BYTES_MAX {
                let mib = SIDECAR_BYTES_MAX >> 20;
                return Ok(held(beside, &format!("it is larger than {mib} MiB")));
            }
            let mut bytes = Vec::new();
            match read(source, beside, 0..beside.size, &mut bytes).await? {
                Ok(()) => add(&mut all, sidecar(beside.path.as_str(), &bytes)),
                Err(problem) => return Ok(held(beside, &problem)),
            }
        }
        // What nobody may read is held by the flow itself, with its reason.
        let may_be_read = asset.size > 0 && asset.readable == Readable::Yes;
        if wanted.contains(&Origin::Embedded) && may_be_read {
            match ends(source, asset).await? {
                Ok((head, tail)) => {
                    let ends = Ends {
                        head: &head,
                        tail: &tail,
                        size: asset.size,
                    };
                    add(&mut all, embedded(asset.path.as_str(), &ends));
                }
                Err(problem) => return Ok(held(asset, &problem)),
            }
        }
        let order = |origin: Origin| Origin::ALL.iter().position(|known| *known == origin);
        all.statements.sort_by(|one, other| {
            (order(one.origin), &one.name).cmp(&(order(other.origin), &other.name))
        });
        Ok(Verdict::Ready(all))
    }
}

#[async_trait]
impl Informant for Survey {
    fn origins(&self) -> &[Origin] {
        &self.origins
    }

    fn digest(&self) -> Blake3 {
        self.digest
    }

    async fn state(
        &self,
        source: &dyn Source,
        assets: &[Described],
        wanted: &[Origin],
    ) -> Result<Vec<Verdict<Stated>>> {
        // A list and no lazy map, whose closure would have to hold for every lifetime.
        let mut each = Vec::with_capacity(assets.len());
        for described in assets {
            each.push(self.one(source, described, wanted));
        }
        stream::iter(each).buffered(READS).try_collect().await
    }

    fn pass(&self, asset: &Asset) {
        if let Some(sheet) = &self.sheet {
            sheet.notice(&asset.path);
        }
    }

    fn leftovers(&self) -> Vec<Finding> {
        let Some(sheet) = &self.sheet else {
            return Vec::new();
        };
        let report = sheet.report();
        let mut findings = report.findings;
        let finding = |subject: &str, message: String| Finding {
            subject: subject.to_owned(),
            message,
        };
        let (rows, files) = (report.orphan_rows, report.orphan_files);
        let mut totals = Vec::new();
        if rows.total > 0 {
            let message = format!(
                "{} of its {} rows are about no file",
                rows.total,
                sheet.len()
            );
            totals.push(finding(sheet.name(), message));
        }
        if files.total > 0 {
            let message = format!("{} files have no row", files.total);
            totals.push(finding(sheet.name(), message));
        }
        // A reader of few findings reads the sums.
        findings.splice(0..0, totals);
        findings.extend(rows.first.into_iter().map(|row| {
            let subject = format!("{}, row {}", sheet.name(), row.row);
            finding(
                &subject,
                match row.key.as_str() {
                    "" => "it has no key".to_owned(),
                    key => format!("no file is called {key:?}"),
                },
            )
        }));
        let without = |path: windlass_core::AssetPath| {
            finding(path.as_str(), format!("it has no row in {}", sheet.name()))
        };
        findings.extend(files.first.into_iter().map(without));
        findings
    }
}

fn add(all: &mut Stated, one: Stated) {
    all.statements.extend(one.statements);
    all.findings.extend(one.findings);
}

fn held<T>(asset: &Asset, problem: &str) -> Verdict<T> {
    Verdict::Held {
        reason: format!("what {} states cannot be read: {problem}", asset.path),
        rule: "statements".to_owned(),
    }
}

/// Both ends of a file, or why they cannot be read; a file of two ends or less whole.
async fn ends(source: &dyn Source, asset: &Asset) -> Result<Result<(Vec<u8>, Vec<u8>), String>> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let is_short = asset.size <= 2 * END_BYTES;
    let first = if is_short { asset.size } else { END_BYTES };
    if let Err(problem) = read(source, asset, 0..first, &mut head).await? {
        return Ok(Err(problem));
    }
    if !is_short
        && let Err(problem) =
            read(source, asset, asset.size - END_BYTES..asset.size, &mut tail).await?
    {
        return Ok(Err(problem));
    }
    Ok(Ok((head, tail)))
}

/// The inner error is about this file alone; the outer one about the source.
async fn read(
    source: &dyn Source,
    asset: &Asset,
    range: std::ops::Range<u64>,
    into: &mut Vec<u8>,
) -> Result<Result<(), String>> {
    match source.read(asset, range, into).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if is_about_the_file(&error) => Ok(Err(error.chain())),
        Err(error) => Err(error.with_context("asset", &asset.path)),
    }
}

fn is_about_the_file(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::SourceChanged
            | Kind::Restricted
            | Kind::NotFound
            | Kind::Denied
            | Kind::Integrity
            | Kind::Unexpected
    )
}
