//! The canonical form of postal addresses: one value of five parts.

use super::country::{self, Country, Language};
use super::{PostalAddress, text};

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Street,
    PostalCode,
    City,
    State,
    Country,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Street,
        Self::PostalCode,
        Self::City,
        Self::State,
        Self::Country,
    ];

    fn of(self, address: &PostalAddress) -> &str {
        match self {
            Self::Street => &address.street,
            Self::PostalCode => &address.postal_code,
            Self::City => &address.city,
            Self::State => &address.state,
            Self::Country => &address.country,
        }
    }

    fn of_mut(self, address: &mut PostalAddress) -> &mut String {
        match self {
            Self::Street => &mut address.street,
            Self::PostalCode => &mut address.postal_code,
            Self::City => &mut address.city,
            Self::State => &mut address.state,
            Self::Country => &mut address.country,
        }
    }

    fn canonical(self, address: &PostalAddress) -> String {
        let text = self.of(address);
        match self {
            Self::Country => Country::recognise(text).map_or_else(
                || text::canonical(text),
                |country| country.code().to_owned(),
            ),
            _ => text::canonical(text),
        }
    }
}

/// The address as it is compared: all parts canonical, a recognised country by its ISO code. `None`
/// where all parts are empty: no address.
pub fn canonical(address: &PostalAddress) -> Option<String> {
    let parts = Part::ALL.map(|part| part.canonical(address));
    let is_empty = parts.iter().all(String::is_empty);
    (!is_empty).then(|| parts.join("\n"))
}

/// In one line, for people: `Musterstr. 1, 50667 Köln, Deutschland`.
pub fn one_line(address: &PostalAddress) -> String {
    let city = format!("{} {}", address.postal_code, address.city);
    [&address.street, &city, &address.state, &address.country]
        .into_iter()
        .map(|part| text::canonical(part))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether `after` differs from `before` only in parts that were empty.
pub fn only_fills(before: &PostalAddress, after: &PostalAddress) -> bool {
    Part::ALL.into_iter().all(|part| {
        let before = part.canonical(before);
        before.is_empty() || before == part.canonical(after)
    })
}

/// Both sides' parts in one address: `main`, and in its empty parts what `other` has there. `None`
/// where both filled the same part differently, seen from `base`.
pub fn united(
    base: &PostalAddress,
    main: &PostalAddress,
    other: &PostalAddress,
) -> Option<PostalAddress> {
    let mut united = main.clone();
    for part in Part::ALL {
        let (mine, theirs) = (part.canonical(main), part.canonical(other));
        if theirs == part.canonical(base) || theirs == mine {
            continue;
        }
        if !mine.is_empty() {
            return None;
        }
        part.of(other).clone_into(part.of_mut(&mut united));
    }
    Some(united)
}

/// Whether two addresses may be the same one, written more or less fully: no part differs, and the
/// street or the city is the same.
pub fn compatible(one: &PostalAddress, other: &PostalAddress) -> bool {
    let mut alike = false;
    for part in Part::ALL {
        let (one, other) = (part.canonical(one), part.canonical(other));
        if one.is_empty() || other.is_empty() {
            continue;
        }
        if one != other {
            return false;
        }
        alike |= matches!(part, Part::Street | Part::City);
    }
    alike
}

/// `source` as it is written to a side that holds `current` there and writes countries in
/// `language`: parts that mean the same stay as that side wrote them.
pub fn written(
    source: &PostalAddress,
    current: Option<&PostalAddress>,
    language: Language,
) -> PostalAddress {
    let mut written = PostalAddress::default();
    for part in Part::ALL {
        let same = current.filter(|current| part.canonical(current) == part.canonical(source));
        *part.of_mut(&mut written) = match (same, part) {
            (Some(current), _) => part.of(current).to_owned(),
            (None, Part::Country) => country_written(&source.country, language),
            (None, _) => lines(part.of(source)),
        };
    }
    written
}

/// The language in which a side writes its countries, by the addresses it already has.
pub fn language<'a>(addresses: impl IntoIterator<Item = &'a PostalAddress>) -> Language {
    addresses
        .into_iter()
        .find_map(|address| country::language(&address.country))
        .unwrap_or_default()
}

