//! Realistic German contacts from a seed, as FLOWFACT entities and as Outlook contacts.
//!
//! The same person is written differently on both sides, as in life: phone numbers in every
//! national writing, `Str.` and `Straße`, e-mail addresses in other case, fields missing here or
//! there. A share has what Exchange cannot hold: a third business phone, a fourth e-mail address, a
//! number that is none. Everybody is invented; any likeness is chance.

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use crate::simulator::chance::Chance;

/// One invented person or company.
#[derive(Clone, Debug)]
pub struct Person {
    /// Empty for a company.
    first_name: String,
    last_name: String,
    is_woman: bool,
    academic_title: Option<&'static str>,
    company: Option<String>,
    department: Option<&'static str>,
    position: Option<&'static str>,
    phones: Vec<Phone>,
    emails: Vec<String>,
    website: Option<String>,
    address: Address,
    private_address: Option<Address>,
    birthday: Option<Date>,
    note: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Phone {
    kind: &'static str,
    area: &'static str,
    number: String,
    /// What somebody typed instead of a number.
    nonsense: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Address {
    street: String,
    postal_code: String,
    city: &'static str,
    country: &'static str,
}

/// How many contacts each side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Contacts in the CRM.
    pub crm: usize,
    /// Contacts in the mailbox.
    pub mailbox: usize,
    /// People who are on both sides; at most as many as the smaller side has contacts.
    pub shared: usize,
}

/// The contacts of both sides.
#[derive(Clone, Debug, Default)]
pub struct Population {
    /// FLOWFACT contacts: lists of values by field. The shared people come first.
    pub crm: Vec<Map<String, Value>>,
    /// Outlook contacts: properties by name. The shared people come first, in the same order.
    pub mailbox: Vec<Map<String, Value>>,
}

/// The contacts of both sides, the same ones for the same seed and sizes.
pub fn population(seed: u64, sizes: Sizes) -> Population {
    let mut chance = Chance::new(seed);
    let shared = sizes.shared.min(sizes.crm).min(sizes.mailbox);
    let mut population = Population::default();
    for number in 0..shared {
        let person = Person::invent(number, &mut chance);
        population.crm.push(person.crm_fields(&mut chance));
        population
            .mailbox
            .push(person.mailbox_properties(&mut chance));
    }
    for number in shared..sizes.crm {
        let person = Person::invent(number, &mut chance);
        population.crm.push(person.crm_fields(&mut chance));
    }
    for number in sizes.crm..sizes.crm + sizes.mailbox - shared {
        let person = Person::invent(number, &mut chance);
        population
            .mailbox
            .push(person.mailbox_properties(&mut chance));
    }
    population
}

impl Person {
    /// The person with this number: no two numbers share an e-mail address or a phone number.
    pub fn invent(number: usize, chance: &mut Chance) -> Self {
        let is_woman = chance.percent(50);
        let first_name = if is_woman {
            chance.pick(&WOMEN)
        } else {
            chance.pick(&MEN)
        };
        let last_name = last_name(chance);
        let is_company = chance.percent(8);
        let works = is_company || chance.percent(65);
        let company = works.then(|| company(chance));
        let place = chance.pick(&PLACES);
        let domain = match &company {
            Some(company) => format!("{}.example", plain(company)),
            None => (*chance.pick(&MAIL_HOSTS)).to_owned(),
        };
        let mut person = Self {
            first_name: if is_company {
                String::new()
            } else {
                (*first_name).to_owned()
            },
            last_name: if is_company {
                String::new()
            } else {
                last_name.clone()
            },
            is_woman,
            academic_title: chance.percent(9).then(|| *chance.pick(&TITLES)),
            department: (works && chance.percent(40)).then(|| *chance.pick(&DEPARTMENTS)),
            position: (works && chance.percent(45)).then(|| *chance.pick(&POSITIONS)),
            phones: phones(number, place.area, works, chance),
            emails: emails(number, first_name, &last_name, &domain, is_company, chance),
            website: (works && chance.percent(35)).then(|| format!("https://www.{domain}/")),
            address: address(place, chance),
            private_address: (works && chance.percent(20)).then(|| {
                let place = chance.pick(&PLACES);
                address(place, chance)
            }),
            birthday: chance.percent(30).then(|| birthday(chance)),
            note: chance.percent(15).then(|| *chance.pick(&NOTES)),
            company,
        };
        if is_company {
            person.academic_title = None;
            person.birthday = None;
            person.position = None;
        }
        person
    }

