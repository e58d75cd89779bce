//! What a number is in its country, asked of the crate `phonenumber`.
//!
//! The crate looks each of its patterns up by the whole text of it, and asks some ten of them
//! before it comes to the landlines and mobiles that an address book is full of. So those are asked
//! first, and an answer is kept for the next time: a pass comes across the same number when it
//! matches, when it merges, and on each side.

use std::cell::RefCell;
use std::collections::BTreeMap;

use phonenumber::country::Id as Country;
use phonenumber::metadata::{DATABASE, Descriptor};
use phonenumber::{Metadata, Mode, PhoneNumber};

use super::super::text;
use super::ascii_digits;

/// Answers that are kept: about 4 MiB of them, the numbers of some 10,000 contacts.
const KEPT_MAX: usize = 32_768;

thread_local! {
    /// By country code, country and digits.
    static KEPT: RefCell<BTreeMap<String, Option<String>>> = const {
        RefCell::new(BTreeMap::new())
    };
}

/// The number with these digits after the country code, or with the national prefix instead of it,
/// grouped as its country does it: `+49 221 123456`. `None` where it is not valid, or where a digit
/// would get lost.
pub(super) fn written(digits: &str, metadata: &Metadata) -> Option<String> {
    let question = format!("{} {} {digits}", metadata.country_code(), metadata.id());
    KEPT.with_borrow_mut(|kept| {
        if let Some(answer) = kept.get(&question) {
            return answer.clone();
        }
        let number = conserved(digits, metadata).filter(|number| is_valid(number, metadata));
        let answer = number.as_ref().map(formatted);
        // All at once: no order to keep, and whoever has more numbers loses nothing but time.
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(question, answer.clone());
        answer
    })
}

/// The crate's reading of a number of this country, if no digit but the national prefix has got
/// lost.
fn conserved(digits: &str, metadata: &Metadata) -> Option<PhoneNumber> {
    // Told another country than the number's own, the crate takes the zero off Italian numbers.
    let country = metadata.id().parse::<Country>().ok();
    let text = format!("+{}{digits}", metadata.country_code());
    let number = phonenumber::parse(country, text).ok()?;
    let national = number.national().to_string();
    let prefix = metadata.national_prefix().unwrap_or_default();
    let conserved = digits == national || digits.strip_prefix(prefix) == Some(national.as_str());
    (conserved && number.code().value() == metadata.country_code()).then_some(number)
}

/// The crate's own question, landlines and mobiles first: in whatever order its patterns are asked,
/// one of them decides.
fn is_valid(number: &PhoneNumber, metadata: &Metadata) -> bool {
    let regions = DATABASE.region(&number.code().value());
    if regions.is_none_or(|regions| regions != [metadata.id()]) {
        // Several countries, each with patterns of its own.
        return number.is_valid();
    }
    let national = number.national().to_string();
    let fits = |kind: Option<&Descriptor>| kind.is_some_and(|kind| kind.is_match(&national));
    let kinds = metadata.descriptors();
    let usual = fits(kinds.fixed_line()) || fits(kinds.mobile());
    (usual && kinds.general().is_match(&national)) || number.is_valid()
}

/// `+49 221 123456`, grouped as its country does it.
fn formatted(number: &PhoneNumber) -> String {
    let plain = format!("+{} {}", number.code().value(), number.national());
    let grouped: String = number
        .format()
        .mode(Mode::International)
        .to_string()
        .chars()
        .map(|character| match character {
            '0'..='9' | '+' | '-' => character,
            _ => ' ',
        })
        .collect();
    if ascii_digits(&grouped).eq(ascii_digits(&plain)) {
        text::canonical(&grouped)
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every country's own examples, and numbers near to them.
    fn numbers() -> impl Strategy<Value = (&'static Metadata, String)> {
        let countries: Vec<&'static Metadata> = ["DE", "AT", "CH", "IT", "FR", "US", "GB", "AR"]
            .into_iter()
            .filter_map(|id| DATABASE.by_id(id))
            .collect();
        (prop::sample::select(countries), any::<u8>(), "[0-9]{0,3}").prop_map(
            |(metadata, kind, tail)| {
                let kinds = metadata.descriptors();
                let kinds = [kinds.fixed_line(), kinds.mobile(), kinds.toll_free()];
                let kind = kinds[usize::from(kind) % kinds.len()];
                let example = kind.and_then(Descriptor::example).unwrap_or("221123456");
                let kept = example.len() - tail.len().min(example.len());
                (metadata, format!("{}{tail}", &example[..kept]))
            },
        )
    }

    proptest! {
        #[test]
        fn asking_in_another_order_and_asking_again_change_nothing(
            (metadata, digits) in numbers()
        ) {
            let number = conserved(&digits, metadata).filter(PhoneNumber::is_valid);
            let expected = number.as_ref().map(formatted);
            for _ in 0..2 {
                prop_assert_eq!(written(&digits, metadata), expected.clone());
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let germany = DATABASE.by_id("DE").expect("Germany");
        for number in 0..=KEPT_MAX {
            written(&format!("{number}"), germany);
        }
        let kept = KEPT.with_borrow(BTreeMap::len);
        assert!(kept <= KEPT_MAX, "{kept}");
    }
}
