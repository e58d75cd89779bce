//! The canonical form of text: when two writings are the same text.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Unicode NFC, trimmed, with every run of blanks (line breaks included) folded into one space.
pub fn canonical(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if is_nfc(text) {
        fold_blanks(text)
    } else {
        fold_blanks(&text.nfc().collect::<String>())
    }
}

/// A web address less its default scheme and its trailing slash; the host's case does not count.
///
/// `http` and `https` both count as default: people write neither, and servers lead from one to the
/// other.
pub fn website_canonical(text: &str) -> String {
    let text = canonical(text);
    // What is there twice is none of the writings of the same address, but a slip that somebody may
    // mend, and mending it is an edit.
    let rest = Some(strip_scheme(&text))
        .filter(|rest| strip_scheme(rest) == *rest && !rest.starts_with(' '))
        .unwrap_or(&text);
    let rest = rest
        .strip_suffix('/')
        .filter(|rest| !rest.ends_with(['/', ' ']))
        .unwrap_or(rest);
    let (host, path) = rest
        .split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
        .unwrap_or((rest, ""));
    if host.is_empty() {
        return text;
    }
    format!("{}{path}", host.to_lowercase())
}

/// At most `bytes_max` bytes of a text, cut between characters, with an ellipsis where it was cut.
pub fn shortened(text: &str, bytes_max: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let mut end = bytes_max.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}{ELLIPSIS}")
}

/// Whether a text is its own canonical form at first sight, as most are: ASCII, and no blank to
/// fold.
fn is_plain(text: &str) -> bool {
    let mut after_blank = true;
    for byte in text.bytes() {
        if !matches!(byte, b' '..=b'~') || (byte == b' ' && after_blank) {
            return false;
        }
        after_blank = byte == b' ';
    }
    text.is_empty() || !after_blank
}

fn fold_blanks(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

fn strip_scheme(text: &str) -> &str {
    for scheme in ["https://", "http://"] {
        let starts_with_scheme = text
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        if starts_with_scheme {
            return text.get(scheme.len()..).unwrap_or(text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_compared_composed_trimmed_and_with_single_blanks() {
        for (text, expected) in [
            ("Müller", "Müller"),
            ("Mu\u{308}ller", "Müller"),
            (
                "  Erika \t Maria\u{a0}\n Mustermann ",
                "Erika Maria Mustermann",
            ),
            ("", ""),
            (" \u{3000} ", ""),
            ("👩‍🚀 Ō\u{323}", "👩‍🚀 Ọ\u{304}"),
        ] {
            assert_eq!(canonical(text), expected, "{text:?}");
            assert_eq!(canonical(expected), expected, "{text:?} twice");
        }
    }

    proptest! {
        #[test]
        fn first_sight_does_not_deceive(text in "[ a!~\t\n\u{7f}\u{a0}\u{e4}\u{308}]{0,8}") {
            let slowly = fold_blanks(&text.nfc().collect::<String>());
            prop_assert_eq!(canonical(&text), slowly);
        }
    }

    #[test]
    fn case_counts_in_text() {
        assert_ne!(canonical("Muster gmbh"), canonical("Muster GmbH"));
    }

    #[test]
    fn a_website_is_compared_without_scheme_and_trailing_slash() {
        for (text, expected) in [
            ("http://www.Muster.de/", "www.muster.de"),
            ("HTTPS://www.muster.de", "www.muster.de"),
            ("www.muster.de", "www.muster.de"),
            ("https://muster.de/Team/", "muster.de/Team"),
            ("https://muster.de?Q=A", "muster.de?Q=A"),
            ("ftp://muster.de/", "ftp://muster.de"),
            ("http://http://muster.de", "http://http://muster.de"),
            ("muster.de//", "muster.de//"),
            ("http://", "http://"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(website_canonical(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_shortened_is_cut_between_characters() {
        assert_eq!(shortened("Köln", 5), "Köln");
        assert_eq!(shortened("Köln am Rhein", 6), "Kö…");
        assert_eq!(shortened("Köln am Rhein", 5), "K…");
        assert_eq!(shortened("äöü", 4), "…");
    }
}