    /// As a FLOWFACT contact.
    pub fn crm_fields(&self, chance: &mut Chance) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut set = |name: &str, values: Vec<Value>| {
            if !values.is_empty() {
                fields.insert(name.to_owned(), Value::Array(values));
            }
        };
        let text = |text: &str| {
            if text.is_empty() {
                Vec::new()
            } else {
                vec![json!(text)]
            }
        };
        let salutation = match (self.is_company(), self.is_woman) {
            (true, _) => "03",
            (false, true) => "01",
            (false, false) => "02",
        };
        set("salutation", text(salutation));
        set("title", text(self.academic_title.unwrap_or_default()));
        set("firstName", text(&self.first_name));
        set("lastName", text(&self.last_name));
        set("company", text(self.company.as_deref().unwrap_or_default()));
        set("department", text(self.department.unwrap_or_default()));
        set("position", text(self.position.unwrap_or_default()));
        let phones = self.phones.iter().map(|phone| {
            let mut value = json!({"type": phone.kind, "number": phone.written(chance)});
            if chance.percent(10) {
                merge(&mut value, "note", json!("nur vormittags"));
            }
            value
        });
        set("phones", phones.collect());
        set(
            "emails",
            self.emails.iter().map(|email| json!(email)).collect(),
        );
        set("website", text(self.website.as_deref().unwrap_or_default()));
        let main = if self.company.is_some() {
            "office"
        } else {
            "private"
        };
        let mut addresses = vec![self.address.crm(main)];
        addresses.extend(
            self.private_address
                .as_ref()
                .map(|address| address.crm("private")),
        );
        set("addresses", addresses);
        if let Some(birthday) = self.birthday {
            set("birthday", vec![json!(berlin_midnight(birthday))]);
        }
        set("note", text(self.note.unwrap_or_default()));
        if chance.percent(40) {
            set(
                "tags",
                vec![json!(chance.pick(&[
                    "owner",
                    "interested",
                    "tenant",
                    "craftsman"
                ]))],
            );
        }
        fields
    }

    /// As an Outlook contact: what fits, in the writing of somebody else.
    pub fn mailbox_properties(&self, chance: &mut Chance) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut set = |name: &str, value: Value| {
            let is_empty = value.as_str().is_some_and(str::is_empty)
                || value.as_array().is_some_and(Vec::is_empty);
            if !is_empty {
                properties.insert(name.to_owned(), value);
            }
        };
        set("givenName", json!(self.first_name));
        set("surname", json!(self.last_name));
        set(
            "companyName",
            json!(self.company.clone().unwrap_or_default()),
        );
        if chance.percent(80) {
            set("title", json!(self.academic_title.unwrap_or_default()));
            set("department", json!(self.department.unwrap_or_default()));
            set("jobTitle", json!(self.position.unwrap_or_default()));
            set(
                "businessHomePage",
                json!(self.website.clone().unwrap_or_default()),
            );
        }
        for (property, kind) in [("businessPhones", "office"), ("homePhones", "private")] {
            let phones = self
                .phones
                .iter()
                .filter(|phone| phone.kind == kind)
                .take(2);
            let phones: Vec<String> = phones.map(|phone| phone.written(chance)).collect();
            set(property, json!(phones));
        }
        let mut mobiles = self.phones.iter().filter(|phone| phone.kind == "mobile");
        if let Some(mobile) = mobiles.next() {
            set("mobilePhone", json!(mobile.written(chance)));
        }
        set("emailAddresses", self.mailbox_emails(chance));
        let main = match self.company {
            Some(_) => "businessAddress",
            None => "homeAddress",
        };
        if chance.percent(70) {
            set(main, self.address.mailbox(chance));
        }
        if let Some(birthday) = self.birthday.filter(|_| chance.percent(60)) {
            set("birthday", json!(format!("{birthday}T11:59:00Z")));
        }
        if chance.percent(10) {
            set(
                "personalNotes",
                json!("\nKennengelernt auf der Messe.\nRuft zurück."),
            );
        }
        properties
    }

    fn mailbox_emails(&self, chance: &mut Chance) -> Value {
        let name = format!("{} {}", self.first_name, self.last_name);
        let emails = self.emails.iter().take(3).map(|email| {
            let address = if chance.percent(20) {
                capitalised(email)
            } else {
                email.clone()
            };
            json!({"name": name.trim(), "address": address})
        });
        let mut emails: Vec<Value> = emails.collect();
        // A colleague's entry that lost its SMTP address.
        if emails.is_empty() && chance.percent(20) {
            emails.push(json!({
                "name": name.trim(),
                "address": "/O=EXCHANGELABS/OU=EXCHANGE/CN=RECIPIENTS/CN=KOLLEGE",
            }));
        }
        Value::Array(emails)
    }

    fn is_company(&self) -> bool {
        self.last_name.is_empty()
    }
}

