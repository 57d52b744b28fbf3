//! Documents as InDesign lays them out, whole and cut.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use windlass_core::memory::{MemoryEndpoint, Operation};

use super::*;

const MANIFEST: &str = "<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='r'>\
    <rdf:Description xmlns:xmpMM='m' xmlns:stMfs='f' xmlns:stRef='s' xmlns:xmpTPg='t' xmlns:stFnt='n'>\
    <xmpMM:DerivedFrom stRef:filePath='/elsewhere/old.indd'/>\
    <xmpMM:Manifest><rdf:Bag>\
    <rdf:li><stMfs:reference stRef:filePath='file:/Users/jo/Links/b%20c.tif'/></rdf:li>\
    <rdf:li><stMfs:reference><stRef:filePath>/Volumes/S/Links/R&amp;D.psd</stRef:filePath></stMfs:reference></rdf:li>\
    </rdf:Bag></xmpMM:Manifest>\
    <xmpTPg:Fonts><rdf:Bag><rdf:li stFnt:fontFileName='A.otf'/>\
    <rdf:li><stFnt:fontFileName>M.PFB; M.PFM</stFnt:fontFileName></rdf:li></rdf:Bag></xmpTPg:Fonts>\
    </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>";

/// A document of two master pages, one page of nothing, and objects behind it.
fn indd(objects: &[&[u8]]) -> Vec<u8> {
    let guid = [
        0x06, 0x06, 0xed, 0xf5, 0xd8, 0x1d, 0x46, 0xe5, 0xbd, 0x31, 0xef, 0xe7, 0xfe, 0x74, 0xb7,
        0x1d,
    ];
    let header = [
        0xde, 0x39, 0x39, 0x79, 0x51, 0x88, 0x4b, 0x6c, 0x8e, 0x63, 0xee, 0xf8, 0xae, 0xe0, 0xdd,
        0x38,
    ];
    let mut file = vec![0; 3 * 4096];
    for (page, sequence, pages) in [(0, 1_u8, 90_u8), (4096, 2, 3)] {
        file[page..page + 16].copy_from_slice(&guid);
        file[page + 264] = sequence;
        file[page + 280] = pages;
    }
    for object in objects {
        file.extend(header);
        file.extend([0; 8]);
        file.extend((object.len() as u32).to_le_bytes());
        file.extend([0; 4]);
        file.extend(*object);
        file.extend([0; 32]);
    }
    file
}

fn packet(text: &str) -> Vec<u8> {
    let mut stream = (text.len() as u32).to_le_bytes().to_vec();
    stream.extend(text.as_bytes());
    stream
}

/// A zip of packed members.
fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in members {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let at = file.len() as u32;
        let sizes = [0, packed.len() as u32, text.len() as u32];
        let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
        common.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([members.len() as u8, 0, members.len() as u8, 0]);
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend([0, 0]);
    file
}

fn idml() -> Vec<u8> {
    let spread = r#"<idPkg:Spread xmlns:idPkg="p"><Image><Link LinkResourceURI="file:/U/Links/a%20b.tif" StoredState="Normal"/></Image>
        <Image><Link LinkResourceURI="file:/U/Links/in.tif" StoredState="Embedded"/></Image></idPkg:Spread>"#;
    let story = r#"<Story><Link LinkResourceURI="file:/U/Links/R&amp;D.psd"/></Story>"#;
    let large = format!("<Graphic>{}</Graphic>", "<x/>".repeat(40_000));
    zip(&[
        ("mimetype", "application/vnd.adobe.indesign-idml-package"),
        ("Resources/Graphic.xml", &large),
        ("Spreads/Spread_u1.xml", spread),
        ("Stories/Story_u2.xml", story),
    ])
}

async fn named(name: &str, bytes: Vec<u8>) -> Verdict<Named> {
    let source = MemoryEndpoint::new("agency");
    let asset = source.put(name, bytes).unwrap();
    PackageNames.named(&source, &asset).await.unwrap()
}

async fn links(name: &str, bytes: Vec<u8>) -> Vec<String> {
    match named(name, bytes).await {
        Verdict::Ready(named) => named.links,
        Verdict::Held { reason, .. } => panic!("{reason}"),
    }
}

#[tokio::test]
async fn a_document_names_its_links_and_font_files() {
    let bytes = indd(&[b"another object, of any length", &packet(MANIFEST)]);
    let Verdict::Ready(named) = named("/P/page.indd", bytes).await else {
        panic!("it can be read");
    };
    assert_eq!(named.links, ["R&D.psd", "b c.tif"]);
    assert_eq!(named.fonts, ["A.otf", "M.PFB", "M.PFM"]);
}

#[tokio::test]
async fn a_document_without_a_packet_names_nothing() {
    assert!(links("/P/page.indd", indd(&[])).await.is_empty());
    assert!(links("/P/page.indd", indd(&[b"x"])).await.is_empty());
    assert!(links("/P/page.pdf", b"pdf".to_vec()).await.is_empty());
}

#[tokio::test]
async fn an_idml_names_what_is_placed_and_not_embedded() {
    assert_eq!(links("/P/page.idml", idml()).await, ["R&D.psd", "a b.tif"]);
}

#[tokio::test]
async fn a_document_that_breaks_off_is_held_wherever_it_does() {
    let whole = indd(&[&packet(MANIFEST)]);
    for length in [0, 16, 5_000, 8_192, 12_287, 12_400, whole.len() - 33] {
        let cut = whole[..length].to_vec();
        let verdict = named("/P/page.indd", cut).await;
        assert!(matches!(verdict, Verdict::Held { .. }), "{length}");
    }
    let whole = idml();
    for length in [0, 1, 30, 500, whole.len() - 30, whole.len() - 4] {
        let cut = whole[..length].to_vec();
        let verdict = named("/P/page.idml", cut).await;
        assert!(matches!(verdict, Verdict::Held { .. }), "{length}");
    }
}

#[tokio::test]
async fn damage_anywhere_ends_in_a_verdict() {
    for (name, whole) in [
        ("/P/a.idml", idml()),
        ("/P/a.indd", indd(&[&packet(MANIFEST)])),
    ] {
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            named(name, damaged).await;
        }
    }
}

#[tokio::test]
async fn what_the_source_cannot_do_now_is_an_error_and_not_a_verdict() {
    let source = MemoryEndpoint::new("agency");
    let asset = source.put("/P/a.idml", idml()).unwrap();
    source.inject(Operation::Read, Kind::Unavailable);
    let error = PackageNames.named(&source, &asset).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}
