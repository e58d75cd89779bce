//! The canonical form of phone numbers: international, with country code.
//!
//! What a number *is* in each country, the crate `phonenumber` knows; how people *write* numbers,
//! it guesses, and guesses cost digits (see the tests). So only digits whose meaning is certain
//! reach it, and its answer is taken only where it conserves them: the digits of the canonical form
//! are those of the text, less the international prefix, the national prefix and a `(0)`. What is
//! not certain is not read at all.
//!
//! Two readings that somebody may want to know:
//! * `DW 12`, `Durchwahl 12`: an extension. It is not appended to the digits before it, because in
//!   `0221 8899-0 DW 12` it replaces their last one.
//! * `889900` in a country whose numbers begin with a trunk zero: not read. Whether the area code
//!   is missing, or the zero of it (lost in a spreadsheet), or a `+`, nobody can tell.

mod numbering;

use std::borrow::Cow;

use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;

use crate::mutation::{self, Mutant};

/// A phone number that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone {
    international: String,
}

impl Phone {
    /// The one text that stands for this number: `+49 221 123456`, `+49 221 123456 ext. 12`. It is
    /// what Exchange is told, and two numbers are the same when it is the same.
    pub fn international(&self) -> &str {
        &self.international
    }
}

/// Reads a number; one without country code is read as people in `region` (ISO 3166-1 alpha-2)
/// write it. `None`: not read. It stays where it is, and is never sent.
pub fn read(text: &str, region: &str) -> Option<Phone> {
    if mutation::is_on(Mutant::LettersDialled) && text.contains(char::is_alphabetic) {
        return read(&text.replace(char::is_alphabetic, "7"), region);
    }
    let folded = fold(text)?;
    let (number, extension) = split_extension(&folded)?;
    let digits = Digits::of(&number)?;
    let mut international = if digits.international {
        international(&digits)?
    } else {
        national(&digits.text, region)?
    };
    if let Some(extension) = extension {
        international.push_str(" ext. ");
        international.push_str(extension);
    }
    Some(Phone { international })
}

/// Loads what is known about the numbers of all countries, so that the first [`read`] need not.
pub fn prepare() {
    numbering::prepare();
}

/// All digits of a number, country code included (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// The shortest numbers in use, country code included: four digits on small islands.
const DIGITS_MIN: usize = 7;

/// Digits of an area code without its zero: `2` to `5` in Germany, mobile networks included.
const AREA_CODE_DIGITS_MAX: usize = 5;

/// Fewer digits than this behind a slash are another ending of the same number: `88990 / 91`.
const AFTER_SLASH_DIGITS_MIN: usize = 4;

/// Extensions longer than this are no extensions.
const EXTENSION_DIGITS_MAX: usize = 8;

/// Country codes have at most three digits (ITU-T E.164).
const COUNTRY_CODE_DIGITS_MAX: usize = 3;

// ---- the text -----------------------------------------------------------------------------------

/// The text in ASCII: Unicode's digits, full-width signs, dashes and blanks folded, marks that show
/// nothing left out. `None` where something remains that is none of these.
fn fold(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let is_folded = |byte: u8| matches!(byte, b' '..=b'~') && !byte.is_ascii_uppercase();
    if text.bytes().all(is_folded) {
        return Some(Cow::Borrowed(text));
    }
    text.chars()
        .filter(|character| !shows_nothing(*character))
        .map(|character| match character {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(character) - 0xfee0),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
            // A line break separates two entries.
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => None,
            _ if character.is_whitespace() => Some(' '),
            _ if character.is_ascii() => Some(character),
            _ => decimal_digit(character),
        })
        .map(|character| character.map(|folded| folded.to_ascii_lowercase()))
        .collect::<Option<String>>()
        .map(Cow::Owned)
}