fn country_written(text: &str, language: Language) -> String {
    match Country::recognise(text) {
        Some(country) => country.name(language).to_owned(),
        None => text::canonical(text),
    }
}

/// Canonical line by line: a street may have several.
fn lines(text: &str) -> String {
    text.lines()
        .map(text::canonical)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(street: &str, postal_code: &str, city: &str, country: &str) -> PostalAddress {
        PostalAddress {
            street: street.to_owned(),
            postal_code: postal_code.to_owned(),
            city: city.to_owned(),
            state: String::new(),
            country: country.to_owned(),
        }
    }

    #[test]
    fn addresses_are_compared_by_canonical_parts() {
        let one = address(
            "Musterstr.  1\r\nHinterhaus",
            "50667",
            "Ko\u{308}ln",
            "Deutschland",
        );
        for same in [
            address("Musterstr. 1 Hinterhaus", "50667", "Köln", "Germany"),
            address("Musterstr. 1\nHinterhaus", " 50667 ", "Köln", "D"),
        ] {
            assert_eq!(canonical(&one), canonical(&same));
        }
        for other in [
            address("Musterstr. 1", "50667", "Köln", "Deutschland"),
            address("Musterstr. 1 Hinterhaus", "50667", "Köln", ""),
            address("Musterstr. 1 Hinterhaus", "", "50667 Köln", "Deutschland"),
        ] {
            assert_ne!(canonical(&one), canonical(&other));
        }
        assert_eq!(canonical(&address(" ", "", "\n", "")), None);
    }

    #[test]
    fn countries_are_written_as_the_receiving_side_writes_them() {
        let source = address("Weg 1", "1010", "Wien", "AT");
        let english = [
            address("", "", "Berlin", ""),
            address("", "", "Berlin", "Germany"),
        ];
        let country =
            |current: Option<&PostalAddress>, language| written(&source, current, language).country;
        assert_eq!(country(None, Language::default()), "Österreich");
        assert_eq!(country(None, language(&english)), "Austria");
        let current = address("Weg 2", "1010", "Wien", "A");
        assert_eq!(country(Some(&current), language(&english)), "A");
        let unknown = address("", "", "Barad-dûr", " Mordor ");
        assert_eq!(written(&unknown, None, Language::English).country, "Mordor");
    }

    #[test]
    fn what_means_the_same_is_not_rewritten() {
        let current = address("Musterstr.  1", "50667", "Köln", "Germany");
        let source = address("Musterstr. 1", "50668", "Köln", "Deutschland");
        let expected = address("Musterstr.  1", "50668", "Köln", "Germany");
        assert_eq!(written(&source, Some(&current), Language::German), expected);
    }

    #[test]
    fn parts_are_united_where_one_side_only_filled_empty_ones() {
        let base = address("Musterstr. 1", "", "Köln", "");
        let filled = address("Musterstr. 1", "50667", "Köln", "");
        let edited = address("Musterstr. 2", "", "Köln", "Germany");
        assert!(only_fills(&base, &filled));
        assert!(!only_fills(&base, &edited));
        let expected = address("Musterstr. 2", "50667", "Köln", "Germany");
        assert_eq!(united(&base, &edited, &filled), Some(expected));
        let otherwise = address("Musterstr. 1", "50668", "Köln", "");
        assert_eq!(united(&base, &otherwise, &filled), None);
    }

    #[test]
    fn compatible_addresses_contradict_each_other_nowhere() {
        let full = address("Musterstr. 1", "50667", "Köln", "Deutschland");
        assert!(compatible(&full, &address("Musterstr. 1", "", "Köln", "")));
        assert!(compatible(&full, &address("", "", "Köln", "Germany")));
        assert!(!compatible(&full, &address("", "", "", "Germany")));
        assert!(!compatible(
            &full,
            &address("Musterstr. 2", "50667", "Köln", "")
        ));
        assert!(!compatible(&full, &PostalAddress::default()));
    }
}
