//! Canonical forms are the end of the line: the canonical form of a canonical form is itself, and
//! what is written to the other side means the same there.

use contact_sync_guest::contact::birthday::Birthday;
use contact_sync_guest::contact::{PostalAddress, address, country, email, phone, text};
use proptest::prelude::*;

/// Texts as people and address books write them, the nasty ones among them.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "B",
        "ß",
        "İ",
        "ö",
        "o\u{308}",
        "\u{1e9e}",
        "é",
        "e\u{301}",
        "ﬁ",
        "Å",
        "\u{212b}",
        " ",
        "\u{a0}",
        "\u{3000}",
        "\t",
        "\r\n",
        "\u{200b}",
        "\u{ad}",
        "👩‍🚀",
        "\u{304}",
        "\u{323}",
        "http://",
        "HTTPS://",
        "www.",
        "/",
        "?",
        "#",
        "@",
        ".",
        "x@y.de",
        "0221",
        "+49",
        "(0)",
        "-",
        "１２",
        "٣",
        "DW",
        " ext. 12",
        ";ext=9",
        "tel:",
        "112",
        "\n",
    ]);
    prop_oneof![
        4 => prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

/// Numbers in the writings of several countries, right and wrong ones.
fn number() -> impl Strategy<Value = String> {
    let region = prop::sample::select(vec!["", "+49 ", "0049", "+39 0", "+1 ", "+43 (0) ", "0"]);
    let digits = prop::collection::vec(
        prop::sample::select("0123456789 -/.()".chars().collect::<Vec<_>>()),
        3..14,
    );
    let tail = prop::sample::select(vec![
        "", "", "", " DW 12", ";ext=7", " ext. 3", " x4", " privat",
    ]);
    (region, digits, tail).prop_map(|(region, digits, tail)| {
        format!("{region}{}{tail}", digits.into_iter().collect::<String>())
    })
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn text_and_websites(written in nasty()) {
        let canonical = text::canonical(&written);
        prop_assert_eq!(&text::canonical(&canonical), &canonical);
        let website = text::website_canonical(&written);
        prop_assert_eq!(&text::website_canonical(&canonical), &website);
        prop_assert_eq!(&text::website_canonical(&website), &website);
    }

    #[test]
    fn email_addresses(written in nasty()) {
        if let Some(canonical) = email::canonical(&written) {
            prop_assert_eq!(email::canonical(&canonical), Some(canonical.clone()));
            prop_assert_eq!(email::canonical(&format!(" {written}\t")), Some(canonical));
        }
    }

    /// What Exchange is told is read back as the same number, in any region.
    #[test]
    fn phone_numbers(written in prop_oneof![number(), nasty()]) {
        for region in ["DE", "AT", "IT", "US"] {
            let Some(read) = phone::read(&written, region) else { continue };
            for elsewhere in ["DE", "IT", "US"] {
                let again = phone::read(read.international(), elsewhere);
                prop_assert_eq!(again.as_ref(), Some(&read), "{} in {}", &written, elsewhere);
            }
        }
    }

    /// An address means the same in the language of the side that it is written to.
    #[test]
    fn addresses(
        parts in prop::array::uniform4(nasty()),
        land in prop_oneof![
            prop::sample::select(vec!["", "Deutschland", "germany", "DE", "Österreich", "Mordor"])
                .prop_map(str::to_owned),
            nasty(),
        ],
    ) {
        let [street, postal_code, city, state] = parts;
        let written = PostalAddress { street, postal_code, city, state, country: land };
        let Some(canonical) = address::canonical(&written) else { return Ok(()) };
        for language in [country::Language::German, country::Language::English] {
            let there = address::written(&written, None, language);
            prop_assert_eq!(address::canonical(&there), Some(canonical.clone()));
            prop_assert_eq!(&address::written(&there, Some(&there), language), &there);
        }
    }

    /// A day is the same day on both sides, and whichever way it goes.
    #[test]
    fn birthdays(year in 1902_i16..2100, month in 1_i8..=12, day in 1_i8..=28, hour in 0_u8..24) {
        // As an instant of that day, or of the night before, as services keep it.
        let instant = format!("{year:04}-{month:02}-{day:02}T{hour:02}:00:00Z");
        let Some(read) = Birthday::from_mailbox(&instant) else { return Ok(()) };
        prop_assert_eq!(Birthday::from_mailbox(&read.to_mailbox()), Some(read));
        let in_crm = read.to_crm_like(None);
        prop_assert_eq!(Birthday::from_crm(&in_crm), Some(read));
        prop_assert_eq!(&read.to_crm_like(Some(&in_crm)), &in_crm);
    }
}