/// Soft hyphens, zero-width marks and direction marks, which telephones and web pages put around
/// numbers that are copied from them.
fn shows_nothing(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// Unicode's decimal digits (general category Nd) of scripts in daily use, by their zeros.
fn decimal_digit(character: char) -> Option<char> {
    const ZEROS: [u32; 20] = [
        0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6,
        0x0d66, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x17e0, 0x1810, 0x19d0, 0x1c50,
    ];
    let code = u32::from(character);
    let zero = ZEROS.into_iter().rfind(|zero| *zero <= code)?;
    char::from_digit(code - zero, 10)
}

/// The number and its extension. `None` where the text says something else besides.
fn split_extension(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let is_uri = text.starts_with("tel:");
    let text = text.strip_prefix("tel:").unwrap_or(text);
    // RFC 3966, 3: parameters follow semicolons; a context stands before a local number.
    let mut parameters = text.split(';');
    let number = parameters.next().unwrap_or_default();
    let (mut extension, mut context) = (None, None);
    for parameter in parameters {
        match parameter.trim().split_once('=') {
            Some(("ext", digits)) => extension = Some(extension_digits(digits)?),
            Some(("phone-context", code)) if is_uri && code.starts_with('+') => {
                context.get_or_insert(code);
            }
            _ => return None,
        }
    }
    let word_start = number.find(|character: char| character.is_ascii_alphabetic());
    let (None, Some(word_start)) = (extension, word_start) else {
        return Some((in_context(number, context), extension));
    };
    let (before, word) = number.split_at_checked(word_start)?;
    let digits_start = word.find(|character: char| character.is_ascii_digit())?;
    let (word, digits) = word.split_at_checked(digits_start)?;
    match word.trim_end_matches([' ', '.', ':', '-']) {
        "dw" | "durchwahl" | "ext" | "extension" | "x" => {
            let number = before.trim_end_matches([' ', ',', '-', '/']);
            Some((in_context(number, context), Some(extension_digits(digits)?)))
        }
        _ => None,
    }
}

fn in_context<'a>(number: &'a str, context: Option<&str>) -> Cow<'a, str> {
    match context {
        Some(code) if !number.starts_with('+') => Cow::Owned(format!("{code} {number}")),
        _ => Cow::Borrowed(number),
    }
}

