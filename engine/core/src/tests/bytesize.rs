use proptest::prelude::*;

use crate::ByteSize;

#[test]
fn sizes_are_read_in_decimal_and_binary_units() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("4_096", 4096),
        ("1 b", 1),
        ("1kB", 1_000),
        ("1KB", 1_000),
        ("1 KiB", 1_024),
        ("256MiB", 256 << 20),
        ("1.5 GB", 1_500_000_000),
        ("1.5GiB", 3 << 29),
        ("  2 TiB  ", 2 << 40),
        ("0.5kib", 512),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
    }
}

#[test]
fn what_is_not_a_size_is_refused_with_an_example() {
    for text in [
        "",
        " ",
        "MiB",
        "12 parsecs",
        "-1",
        "1.2.3",
        "1e3",
        "0x10",
        "1 MiB MiB",
        "one",
        "18446744073709551616",
        "16777216TiB",
        "99999999999.9TB",
        "12PB",
        "٣",
    ] {
        let error = text.parse::<ByteSize>().expect_err(text).to_string();
        assert!(
            error.starts_with(&format!("{text:?} is not a size")),
            "{error}"
        );
        assert!(error.contains("256MiB"), "{error}");
    }
}

#[test]
fn sizes_are_shown_in_the_largest_binary_unit_that_fits() {
    for (bytes, text) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_536, "1.5 KiB"),
        (256 << 20, "256 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 40, "1 TiB"),
        (5 << 50, "5120 TiB"),
    ] {
        assert_eq!(ByteSize(bytes).to_string(), text);
    }
    assert_eq!(format!("{:>8}", ByteSize(1024)), "   1 KiB");
}

#[test]
fn a_size_in_json_is_a_number_and_may_be_written_as_text() {
    assert_eq!(serde_json::to_string(&ByteSize::mib(1)).unwrap(), "1048576");
    assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
    let written: ByteSize = serde_json::from_str("\"1MiB\"").unwrap();
    assert_eq!(written.bytes(), 1 << 20);
    let error = serde_json::from_str::<ByteSize>("\"1 mile\"").unwrap_err();
    assert!(error.to_string().contains("is not a size"), "{error}");
    assert!(serde_json::from_str::<ByteSize>("-1").is_err());
    let error = serde_json::from_str::<ByteSize>("true").unwrap_err();
    assert!(error.to_string().contains("a size such as"), "{error}");
}

proptest! {
    #[test]
    fn a_number_without_a_unit_is_bytes(bytes: u64) {
        prop_assert_eq!(bytes.to_string().parse(), Ok(ByteSize(bytes)));
    }

    #[test]
    fn what_is_shown_is_read_back_to_one_decimal(bytes in 0..1_u64 << 52) {
        let shown = ByteSize(bytes).to_string();
        let read: ByteSize = shown.parse().unwrap();
        // One decimal of the unit that is shown: at most a twentieth of it is lost, which is a
        // twentieth of the size at most.
        let lost = read.0.abs_diff(bytes);
        prop_assert!(lost <= bytes / 20 + 1, "{} was shown as {} and read as {}", bytes, shown, read.0);
    }

    #[test]
    fn multiples_of_a_unit_survive_exactly(count in 1..1024_u64, unit in 0..5_u32) {
        let size = ByteSize(count << (10 * unit));
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,24}") {
        drop(text.parse::<ByteSize>());
    }
}
