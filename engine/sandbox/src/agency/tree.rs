//! The tree: which files an agency's account holds, as plain values with exact sizes.

use std::io;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::formats::{jpeg, mp4, pdf, png, psd, tiff, too_small};
use super::pieces::{Piece, Stream};
use super::xmp::Said;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgencySize {
    /// 300 to 450 files, 1.05 to 1.3 GiB in all, one of them above 256 MiB.
    Demo,
    /// 40 to 60 files, at most 12 MiB in all, of all the same kinds.
    Small,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A picture for screens.
    Png,
    /// A photograph.
    Jpeg,
    /// A print master.
    Tiff,
    /// A document.
    Pdf,
    /// A film.
    Mp4,
    /// A layered working file.
    Psd,
    /// Something else, by its first bytes.
    Opaque(&'static [u8]),
    /// Nothing at all.
    Empty,
}

/// One file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgencyFile {
    /// Where it is.
    pub path: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it is.
    pub kind: FileKind,
    /// Tags that people put on it.
    pub tags: Vec<String>,
    /// Whether Dropbox blocks its bytes.
    pub restricted: bool,
    /// What its bytes are made from; equal seeds, kinds, sizes and titles give equal bytes.
    pub seed: u64,
    /// What it says about itself.
    pub title: String,
    /// The studio that made it.
    pub studio: &'static str,
}

impl AgencyFile {
    /// Makes the file's bytes, handed over in order in pieces of at most 1 MiB.
    ///
    /// Errors: what `out` raises, and a planned size below what the format needs.
    pub fn write(&self, out: &mut dyn FnMut(Bytes) -> io::Result<()>) -> io::Result<()> {
        let said = Said {
            title: self.title.clone(),
            creator: self.studio.to_owned(),
            rights: "Usage as agreed with the client".to_owned(),
        };
        let (size, seed) = (self.bytes, self.seed);
        let pieces = match self.kind {
            FileKind::Png => png::pieces(size, seed, &said)?,
            FileKind::Jpeg => jpeg::pieces(size, seed, &said)?,
            FileKind::Tiff => tiff::pieces(size, &said)?,
            FileKind::Pdf => pdf::pieces(size, seed, &said)?,
            FileKind::Mp4 => mp4::pieces(size, seed, &said)?,
            FileKind::Psd => psd::pieces(size, seed, &said)?,
            FileKind::Opaque(magic) => {
                let least = magic.len() as u64;
                let noise = size
                    .checked_sub(least)
                    .ok_or_else(|| too_small("draft", size, least))?;
                vec![Piece::Known(magic.to_vec()), Piece::Noise(noise)]
            }
            FileKind::Empty => Vec::new(),
        };
        let mut stream = Stream::new(seed, out);
        stream.write(&pieces)?;
        stream.finish()
    }
}

/// A campaign's folder below its agency and client.
struct Campaign {
    studio: &'static str,
    folder: &'static str,
    title: &'static str,
}

const CAMPAIGNS: &[Campaign] = &[
    campaign(
        "Studio North",
        "NORD/CMP-2041-Spring Launch/2026",
        "Spring Launch",
    ),
    campaign(
        "Studio North",
        "HELV/CMP-2043-Alpkäse/2026",
        "Alpkäse – Größe zählt",
    ),
    campaign(
        "Atelier Süd",
        "KITE/CMP-2050-Summer Camp/2026",
        "Summer Camp 夏のキャンプ",
    ),
    campaign(
        "Studio North",
        "NORD/CMP-2044-Autumn Trails/2025",
        "Autumn Trails",
    ),
    campaign(
        "Atelier Süd",
        "ALMA/CMP-2052-Clear Sight/2026",
        "Clear Sight 😎",
    ),
    campaign(
        "Atelier Süd",
        "KITE/CMP-2047-Wind & Water/2025",
        "Wind & Water",
    ),
    campaign(
        "Pixel Works",
        "HELV/CMP-2058-Winter Cheese/2026",
        "Winter Cheese",
    ),
];

const fn campaign(studio: &'static str, folder: &'static str, title: &'static str) -> Campaign {
    Campaign {
        studio,
        folder,
        title,
    }
}

