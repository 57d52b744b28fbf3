//! PDF: one page of text, an XMP metadata stream, and noise in a stream nothing refers to.

use std::io;

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::pieces::Piece;
use super::super::xmp::{Said, packet};
use super::too_small;

pub(in super::super) fn pieces(size: u64, seed: u64, said: &Said) -> io::Result<Vec<Piece>> {
    let least = document(0, seed, said).len() as u64;
    let mut noise = size
        .checked_sub(least)
        .ok_or_else(|| too_small("PDF", size, least))?;
    // The length is written in decimal, twice: a few tries settle its digits.
    for _ in 0..8 {
        let bytes = document(noise, seed, said);
        match (bytes.len() as u64).cmp(&size) {
            std::cmp::Ordering::Equal => return Ok(vec![Piece::Known(bytes)]),
            std::cmp::Ordering::Greater => noise -= bytes.len() as u64 - size,
            std::cmp::Ordering::Less => {
                let short = size - bytes.len() as u64;
                if short <= 4 {
                    // White space after the end is no part of the document.
                    let mut bytes = bytes;
                    bytes.resize(bytes.len() + short as usize, b'\n');
                    return Ok(vec![Piece::Known(bytes)]);
                }
                noise += short;
            }
        }
    }
    Err(io::Error::other("the PDF's length does not settle"))
}

fn document(noise: u64, seed: u64, said: &Said) -> Vec<u8> {
    let [catalog, pages, page, font, content, metadata, filler] =
        [1, 2, 3, 4, 5, 6, 7].map(Ref::new);
    let mut pdf = Pdf::new();
    let mut root = pdf.catalog(catalog);
    root.pages(pages);
    root.metadata(metadata);
    root.finish();
    pdf.pages(pages).kids([page]).count(1);
    let mut sheet = pdf.page(page);
    sheet
        .parent(pages)
        .media_box(Rect::new(0.0, 0.0, 595.0, 842.0))
        .contents(content);
    sheet.resources().fonts().pair(Name(b"F1"), font);
    sheet.finish();
    pdf.type1_font(font).base_font(Name(b"Helvetica"));
    let mut text = Content::new();
    // The standard fonts have no more than Latin letters.
    let latin: String = said.title.chars().filter(char::is_ascii).collect();
    text.begin_text()
        .set_font(Name(b"F1"), 24.0)
        .next_line(72.0, 740.0)
        .show(Str(latin.as_bytes()))
        .end_text();
    pdf.stream(content, &text.finish());
    pdf.metadata(metadata, &packet(said));
    // Documents are a few MiB at the most, so the noise fits into memory.
    let mut bytes = vec![0; noise as usize];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    pdf.stream(filler, &bytes);
    pdf.finish()
}
