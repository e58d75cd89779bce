//! Names that are derived from others: how an address book shows and sorts a contact, and the given
//! name that a company gets because Exchange needs one.

use super::Base;
use super::values::Single;
use crate::contact::{CrmFields, Field, View, text};

/// Whether the given name is only the company's name, and is to be read as none.
///
/// It still is when the company was renamed in the mailbox since, and the given name was not. It is
/// not where the CRM, now or in the base, has this very first name.
pub(crate) fn is_stand_in(view: &View, base: Option<&Base>, crm: Option<&CrmFields>) -> bool {
    let stood_in_as = |given: &Single| {
        base.is_some_and(|base| {
            base.slots.stand_in && given.same(&Single::of_mailbox(Field::FirstName, &base.view))
        })
    };
    let records = crm.into_iter().chain(base.map(|base| &base.crm));
    stands_in(view, records, stood_in_as)
}

/// The same of a view that was read back, where it is known whether the given name was written as a
/// stand-in.
pub(crate) fn is_stand_in_still(view: &View, was_stand_in: bool, crm: &CrmFields) -> bool {
    stands_in(view, std::iter::once(crm), |_| was_stand_in)
}

fn stands_in<'a>(
    view: &View,
    mut records: impl Iterator<Item = &'a CrmFields>,
    stood_in_as: impl FnOnce(&Single) -> bool,
) -> bool {
    let is_written = |field| (view.texts.get(&field)).is_some_and(|text| !text.trim().is_empty());
    if !is_written(Field::FirstName) || is_written(Field::LastName) {
        return false;
    }
    let given = Single::of_mailbox(Field::FirstName, view);
    if records.any(|crm| given.same(&Single::of_crm(Field::FirstName, crm))) {
        return false;
    }
    stood_in_as(&given) || given.same(&Single::of_mailbox(Field::Company, view))
}

/// What the mailbox holds in a field with one value, a stand-in read as none.
pub(crate) fn single_of_mailbox(field: Field, view: &View, stand_in: bool) -> Single {
    if field == Field::FirstName && stand_in {
        Single::Empty
    } else {
        Single::of_mailbox(field, view)
    }
}

/// Gives a company without given name and surname its stand-in, and takes it away from a person.
///
/// Only where a name was written: a mailbox contact that lives without one is left alone.
pub(crate) fn put_stand_in(before: &View, stood_in: bool, after: &mut View) -> bool {
    let is_written = |field| after.texts.get(&field) != before.texts.get(&field);
    let stood_in = stood_in && !is_written(Field::FirstName);
    let given = single_of_mailbox(Field::FirstName, after, stood_in);
    let has_surname = Single::of_mailbox(Field::LastName, after) != Single::Empty;
    if stood_in && has_surname {
        after.texts.remove(&Field::FirstName);
        return false;
    }
    if given != Single::Empty || has_surname {
        return false;
    }
    let company_written = is_written(Field::Company);
    let given_cleared = !stood_in && before.texts.contains_key(&Field::FirstName);
    let needs_one = company_written || given_cleared;
    match after.texts.get(&Field::Company).cloned() {
        Some(company) if needs_one => {
            after.texts.insert(Field::FirstName, company);
            true
        }
        None if stood_in => {
            after.texts.remove(&Field::FirstName);
            false
        }
        _ => stood_in,
    }
}

