//! Limits are checked by themselves, against each other and against the sheets.

use windlass_core::{ByteSize, Kind, Readable, UploadOrder};

use super::support::{FakeSink, FakeSource, MIB, Pace, content, engine, run, sheet};
use crate::{Engine, EngineOptions};

fn refusal(options: EngineOptions) -> String {
    let error = Engine::new(options).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    error.message().to_owned()
}

#[test]
fn limits_that_do_not_fit_are_refused_with_the_arithmetic() {
    let good = EngineOptions {
        hash_threads: 0,
        ..EngineOptions::default()
    };
    Engine::new(good.clone()).unwrap();
    for chunk in [0, 6 << 20, 1 << 20, 2 << 30] {
        let message = refusal(EngineOptions {
            chunk: ByteSize(chunk),
            ..good.clone()
        });
        assert!(
            message.contains("power of two from 4 MiB to 128 MiB"),
            "{message}"
        );
    }
    let message = refusal(EngineOptions {
        window: ByteSize::mib(4),
        ..good.clone()
    });
    assert!(message.contains("4194304 bytes are less than one chunk of 8388608"));
    let message = refusal(EngineOptions {
        budget: ByteSize::mib(32),
        ..good.clone()
    });
    assert!(message.contains("134217728 bytes in flight would not fit in 33554432"));
    for parts_in_flight in [0, 1025] {
        let message = refusal(EngineOptions {
            parts_in_flight,
            ..good.clone()
        });
        assert!(message.contains("not from 1 to 1024"), "{message}");
    }
    for chunk_max in [4 << 20, 12 << 20, 256 << 20] {
        let message = refusal(EngineOptions {
            chunk_max: ByteSize(chunk_max),
            ..good.clone()
        });
        assert!(message.contains("from 8 MiB to 128 MiB"), "{message}");
    }
    refusal(EngineOptions {
        stall_after: std::time::Duration::from_millis(10),
        ..good.clone()
    });
    refusal(EngineOptions {
        hash_threads: 100_000,
        ..good
    });
}

#[tokio::test]
async fn what_the_sheets_or_the_asset_forbid_is_refused_before_anything_moves() {
    let engine = engine(2, 2, 0);
    let mut cases = Vec::new();

    let mut odd = sheet();
    odd.chunk_multiple = 3 << 20;
    cases.push((FakeSource::new(content(5 * MIB)), odd, Kind::Unsupported));

    let mut tiny = sheet();
    tiny.chunk_bytes_max = 1000;
    cases.push((FakeSource::new(content(1001)), tiny, Kind::Unsupported));

    let mut small = sheet();
    small.asset_bytes_max = Some(10);
    cases.push((FakeSource::new(content(11)), small, Kind::InvalidInput));

    for (readable, kind) in [
        (Readable::NeedsExport, Kind::Unsupported),
        (Readable::Restricted, Kind::Restricted),
    ] {
        let mut source = FakeSource::new(content(11));
        source.asset.readable = readable;
        cases.push((source, sheet(), kind));
    }

    for (source, sheet, kind) in cases {
        let sink = FakeSink::new(sheet, Pace::default(), None);
        let error = run(&engine, &source, &sink).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        sink.look(|state| assert_eq!(state.begun, 0));
        assert_eq!(source.reads.into_inner(), 0);
    }
}

#[tokio::test]
async fn an_asset_of_one_chunk_needs_neither_range_reads_nor_multiples() {
    let mut source = FakeSource::new(content(12_345));
    source.sheet.range_reads = false;
    let mut sheet = sheet();
    sheet.chunk_multiple = 4 << 20;
    sheet.upload_order = UploadOrder::Any;
    let sink = FakeSink::new(sheet, Pace::default(), None);
    run(&engine(1, 1, 0), &source, &sink).await.unwrap();
    assert_eq!(sink.only_content(), source.content);
}