/// One kind of delivery within a campaign: where, what, how many, and how large, in KiB, in the full and
/// in the small tree.
struct Delivery {
    place: &'static str,
    kind: FileKind,
    count: (u32, u32),
    kib: (u64, u64),
}

const DOCX: FileKind = FileKind::Opaque(b"PK\x03\x04");
const INDD: FileKind =
    FileKind::Opaque(b"\x06\x06\xED\xF5\xD8\x1D\x46\xE5\xBD\x31\xEF\xE7\xFE\x74\xB7\x1D");

const DELIVERIES: &[Delivery] = &[
    delivery("Approved/Photos", FileKind::Jpeg, (10, 2), (1_500, 40)),
    delivery("Approved/Photos/de", FileKind::Jpeg, (2, 1), (1_300, 32)),
    delivery("Approved/Photos/en", FileKind::Jpeg, (2, 1), (1_300, 32)),
    delivery("Approved/Photos/fr", FileKind::Jpeg, (1, 0), (1_300, 32)),
    delivery("Approved/Screens", FileKind::Png, (8, 1), (900, 24)),
    delivery("Approved/Print", FileKind::Tiff, (2, 1), (10_000, 300)),
    delivery("Approved/Documents", FileKind::Pdf, (3, 1), (500, 24)),
    delivery("Finals", FileKind::Psd, (2, 1), (8_000, 120)),
    delivery("Finals/Social", FileKind::Mp4, (2, 1), (4_000, 200)),
    delivery("Drafts", FileKind::Psd, (3, 1), (4_000, 100)),
    delivery("Drafts", FileKind::Jpeg, (8, 1), (800, 30)),
    delivery("WIP", INDD, (2, 1), (2_000, 40)),
    delivery("Briefing", DOCX, (2, 1), (120, 12)),
];

const fn delivery(
    place: &'static str,
    kind: FileKind,
    count: (u32, u32),
    kib: (u64, u64),
) -> Delivery {
    Delivery {
        place,
        kind,
        count,
        kib,
    }
}

/// Every file of a tree, in the order of paths. Equal arguments give equal trees.
pub fn plan(size: AgencySize, seed: u64) -> Vec<AgencyFile> {
    let campaigns = match size {
        AgencySize::Demo => CAMPAIGNS,
        AgencySize::Small => &CAMPAIGNS[..3],
    };
    let mut tree = Tree {
        size,
        random: ChaCha8Rng::seed_from_u64(seed),
        files: Vec::new(),
    };
    for campaign in campaigns {
        for delivery in DELIVERIES {
            tree.deliver(campaign, delivery);
        }
    }
    tree.films(&CAMPAIGNS[0]);
    tree.oddities(&CAMPAIGNS[0]);
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    tree.files
}

/// A tree in the making.
struct Tree {
    size: AgencySize,
    random: ChaCha8Rng,
    files: Vec<AgencyFile>,
}

impl Tree {
    fn deliver(&mut self, campaign: &Campaign, delivery: &Delivery) {
        let (count, kib) = match self.size {
            AgencySize::Demo => (delivery.count.0, delivery.kib.0),
            AgencySize::Small => (delivery.count.1, delivery.kib.1),
        };
        for number in 1..=count {
            let extension = extension(delivery.kind);
            let stem = campaign.title.split(' ').next().unwrap_or("Asset");
            let path = format!(
                "/Agencies/{}/{}/{}/{stem}_{number:02}.{extension}",
                campaign.studio, campaign.folder, delivery.place
            );
            // Three quarters to five quarters of the usual size, to the byte.
            let usual = kib << 10;
            let bytes = self.random.random_range(usual * 3 / 4..usual * 5 / 4);
            let title = format!("{} {number}", campaign.title);
            let file = self.add(path, delivery.kind, bytes, title, campaign.studio);
            // In the folder of finals only what somebody tagged is approved.
            if delivery.place.starts_with("Finals") && number == 1 {
                file.tags = vec!["approved".to_owned(), "final".to_owned()];
            }
        }
    }