impl Phone {
    /// The number as somebody wrote it down.
    fn written(&self, chance: &mut Chance) -> String {
        if let Some(nonsense) = self.nonsense {
            return nonsense.to_owned();
        }
        let Self { area, number, .. } = self;
        let (head, tail) = number.split_at(number.len() / 2);
        match chance.below(10) {
            0 => format!("0{area} / {head} {tail}"),
            1 => format!("(0{area}) {number}"),
            2 => format!("0{area}-{number}"),
            3 => format!("0{area}/{number}"),
            4 => format!("0049 {area} {number}"),
            5 => format!("+49 (0){area} {number}"),
            6 => format!("+49 (0) {area} / {head} {tail}"),
            7 => format!("0{area} {head} {tail}"),
            8 => format!("+49{area}{number}"),
            _ => format!("+49 {area} {number}"),
        }
    }
}

impl Address {
    fn crm(&self, kind: &str) -> Value {
        json!({
            "type": kind,
            "street": self.street,
            "zipcode": self.postal_code,
            "city": self.city,
            "country": self.country,
        })
    }

    fn mailbox(&self, chance: &mut Chance) -> Value {
        let street = if chance.percent(50) {
            self.street
                .replace("straße ", "str. ")
                .replace("Straße ", "Str. ")
        } else {
            self.street.clone()
        };
        let mut address = json!({
            "street": street,
            "city": self.city,
            "postalCode": self.postal_code,
        });
        if chance.percent(60) {
            merge(&mut address, "countryOrRegion", json!(self.country));
        }
        address
    }
}

/// FLOWFACT keeps a date as the second in which it begins in Berlin.
fn berlin_midnight(date: Date) -> i64 {
    let berlin = jiff::tz::get!("Europe/Berlin");
    date.to_zoned(berlin)
        .map_or(0, |midnight| midnight.timestamp().as_second())
}

fn merge(object: &mut Value, member: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(member.to_owned(), value);
    }
}

fn last_name(chance: &mut Chance) -> String {
    let name = (*chance.pick(&LAST_NAMES)).to_owned();
    match chance.below(20) {
        0 => format!("{name}-{}", chance.pick(&LAST_NAMES)),
        1 => format!("von {name}"),
        _ => name,
    }
}

fn company(chance: &mut Chance) -> String {
    let name = last_name(chance);
    let trade = *chance.pick(&TRADES);
    let form = *chance.pick(&["GmbH", "GmbH & Co. KG", "AG", "e. K.", "KG", "mbB", "GbR"]);
    match chance.below(3) {
        0 => format!("{name} {trade} {form}"),
        1 => format!("{trade} {name} {form}"),
        _ => format!("{name} & {} {trade} {form}", chance.pick(&LAST_NAMES)),
    }
}

/// Numbers are told apart by `number`, so that nobody shares one by chance.
fn phones(number: usize, area: &'static str, works: bool, chance: &mut Chance) -> Vec<Phone> {
    let mut phones = Vec::new();
    let mut add = |kind, area, line: String, nonsense| {
        phones.push(Phone {
            kind,
            area,
            number: line,
            nonsense,
        });
    };
    let line = |place: u64| format!("{}{number:05}{place}", 3 + place % 6);
    if works {
        add("office", area, line(0), None);
        if chance.percent(30) {
            add("office", area, line(1), None);
        }
        if chance.percent(8) {
            add("office", area, line(2), None);
            add("office", area, line(3), None);
        }
    }
    if !works || chance.percent(25) {
        add("private", area, line(4), None);
    }
    if chance.percent(60) {
        let network = *chance.pick(&["151", "160", "170", "171", "172", "175", "176", "179"]);
        let first = 2 + number % 7;
        add("mobile", network, format!("{first}{number:06}"), None);
    }
    if chance.percent(5) {
        add("other", area, line(5), None);
    }
    if chance.percent(4) {
        let nonsense = *chance.pick(&NONSENSE);
        add(
            *chance.pick(&["office", "private", ""]),
            area,
            String::new(),
            Some(nonsense),
        );
    }
    phones
}

