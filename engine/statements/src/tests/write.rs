//! Writers of the smallest files that are what they claim to be.

/// Text in Chinese, Japanese, Korean, with umlauts composed and decomposed, beyond the first plane, and from
/// right to left with marks.
pub(super) const SCRIPTS: [&str; 7] = [
    "图片 – 北京",
    "東京の夜",
    "서울 풍경",
    "Größe Übermaß",
    "Mu\u{308}nchen Jalapen\u{303}o",
    "👩🏽‍🚀 🎉",
    "\u{202b}שלום عليكم\u{202c}",
];

const RDF: &str = r#"xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/"
  xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
  xmlns:core="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
  xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:other="http://example.com/""#;

/// A packet with one description: its attributes and its elements.
pub(super) fn packet(attributes: &str, elements: &str) -> Vec<u8> {
    let padding = " ".repeat(64);
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF {RDF}>\n<rdf:Description rdf:about=\"\" {attributes}>\n{elements}\n</rdf:Description>\n\
         </rdf:RDF>\n</x:xmpmeta>\n{padding}\n<?xpacket end=\"w\"?>"
    )
    .into_bytes()
}

/// A packet with a title and keywords.
pub(super) fn titled(title: &str) -> Vec<u8> {
    packet(
        "",
        &format!(
            "<dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{title}</rdf:li></rdf:Alt></dc:title>\
             <dc:subject><rdf:Bag><rdf:li>{title}</rdf:li><rdf:li>second</rdf:li></rdf:Bag></dc:subject>"
        ),
    )
}

fn segment(marker: u8, parts: &[&[u8]]) -> Vec<u8> {
    let data = parts.concat();
    let len = (data.len() + 2) as u16;
    [&[0xff, marker][..], &len.to_be_bytes(), &data].concat()
}

pub(super) fn jpeg(xmp: Option<&[u8]>, exif: Option<&[u8]>, iim: Option<&[u8]>) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    if let Some(exif) = exif {
        file.extend(segment(0xe1, &[b"Exif\0\0", exif]));
    }
    if let Some(xmp) = xmp {
        file.extend(segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", xmp]));
    }
    if let Some(iim) = iim {
        let resources = resources(&[(1005, &[0; 16]), (1028, iim)]);
        file.extend(segment(0xed, &[b"Photoshop 3.0\0", &resources]));
    }
    [&file[..], &[0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0xd9]].concat()
}

/// A JPEG whose second packet is in two parts that stand in the wrong order.
pub(super) fn jpeg_extended(xmp: &[u8], digest: &[u8; 32], extension: &[u8]) -> Vec<u8> {
    let half = extension.len() / 2;
    let part = |start: usize, data: &[u8]| {
        let numbers = [extension.len() as u32, start as u32].map(u32::to_be_bytes);
        let name = b"http://ns.adobe.com/xmp/extension/\0";
        segment(0xe1, &[name, digest, &numbers.concat(), data])
    };
    let mut file = vec![0xff, 0xd8];
    file.extend(segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", xmp]));
    file.extend(part(half, &extension[half..]));
    file.extend(part(0, &extension[..half]));
    [&file[..], &[0xff, 0xda]].concat()
}

pub(super) fn resources(all: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, data) in all {
        out.extend(b"8BIM");
        out.extend(number.to_be_bytes());
        // A name of three letters, which needs no padding with its length.
        out.extend(b"\x03abc");
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(*data);
        out.extend(vec![0; data.len() % 2]);
    }
    out
}

pub(super) fn psd(all: &[(u16, &[u8])]) -> Vec<u8> {
    let mut file = b"8BPS\0\x01".to_vec();
    file.resize(26, 0);
    file.extend([0, 0, 0, 4, 9, 9, 9, 9]);
    let resources = resources(all);
    file.extend((resources.len() as u32).to_be_bytes());
    [file, resources, vec![0; 100]].concat()
}

/// `gap` bytes of picture stand between header and metadata.
pub(super) fn png(xmp: Option<&[u8]>, exif: Option<&[u8]>, gap: usize) -> Vec<u8> {
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let len = (data.len() as u32).to_be_bytes();
        [&len[..], kind, data, &[0; 4]].concat()
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &[0; 13]));
    file.extend(chunk(b"IDAT", &vec![7; gap]));
    if let Some(xmp) = xmp {
        let text = [b"XML:com.adobe.xmp\0\0\0\0\0", xmp].concat();
        file.extend(chunk(b"iTXt", &text));
    }
    if let Some(exif) = exif {
        file.extend(chunk(b"eXIf", exif));
    }
    file.extend(chunk(b"IEND", &[]));
    file
}

