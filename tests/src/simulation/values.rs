//! The values that people write in a simulated world.
//!
//! Every value that somebody writes has a number of its own, so that it can be followed wherever it
//! goes: into which field, in which writing, into the journal. Reading them is the simulation's own
//! work and much simpler than the engine's, because it only has to understand what is written here.

use jiff::civil::Date;
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A value's number, and how it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Six digits.
    pub number: u32,
    /// One of several ways to write it.
    pub writing: Writing,
}

/// One of four ways to write the same value.
pub type Writing = u8;

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.writing)
    }
}

/// A field with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Line {
    FirstName,
    LastName,
    Title,
    Company,
    Department,
    Position,
    Website,
    Birthday,
}

impl Line {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::FirstName,
        Self::LastName,
        Self::Title,
        Self::Company,
        Self::Department,
        Self::Position,
        Self::Website,
        Self::Birthday,
    ];

    /// The name in FLOWFACT.
    pub fn crm(self) -> &'static str {
        match self {
            Self::FirstName => "firstName",
            Self::LastName => "lastName",
            Self::Title => "title",
            Self::Company => "company",
            Self::Department => "department",
            Self::Position => "position",
            Self::Website => "website",
            Self::Birthday => "birthday",
        }
    }

    /// The name in Microsoft Graph.
    pub fn mailbox(self) -> &'static str {
        match self {
            Self::FirstName => "givenName",
            Self::LastName => "surname",
            Self::Title => "title",
            Self::Company => "companyName",
            Self::Department => "department",
            Self::Position => "jobTitle",
            Self::Website => "businessHomePage",
            Self::Birthday => "birthday",
        }
    }

    fn canonical(self, text: &str) -> String {
        match self {
            Self::Website => {
                let rest = text.strip_prefix("https://").unwrap_or(text);
                rest.strip_suffix('/').unwrap_or(rest).to_lowercase()
            }
            _ => canonical_text(text),
        }
    }
}

/// What kind of phone or address a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum PhoneKind {
    Office,
    Private,
    Mobile,
    Other,
}

impl PhoneKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Office, Self::Private, Self::Mobile, Self::Other];

    /// The type in FLOWFACT.
    pub fn crm(self) -> &'static str {
        match self {
            Self::Office => "office",
            Self::Private => "private",
            Self::Mobile => "mobile",
            Self::Other => "other",
        }
    }

    fn of_crm(text: &str) -> Self {
        let found = Self::ALL.into_iter().find(|kind| kind.crm() == text);
        found.unwrap_or(Self::Other)
    }

    /// The property of an address in Microsoft Graph; none for what is no kind of address.
    pub fn address(self) -> Option<&'static str> {
        match self {
            Self::Office => Some("businessAddress"),
            Self::Private => Some("homeAddress"),
            Self::Other => Some("otherAddress"),
            Self::Mobile => None,
        }
    }
}

impl Token {
    /// The value of a field with one value, as FLOWFACT has it.
    pub fn crm_line(self, line: Line) -> Value {
        match line {
            Line::Birthday => {
                let midnight = self.day().to_zoned(jiff::tz::get!("Europe/Berlin"));
                json!(midnight.map_or(0, |midnight| midnight.timestamp().as_second()))
            }
            _ => json!(self.line(line)),
        }
    }

    /// The same as Microsoft Graph has it.
    pub fn mailbox_line(self, line: Line) -> Value {
        match line {
            // Each client has chosen another hour for the same day.
            Line::Birthday => match self.writing {
                0 => json!(format!("{}T11:59:00Z", self.day())),
                1 => json!(format!("{}T00:00:00Z", self.day())),
                _ => json!(format!("{}T08:00:00Z", self.day())),
            },
            _ => json!(self.line(line)),
        }
    }

    fn line(self, line: Line) -> String {
        let number = self.number;
        match (line, self.writing) {
            (Line::Website, 0) => format!("https://www.w{number}.example"),
            (Line::Website, 1) => format!("https://www.w{number}.example/"),
            (Line::Website, 2) => format!("www.w{number}.example"),
            (Line::Website, _) => format!("www.W{number}.example/"),
            (_, 0) => format!("Öl und {number}"),
            (_, 1) => format!("Öl  und {number}"),
            (_, 2) => format!("O\u{308}l und {number}"),
            (_, _) => format!(" Öl und {number} "),
        }
    }

