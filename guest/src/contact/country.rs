//! Countries, by the names that people and services write.
//!
//! A table of our own, because the CRM writes German names and Exchange whatever its user typed:
//! the crates with German names carry every language of the world into the component.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::text;

/// A country that is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(&'static str);

/// A language that names of countries are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Language {
    #[default]
    German,
    English,
}

impl Country {
    /// Recognises an ISO 3166-1 code, a German or an English name.
    pub fn recognise(text: &str) -> Option<Self> {
        KNOWN
            .get(folded(text).as_str())
            .map(|(country, _)| *country)
    }

    /// ISO 3166-1 alpha-2.
    pub fn code(self) -> &'static str {
        self.0
    }

    /// Its usual name.
    pub fn name(self, language: Language) -> &'static str {
        let names = NAMES.iter().find(|(code, _, _)| *code == self.0);
        match (names, language) {
            (Some((_, german, _)), Language::German) => german,
            (Some((_, _, english)), Language::English) => english,
            (None, _) => self.0,
        }
    }
}

/// The language that a country's name is written in; `None` where it is none, or is the same in
/// both.
pub fn language(text: &str) -> Option<Language> {
    KNOWN
        .get(folded(text).as_str())
        .and_then(|(_, language)| *language)
}

/// Builds the index, so that the first address need not.
pub fn prepare() {
    LazyLock::force(&KNOWN);
}

type Known = BTreeMap<String, (Country, Option<Language>)>;

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let mut known = Known::new();
    for (alias, code) in ALIASES {
        known.insert(folded(alias), (Country(code), None));
    }
    for (code, german, english) in NAMES {
        known.insert(folded(code), (Country(code), None));
        let same = folded(german) == folded(english);
        for (name, language) in [(german, Language::German), (english, Language::English)] {
            known.insert(folded(name), (Country(code), (!same).then_some(language)));
        }
    }
    known
});

fn folded(text: &str) -> String {
    text::canonical(text).to_lowercase().replace('.', "")
}

/// What people write besides. Letters alone are the signs on cars (as in `D-50667 Köln`).
const ALIASES: [(&str, &str); 47] = [
    ("D", "DE"),
    ("DEU", "DE"),
    ("GER", "DE"),
    ("BRD", "DE"),
    ("Bundesrepublik Deutschland", "DE"),
    ("Federal Republic of Germany", "DE"),
    ("A", "AT"),
    ("AUT", "AT"),
    ("Republik Österreich", "AT"),
    ("CHE", "CH"),
    ("Suisse", "CH"),
    ("Svizzera", "CH"),
    ("Schweizerische Eidgenossenschaft", "CH"),
    ("LIE", "LI"),
    ("LUX", "LU"),
    ("FRA", "FR"),
    ("ITA", "IT"),
    ("Italia", "IT"),
    ("ESP", "ES"),
    ("España", "ES"),
    ("NLD", "NL"),
    ("Holland", "NL"),
    ("The Netherlands", "NL"),
    ("Nederland", "NL"),
    ("BEL", "BE"),
    ("POL", "PL"),
    ("Polska", "PL"),
    ("GBR", "GB"),
    ("UK", "GB"),
    ("Großbritannien", "GB"),
    ("Great Britain", "GB"),
    ("Vereinigtes Königreich Großbritannien und Nordirland", "GB"),
    ("USA", "US"),
    ("Vereinigte Staaten von Amerika", "US"),
    ("United States of America", "US"),
    ("Czech Republic", "CZ"),
    ("Tschechische Republik", "CZ"),
    ("Turkey", "TR"),
    ("Weißrussland", "BY"),
    ("Russische Föderation", "RU"),
    ("Russian Federation", "RU"),
    ("Slowakische Republik", "SK"),
    ("Republik Moldau", "MD"),
    ("Moldawien", "MD"),
    ("Côte d'Ivoire", "CI"),
    ("VAE", "AE"),
    ("UAE", "AE"),
];