/// Writes how the address book shows and sorts a contact: for a new one, and where a name changed
/// and they equalled the derivation from the old one. Elsewhere they are as a user wants them.
pub(crate) fn derive(before: &View, stood_in: bool, after: &mut View, stands_in: bool) {
    let new_names = Names::of(after, stands_in);
    if *before == View::default() {
        after.display_name = new_names.by(&DISPLAY_PATTERNS);
        after.file_as = new_names.by(&FILE_PATTERNS);
        return;
    }
    let old_names = Names::of(before, stood_in);
    if old_names == new_names {
        return;
    }
    let rederived = |current: &Option<String>, patterns: &[Pattern]| {
        let shown = text::canonical(current.as_deref()?);
        if old_names.by(patterns).as_ref() == Some(&shown) {
            return new_names.by(patterns);
        }
        let composed_so = |pattern: &&Pattern| pattern(&old_names).as_ref() == Some(&shown);
        let pattern = patterns.iter().find(composed_so)?;
        pattern(&new_names).or_else(|| new_names.by(patterns))
    };
    if let Some(name) = rederived(&before.display_name, &DISPLAY_PATTERNS) {
        after.display_name = Some(name);
    }
    if let Some(name) = rederived(&before.file_as, &FILE_PATTERNS) {
        after.file_as = Some(name);
    }
}

/// What names are derived from.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    given: Option<String>,
    surname: Option<String>,
    title: Option<String>,
    company: Option<String>,
    /// The first e-mail address or number: better than no name at all.
    reachable_at: Option<String>,
}

type Pattern = fn(&Names) -> Option<String>;

/// How Outlook and Exchange compose full names, the usual one first.
const DISPLAY_PATTERNS: [Pattern; 6] = [
    Names::first_last,
    Names::title_first_last,
    Names::last_comma_first,
    Names::last_first,
    Names::company,
    Names::reachable_at,
];

/// How Outlook offers to file a contact (EWS `FileAsMappingType`), the usual one first.
const FILE_PATTERNS: [Pattern; 7] = [
    Names::last_comma_first,
    Names::first_last,
    Names::last_first,
    Names::person_in_company,
    Names::company_with_person,
    Names::company,
    Names::reachable_at,
];

impl Names {
    fn of(view: &View, stand_in: bool) -> Self {
        let written = |field| {
            single_of_mailbox(field, view, stand_in)
                .written()
                .map(str::to_owned)
        };
        let email = view.emails.values().map(|email| &email.address);
        Self {
            given: written(Field::FirstName),
            surname: written(Field::LastName),
            title: written(Field::AcademicTitle),
            company: written(Field::Company),
            reachable_at: email.chain(view.phones.values()).next().cloned(),
        }
    }

    fn by(&self, patterns: &[Pattern]) -> Option<String> {
        patterns.iter().find_map(|pattern| pattern(self))
    }

    fn first_last(&self) -> Option<String> {
        joined(&[&self.given, &self.surname], " ")
    }

    fn title_first_last(&self) -> Option<String> {
        self.first_last()
            .and_then(|name| joined(&[&self.title, &Some(name)], " "))
    }

    fn last_comma_first(&self) -> Option<String> {
        joined(&[&self.surname, &self.given], ", ")
    }

    fn last_first(&self) -> Option<String> {
        joined(&[&self.surname, &self.given], " ")
    }

    fn person_in_company(&self) -> Option<String> {
        Some(format!(
            "{} ({})",
            self.last_comma_first()?,
            self.company.as_ref()?
        ))
    }

    fn company_with_person(&self) -> Option<String> {
        Some(format!(
            "{} ({})",
            self.company.as_ref()?,
            self.last_comma_first()?
        ))
    }

    fn company(&self) -> Option<String> {
        self.company.clone()
    }

    fn reachable_at(&self) -> Option<String> {
        self.reachable_at.clone()
    }
}

