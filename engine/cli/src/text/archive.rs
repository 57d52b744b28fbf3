//! What was found of an archive, as text for people.

use windlass_archive::{ARCHIVE_DOCUMENT, Listed, Role, Signed, TroubleKind, Verified};
use windlass_core::ByteSize;
use windlass_core::sign::PublicKey;

use super::{files, lines, table};

/// Troubles of one kind beyond this many are only counted.
const TROUBLES_SHOWN: usize = 20;

/// A headline, who signed it, what it holds, and what is wrong with it.
pub(crate) fn archive(verified: &Verified) -> String {
    let header = &verified.header;
    let made = header.created.strftime("%Y-%m-%d %H:%M:%SZ");
    let mut parts = vec![format!(
        "{}\nmade {made} from {} by windlass {}, id {}\n{}",
        headline(verified),
        header.source,
        header.windlass,
        header.archive,
        signed(verified)
    )];
    parts.push(format!(
        "{}{ARCHIVE_DOCUMENT} digest {}\n",
        roles(verified),
        verified.seal.digest
    ));
    let kinds = verified.troubles.iter();
    let (harmless, troubles) = kinds.partition::<Vec<_>, _>(|(kind, _)| kind.is_harmless());
    parts.extend(troubles.into_iter().map(of_kind));
    if !harmless.is_empty() {
        let remarks: String = harmless.into_iter().map(of_kind).collect();
        parts.push(format!("harmless, nothing is lost for it\n{remarks}"));
    }
    parts.join("\n")
}

fn headline(verified: &Verified) -> String {
    let total = verified.sums.total();
    let what = format!("archive {:?}", verified.header.campaign);
    let holds = files(total.files);
    let troubles = match troubles(verified) {
        0 => return format!("intact: {what}, {holds}, {}", ByteSize(total.bytes)),
        1 => "1 trouble".to_owned(),
        n => format!("{n} troubles"),
    };
    let intact = verified.intact;
    format!("{troubles}: {what}, {intact} of {holds} as archived")
}

/// How many troubles there are that are not harmless.
fn troubles(verified: &Verified) -> u64 {
    let kinds = verified.troubles.iter();
    let counted = kinds.filter(|(kind, _)| !kind.is_harmless());
    let of_files: u64 = counted.map(|(_, listed)| listed.total).sum();
    of_files + u64::from(!verified.is_signed())
}

fn signed(verified: &Verified) -> String {
    let named = |keys: &[PublicKey]| {
        let keys: Vec<String> = keys.iter().map(PublicKey::to_string).collect();
        keys.join(" and ")
    };
    match (&verified.signed, verified.signer_wanted) {
        (Signed::By(keys), _) => format!("signed by {}, as it must be\n", named(keys)),
        (Signed::ByOthers(keys), false) => format!("signed by {}\n", named(keys)),
        (Signed::ByOthers(keys), true) => {
            format!("signed by {}, none of whom may sign it\n", named(keys))
        }
        (Signed::No, false) => "not signed\n".to_owned(),
        (Signed::No, true) => "not signed, and it must be\n".to_owned(),
    }
}

fn roles(verified: &Verified) -> String {
    let mut table = table(&["", "files", "size"], &[1, 2]);
    for (role, sum) in &verified.sums.roles {
        table.add_row(vec![
            holds(*role).to_owned(),
            sum.files.to_string(),
            ByteSize(sum.bytes).to_string(),
        ]);
    }
    lines(&table)
}

fn holds(role: Role) -> &'static str {
    match role {
        Role::Original => "originals",
        Role::Version => "older versions",
        Role::Rendition => "renditions",
        Role::Document => "documents",
        Role::Metadata => "metadata",
        Role::Sidecar => "XMP",
        Role::Readme => "README",
        Role::Mhl => "MHL",
    }
}

fn of_kind((kind, listed): (&TroubleKind, &Listed)) -> String {
    let mut text = format!("{}: {}\n", kind.word(), listed.total);
    let shown = listed.first.iter().take(TROUBLES_SHOWN);
    for trouble in shown {
        text.push_str(&format!("  {trouble}\n"));
    }
    let more = listed.total.saturating_sub(TROUBLES_SHOWN as u64);
    if more > 0 {
        text.push_str(&format!("  … and {more} more\n"));
    }
    text
}
