//! XMP packets and EXIF blocks, as creative programs leave them in files.

/// What a file says about itself.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Its title.
    pub(super) title: String,
    /// The studio that made it.
    pub(super) creator: String,
    /// Under which terms it may be used.
    pub(super) rights: String,
}

/// An XMP packet, read-only, in UTF-8.
pub(super) fn packet(said: &Said) -> Vec<u8> {
    let [title, creator, rights] =
        [&said.title, &said.creator, &said.rights].map(|text| escaped(text));
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
         xmlns:xmpRights=\"http://ns.adobe.com/xap/1.0/rights/\">\n\
         <dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{title}</rdf:li></rdf:Alt></dc:title>\n\
         <dc:creator><rdf:Seq><rdf:li>{creator}</rdf:li></rdf:Seq></dc:creator>\n\
         <dc:rights><rdf:Alt><rdf:li xml:lang=\"x-default\">{rights}</rdf:li></rdf:Alt></dc:rights>\n\
         <xmpRights:Marked>True</xmpRights:Marked>\n\
         </rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>"
    )
    .into_bytes()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A little-endian EXIF block with software, date and resolution, as it follows `Exif\0\0` in a JPEG.
pub(super) fn exif() -> Vec<u8> {
    // The second zero byte keeps what follows at an even offset.
    let software = b"Windlass Sandbox\0\0";
    let date = b"2026:03:01 09:30:00\0";
    let mut block = Vec::new();
    block.extend_from_slice(b"II*\0");
    block.extend_from_slice(&8_u32.to_le_bytes());
    block.extend_from_slice(&7_u16.to_le_bytes());
    // Entries are 12 bytes each; after them the next directory's offset, then what did not fit.
    let resolution = 8 + 2 + 7 * 12 + 4;
    let software_at = resolution + 16;
    let date_at = software_at + software.len() as u32;
    entry(&mut block, 0x0112, 3, 1, 1);
    entry(&mut block, 0x011A, 5, 1, resolution);
    entry(&mut block, 0x011B, 5, 1, resolution + 8);
    entry(&mut block, 0x0128, 3, 1, 2);
    entry(&mut block, 0x0131, 2, software.len() as u32, software_at);
    entry(&mut block, 0x0132, 2, date.len() as u32, date_at);
    entry(&mut block, 0x0213, 3, 1, 1);
    block.extend_from_slice(&0_u32.to_le_bytes());
    // 72 dots an inch, both ways.
    for part in [72_u32, 1, 72, 1] {
        block.extend_from_slice(&part.to_le_bytes());
    }
    block.extend_from_slice(software);
    block.extend_from_slice(date);
    block
}

/// One entry of a TIFF directory: tag, type, count, and the value or where it is.
pub(super) fn entry(block: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32) {
    block.extend_from_slice(&tag.to_le_bytes());
    block.extend_from_slice(&kind.to_le_bytes());
    block.extend_from_slice(&count.to_le_bytes());
    block.extend_from_slice(&value.to_le_bytes());
}
