//! The characters of XML 1.0.

/// What stands where XML can hold no character.
pub(super) const REPLACEMENT: char = ' ';

/// Whether XML can hold a character (<https://www.w3.org/TR/xml/#NT-Char>). Surrogates are none in
/// Rust.
pub(super) fn is_character(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// The character, or the one that stands for what XML cannot hold.
pub(super) fn held(character: char) -> char {
    if is_character(character) {
        character
    } else {
        REPLACEMENT
    }
}

/// Whether this is blank in XML (<https://www.w3.org/TR/xml/#NT-S>).
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Whether this is a name with at most one prefix (<https://www.w3.org/TR/xml-names/#NT-QName>).
pub(super) fn is_qualified_name(name: &str) -> bool {
    match name.split_once(':') {
        Some((prefix, local)) => is_name(prefix) && is_name(local),
        None => is_name(name),
    }
}

/// A name without a colon (<https://www.w3.org/TR/xml-names/#NT-NCName>).
fn is_name(name: &str) -> bool {
    name.starts_with(starts_name) && name.chars().all(continues_name)
}

/// <https://www.w3.org/TR/xml/#NT-NameStartChar>, without the colon.
fn starts_name(character: char) -> bool {
    matches!(
        character,
        'A'..='Z'
            | '_'
            | 'a'..='z'
            | '\u{c0}'..='\u{d6}'
            | '\u{d8}'..='\u{f6}'
            | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}'
            | '\u{37f}'..='\u{1fff}'
            | '\u{200c}'..='\u{200d}'
            | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}'
            | '\u{3001}'..='\u{d7ff}'
            | '\u{f900}'..='\u{fdcf}'
            | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}'
    )
}

/// <https://www.w3.org/TR/xml/#NT-NameChar>, without the colon.
fn continues_name(character: char) -> bool {
    let continues = matches!(
        character,
        '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}'
    );
    continues || starts_name(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_can_hold_is_what_the_standard_lists() {
        for character in '\0'..=char::MAX {
            let listed = matches!(
                u32::from(character),
                0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..=0x10_ffff
            );
            assert_eq!(is_character(character), listed, "{character:?}");
        }
    }

    #[test]
    fn a_name_has_one_prefix_at_most() {
        for name in ["a", "t:Contact", "_x", "Straße", "a-1.b"] {
            assert!(is_qualified_name(name), "{name}");
        }
        for name in [
            "", ":", "a:", ":a", "a:b:c", "1a", "-a", "a b", "a\u{1}", "a=",
        ] {
            assert!(!is_qualified_name(name), "{name}");
        }
    }
}