    /// The few large ones.
    fn films(&mut self, campaign: &Campaign) {
        let mib: &[(&str, u64)] = match self.size {
            AgencySize::Demo => &[
                ("Approved/Film/Director's Cut_4K.mp4", 300),
                ("Approved/Film/Trailer_60s.mp4", 118),
                ("Approved/Film/Trailer_30s.mp4", 74),
                ("Drafts/Rough Cut.mp4", 96),
            ],
            AgencySize::Small => &[("Approved/Film/Director's Cut_4K.mp4", 3)],
        };
        for (place, mib) in mib {
            let path = format!("/Agencies/{}/{}/{place}", campaign.studio, campaign.folder);
            let bytes = (mib << 20) + self.random.random_range(1..100_000);
            self.add(
                path,
                FileKind::Mp4,
                bytes,
                campaign.title.to_owned(),
                campaign.studio,
            );
        }
    }

    /// What every real tree has too.
    fn oddities(&mut self, campaign: &Campaign) {
        let studio = campaign.studio;
        let at = |place: &str| format!("/Agencies/{studio}/{}/{place}", campaign.folder);
        let long = format!(
            "Approved/{}.jpg",
            "Langer Name "
                .repeat(30)
                .chars()
                .take(251)
                .collect::<String>()
        );
        let titled = |title: &str| title.to_owned();
        let photo = FileKind::Jpeg;
        for (path, kind, bytes) in [
            (at("Briefing/~$Brief.docx"), DOCX, 162),
            (
                at("Approved/._hero.tif"),
                FileKind::Opaque(b"\0\x05\x16\x07"),
                4_096,
            ),
            (at("Approved/export.tmp"), FileKind::Opaque(b"tmp"), 2_048),
            (at("Approved/Fonts/Corporate.otf"), FileKind::Empty, 0),
            (at("Approved/Notes.txt"), FileKind::Empty, 0),
            (at("Approved/Frühling – Ünïcödé.jpg"), photo, 41_003),
            (at("Approved/春のキャンペーン.jpg"), photo, 39_877),
            (at("Approved/Launch 🚀.png"), FileKind::Png, 30_011),
            (at(&long), photo, 35_201),
            (
                format!("/Agencies/{studio}/NORD/Misc deliveries 2026/Approved/banner.png"),
                FileKind::Png,
                25_600,
            ),
            (
                format!("/Agencies/{studio}/ZZZZ/CMP-2099-Mystery/2026/Approved/teaser.jpg"),
                photo,
                28_400,
            ),
            (titled("/Admin/Invoices/2026-03.pdf"), FileKind::Pdf, 48_000),
            (titled("/Admin/Holiday calendar.docx"), DOCX, 22_000),
        ] {
            self.add(path, kind, bytes, titled("Odds and ends"), studio);
        }
        // The same photograph under three names.
        for name in ["hero.jpg", "hero (1).jpg", "Hero final FINAL.jpg"] {
            let path = at(&format!("Approved/Copies/{name}"));
            self.add(path, photo, 52_345, titled("Hero"), studio).seed = 4_711;
        }
        let taken_down = at("Approved/Taken down.jpg");
        self.add(taken_down, photo, 33_333, titled("Taken down"), studio)
            .restricted = true;
    }

    fn add(
        &mut self,
        path: String,
        kind: FileKind,
        bytes: u64,
        title: String,
        studio: &'static str,
    ) -> &mut AgencyFile {
        let file = AgencyFile {
            path,
            bytes,
            kind,
            tags: Vec::new(),
            restricted: false,
            seed: self.random.random(),
            title,
            studio,
        };
        self.files.push(file);
        // Just pushed.
        let last = self.files.len() - 1;
        &mut self.files[last]
    }
}

fn extension(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Png => "png",
        FileKind::Jpeg => "jpg",
        FileKind::Tiff => "tif",
        FileKind::Pdf => "pdf",
        FileKind::Mp4 => "mp4",
        FileKind::Psd => "psd",
        FileKind::Opaque(b"PK\x03\x04") => "docx",
        FileKind::Opaque(_) => "indd",
        FileKind::Empty => "txt",
    }
}

#[cfg(test)]
mod tests;