/// ISO 3166-1 alpha-2, the German name, the English name; Kosovo by the code in use.
const NAMES: [(&str, &str, &str); 250] = [
    ("AD", "Andorra", "Andorra"),
    ("AE", "Vereinigte Arabische Emirate", "United Arab Emirates"),
    ("AF", "Afghanistan", "Afghanistan"),
    ("AG", "Antigua und Barbuda", "Antigua and Barbuda"),
    ("AI", "Anguilla", "Anguilla"),
    ("AL", "Albanien", "Albania"),
    ("AM", "Armenien", "Armenia"),
    ("AO", "Angola", "Angola"),
    ("AQ", "Antarktis", "Antarctica"),
    ("AR", "Argentinien", "Argentina"),
    ("AS", "Amerikanisch-Samoa", "American Samoa"),
    ("AT", "Österreich", "Austria"),
    ("AU", "Australien", "Australia"),
    ("AW", "Aruba", "Aruba"),
    ("AX", "Ålandinseln", "Åland Islands"),
    ("AZ", "Aserbaidschan", "Azerbaijan"),
    ("BA", "Bosnien und Herzegowina", "Bosnia and Herzegovina"),
    ("BB", "Barbados", "Barbados"),
    ("BD", "Bangladesch", "Bangladesh"),
    ("BE", "Belgien", "Belgium"),
    ("BF", "Burkina Faso", "Burkina Faso"),
    ("BG", "Bulgarien", "Bulgaria"),
    ("BH", "Bahrain", "Bahrain"),
    ("BI", "Burundi", "Burundi"),
    ("BJ", "Benin", "Benin"),
    ("BL", "Saint-Barthélemy", "Saint Barthélemy"),
    ("BM", "Bermuda", "Bermuda"),
    ("BN", "Brunei Darussalam", "Brunei"),
    ("BO", "Bolivien", "Bolivia"),
    ("BQ", "Karibische Niederlande", "Caribbean Netherlands"),
    ("BR", "Brasilien", "Brazil"),
    ("BS", "Bahamas", "Bahamas"),
    ("BT", "Bhutan", "Bhutan"),
    ("BV", "Bouvetinsel", "Bouvet Island"),
    ("BW", "Botsuana", "Botswana"),
    ("BY", "Belarus", "Belarus"),
    ("BZ", "Belize", "Belize"),
    ("CA", "Kanada", "Canada"),
    ("CC", "Kokosinseln", "Cocos (Keeling) Islands"),
    (
        "CD",
        "Demokratische Republik Kongo",
        "Democratic Republic of the Congo",
    ),
    (
        "CF",
        "Zentralafrikanische Republik",
        "Central African Republic",
    ),
    ("CG", "Republik Kongo", "Republic of the Congo"),
    ("CH", "Schweiz", "Switzerland"),
    ("CI", "Elfenbeinküste", "Ivory Coast"),
    ("CK", "Cookinseln", "Cook Islands"),
    ("CL", "Chile", "Chile"),
    ("CM", "Kamerun", "Cameroon"),
    ("CN", "China", "China"),
    ("CO", "Kolumbien", "Colombia"),
    ("CR", "Costa Rica", "Costa Rica"),
    ("CU", "Kuba", "Cuba"),
    ("CV", "Kap Verde", "Cape Verde"),
    ("CW", "Curaçao", "Curaçao"),
    ("CX", "Weihnachtsinsel", "Christmas Island"),
    ("CY", "Zypern", "Cyprus"),
    ("CZ", "Tschechien", "Czechia"),
    ("DE", "Deutschland", "Germany"),
    ("DJ", "Dschibuti", "Djibouti"),
    ("DK", "Dänemark", "Denmark"),
    ("DM", "Dominica", "Dominica"),
    ("DO", "Dominikanische Republik", "Dominican Republic"),
    ("DZ", "Algerien", "Algeria"),
    ("EC", "Ecuador", "Ecuador"),
    ("EE", "Estland", "Estonia"),
    ("EG", "Ägypten", "Egypt"),
    ("EH", "Westsahara", "Western Sahara"),
    ("ER", "Eritrea", "Eritrea"),
    ("ES", "Spanien", "Spain"),
    ("ET", "Äthiopien", "Ethiopia"),
    ("FI", "Finnland", "Finland"),
    ("FJ", "Fidschi", "Fiji"),
    ("FK", "Falklandinseln", "Falkland Islands"),
    ("FM", "Mikronesien", "Micronesia"),
    ("FO", "Färöer", "Faroe Islands"),
    ("FR", "Frankreich", "France"),
    ("GA", "Gabun", "Gabon"),
    ("GB", "Vereinigtes Königreich", "United Kingdom"),
    ("GD", "Grenada", "Grenada"),
    ("GE", "Georgien", "Georgia"),
    ("GF", "Französisch-Guayana", "French Guiana"),
    ("GG", "Guernsey", "Guernsey"),
    ("GH", "Ghana", "Ghana"),
    ("GI", "Gibraltar", "Gibraltar"),
    ("GL", "Grönland", "Greenland"),
    ("GM", "Gambia", "Gambia"),
    ("GN", "Guinea", "Guinea"),
    ("GP", "Guadeloupe", "Guadeloupe"),
    ("GQ", "Äquatorialguinea", "Equatorial Guinea"),
    ("GR", "Griechenland", "Greece"),
    (
        "GS",
        "Südgeorgien und die Südlichen Sandwichinseln",
        "South Georgia and the South Sandwich Islands",
    ),
    ("GT", "Guatemala", "Guatemala"),
    ("GU", "Guam", "Guam"),
    ("GW", "Guinea-Bissau", "Guinea-Bissau"),
    ("GY", "Guyana", "Guyana"),
    ("HK", "Hongkong", "Hong Kong"),
    (
        "HM",
        "Heard und McDonaldinseln",
        "Heard and McDonald Islands",
    ),
    ("HN", "Honduras", "Honduras"),
    ("HR", "Kroatien", "Croatia"),
    ("HT", "Haiti", "Haiti"),
    ("HU", "Ungarn", "Hungary"),
    ("ID", "Indonesien", "Indonesia"),
    ("IE", "Irland", "Ireland"),
    ("IL", "Israel", "Israel"),
    ("IM", "Isle of Man", "Isle of Man"),
    ("IN", "Indien", "India"),
    (
        "IO",
        "Britisches Territorium im Indischen Ozean",
        "British Indian Ocean Territory",
    ),
    ("IQ", "Irak", "Iraq"),
    ("IR", "Iran", "Iran"),
    ("IS", "Island", "Iceland"),
    ("IT", "Italien", "Italy"),
    ("JE", "Jersey", "Jersey"),
    ("JM", "Jamaika", "Jamaica"),
    ("JO", "Jordanien", "Jordan"),
    ("JP", "Japan", "Japan"),
    ("KE", "Kenia", "Kenya"),
    ("KG", "Kirgisistan", "Kyrgyzstan"),
    ("KH", "Kambodscha", "Cambodia"),
    ("KI", "Kiribati", "Kiribati"),
    ("KM", "Komoren", "Comoros"),
    ("KN", "St. Kitts und Nevis", "Saint Kitts and Nevis"),
    ("KP", "Nordkorea", "North Korea"),
    ("KR", "Südkorea", "South Korea"),
    ("KW", "Kuwait", "Kuwait"),
    ("KY", "Kaimaninseln", "Cayman Islands"),
    ("KZ", "Kasachstan", "Kazakhstan"),
    ("LA", "Laos", "Laos"),
    ("LB", "Libanon", "Lebanon"),
    ("LC", "St. Lucia", "Saint Lucia"),
    ("LI", "Liechtenstein", "Liechtenstein"),
    ("LK", "Sri Lanka", "Sri Lanka"),
    ("LR", "Liberia", "Liberia"),
    ("LS", "Lesotho", "Lesotho"),
    ("LT", "Litauen", "Lithuania"),
    ("LU", "Luxemburg", "Luxembourg"),
    ("LV", "Lettland", "Latvia"),
    ("LY", "Libyen", "Libya"),
    ("MA", "Marokko", "Morocco"),
    ("MC", "Monaco", "Monaco"),
    ("MD", "Moldau", "Moldova"),
    ("ME", "Montenegro", "Montenegro"),
    ("MF", "St. Martin", "Saint Martin"),
    ("MG", "Madagaskar", "Madagascar"),
    ("MH", "Marshallinseln", "Marshall Islands"),
    ("MK", "Nordmazedonien", "North Macedonia"),
    ("ML", "Mali", "Mali"),
    ("MM", "Myanmar", "Myanmar"),
    ("MN", "Mongolei", "Mongolia"),
    ("MO", "Macau", "Macao"),
    ("MP", "Nördliche Marianen", "Northern Mariana Islands"),
    ("MQ", "Martinique", "Martinique"),
    ("MR", "Mauretanien", "Mauritania"),
    ("MS", "Montserrat", "Montserrat"),
    ("MT", "Malta", "Malta"),
    ("MU", "Mauritius", "Mauritius"),
    ("MV", "Malediven", "Maldives"),
    ("MW", "Malawi", "Malawi"),
    ("MX", "Mexiko", "Mexico"),
    ("MY", "Malaysia", "Malaysia"),
    ("MZ", "Mosambik", "Mozambique"),
    ("NA", "Namibia", "Namibia"),
    ("NC", "Neukaledonien", "New Caledonia"),
    ("NE", "Niger", "Niger"),
    ("NF", "Norfolkinsel", "Norfolk Island"),
    ("NG", "Nigeria", "Nigeria"),
    ("NI", "Nicaragua", "Nicaragua"),
    ("NL", "Niederlande", "Netherlands"),
    ("NO", "Norwegen", "Norway"),
    ("NP", "Nepal", "Nepal"),
    ("NR", "Nauru", "Nauru"),
    ("NU", "Niue", "Niue"),
    ("NZ", "Neuseeland", "New Zealand"),
    ("OM", "Oman", "Oman"),
    ("PA", "Panama", "Panama"),
    ("PE", "Peru", "Peru"),
    ("PF", "Französisch-Polynesien", "French Polynesia"),
    ("PG", "Papua-Neuguinea", "Papua New Guinea"),
    ("PH", "Philippinen", "Philippines"),
    ("PK", "Pakistan", "Pakistan"),
    ("PL", "Polen", "Poland"),
    ("PM", "St. Pierre und Miquelon", "Saint Pierre and Miquelon"),
    ("PN", "Pitcairninseln", "Pitcairn Islands"),
    ("PR", "Puerto Rico", "Puerto Rico"),
    ("PS", "Palästina", "Palestine"),
    ("PT", "Portugal", "Portugal"),
    ("PW", "Palau", "Palau"),
    ("PY", "Paraguay", "Paraguay"),
    ("QA", "Katar", "Qatar"),
    ("RE", "Réunion", "Réunion"),
    ("RO", "Rumänien", "Romania"),
    ("RS", "Serbien", "Serbia"),
    ("RU", "Russland", "Russia"),
    ("RW", "Ruanda", "Rwanda"),
    ("SA", "Saudi-Arabien", "Saudi Arabia"),
    ("SB", "Salomonen", "Solomon Islands"),
    ("SC", "Seychellen", "Seychelles"),
    ("SD", "Sudan", "Sudan"),
    ("SE", "Schweden", "Sweden"),
    ("SG", "Singapur", "Singapore"),
    ("SH", "St. Helena", "Saint Helena"),
    ("SI", "Slowenien", "Slovenia"),
    ("SJ", "Spitzbergen und Jan Mayen", "Svalbard and Jan Mayen"),
    ("SK", "Slowakei", "Slovakia"),
    ("SL", "Sierra Leone", "Sierra Leone"),
    ("SM", "San Marino", "San Marino"),
    ("SN", "Senegal", "Senegal"),
    ("SO", "Somalia", "Somalia"),
    ("SR", "Suriname", "Suriname"),
    ("SS", "Südsudan", "South Sudan"),
    ("ST", "São Tomé und Príncipe", "São Tomé and Príncipe"),
    ("SV", "El Salvador", "El Salvador"),
    ("SX", "Sint Maarten", "Sint Maarten"),
    ("SY", "Syrien", "Syria"),
    ("SZ", "Eswatini", "Eswatini"),
    ("TC", "Turks- und Caicosinseln", "Turks and Caicos Islands"),
    ("TD", "Tschad", "Chad"),
    (
        "TF",
        "Französische Süd- und Antarktisgebiete",
        "French Southern Territories",
    ),
    ("TG", "Togo", "Togo"),
    ("TH", "Thailand", "Thailand"),
    ("TJ", "Tadschikistan", "Tajikistan"),
    ("TK", "Tokelau", "Tokelau"),
    ("TL", "Timor-Leste", "East Timor"),
    ("TM", "Turkmenistan", "Turkmenistan"),
    ("TN", "Tunesien", "Tunisia"),
    ("TO", "Tonga", "Tonga"),
    ("TR", "Türkei", "Türkiye"),
    ("TT", "Trinidad und Tobago", "Trinidad and Tobago"),
    ("TV", "Tuvalu", "Tuvalu"),
    ("TW", "Taiwan", "Taiwan"),
    ("TZ", "Tansania", "Tanzania"),
    ("UA", "Ukraine", "Ukraine"),
    ("UG", "Uganda", "Uganda"),
    ("UM", "Amerikanische Überseeinseln", "U.S. Outlying Islands"),
    ("US", "Vereinigte Staaten", "United States"),
    ("UY", "Uruguay", "Uruguay"),
    ("UZ", "Usbekistan", "Uzbekistan"),
    ("VA", "Vatikanstadt", "Vatican City"),
    (
        "VC",
        "St. Vincent und die Grenadinen",
        "Saint Vincent and the Grenadines",
    ),
    ("VE", "Venezuela", "Venezuela"),
    ("VG", "Britische Jungferninseln", "British Virgin Islands"),
    ("VI", "Amerikanische Jungferninseln", "U.S. Virgin Islands"),
    ("VN", "Vietnam", "Vietnam"),
    ("VU", "Vanuatu", "Vanuatu"),
    ("WF", "Wallis und Futuna", "Wallis and Futuna"),
    ("WS", "Samoa", "Samoa"),
    ("XK", "Kosovo", "Kosovo"),
    ("YE", "Jemen", "Yemen"),
    ("YT", "Mayotte", "Mayotte"),
    ("ZA", "Südafrika", "South Africa"),
    ("ZM", "Sambia", "Zambia"),
    ("ZW", "Simbabwe", "Zimbabwe"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_country_is_recognised_by_code_and_by_its_names() {
        for (text, code) in [
            ("Deutschland", "DE"),
            ("  germany ", "DE"),
            ("DE", "DE"),
            ("D", "DE"),
            ("DEUTSCHLAND", "DE"),
            ("Osterreich", ""),
            ("O\u{308}sterreich", "AT"),
            ("U.S.A.", "US"),
            ("St Lucia", "LC"),
            ("Türkei", "TR"),
            ("Turkey", "TR"),
            ("England", ""),
            ("Mordor", ""),
            ("", ""),
        ] {
            let recognised = Country::recognise(text).map_or("", Country::code);
            assert_eq!(recognised, code, "{text:?}");
        }
    }

    #[test]
    fn the_language_of_a_name_is_known_where_it_differs() {
        assert_eq!(language("Österreich"), Some(Language::German));
        assert_eq!(language("austria"), Some(Language::English));
        assert_eq!(language("AT"), None);
        assert_eq!(language("Portugal"), None);
        assert_eq!(language("Mordor"), None);
    }

    #[test]
    fn no_name_stands_for_two_countries() {
        let mut seen = BTreeSet::new();
        for (code, german, english) in NAMES {
            for text in BTreeSet::from([folded(code), folded(german), folded(english)]) {
                assert!(seen.insert(text.clone()), "{text}");
            }
            assert_eq!(Country::recognise(german), Some(Country(code)));
            assert_eq!(Country::recognise(english).map(Country::code), Some(code));
        }
        for (alias, code) in ALIASES {
            assert!(seen.insert(folded(alias)), "{alias}");
            assert_eq!(Country::recognise(alias).map(Country::code), Some(code));
        }
    }
}
