//! Records and edits, drawn from pools so small that values meet.

use contact_sync_guest::contact::{
    CrmAddress, CrmEmail, CrmFields, CrmKind, CrmPhone, Field, MailboxEmail, Members,
    PostalAddress, Shape, Slot, View,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Six numbers in several writings, and what is none.
const NUMBERS: [&str; 16] = [
    "+49 221 100001",
    "0221 / 10 00 01",
    "+49 221 100002",
    "0221-100002",
    "+49 172 1000003",
    "0172/1000003",
    "+39 06 698 1234",
    "+49 221 100004",
    "0221 100004",
    "+49 221 100001 ext. 12",
    "0221 100001 DW 12",
    "0172/1234567 privat",
    "112",
    "0221 100001 / 02",
    "",
    " ",
];

const EMAILS: [&str; 9] = [
    "a@x.de",
    "A@X.de",
    "b@x.de",
    "c@x.de",
    "d@x.de",
    "e@x.de",
    "/o=Muster/cn=erika",
    "kein",
    "",
];

const TEXTS: [&str; 7] = [
    "A",
    " A ",
    "B",
    "Muster GmbH",
    "Mu\u{308}ller",
    "Müller",
    "",
];

const WEBSITES: [&str; 5] = [
    "http://muster.de/",
    "muster.de",
    "https://www.muster.de",
    "b.de",
    "",
];

const MAILBOX_DAYS: [&str; 5] = [
    "1974-07-22T11:59:00Z",
    "1974-07-21T22:00:00Z",
    "1899-12-31T00:00:00Z",
    "bald",
    "2000-01-01",
];

const SLOTS: [Slot; 12] = [
    Slot::BusinessPhone1,
    Slot::BusinessPhone2,
    Slot::HomePhone1,
    Slot::HomePhone2,
    Slot::MobilePhone,
    Slot::OtherPhone,
    Slot::Email1,
    Slot::Email2,
    Slot::Email3,
    Slot::BusinessAddress,
    Slot::HomeAddress,
    Slot::OtherAddress,
];

const PHONE_SLOTS: usize = 6;
const EMAIL_SLOTS: usize = 9;

/// Rooms whose gaps close where the mailbox keeps none.
const SETS: [&[Slot]; 3] = [
    &[Slot::BusinessPhone1, Slot::BusinessPhone2],
    &[Slot::HomePhone1, Slot::HomePhone2],
    &[Slot::Email1, Slot::Email2, Slot::Email3],
];

/// One thing that a user of the CRM does.
#[derive(Clone, Debug)]
pub(crate) enum CrmEdit {
    Text(Field, Option<Value>),
    Birthday(Option<Value>),
    List {
        field: Field,
        action: ListAction,
        at: usize,
        other: usize,
        entry: Entry,
    },
}

/// One thing that a user of the mailbox does.
#[derive(Clone, Debug)]
pub(crate) enum ViewEdit {
    Text(Field, &'static str),
    Birthday(Option<&'static str>),
    Set { slot: Slot, entry: Entry },
    Clear(Slot),
    Swap(Slot, Slot),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ListAction {
    Add,
    Edit,
    Retype,
    Remove,
    Swap,
}

/// A value of each kind, so that an edit can be applied to any list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    kind: CrmKind,
    number: &'static str,
    email: &'static str,
    address: PostalAddress,
}

pub(crate) fn crm() -> impl Strategy<Value = CrmFields> {
    let texts = prop::collection::btree_map(
        text_field(),
        prop::collection::vec(text_value(), 1..3),
        0..6,
    );
    let opaque = || prop_oneof![Just(Value::Null), Just(json!(5)), Just(json!({"x": 1}))];
    let phone = prop_oneof![
        9 => entry().prop_map(|entry| phone_entry(&entry)),
        1 => opaque().prop_map(CrmPhone::Opaque),
    ];
    let email = prop_oneof![
        5 => entry().prop_map(|entry| CrmEmail::Plain(entry.email.to_owned())),
        4 => entry().prop_map(|entry| email_entry(&entry)),
        1 => opaque().prop_map(CrmEmail::Opaque),
    ];
    let address = prop_oneof![
        9 => entry().prop_map(|entry| address_entry(&entry)),
        1 => opaque().prop_map(CrmAddress::Opaque),
    ];
    (
        texts,
        prop::collection::vec(phone, 0..7),
        prop::collection::vec(email, 0..5),
        prop::collection::vec(address, 0..4),
        prop::collection::vec(crm_day(), 0..2),
    )
        .prop_map(|(texts, phones, emails, addresses, birthday)| {
            let mut fields = CrmFields {
                texts,
                phones,
                emails,
                addresses,
                birthday,
            };
            mark_all(&mut fields);
            fields
        })
}

pub(crate) fn view(shape: Shape) -> impl Strategy<Value = View> {
    let edits = prop::collection::vec(view_edit(), 0..10);
    edits.prop_map(move |edits| edit_view(&View::default(), &edits, shape))
}

pub(crate) fn crm_edit() -> impl Strategy<Value = CrmEdit> {
    let action = prop::sample::select(vec![
        ListAction::Add,
        ListAction::Edit,
        ListAction::Edit,
        ListAction::Retype,
        ListAction::Remove,
        ListAction::Swap,
    ]);
    let lists = prop::sample::select(vec![
        Field::Phones,
        Field::Phones,
        Field::Emails,
        Field::Addresses,
    ]);
    prop_oneof![
        2 => (text_field(), prop::option::of(text_value()))
            .prop_map(|(field, value)| CrmEdit::Text(field, value)),
        1 => prop::option::of(crm_day()).prop_map(CrmEdit::Birthday),
        6 => (lists, action, 0_usize..6, 0_usize..6, entry()).prop_map(
            |(field, action, at, other, entry)| CrmEdit::List { field, action, at, other, entry },
        ),
    ]
}

pub(crate) fn view_edit() -> impl Strategy<Value = ViewEdit> {
    let slot = || prop::sample::select(SLOTS.to_vec());
    let text = text_field().prop_flat_map(|field| {
        let pool = if field == Field::Website {
            WEBSITES.to_vec()
        } else {
            TEXTS.to_vec()
        };
        (Just(field), prop::sample::select(pool))
    });
    let day = prop::sample::select(MAILBOX_DAYS.to_vec());
    prop_oneof![
        3 => text.prop_map(|(field, text)| ViewEdit::Text(field, text)),
        1 => prop::option::of(day).prop_map(ViewEdit::Birthday),
        6 => (slot(), entry()).prop_map(|(slot, entry)| ViewEdit::Set { slot, entry }),
        2 => slot().prop_map(ViewEdit::Clear),
        2 => (slot(), slot()).prop_map(|(one, other)| ViewEdit::Swap(one, other)),
    ]
}

pub(crate) fn edit_crm(fields: &CrmFields, edits: &[CrmEdit]) -> CrmFields {
    let mut fields = fields.clone();
    for edit in edits {
        match edit {
            CrmEdit::Text(field, None) => {
                fields.texts.remove(field);
            }
            CrmEdit::Text(field, Some(value)) => {
                let values = fields.texts.entry(*field).or_default();
                values.splice(..values.len().min(1), [value.clone()]);
            }
            CrmEdit::Birthday(value) => fields.birthday = value.iter().cloned().collect(),
            CrmEdit::List {
                field,
                action,
                at,
                other,
                entry,
            } => {
                let (action, at, other) = (*action, *at, *other);
                match field {
                    Field::Phones => {
                        edit_list(
                            &mut fields.phones,
                            action,
                            at,
                            other,
                            phone_entry(entry),
                            retype_phone,
                        );
                    }
                    Field::Emails => {
                        edit_list(
                            &mut fields.emails,
                            action,
                            at,
                            other,
                            email_entry(entry),
                            |_, _| {},
                        );
                    }
                    _ => edit_list(
                        &mut fields.addresses,
                        action,
                        at,
                        other,
                        address_entry(entry),
                        retype_address,
                    ),
                }
            }
        }
    }
    fields
}

fn edit_list<E>(
    list: &mut Vec<E>,
    action: ListAction,
    at: usize,
    other: usize,
    new: E,
    retype: impl Fn(&mut E, &E),
) {
    if list.is_empty() || matches!(action, ListAction::Add) {
        list.push(new);
        return;
    }
    let (at, other) = (at % list.len(), other % list.len());
    match (action, list.get_mut(at)) {
        (ListAction::Edit, Some(entry)) => *entry = new,
        (ListAction::Retype, Some(entry)) => retype(entry, &new),
        (ListAction::Remove, _) => {
            list.remove(at);
        }
        _ => list.swap(at, other),
    }
}

pub(crate) fn edit_view(view: &View, edits: &[ViewEdit], shape: Shape) -> View {
    let mut view = view.clone();
    for edit in edits {
        match edit {
            ViewEdit::Text(field, "") => {
                view.texts.remove(field);
            }
            ViewEdit::Text(field, text) => {
                view.texts.insert(*field, (*text).to_owned());
            }
            ViewEdit::Birthday(day) => view.birthday = day.map(str::to_owned),
            ViewEdit::Set { slot, entry } => set(&mut view, *slot, entry),
            ViewEdit::Clear(slot) => clear(&mut view, *slot),
            ViewEdit::Swap(one, other) => {
                swap(&mut view.phones, *one, *other);
                swap(&mut view.emails, *one, *other);
                swap(&mut view.addresses, *one, *other);
            }
        }
    }
    if !shape.other_phone {
        view.phones.remove(&Slot::OtherPhone);
    }
    if !shape.keeps_gaps {
        for slots in SETS {
            close_gaps(&mut view.phones, slots);
            close_gaps(&mut view.emails, slots);
        }
    }
    view
}

/// Blank values are absent, as in every answer of a mailbox.
fn set(view: &mut View, slot: Slot, entry: &Entry) {
    let position = SLOTS
        .iter()
        .position(|known| *known == slot)
        .unwrap_or_default();
    if position < PHONE_SLOTS {
        if !entry.number.trim().is_empty() {
            view.phones.insert(slot, entry.number.to_owned());
        }
    } else if position < EMAIL_SLOTS {
        if !entry.email.is_empty() {
            let email = MailboxEmail {
                address: entry.email.to_owned(),
                name: "Name".to_owned(),
            };
            view.emails.insert(slot, email);
        }
    } else if entry.address != PostalAddress::default() {
        view.addresses.insert(slot, entry.address.clone());
    }
}

fn clear(view: &mut View, slot: Slot) {
    view.phones.remove(&slot);
    view.emails.remove(&slot);
    view.addresses.remove(&slot);
}

/// Only where both slots hold a value of the same kind.
fn swap<V>(values: &mut BTreeMap<Slot, V>, one: Slot, other: Slot) {
    if one == other || !values.contains_key(&one) || !values.contains_key(&other) {
        return;
    }
    if let (Some(first), Some(second)) = (values.remove(&one), values.remove(&other)) {
        values.insert(one, second);
        values.insert(other, first);
    }
}

fn close_gaps<V>(values: &mut BTreeMap<Slot, V>, slots: &[Slot]) {
    let kept: Vec<V> = slots
        .iter()
        .filter_map(|slot| values.remove(slot))
        .collect();
    values.extend(slots.iter().copied().zip(kept));
}

fn text_field() -> impl Strategy<Value = Field> {
    prop::sample::select(Field::TEXTS.to_vec())
}

fn text_value() -> impl Strategy<Value = Value> {
    let text = prop::sample::select([TEXTS.as_slice(), WEBSITES.as_slice()].concat());
    prop_oneof![9 => text.prop_map(Value::from), 1 => Just(json!(["x"])), 1 => Just(Value::Null)]
}

fn crm_day() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(143_679_600),
        json!("22.07.1974"),
        json!(-2_209_078_800_i64),
        json!("bald"),
        Value::Null,
    ])
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop::sample::select(vec![
        CrmKind::Office,
        CrmKind::Office,
        CrmKind::Private,
        CrmKind::Mobile,
        CrmKind::Other,
        CrmKind::Untyped,
        CrmKind::Unknown("fax".to_owned()),
    ]);
    let number = prop::sample::select(NUMBERS.to_vec());
    let email = prop::sample::select(EMAILS.to_vec());
    (kind, number, email, address()).prop_map(|(kind, number, email, address)| Entry {
        kind,
        number,
        email,
        address,
    })
}

