//! What a number is in its country, as the crate `phonenumber` knows it.
//!
//! The crate looks each of its patterns up by the whole text of it, builds those that it has
//! forgotten anew, and asks some ten of them for one number. An address book has tens of thousands,
//! and a pass comes across each of them several times; so the same knowledge is asked as tables
//! (`plan`), and the crate itself only about what these cannot say.

mod pattern;
mod plan;

use phonenumber::country::Id as Country;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Mode, PhoneNumber};

use super::super::text;
use super::ascii_digits;
use plan::{Plan, Unplanned};

/// The countries whose tables are made beforehand: where FLOWFACT is sold, and next door.
const PREPARED: [&str; 3] = ["DE", "AT", "CH"];

/// Makes the tables that most numbers here need.
pub(super) fn prepare() {
    for metadata in PREPARED.iter().filter_map(|id| DATABASE.by_id(*id)) {
        // Nobody's number: it is asked of every kind.
        let _ = written("1999999", metadata);
        let kinds = metadata.descriptors();
        let usual = [kinds.fixed_line(), kinds.mobile()].into_iter().flatten();
        for example in usual.filter_map(|kind| kind.example()) {
            let _ = written(example, metadata);
        }
    }
}

/// The number with these digits after the country code, or with the national prefix instead of it,
/// grouped as its country does it: `+49 221 123456`. `None` where it is not valid, or where a digit
/// would get lost.
pub(super) fn written(digits: &str, metadata: &'static Metadata) -> Option<String> {
    planned(digits, metadata).unwrap_or_else(|Unplanned| asked(digits, metadata))
}

fn planned(digits: &str, metadata: &'static Metadata) -> Result<Option<String>, Unplanned> {
    let plan = Plan::of(metadata);
    let Some(national) = plan.national(digits)? else {
        return Ok(None);
    };
    if !plan.is_valid(national)? {
        return Ok(None);
    }
    Ok(Some(cleaned(&plan.write(national)?, plan.code(), national)))
}

/// The crate's own answer.
fn asked(digits: &str, metadata: &Metadata) -> Option<String> {
    let number = conserved(digits, metadata).filter(PhoneNumber::is_valid)?;
    let grouped = number.format().mode(Mode::International).to_string();
    let code = number.code().value().to_string();
    Some(cleaned(&grouped, &code, &number.national().to_string()))
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

/// With no other signs than digits, dashes and single blanks; not grouped where that changed a
/// digit.
fn cleaned(grouped: &str, code: &str, national: &str) -> String {
    if !ascii_digits(grouped).eq(ascii_digits(code).chain(ascii_digits(national))) {
        return format!("+{code} {national}");
    }
    let is_known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b' ');
    if grouped.bytes().all(is_known) {
        return text::canonical(grouped);
    }
    let cleaned: String = grouped
        .chars()
        .map(|character| match character {
            '0'..='9' | '+' | '-' => character,
            _ => ' ',
        })
        .collect();
    text::canonical(&cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use phonenumber::metadata::Descriptor;
    use proptest::prelude::*;

    /// Examples of every kind of every country, and numbers near to them.
    fn numbers() -> impl Strategy<Value = (&'static Metadata, String)> {
        let mut countries: Vec<&'static Metadata> = DATABASE.iter().collect();
        countries.sort_by_key(|metadata| metadata.id());
        let parts = (any::<u8>(), 0..4_usize, "0{0,2}", "[0-9]{0,3}");
        (prop::sample::select(countries), parts).prop_map(|(metadata, parts)| {
            let (kind, cut, head, tail) = parts;
            let kinds = metadata.descriptors();
            let kinds = [
                kinds.fixed_line(),
                kinds.mobile(),
                kinds.toll_free(),
                kinds.premium_rate(),
                kinds.shared_cost(),
                kinds.voip(),
                kinds.uan(),
            ];
            let kind = kinds[usize::from(kind) % kinds.len()];
            let example = kind.and_then(Descriptor::example).unwrap_or("221123456");
            let kept = example.len().saturating_sub(cut);
            let prefix = metadata.national_prefix().filter(|_| head.len() == 1);
            let head = prefix.unwrap_or(&head);
            (metadata, format!("{head}{}{tail}", &example[..kept]))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn tables_answer_as_the_crate_does((metadata, digits) in numbers()) {
            if let Ok(answer) = planned(&digits, metadata) {
                prop_assert_eq!(answer, asked(&digits, metadata), "{}", metadata.id());
            }
        }
    }

    #[test]
    fn the_usual_numbers_need_no_crate() {
        for id in [
            "DE", "AT", "CH", "FR", "NL", "PL", "IT", "GB", "US", "TR", "ES",
        ] {
            let metadata = DATABASE.by_id(id).expect("a country");
            let kinds = metadata.descriptors();
            for kind in [kinds.fixed_line(), kinds.mobile()].into_iter().flatten() {
                let example = kind.example().expect("an example");
                let answer = planned(example, metadata).expect("planned");
                assert!(answer.is_some(), "{id} {example}");
            }
        }
    }
}