fn joined(parts: &[&Option<String>], separator: &str) -> Option<String> {
    let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_deref()).collect();
    (!parts.is_empty()).then(|| parts.join(separator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::Slot;

    fn view(names: &[(Field, &str)], display_name: &str, file_as: &str) -> View {
        let texts = names
            .iter()
            .map(|(field, text)| (*field, (*text).to_owned()))
            .collect();
        let shown = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        View {
            texts,
            display_name: shown(display_name),
            file_as: shown(file_as),
            ..View::default()
        }
    }

    #[test]
    fn shown_names_follow_the_name_where_they_were_derived_from_it() {
        use Field::{AcademicTitle, Company, FirstName, LastName};
        let person = |surname| [(FirstName, "Erika"), (LastName, surname)];
        for (before, names_after, display_name, file_as) in [
            // Derived.
            (
                view(&person("Muster"), "Erika  Muster", "Muster, Erika"),
                &person("Beispiel")[..],
                "Erika Beispiel",
                "Beispiel, Erika",
            ),
            (
                view(&person("Muster"), "Muster, Erika", "Muster Erika"),
                &person("Beispiel"),
                "Beispiel, Erika",
                "Beispiel Erika",
            ),
            (
                view(
                    &[
                        (AcademicTitle, "Dr."),
                        (LastName, "Muster"),
                        (Company, "M AG"),
                    ],
                    "Dr. Muster",
                    "M AG (Muster)",
                ),
                &[
                    (AcademicTitle, "Dr."),
                    (LastName, "Beispiel"),
                    (Company, "M SE"),
                ],
                "Dr. Beispiel",
                "M SE (Beispiel)",
            ),
            // A user's own.
            (
                view(&person("Muster"), "Tante Erika", "Familie"),
                &person("Beispiel"),
                "Tante Erika",
                "Familie",
            ),
            // No name changed.
            (
                view(&person("Muster"), "", "Muster, E."),
                &person("Muster"),
                "",
                "Muster, E.",
            ),
        ] {
            let mut after = View {
                display_name: before.display_name.clone(),
                file_as: before.file_as.clone(),
                ..view(names_after, "", "")
            };
            derive(&before, false, &mut after, false);
            assert_eq!(
                after,
                view(names_after, display_name, file_as),
                "{before:?}"
            );
        }
    }

    #[test]
    fn a_new_contact_is_shown_by_name_company_or_address() {
        use Field::{Company, FirstName, LastName};
        for (names, display_name, file_as) in [
            (
                &[(FirstName, "Erika"), (LastName, "Muster")][..],
                "Erika Muster",
                "Muster, Erika",
            ),
            (
                &[(LastName, "Muster"), (Company, "M AG")],
                "Muster",
                "Muster",
            ),
            (&[(Company, "Muster GmbH")], "Muster GmbH", "Muster GmbH"),
            (&[], "0221 1", "0221 1"),
        ] {
            let mut after = view(names, "", "");
            after.phones.insert(Slot::HomePhone1, "0221 1".to_owned());
            derive(&View::default(), false, &mut after, false);
            let shown = [after.display_name.as_deref(), after.file_as.as_deref()];
            assert_eq!(shown, [Some(display_name), Some(file_as)]);
        }
    }

    #[test]
    fn a_company_has_no_given_name_of_its_own() {
        use Field::{Company, FirstName, LastName};
        let stand_in = view(
            &[(FirstName, "Muster GmbH"), (Company, "Muster  GmbH")],
            "",
            "",
        );
        assert!(is_stand_in(&stand_in, None, None));
        let person = [
            (FirstName, "Muster"),
            (Company, "Muster"),
            (LastName, "Erika"),
        ];
        assert!(!is_stand_in(&view(&person, "", ""), None, None));
        assert!(!is_stand_in(
            &view(&[(FirstName, "Erika"), (Company, "M")], "", ""),
            None,
            None
        ));
        assert!(!is_stand_in(&view(&[(Company, "M")], "", ""), None, None));

        let mut base = Base {
            view: stand_in,
            ..Base::default()
        };
        let renamed = view(
            &[(FirstName, "Muster GmbH"), (Company, "Muster AG")],
            "",
            "",
        );
        assert!(!is_stand_in(&renamed, Some(&base), None));
        base.slots.stand_in = true;
        assert!(is_stand_in(&renamed, Some(&base), None));
        // Where the CRM calls somebody so, it is a first name.
        let texts = [(FirstName, vec!["Muster GmbH".into()])].into();
        let crm = CrmFields {
            texts,
            ..CrmFields::default()
        };
        assert!(!is_stand_in(&renamed, Some(&base), Some(&crm)));
    }
}