fn address() -> impl Strategy<Value = PostalAddress> {
    (
        prop::sample::select(vec!["", "Musterstr. 1", "Musterstr.  1", "Weg 2"]),
        prop::sample::select(vec!["", "50667"]),
        prop::sample::select(vec!["", "Köln", "Bonn"]),
        prop::sample::select(vec!["", "Deutschland", "Germany", "Austria", "Mordor"]),
    )
        .prop_map(|(street, postal_code, city, country)| PostalAddress {
            street: street.to_owned(),
            postal_code: postal_code.to_owned(),
            city: city.to_owned(),
            state: String::new(),
            country: country.to_owned(),
        })
}

fn phone_entry(entry: &Entry) -> CrmPhone {
    let (kind, number) = (entry.kind.clone(), entry.number.to_owned());
    CrmPhone::Readable {
        kind,
        number,
        rest: Members::new(),
    }
}

fn email_entry(entry: &Entry) -> CrmEmail {
    let (member, address) = ("email".to_owned(), entry.email.to_owned());
    CrmEmail::Typed {
        member,
        address,
        rest: Members::new(),
    }
}

fn address_entry(entry: &Entry) -> CrmAddress {
    let (kind, address) = (entry.kind.clone(), entry.address.clone());
    CrmAddress::Readable {
        kind,
        address,
        rest: Members::new(),
    }
}

fn retype_phone(entry: &mut CrmPhone, like: &CrmPhone) {
    if let (CrmPhone::Readable { kind, .. }, CrmPhone::Readable { kind: new, .. }) = (entry, like) {
        kind.clone_from(new);
    }
}

fn retype_address(entry: &mut CrmAddress, like: &CrmAddress) {
    if let (CrmAddress::Readable { kind, .. }, CrmAddress::Readable { kind: new, .. }) =
        (entry, like)
    {
        kind.clone_from(new);
    }
}

/// A member that nothing in Exchange corresponds to, different in each entry.
fn mark_all(fields: &mut CrmFields) {
    let mut count = 0;
    let mut mark = |rest: &mut Members| {
        count += 1;
        rest.insert("note".to_owned(), json!(format!("mark-{count}")));
    };
    for phone in &mut fields.phones {
        if let CrmPhone::Readable { rest, .. } = phone {
            mark(rest);
        }
    }
    for email in &mut fields.emails {
        if let CrmEmail::Typed { rest, .. } = email {
            mark(rest);
        }
    }
    for address in &mut fields.addresses {
        if let CrmAddress::Readable { rest, .. } = address {
            mark(rest);
        }
    }
}