pub(super) fn webp(xmp: Option<&[u8]>, exif: Option<&[u8]>, gap: usize) -> Vec<u8> {
    let mut chunks = Vec::new();
    let picture = vec![7; gap];
    let all = [
        (b"VP8 ", Some(&picture[..])),
        (b"EXIF", exif),
        (b"XMP ", xmp),
    ];
    for (kind, data) in all {
        let Some(data) = data else { continue };
        chunks.extend(kind);
        chunks.extend((data.len() as u32).to_le_bytes());
        chunks.extend(data);
        chunks.extend(vec![0; data.len() % 2]);
    }
    let len = (chunks.len() as u32 + 4).to_le_bytes();
    [b"RIFF", &len[..], b"WEBP", &chunks].concat()
}

/// A PDF with a packet for each revision.
pub(super) fn pdf(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"%PDF-1.7\n".to_vec();
    for packet in packets {
        let len = packet.len();
        file.extend(
            format!("1 0 obj\n<</Type/Metadata/Subtype/XML/Length {len}>>stream\n").bytes(),
        );
        file.extend(packet);
        file.extend(b"\nendstream\nendobj\ntrailer\n<</Root 2 0 R>>\n%%EOF\n");
    }
    file
}

/// A value of a TIFF directory.
pub(super) enum Field {
    Bytes(u16, Vec<u8>),
    Short(u16),
    Rationals(Vec<(u32, u32)>),
    /// A directory below.
    Below(Vec<(u16, Field)>),
}

pub(super) fn ascii(text: &str) -> Field {
    Field::Bytes(2, [text.as_bytes(), b"\0"].concat())
}

/// A TIFF structure whose values lie `gap` bytes behind the header, and its directory behind them.
pub(super) fn tiff(big_endian: bool, gap: usize, fields: &[(u16, Field)]) -> Vec<u8> {
    let mut out = match big_endian {
        true => b"MM\0\x2a".to_vec(),
        false => b"II\x2a\0".to_vec(),
    };
    out.resize(8 + gap, 0);
    let first = directory(&mut out, big_endian, fields);
    out[4..8].copy_from_slice(&long(big_endian, first));
    out
}

fn long(big_endian: bool, number: u32) -> [u8; 4] {
    match big_endian {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    }
}

fn short(big_endian: bool, number: u16) -> [u8; 2] {
    match big_endian {
        true => number.to_be_bytes(),
        false => number.to_le_bytes(),
    }
}

/// Appends a directory and what belongs to it, and says where it is.
fn directory(out: &mut Vec<u8>, big_endian: bool, fields: &[(u16, Field)]) -> u32 {
    let mut entries = Vec::new();
    for (tag, field) in fields {
        let (kind, count, mut data) = match field {
            Field::Bytes(kind, data) => (*kind, data.len(), data.clone()),
            Field::Short(number) => (3, 1, short(big_endian, *number).to_vec()),
            Field::Rationals(all) => {
                let numbers = all.iter().flat_map(|&(number, divisor)| [number, divisor]);
                let data = numbers.flat_map(|number| long(big_endian, number));
                (5, all.len(), data.collect())
            }
            Field::Below(fields) => {
                let at = directory(out, big_endian, fields);
                (4, 1, long(big_endian, at).to_vec())
            }
        };
        if data.len() > 4 {
            let at = out.len() as u32;
            out.append(&mut data);
            data = long(big_endian, at).to_vec();
        }
        data.resize(4, 0);
        entries.extend(short(big_endian, *tag));
        entries.extend(short(big_endian, kind));
        entries.extend(long(big_endian, count as u32));
        entries.extend(data);
    }
    let at = out.len() as u32;
    out.extend(short(big_endian, fields.len() as u16));
    out.extend(entries);
    out.extend([0; 4]);
    at
}

pub(super) fn iim(datasets: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (record, number, value) in datasets {
        out.extend([0x1c, *record, *number]);
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(*value);
    }
    out
}