fn extension_digits(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_extension = (1..=EXTENSION_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    is_extension.then_some(text)
}

/// The digits of a number, as written.
struct Digits {
    /// Without the international prefix, if there was one.
    text: String,
    /// Whether there was one.
    international: bool,
    /// Where in `text` the zero of a `(0)` stands.
    bracketed_zero: Option<usize>,
}

impl Digits {
    /// `None` where the text holds other signs than a number does, or more than one number.
    fn of(text: &str) -> Option<Self> {
        let mut digits = String::new();
        let mut plus = false;
        let mut bracketed_zero = None;
        let mut slash_at = None;
        for (position, character) in text.char_indices() {
            match character {
                '0'..='9' => {
                    if character == '0' && is_bracketed(text, position) {
                        bracketed_zero = Some(digits.len());
                    }
                    digits.push(character);
                }
                '+' if digits.is_empty() && !plus => plus = true,
                '/' if slash_at.is_none() => slash_at = Some(digits.len()),
                ' ' | '-' | '.' | '(' | ')' => {}
                _ => return None,
            }
        }
        if repeats_its_first_group(text) {
            return None;
        }
        if let Some(before) = slash_at
            && !slash_parts_area_code(&digits, before, plus)
        {
            return None;
        }
        match (plus, digits.strip_prefix("00").map(str::to_owned)) {
            (true, None) => Some(Self {
                text: digits,
                international: true,
                bracketed_zero,
            }),
            (false, Some(rest)) => {
                let bracketed_zero = bracketed_zero.and_then(|index| index.checked_sub(2));
                Some(Self {
                    text: rest,
                    international: true,
                    bracketed_zero,
                })
            }
            (false, None) => Some(Self {
                text: digits,
                international: false,
                bracketed_zero: None,
            }),
            // `+00…` is neither.
            (true, Some(_)) => None,
        }
    }
}

/// Whether the digit at `position` is alone between brackets.
fn is_bracketed(text: &str, position: usize) -> bool {
    let (before, rest) = text.split_at_checked(position).unwrap_or_default();
    let after = rest.get(1..).unwrap_or_default();
    before.trim_end().ends_with('(') && after.trim_start().starts_with(')')
}

/// `030 1234 030 1235` are two numbers of one area.
fn repeats_its_first_group(text: &str) -> bool {
    let mut groups = text
        .split(|character: char| !character.is_ascii_digit())
        .filter(|group| !group.is_empty());
    let first = groups.next().unwrap_or_default();
    first.len() >= 3 && first.starts_with('0') && groups.any(|group| group == first)
}

/// Whether a slash after `before` digits follows an area code, as it does in `0221/889900`.
/// Elsewhere it stands before a second ending, or a second number.
fn slash_parts_area_code(digits: &str, before: usize, plus: bool) -> bool {
    let (head, tail) = digits.split_at_checked(before).unwrap_or((digits, ""));
    let area_code = if plus {
        let code_length = country_of(head).map_or(0, |(length, _)| length);
        head.get(code_length..).unwrap_or(head)
    } else if let Some(rest) = head.strip_prefix("00") {
        let code_length = country_of(rest).map_or(0, |(length, _)| length);
        rest.get(code_length..).unwrap_or(rest)
    } else {
        head
    };
    let area_code = area_code.strip_prefix('0').unwrap_or(area_code);
    area_code.len() <= AREA_CODE_DIGITS_MAX && tail.len() >= AFTER_SLASH_DIGITS_MIN
}

// ---- the number ---------------------------------------------------------------------------------

/// Where the text itself begins with a country code, a possible number is enough: an assigned code,
/// and as many digits as a number can have.
fn international(digits: &Digits) -> Option<String> {
    let (code_length, metadata) = country_of(&digits.text)?;
    let (code, mut rest) = digits.text.split_at_checked(code_length)?;
    let has_trunk_zero = metadata.national_prefix() == Some("0");
    // `+49 (0)221`: a trunk zero, which is not dialled from abroad. Where there is none (Italy),
    // the zero is the number's own, whatever brackets somebody has put around it.
    if digits.bracketed_zero == Some(code_length) && has_trunk_zero {
        rest = rest.strip_prefix('0').unwrap_or(rest);
    }
    let international = match numbering::written(rest, metadata) {
        Some(international) => international,
        None if has_trunk_zero => {
            let national = rest.strip_prefix('0').unwrap_or(rest);
            // Two of them are no trunk zero.
            (!national.starts_with('0')).then(|| format!("+{code} {national}"))?
        }
        None => format!("+{code} {rest}"),
    };
    has_usual_length(&international).then_some(international)
}

/// A number without country code must be valid where it was written, trunk zero included.
fn national(digits: &str, region: &str) -> Option<String> {
    let metadata = DATABASE.by_id(region)?;
    let trunk_zero = metadata
        .national_prefix()
        .is_some_and(|prefix| prefix.starts_with('0'));
    if trunk_zero && !digits.starts_with('0') {
        return None;
    }
    let international = numbering::written(digits, metadata)?;
    has_usual_length(&international).then_some(international)
}

/// What is sent must be read back: both ways ask for the same length.
fn has_usual_length(international: &str) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&ascii_digits(international).count())
}

fn ascii_digits(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(char::is_ascii_digit)
}