    fn day(self) -> Date {
        let days = Span::new().days(i64::from(self.number % 30_000));
        let first = Date::constant(1930, 1, 1);
        first.checked_add(days).unwrap_or(first)
    }

    /// A phone number. A third of them are mobile.
    pub fn phone(self) -> String {
        let area = if self.number.is_multiple_of(3) {
            "171"
        } else {
            "221"
        };
        let tail = format!("2{}", self.number);
        let (head, end) = tail.split_at(3);
        match self.writing {
            0 => format!("+49 {area} {tail}"),
            1 => format!("0{area} {head} {end}"),
            2 => format!("0{area}/{tail}"),
            _ => format!("0049 {area}-{tail}"),
        }
    }

    /// Text in a phone field that is no number.
    pub fn opaque_phone(self) -> String {
        format!("siehe Zettel {}", self.number)
    }

    /// An e-mail address.
    pub fn email(self) -> String {
        let number = self.number;
        match self.writing {
            0 => format!("post{number}@kunde.example"),
            1 => format!("Post{number}@kunde.example"),
            2 => format!("POST{number}@KUNDE.EXAMPLE"),
            _ => format!("post{number}@Kunde.Example"),
        }
    }

    /// An address: street, postal code, city, country.
    pub fn address(self) -> [String; 4] {
        let number = self.number;
        let country = match self.writing {
            0 => "",
            1 => "Deutschland",
            2 => "Germany",
            _ => "DE",
        };
        [
            format!("Weg {number}"),
            "50667".to_owned(),
            self.city(),
            country.to_owned(),
        ]
    }

    /// A city.
    pub fn city(self) -> String {
        format!("Stadt {}", self.number)
    }
}

/// What a record holds, read by the simulation itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Fields with one value.
    pub lines: BTreeMap<Line, String>,
    /// Numbers by kind, in order.
    pub phones: Vec<(PhoneKind, Number)>,
    /// Addresses of mail, in order.
    pub emails: Vec<String>,
    /// Addresses by kind: street, postal code, city, country.
    pub addresses: Vec<(PhoneKind, [String; 4])>,
}

/// A phone number, or what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    /// Nine or more digits, without country.
    Read(String),
    /// Text that is no number.
    Opaque(String),
}

impl Number {
    fn of(text: &str) -> Self {
        if text.chars().any(char::is_alphabetic) {
            return Self::Opaque(text.to_owned());
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let rest = digits
            .strip_prefix("0049")
            .or_else(|| digits.strip_prefix("49"));
        let rest = rest.or_else(|| digits.strip_prefix('0'));
        Self::Read(rest.unwrap_or(&digits).to_owned())
    }
}

impl Card {
    /// Reads a FLOWFACT contact.
    pub fn of_crm(fields: &Map<String, Value>) -> Self {
        let values = |name: &str| {
            let values = fields.get(name).and_then(Value::as_array);
            values.cloned().unwrap_or_default()
        };
        let mut card = Self::default();
        for line in Line::ALL {
            for value in values(line.crm()).iter().take(1) {
                card.set_line(line, crm_line(line, value));
            }
        }
        for phone in values("phones") {
            let number = Number::of(text(&phone, "number"));
            card.phones
                .push((PhoneKind::of_crm(text(&phone, "type")), number));
        }
        for email in values("emails") {
            let email = email.as_str().unwrap_or_else(|| text(&email, "email"));
            card.emails.push(email.to_lowercase());
        }
        for address in values("addresses") {
            let kind = PhoneKind::of_crm(text(&address, "type"));
            let parts = ["street", "zipcode", "city", "country"];
            card.add_address(kind, parts.map(|part| text(&address, part)));
        }
        card
    }

