//! The numbering plan of one country, as tables that are asked without a regular expression's
//! machinery.
//!
//! A plan gives the answers of the crate `phonenumber` or none at all: [`Unplanned`] where it is
//! not certain to. Its tables are made when they are first asked for, and stay.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};

use super::pattern::{Layout, Pattern};

/// The plan cannot say: the crate is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unplanned;

/// Digits of a number that a plan can answer for: no fewer than the shortest with an area code, no
/// more than E.164 has.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=15;

/// Territories of no country, as libphonenumber names them: satellites, international freephone.
const NO_COUNTRY: &str = "001";

thread_local! {
    static PLANS: RefCell<BTreeMap<&'static str, Rc<Plan>>> = const {
        RefCell::new(BTreeMap::new())
    };
}

/// What is known about the numbers of one country.
pub(super) struct Plan {
    metadata: &'static Metadata,
    /// The country code.
    code: String,
    /// No other country shares the code.
    is_alone: bool,
    /// What is dialled for a call abroad. The crate strips it even after a `+`.
    international_prefix: Lazy<Pattern>,
    /// What may stand before a number, where that is more than the national prefix.
    national_prefix: Lazy<Pattern>,
    /// Of countries that share a code: what its numbers begin with.
    leading_digits: Lazy<Pattern>,
    general: Lazy<Pattern>,
    /// Landlines and mobiles first, which address books are full of: in whatever order the kinds
    /// are asked, one of them decides.
    kinds: [Lazy<Pattern>; 10],
    groupings: OnceCell<Result<Vec<Grouping>, Unplanned>>,
}

/// Made when it is first asked for.
type Lazy<T> = OnceCell<Result<T, Unplanned>>;

struct Grouping {
    /// What numbers begin with that are grouped like this.
    leading_digits: Option<Pattern>,
    layout: Layout,
}

impl Plan {
    /// The plan of a country.
    pub(super) fn of(metadata: &'static Metadata) -> Rc<Self> {
        PLANS.with_borrow_mut(|plans| {
            let plan = plans
                .entry(metadata.id())
                .or_insert_with(|| Rc::new(Self::new(metadata)));
            Rc::clone(plan)
        })
    }

    fn new(metadata: &'static Metadata) -> Self {
        let sharing = DATABASE.region(&metadata.country_code());
        Self {
            metadata,
            code: metadata.country_code().to_string(),
            is_alone: sharing.is_some_and(|sharing| sharing == [metadata.id()]),
            international_prefix: OnceCell::new(),
            national_prefix: OnceCell::new(),
            leading_digits: OnceCell::new(),
            general: OnceCell::new(),
            kinds: Default::default(),
            groupings: OnceCell::new(),
        }
    }