/// The length of the country code that these digits begin with, and what is known about its
/// numbers: those of its main country where several share it. Country codes are free of prefixes of
/// each other, so that the first one that fits is the one.
fn country_of(digits: &str) -> Option<(usize, &'static Metadata)> {
    if digits.starts_with('0') {
        return None;
    }
    (1..=COUNTRY_CODE_DIGITS_MAX).find_map(|length| {
        let code = digits.get(..length)?.parse::<u16>().ok()?;
        let sharing = DATABASE.by_code(&code)?;
        Some((length, sharing.into_iter().next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn international(text: &str) -> Option<String> {
        read(text, "DE").map(|phone| phone.international)
    }

    #[test]
    fn germans_write_their_numbers_in_many_ways() {
        for text in [
            "0221 123456",
            "0221/123456",
            "0221 / 12 34 56",
            "0221-123456",
            "(0221) 123456",
            "(0)221 123456",
            "0221.12.34.56",
            "+49221123456",
            "+49 221 123456",
            "+49 (0)221 123456",
            "+49 (0) 221 / 123456",
            "+49 ( 0 ) 221 123456",
            "+49 (0221) 123456",
            "+49 0221 123456",
            "(+49) 221 123456",
            "0049 221 123456",
            "0049(0)221-123456",
            "tel:+49-221-123456",
            "TEL:+49221123456",
            "tel:0221-123456;phone-context=+49",
            "tel:221123456;phone-context=+49",
            "\u{202a}+49 221 123456\u{202c}",
            "+49\u{a0}221\u{2011}123456",
            "＋４９（０）２２１ １２３４５６",
            "٠٢٢١ ١٢٣٤٥٦",
            "०२२१ १२३४५६",
            "  0221 123456  ",
        ] {
            assert_eq!(
                international(text).as_deref(),
                Some("+49 221 123456"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn an_extension_belongs_to_the_number() {
        for text in [
            "0221 123456 ext. 12",
            "0221 123456 ext 12",
            "0221 123456 x12",
            "0221 123456 DW 12",
            "0221 123456-DW12",
            "0221/123456, Durchwahl: 12",
            "0221-123456 Durchwahl 12",
            "+49221 123456;ext=12",
            "tel:+49-221-123456;ext=12",
            "+49 221 123456 ext. 12",
            "0221 123456 Ｅｘｔ. １２",
        ] {
            let expected = Some("+49 221 123456 ext. 12");
            assert_eq!(international(text).as_deref(), expected, "{text:?}");
        }
        assert_ne!(
            international("0221 123456"),
            international("0221 123456 ext. 12")
        );
        assert_eq!(
            international("0221 8899 DW 012").as_deref(),
            Some("+49 221 8899 ext. 012")
        );
    }

    #[test]
    fn numbers_of_other_countries_keep_all_their_digits() {
        for (text, expected) in [
            ("+39 06 698 1234", "+39 06 698 1234"),
            ("+39 06 6981 2345", "+39 06 6981 2345"),
            ("+39 (0)6 6981 2345", "+39 06 6981 2345"),
            ("0039 347 1234567", "+39 347 123 4567"),
            ("+378 0549 885111", "+378 0549 885111"),
            ("+225 07 07 12 34 56", "+225 07 07 12 3456"),
            ("+43 1/58858", "+43 1 58858"),
            ("+41 44 234 56 78", "+41 44 234 56 78"),
            ("+44 (0)20 7946 0958", "+44 20 7946 0958"),
            ("+1 (212) 555-1234", "+1 212-555-1234"),
            ("+36 1 1234567", "+36 1 123 4567"),
            ("+36 06 1 1234567", "+36 1 123 4567"),
            ("+7 916 123-45-67", "+7 916 123-45-67"),
            ("+800 1234 5678", "+800 1234 5678"),
            ("+683 4002", "+683 4002"),
            // Possible, though not valid: an area code that no plan knows.
            ("+49 1234 567", "+49 1234567"),
        ] {
            assert_eq!(international(text).as_deref(), Some(expected), "{text:?}");
        }
        let italian = read("06 698 1234", "IT").map(|phone| phone.international);
        assert_eq!(italian.as_deref(), Some("+39 06 698 1234"));
        let american = read("(212) 555-1234", "US").map(|phone| phone.international);
        assert_eq!(american.as_deref(), Some("+1 212-555-1234"));
    }

    #[test]
    fn what_is_not_certain_is_not_read() {
        for text in [
            "",
            "unbekannt",
            // Letters, which the crate turns into digits.
            "0172/1234567 privat",
            "0221-8899 App. 12",
            "Tel. 0221 123456",
            "0800 FLOWERS",
            "0221-8899 DW",
            "0221-8899 DW 12 oder 13",
            // Short numbers, which work only where they are dialled.
            "112",
            "115",
            "+49 112",
            // A pager's: valid in Germany, and too short to be read with its country code.
            "01640",
            // Two numbers, or two endings.
            "+49221 88990 / 91",
            "0221 88990/91",
            "0221 123456 / 0172 1234567",
            "0221 123456, 0172 1234567",
            "0221 123456; 0172 1234567",
            "0221 123456\n0172 1234567",
            "0221 123456 0172 1234567",
            "030 1234 030 1235",
            "+49 221 123456 +49 172 1234567",
            "0221/8899/12",
            "030/123",
            "0221 123456 ext. 12 ext. 13",
            // Without the trunk zero: an area code missing, or its zero, or a plus.
            "889900",
            "221 123456",
            "49 221 123456",
            // Codes that are no numbers, and numbers that are none.
            "*21*0221123456#",
            "+0049 221 123456",
            "+999 123456789",
            "+49 221 123456789012345",
            "00000000",
            "+49",
            "tel:+49221123456;isub=1",
            "0221 123456 ext. 123456789",
            "0221 123456 📞",
        ] {
            assert_eq!(international(text), None, "{text:?}");
        }
        assert_eq!(read("0221 123456", "XX"), None);
        // Argentina's 15 becomes a 9 in another place: a digit that the text does not have.
        assert_eq!(read("011 15-2345-6789", "AR"), None);
        assert!(read("+49 221 123456", "XX").is_some());
    }

    #[test]
    fn a_durchwahl_is_not_turned_into_digits() {
        let phone = international("0221-8899 DW 12").expect("understood");
        assert_eq!(phone, "+49 221 8899 ext. 12");
    }

    /// Numbers as their countries group them, from the crate's own examples.
    #[test]
    fn the_canonical_form_reads_as_itself_in_every_country() {
        let mut read_count = 0;
        for metadata in DATABASE.iter() {
            let descriptors = metadata.descriptors();
            let examples = [
                descriptors.fixed_line(),
                descriptors.mobile(),
                descriptors.voip(),
            ];
            for example in examples
                .into_iter()
                .flatten()
                .filter_map(|kind| kind.example())
            {
                let text = format!("+{}{example}", metadata.country_code());
                let Some(phone) = read(&text, "DE") else {
                    panic!("{text} ({}) is not read", metadata.id());
                };
                let again = read(phone.international(), "DE");
                assert_eq!(again.as_ref(), Some(&phone), "{text} ({})", metadata.id());
                let digits = ascii_digits(phone.international());
                assert!(digits.eq(ascii_digits(&text)), "{text}: {phone:?}");
                read_count += 1;
            }
        }
        assert!(read_count > 500, "{read_count} examples");
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]

        #[test]
        fn no_digit_gets_lost_and_none_is_invented(
            text in concat!(
                "[+0]{0,2}[0-9]{0,4}[ /.()-]{0,2}[0-9]{2,9}",
                "([ -/][0-9]{1,4})?( ext\\. [0-9]{1,4})?",
            ),
            region in prop::sample::select(vec!["DE", "AT", "IT", "US", "HU", "FR"]),
        ) {
            if let Some(phone) = read(&text, region) {
                let written: String = ascii_digits(&text).collect();
                let kept: String = ascii_digits(phone.international()).collect();
                // The text is the canonical form, with prefixes for dialling it from here.
                let is_written = (1..=COUNTRY_CODE_DIGITS_MAX).any(|length| {
                    let (code, national) = kept.split_at(length);
                    ["", "0", "06", "1", "8"].into_iter().any(|trunk_prefix| {
                        let dialled = format!("{trunk_prefix}{national}");
                        ["", code, &format!("00{code}")]
                            .into_iter()
                            .any(|prefix| written == format!("{prefix}{dialled}"))
                    })
                });
                prop_assert!(is_written, "{text} is read as {kept}");
                prop_assert_eq!(read(phone.international(), "DE"), Some(phone));
            }
        }

        #[test]
        fn any_text_is_read_or_not_but_never_breaks(text in any::<String>()) {
            if let Some(phone) = read(&text, "DE") {
                prop_assert_eq!(read(phone.international(), "US"), Some(phone));
            }
        }
    }
}