fn emails(
    number: usize,
    first_name: &str,
    last_name: &str,
    domain: &str,
    is_company: bool,
    chance: &mut Chance,
) -> Vec<String> {
    if chance.percent(7) {
        return Vec::new();
    }
    let (first, last) = (plain(first_name), plain(last_name));
    let own = if is_company {
        format!("info{number}@{domain}")
    } else {
        format!("{first}.{last}{number}@{domain}")
    };
    let mut emails = vec![own];
    let more = match chance.below(100) {
        0..4 => 3,
        4..9 => 2,
        9..30 => 1,
        _ => 0,
    };
    for host in MAIL_HOSTS.iter().take(more) {
        emails.push(format!("{first}{number}@{host}"));
    }
    emails
}

fn address(place: &Place, chance: &mut Chance) -> Address {
    let street = *chance.pick(&STREETS);
    let house = 1 + chance.below(180);
    let suffix = *chance.pick(&["", "", "", "", "a", " b", "-3"]);
    let district = chance.below(100);
    Address {
        street: format!("{street} {house}{suffix}"),
        postal_code: match place.country {
            "Deutschland" => format!("{}{district:02}", place.postal_prefix),
            _ => place.postal_prefix.to_owned(),
        },
        city: place.city,
        country: place.country,
    }
}

fn birthday(chance: &mut Chance) -> Date {
    let year = 1935 + i16::try_from(chance.below(70)).unwrap_or(0);
    let day_of_year = 1 + i16::try_from(chance.below(365)).unwrap_or(0);
    let new_year = Date::new(year, 1, 1).unwrap_or_default();
    new_year
        .with()
        .day_of_year(day_of_year)
        .build()
        .unwrap_or(new_year)
}

/// Text as it stands in an e-mail address.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for sign in text.to_lowercase().chars() {
        match sign {
            'ä' => plain.push_str("ae"),
            'ö' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'ß' => plain.push_str("ss"),
            'é' | 'ë' => plain.push('e'),
            'ç' => plain.push('c'),
            ' ' | '-' if !plain.ends_with('-') && !plain.is_empty() => plain.push('-'),
            sign if sign.is_ascii_alphanumeric() => plain.push(sign),
            _ => {}
        }
    }
    plain.trim_end_matches('-').to_owned()
}

fn capitalised(email: &str) -> String {
    let mut signs = email.chars();
    let first = signs.next().map(|sign| sign.to_ascii_uppercase());
    first.into_iter().chain(signs).collect()
}

struct Place {
    city: &'static str,
    postal_prefix: &'static str,
    area: &'static str,
    country: &'static str,
}

const fn german(city: &'static str, postal_prefix: &'static str, area: &'static str) -> Place {
    Place {
        city,
        postal_prefix,
        area,
        country: "Deutschland",
    }
}

const PLACES: [Place; 24] = [
    german("Köln", "506", "221"),
    german("Köln", "509", "221"),
    german("Bonn", "531", "228"),
    german("Düsseldorf", "402", "211"),
    german("Berlin", "101", "30"),
    german("Berlin", "134", "30"),
    german("Hamburg", "203", "40"),
    german("München", "803", "89"),
    german("Frankfurt am Main", "603", "69"),
    german("Stuttgart", "701", "711"),
    german("Leipzig", "041", "341"),
    german("Dresden", "010", "351"),
    german("Nürnberg", "904", "911"),
    german("Münster", "481", "251"),
    german("Lübeck", "235", "451"),
    german("Würzburg", "970", "931"),
    german("Göttingen", "370", "551"),
    german("Saarbrücken", "661", "681"),
    german("Bergisch Gladbach", "514", "2202"),
    german("Mülheim an der Ruhr", "454", "208"),
    german("Weil am Rhein", "795", "7621"),
    german("Görlitz", "028", "3581"),
    Place {
        city: "Wien",
        postal_prefix: "1010",
        area: "221",
        country: "Österreich",
    },
    Place {
        city: "Zürich",
        postal_prefix: "8001",
        area: "89",
        country: "Schweiz",
    },
];

const WOMEN: [&str; 26] = [
    "Anna",
    "Änne",
    "Birgit",
    "Bärbel",
    "Christine",
    "Dörte",
    "Elke",
    "Erika",
    "Friederike",
    "Gisela",
    "Hannelore",
    "Ilse",
    "Jördis",
    "Karin",
    "Käthe",
    "Lena",
    "Marie-Luise",
    "Monika",
    "Petra",
    "Renée",
    "Sabine",
    "Sigrun",
    "Ursula",
    "Uta",
    "Yasemin",
    "Zoë",
];