    /// The country code.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The number with these digits after the country code, less a national prefix. `None` where
    /// another digit would get lost with it.
    pub(super) fn national<'a>(&self, digits: &'a str) -> Result<Option<&'a str>, Unplanned> {
        // Where the crate knows lengths of its own, it may take a number as it stands.
        let has_lengths = !self
            .metadata
            .descriptors()
            .general()
            .possible_length()
            .is_empty();
        if has_lengths || self.metadata.id() == NO_COUNTRY || !DIGITS.contains(&digits.len()) {
            return Err(Unplanned);
        }
        if let Some(expression) = self.metadata.international_prefix() {
            let prefix = made(&self.international_prefix, expression.as_str())?;
            if prefix.begins(&[self.code(), digits].concat()) {
                return Err(Unplanned);
            }
        }
        let prefix = self.metadata.national_prefix().unwrap_or_default();
        let mut number = digits;
        if let Some(expression) = self.metadata.national_prefix_for_parsing() {
            if let Some(end) = made(&self.national_prefix, expression.as_str())?.end(digits) {
                if self.metadata.national_prefix_transform_rule().is_some() {
                    return Err(Unplanned);
                }
                number = digits.get(end..).unwrap_or_default();
            }
        } else {
            number = without(prefix, number);
        }
        number = without(prefix, number);
        let is_conserved = number == digits || digits.strip_prefix(prefix) == Some(number);
        let is_number =
            number.len() >= *DIGITS.start() && number.bytes().any(|digit| digit != b'0');
        match (is_conserved, is_number) {
            (true, true) => Ok(Some(number)),
            (true, false) => Err(Unplanned),
            (false, _) => Ok(None),
        }
    }

    /// Whether this is a number of the country, or of one that shares its code.
    pub(super) fn is_valid(&self, national: &str) -> Result<bool, Unplanned> {
        if self.is_alone {
            return self.has_kind(national);
        }
        let sharing = DATABASE.region(&self.metadata.country_code());
        for region in sharing.unwrap_or_default() {
            let plan = Self::of(DATABASE.by_id(region).ok_or(Unplanned)?);
            match plan.is_told_by_leading_digits(national)? {
                Some(true) => return plan.has_kind(national),
                None if plan.has_kind(national)? => return Ok(true),
                Some(false) | None => {}
            }
        }
        Ok(false)
    }

    /// Whether a number is this country's by its first digits alone; `None` where these say
    /// nothing.
    fn is_told_by_leading_digits(&self, national: &str) -> Result<Option<bool>, Unplanned> {
        let expression = self.metadata.leading_digits();
        let leading = expression.map(|expression| made(&self.leading_digits, expression.as_str()));
        Ok(leading.transpose()?.map(|leading| leading.begins(national)))
    }

    /// The number with its country code, grouped as the country does it.
    pub(super) fn write(&self, national: &str) -> Result<String, Unplanned> {
        // Twice as many signs as digits hold every grouping that there is.
        let mut written = String::with_capacity(2 * national.len() + self.code.len() + 2);
        written.extend(["+", self.code(), " "]);
        let groupings = self.groupings.get_or_init(|| groupings(self.metadata));
        for grouping in groupings.as_ref().map_err(|unplanned| *unplanned)? {
            let fits = grouping.layout.fits(national);
            match &grouping.leading_digits {
                Some(leading) if fits && leading.begins(national) => {}
                Some(_) => continue,
                None if fits => {}
                // The crate takes such a format for every number, and groups a part of it.
                None => return Err(Unplanned),
            }
            grouping.layout.write(national, &mut written);
            return Ok(written);
        }
        written.push_str(national);
        Ok(written)
    }

    /// Whether a number is of any kind that the country has.
    fn has_kind(&self, national: &str) -> Result<bool, Unplanned> {
        let known = self.metadata.descriptors();
        if !is_match(&self.general, known.general(), national)? {
            return Ok(false);
        }
        let descriptors = [
            known.fixed_line(),
            known.mobile(),
            known.toll_free(),
            known.shared_cost(),
            known.premium_rate(),
            known.voip(),
            known.personal_number(),
            known.pager(),
            known.uan(),
            known.voicemail(),
        ];
        for (pattern, descriptor) in self.kinds.iter().zip(descriptors) {
            if let Some(descriptor) = descriptor
                && is_match(pattern, descriptor, national)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The crate's question: a length that there is, and a match at the beginning.
fn is_match(
    pattern: &Lazy<Pattern>,
    descriptor: &Descriptor,
    national: &str,
) -> Result<bool, Unplanned> {
    let lengths = descriptor.possible_length();
    let is_possible = lengths
        .iter()
        .any(|length| usize::from(*length) == national.len());
    if !lengths.is_empty() && !is_possible {
        return Ok(false);
    }
    Ok(made(pattern, descriptor.national_number().as_str())?.begins(national))
}

fn made<'a>(pattern: &'a Lazy<Pattern>, expression: &str) -> Result<&'a Pattern, Unplanned> {
    let made = pattern.get_or_init(|| Pattern::new(expression).ok_or(Unplanned));
    made.as_ref().map_err(|unplanned| *unplanned)
}

/// The formats of a country; where several countries share a code, those of the main one.
fn groupings(metadata: &Metadata) -> Result<Vec<Grouping>, Unplanned> {
    let sharing = DATABASE.by_code(&metadata.country_code());
    let main = sharing.and_then(|sharing| sharing.into_iter().next());
    let main = main.ok_or(Unplanned)?;
    let formats = match main.international_formats() {
        [] => main.formats(),
        international => international,
    };
    let grouping = |format: &phonenumber::metadata::Format| {
        let leading_digits = match format.leading_digits().last() {
            Some(expression) => Some(Pattern::new(expression.as_str()).ok_or(Unplanned)?),
            None => None,
        };
        let layout = Layout::new(format.pattern().as_str(), format.format()).ok_or(Unplanned)?;
        Ok(Grouping {
            leading_digits,
            layout,
        })
    };
    formats.iter().map(grouping).collect()
}

fn without<'a>(prefix: &str, number: &'a str) -> &'a str {
    number.strip_prefix(prefix).unwrap_or(number)
}