    /// Reads a mailbox contact, as Graph names its properties.
    pub fn of_mailbox(properties: &Map<String, Value>) -> Self {
        let mut card = Self::default();
        for line in Line::ALL {
            if let Some(value) = properties.get(line.mailbox()) {
                card.set_line(line, mailbox_line(line, value));
            }
        }
        // Exchange needs a given name, and companies have none (contract, section 4).
        let has_surname = card.lines.contains_key(&Line::LastName);
        let given = card.lines.get(&Line::FirstName);
        if !has_surname && given.is_some() && given == card.lines.get(&Line::Company) {
            card.lines.remove(&Line::FirstName);
        }
        let rooms = [
            ("businessPhones", PhoneKind::Office),
            ("homePhones", PhoneKind::Private),
        ];
        for (name, kind) in rooms {
            let numbers = properties.get(name).and_then(Value::as_array);
            let numbers = numbers.into_iter().flatten().filter_map(Value::as_str);
            card.phones
                .extend(numbers.map(|number| (kind, Number::of(number))));
        }
        if let Some(mobile) = properties.get("mobilePhone").and_then(Value::as_str) {
            card.phones.push((PhoneKind::Mobile, Number::of(mobile)));
        }
        if let Some(other) = properties.get("otherTelephone").and_then(Value::as_str) {
            card.phones.push((PhoneKind::Other, Number::of(other)));
        }
        let emails = properties.get("emailAddresses").and_then(Value::as_array);
        for email in emails.into_iter().flatten() {
            // A free slot holds nothing, or what the address left behind.
            let address = text(email, "address").to_lowercase();
            card.emails.extend((!address.is_empty()).then_some(address));
        }
        for kind in PhoneKind::ALL {
            if let Some(address) = kind.address().and_then(|name| properties.get(name)) {
                let parts = ["street", "postalCode", "city", "countryOrRegion"];
                card.add_address(kind, parts.map(|part| text(address, part)));
            }
        }
        card
    }

    fn set_line(&mut self, line: Line, text: String) {
        if !text.is_empty() {
            self.lines.insert(line, text);
        }
    }

    fn add_address(&mut self, kind: PhoneKind, parts: [&str; 4]) {
        let [street, code, city, country] = parts.map(canonical_text);
        let country = match country.as_str() {
            "Deutschland" | "Germany" => "DE".to_owned(),
            _ => country,
        };
        let parts = [street, code, city, country];
        if parts.iter().any(|part| !part.is_empty()) {
            self.addresses.push((kind, parts));
        }
    }

    /// Every value on its own, with what it is: what can be lost.
    pub fn values(&self) -> BTreeSet<String> {
        let lines = self
            .lines
            .iter()
            .map(|(line, text)| format!("{line:?} {text}"));
        let phones = self.phones.iter().map(|(_, number)| match number {
            Number::Read(digits) => format!("phone {digits}"),
            Number::Opaque(text) => format!("text {text}"),
        });
        let emails = self.emails.iter().map(|email| format!("email {email}"));
        let parts = self.addresses.iter().flat_map(|(_, parts)| {
            let [street, _, city, _] = parts;
            [format!("street {street}"), format!("city {city}")]
        });
        let values = lines.chain(phones).chain(emails).chain(parts);
        values
            .filter(|value| number_in(value).is_some() || value.starts_with("Birthday"))
            .collect()
    }
}

/// The number of the value in a text: six digits that begin with a 1, at its end but for a domain.
pub fn number_in(text: &str) -> Option<u32> {
    let digits: Vec<&str> = text
        .split(|letter: char| !letter.is_ascii_digit())
        .filter(|digits| digits.len() >= 6)
        .collect();
    let last = digits.last()?;
    let number = last.get(last.len() - 6..)?;
    number.parse().ok().filter(|number| *number >= FIRST_NUMBER)
}

/// The first number that a value can have.
pub const FIRST_NUMBER: u32 = 100_001;

fn crm_line(line: Line, value: &Value) -> String {
    match (line, value) {
        (Line::Birthday, Value::Number(seconds)) => {
            let instant = Timestamp::from_second(seconds.as_i64().unwrap_or(0));
            let instant = instant.and_then(|instant| instant.checked_add(HALF_DAY));
            let berlin = jiff::tz::get!("Europe/Berlin");
            instant.map_or(String::new(), |at| at.to_zoned(berlin).date().to_string())
        }
        (_, value) => line.canonical(value.as_str().unwrap_or_default()),
    }
}

fn mailbox_line(line: Line, value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    if line != Line::Birthday {
        return line.canonical(text);
    }
    let instant = text.parse::<Timestamp>();
    let instant = instant.and_then(|instant| instant.checked_add(HALF_DAY));
    instant.map_or(String::new(), |at| {
        at.to_zoned(TimeZone::UTC).date().to_string()
    })
}

const HALF_DAY: SignedDuration = SignedDuration::from_hours(12);

fn canonical_text(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace("O\u{308}", "Ö")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