const MEN: [&str; 26] = [
    "Alexander",
    "Björn",
    "Bernd",
    "Christoph",
    "Detlef",
    "Emre",
    "Friedrich",
    "Götz",
    "Günter",
    "Hans-Jürgen",
    "Heinz",
    "Ingo",
    "Jörg",
    "Jürgen",
    "Karl-Heinz",
    "Klaus",
    "Lukas",
    "Matthias",
    "Mehmet",
    "Norbert",
    "Ömer",
    "Rüdiger",
    "Sören",
    "Thomas",
    "Uwe",
    "Wolfgang",
];

const LAST_NAMES: [&str; 52] = [
    "Müller",
    "Schmidt",
    "Schneider",
    "Fischer",
    "Weber",
    "Meyer",
    "Meier",
    "Maier",
    "Wagner",
    "Becker",
    "Schulz",
    "Hoffmann",
    "Schäfer",
    "Koch",
    "Bauer",
    "Richter",
    "Klein",
    "Wolf",
    "Schröder",
    "Neumann",
    "Schwarz",
    "Zimmermann",
    "Braun",
    "Krüger",
    "Hofmann",
    "Hartmann",
    "Lange",
    "Schmitt",
    "Werner",
    "Krause",
    "Lehmann",
    "Köhler",
    "Herrmann",
    "König",
    "Walter",
    "Huber",
    "Kaiser",
    "Fuchs",
    "Peters",
    "Möller",
    "Weiß",
    "Jung",
    "Hahn",
    "Groß",
    "Yılmaz",
    "Öztürk",
    "Kowalski",
    "Nowak",
    "Böhm",
    "Strauß",
    "Brüggemann",
    "Lütkenhaus",
];

const TITLES: [&str; 5] = ["Dr.", "Prof. Dr.", "Dipl.-Ing.", "Dr. med.", "Dr.-Ing."];

const TRADES: [&str; 16] = [
    "Immobilien",
    "Hausverwaltung",
    "Bau",
    "Architekten",
    "Steuerberatung",
    "Rechtsanwälte",
    "Elektrotechnik",
    "Sanitär",
    "Gärtnerei",
    "Bäckerei",
    "Spedition",
    "Metallbau",
    "Dachdeckerei",
    "Versicherungen",
    "Vermögensberatung",
    "Gebäudereinigung",
];

const DEPARTMENTS: [&str; 7] = [
    "Einkauf",
    "Vertrieb",
    "Buchhaltung",
    "Geschäftsführung",
    "Technik",
    "Mietverwaltung",
    "Öffentlichkeitsarbeit",
];

const POSITIONS: [&str; 8] = [
    "Geschäftsführerin",
    "Geschäftsführer",
    "Prokurist",
    "Sachbearbeiterin",
    "Bauleiter",
    "Hausmeister",
    "Rechtsanwältin",
    "Leiter Einkauf",
];

const STREETS: [&str; 20] = [
    "Hauptstraße",
    "Bahnhofstraße",
    "Gartenstraße",
    "Schulstraße",
    "Dorfstraße",
    "Bergstraße",
    "Birkenweg",
    "Lindenallee",
    "Kirchplatz",
    "Am Römerturm",
    "Aachener Straße",
    "Venloer Straße",
    "Friedrichstraße",
    "Goethestraße",
    "Schillerstraße",
    "An der Mühle",
    "Zum Grünen Tal",
    "Königsallee",
    "Große Bleichen",
    "Im Brühl",
];

const MAIL_HOSTS: [&str; 3] = ["post.example", "mail.example", "netz.example"];

const NOTES: [&str; 5] = [
    "Sucht eine Dreizimmerwohnung mit Balkon.",
    "Eigentümerin, möchte 2027 verkaufen.",
    "Bitte nur nachmittags anrufen.",
    "Empfehlung von Familie Schäfer.\nFinanzierung geklärt.",
    "Newsletter abbestellt.",
];

/// What people type into a field for a phone number.
const NONSENSE: [&str; 6] = [
    "siehe Sekretariat",
    "0221-8899 DW 12",
    "88990 / 91",
    "0172/1234567 privat",
    "k. A.",
    "bei Nachbarn klingeln",
];
