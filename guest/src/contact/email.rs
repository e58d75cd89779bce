//! The canonical form of e-mail addresses.

/// The address as it is compared: trimmed and without case. `None` where the text is no address
/// that mail could be sent to (an X.500 name, a display name, something without `@`): opaque.
///
/// Upper and lower case differ in the local part by RFC 5321, 2.4, but no mail service in use tells
/// them apart, and Exchange does not keep them.
pub fn canonical(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    if local.is_empty() || domain.is_empty() || text.chars().any(never_in_an_address) {
        return None;
    }
    let dots_misplaced = |part: &str| part.starts_with('.') || part.ends_with('.');
    // A leading slash begins an X.500 or X.400 name, some of which hold an `@` too.
    if dots_misplaced(domain) || local.contains('@') || text.starts_with('/') {
        return None;
    }
    Some(super::text::canonical(text).to_lowercase())
}

/// What RFC 5322, 3.2.3 allows in quoted local parts only, which nobody uses: where one of these
/// stands, the field holds several addresses, a name with an address, or an address of another
/// kind.
fn never_in_an_address(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(
            character,
            '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '\\' | '"'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_case() {
        for (text, expected) in [
            (" Erika@Muster.DE ", "erika@muster.de"),
            ("ÄNNE@müller.de", "änne@müller.de"),
            ("o'hara+news@sub.example.com", "o'hara+news@sub.example.com"),
            ("x@localhost", "x@localhost"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_opaque() {
        for text in [
            "",
            "erika",
            "@muster.de",
            "erika@",
            "/o=ExchangeLabs/ou=Exchange Administrative Group/cn=Recipients/cn=erika",
            "/O=A/CN=B@C",
            "Erika <erika@muster.de>",
            "erika@muster.de, max@muster.de",
            "mailto:erika@muster.de",
            "erika@@muster.de",
            "erika@muster.de.",
        ] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
    }
}
