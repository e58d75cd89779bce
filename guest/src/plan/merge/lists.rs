//! Fields with several values.

use serde_json::Value;
use std::collections::BTreeMap;

use super::seats::{Seat, Seats};
use super::{Case, Draft, Verdict, findings};
use crate::contact::{
    CrmAddress, CrmEmail, CrmFields, CrmKind, CrmPhone, Field, MailboxEmail, Members,
    PostalAddress, Slot, View, address,
};
use crate::mapping::rooms::{Room, field_of};
use crate::mapping::ties::{self, Records, Tie};
use crate::mapping::values::{Content, Key};
use crate::mapping::{Trace, traces};
use crate::mutation::{self, Mutant};
use crate::report::Side;

/// What is to be done about one tie.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) value: Verdict,
    pub(super) room: RoomVerdict,
    /// What the mailbox gets.
    pub(super) to_mailbox: Option<Content>,
    /// What the CRM gets.
    pub(super) to_crm: Option<Content>,
}

/// What is to be done about the type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomVerdict {
    Keep,
    /// It moves to the room of its type in the CRM.
    ToMailbox,
    /// It gets the type of its room in the mailbox.
    ToCrm,
}

impl Decision {
    pub(super) const NOTHING: Self = Self {
        value: Verdict::Keep,
        room: RoomVerdict::Keep,
        to_mailbox: None,
        to_crm: None,
    };

    fn writes_crm(&self) -> bool {
        self.value == Verdict::ToCrm
            || self.to_crm.is_some()
            || self.room == RoomVerdict::ToCrm
            || mutation::is_on(Mutant::SlotlessDropped)
    }
}

pub(super) fn merge(draft: &mut Draft<'_>, field: Field) {
    let input = draft.input;
    let records = Records {
        field,
        base: input.base,
        region: input.region,
    };
    let ties = ties::of_both(records, input.crm, input.view, input.shape);
    tell_unreadable(draft, field, &ties);
    if ties.iter().any(|tie| tie.unsure && tie.mailbox_changed()) {
        draft.merged.findings.push(findings::ambiguous_address());
        draft.merged.slots.held.insert(field);
        return;
    }
    let decisions: Vec<Decision> = ties.iter().map(|tie| decide(draft, field, tie)).collect();
    let mut seats = Seats::given_out(field, input.shape, &ties, &decisions);
    draft.merged.findings.append(&mut seats.findings);
    let taken = seats.taken;
    let positions = write_crm(&mut draft.merged.crm, field, &ties, &decisions);
    write_view(&mut draft.merged.view, input.view, field, &taken);
    for (slot, seat) in &taken {
        if let Some(position) = positions.get(&seat.tie) {
            draft.merged.slots.seat(*slot, *position, &draft.merged.crm);
        } else if ties.get(seat.tie).is_some_and(|tie| tie.unsure) {
            draft.merged.slots.unsure.insert(*slot);
        }
    }
}

// ---- decisions ----------------------------------------------------------------------------------

fn decide(draft: &mut Draft<'_>, field: Field, tie: &Tie) -> Decision {
    let crm = tie.crm.as_ref();
    let mailbox = tie.mailbox.as_ref();
    let is_opaque = crm.is_some_and(|value| value.key.is_opaque())
        || mailbox.is_some_and(|value| value.key.is_opaque());
    if is_opaque {
        return Decision::NOTHING;
    }
    if let Some(united) = united_address(draft, field, tie) {
        return united;
    }
    // A value without slot wants one when its type is changed, too.
    let retyped_while_waiting =
        mailbox.is_none() && tie.mailbox_then.is_none() && tie.crm_room_changed();
    let case = Case {
        crm_changed: tie.crm_value_changed() || retyped_while_waiting,
        mailbox_changed: tie.mailbox_value_changed(),
        same: crm.map(|value| &value.key) == mailbox.map(|value| &value.key),
        crm_shown: crm.map(|value| value.content.shown()),
        mailbox_shown: mailbox.map(|value| value.content.shown()),
    };
    let then = tie.crm_then.as_ref().map_or("", |value| value.key.text());
    let value = draft.settle(field, &case, || match crm {
        Some(crm) => Trace::Held(traces::of_value(field, crm.key.text())),
        None => Trace::Cleared(traces::of_value(field, then)),
    });
    let content = |wanted, content: Option<&Content>| content.filter(|_| value == wanted).cloned();
    Decision {
        value,
        room: decide_room(draft, field, tie, value),
        to_mailbox: content(Verdict::ToMailbox, crm.map(|value| &value.content)),
        to_crm: content(Verdict::ToCrm, mailbox.map(|value| &value.content)),
    }
}

/// The type of a value that is on both sides merges apart from the value.
fn decide_room(draft: &mut Draft<'_>, field: Field, tie: &Tie, value: Verdict) -> RoomVerdict {
    let (Some(crm), Some(mailbox)) = (&tie.crm, &tie.mailbox) else {
        return RoomVerdict::Keep;
    };
    if mutation::is_on(Mutant::TypeForgotten) {
        return RoomVerdict::Keep;
    }
    let Some(crm_room) = crm.room else {
        return RoomVerdict::Keep;
    };
    // The value that stays, with the type that each side gives it.
    let shown = match value {
        Verdict::ToCrm => mailbox.content.shown(),
        Verdict::Keep | Verdict::ToMailbox => crm.content.shown(),
    };
    let with_type = |room: Room| Some(format!("{shown} ({})", room.word()));
    let is_new = tie.crm_then.is_none() && tie.mailbox_then.is_none();
    let case = Case {
        crm_changed: is_new || tie.crm_room_changed(),
        mailbox_changed: is_new || tie.mailbox_room_changed(),
        same: crm_room.agrees_with(mailbox.room, field, draft.input.shape),
        crm_shown: with_type(crm_room),
        mailbox_shown: with_type(mailbox.room),
    };
    let trace = || Trace::Held(traces::of_type(field, crm.key.text(), crm_room));
    match draft.settle(field, &case, trace) {
        Verdict::Keep => RoomVerdict::Keep,
        Verdict::ToMailbox => RoomVerdict::ToMailbox,
        Verdict::ToCrm => RoomVerdict::ToCrm,
    }
}

/// Both sides changed an address, and one of them merely filled empty parts.
fn united_address(draft: &mut Draft<'_>, field: Field, tie: &Tie) -> Option<Decision> {
    let (crm, mailbox) = (
        address_of(tie.crm.as_ref().map(|value| &value.content))?,
        address_of(tie.mailbox.as_ref().map(|value| &value.content))?,
    );
    let both_changed = tie.crm_value_changed() && tie.mailbox_value_changed();
    if !both_changed || draft.input.locked.contains(&field) {
        return None;
    }
    let nothing = PostalAddress::default();
    let then = address_of(tie.crm_then.as_ref().map(|value| &value.content)).unwrap_or(&nothing);
    let united = if address::only_fills(then, crm) {
        address::united(then, mailbox, crm)
    } else if address::only_fills(then, mailbox) {
        address::united(then, crm, mailbox)
    } else {
        None
    }?;
    let content = Content::Address(united);
    let changes = |present: &PostalAddress| {
        let differs = Content::Address(present.clone()).key() != content.key();
        differs.then(|| content.clone())
    };
    let (to_mailbox, to_crm) = (changes(mailbox), changes(crm));
    let room = decide_room(draft, field, tie, Verdict::Keep);
    Some(Decision {
        value: Verdict::Keep,
        room,
        to_mailbox,
        to_crm,
    })
}

fn address_of(content: Option<&Content>) -> Option<&PostalAddress> {
    match content {
        Some(Content::Address(address)) => Some(address),
        _ => None,
    }
}

fn tell_unreadable(draft: &mut Draft<'_>, field: Field, ties: &[Tie]) {
    for tie in ties {
        let crm = tie.crm.as_ref().map(|value| (Side::Crm, &value.key));
        let mailbox = tie
            .mailbox
            .as_ref()
            .map(|value| (Side::Mailbox, &value.key));
        for (side, key) in crm.into_iter().chain(mailbox) {
            if let Key::Opaque(text) = key {
                draft
                    .merged
                    .findings
                    .push(findings::unreadable(field, side, text));
            }
        }
    }
    let phones = draft.input.crm.phones.iter().map(|phone| match phone {
        CrmPhone::Readable { kind, .. } => Some((Field::Phones, kind)),
        CrmPhone::Opaque(_) => None,
    });
    let addresses = draft
        .input
        .crm
        .addresses
        .iter()
        .map(|address| match address {
            CrmAddress::Readable { kind, .. } => Some((Field::Addresses, kind)),
            CrmAddress::Opaque(_) => None,
        });
    for (of, kind) in phones.chain(addresses).flatten() {
        if of == field && Room::of_kind(field, kind).is_none() {
            let word = match kind {
                CrmKind::Unknown(kind) => kind,
                _ => Room::Mobile.word(),
            };
            draft
                .merged
                .findings
                .push(findings::unknown_type(field, word));
        }
    }
}

// ---- writing the CRM ----------------------------------------------------------------------------

/// Writes the list, and returns where each tie's value stands in it.
fn write_crm(
    crm: &mut CrmFields,
    field: Field,
    ties: &[Tie],
    decisions: &[Decision],
) -> BTreeMap<usize, usize> {
    match field {
        Field::Phones => write_list(&mut crm.phones, ties, decisions),
        Field::Emails => write_list(&mut crm.emails, ties, decisions),
        _ => write_list(&mut crm.addresses, ties, decisions),
    }
}

fn write_list<E: Entry>(
    list: &mut Vec<E>,
    ties: &[Tie],
    decisions: &[Decision],
) -> BTreeMap<usize, usize> {
    let mut position_of_tie = BTreeMap::new();
    if !decisions.iter().any(Decision::writes_crm) && !mutation::is_on(Mutant::CrmRewritten) {
        let first = |tie: &Tie| tie.crm.as_ref()?.positions.first().copied();
        let placed = ties.iter().enumerate();
        position_of_tie.extend(placed.filter_map(|(index, tie)| Some((index, first(tie)?))));
        return position_of_tie;
    }
    let mut entries: Vec<Option<E>> = list.iter().cloned().map(Some).collect();
    for (index, (tie, decision)) in ties.iter().zip(decisions).enumerate() {
        let positions = tie.crm.iter().flat_map(|value| &value.positions).copied();
        let cleared = decision.value == Verdict::ToCrm && decision.to_crm.is_none();
        for position in positions {
            let Some(entry) = entries.get_mut(position) else {
                continue;
            };
            let has_slot = tie.mailbox_then.is_some() || tie.mailbox.is_some();
            let is_dropped = mutation::is_on(Mutant::SlotlessDropped) && !has_slot;
            if cleared || is_dropped {
                *entry = None;
                continue;
            }
            if let (Some(entry), Some(mailbox)) = (entry.as_mut(), &tie.mailbox)
                && mutation::is_on(Mutant::CrmRewritten)
            {
                entry.write(&mailbox.content, list);
            }
            if let (Some(entry), Some(content)) = (entry.as_mut(), &decision.to_crm) {
                entry.write(content, list);
            }
            if let (Some(entry), RoomVerdict::ToCrm, Some(mailbox)) =
                (entry.as_mut(), decision.room, &tie.mailbox)
            {
                entry.retype(mailbox.room.kind());
            }
            position_of_tie.entry(index).or_insert(position);
        }
        if let (None, Some(content), Some(mailbox)) = (&tie.crm, &decision.to_crm, &tie.mailbox) {
            position_of_tie.insert(index, entries.len());
            entries.push(Some(E::new(mailbox.room.kind(), content, list)));
        }
    }
    let kept_before = |position: usize| entries.iter().take(position).flatten().count();
    for position in position_of_tie.values_mut() {
        *position = kept_before(*position);
    }
    *list = entries.into_iter().flatten().collect();
    position_of_tie
}

/// An entry of a list of the CRM.
trait Entry: Clone {
    /// A new one. `siblings` show how this contact's entries are written.
    fn new(kind: CrmKind, content: &Content, siblings: &[Self]) -> Self;

    /// Sets what takes part, and keeps everything else.
    fn write(&mut self, content: &Content, siblings: &[Self]);

    /// Sets the type, and keeps everything else.
    fn retype(&mut self, kind: CrmKind);
}

impl Entry for CrmPhone {
    fn new(kind: CrmKind, content: &Content, siblings: &[Self]) -> Self {
        let rest = Members::new();
        let mut entry = Self::Readable {
            kind,
            number: String::new(),
            rest,
        };
        entry.write(content, siblings);
        entry
    }

    fn write(&mut self, content: &Content, _: &[Self]) {
        if let (Self::Readable { number, .. }, Content::Phone { written, .. }) = (self, content) {
            number.clone_from(written);
        }
    }

    fn retype(&mut self, new_kind: CrmKind) {
        if let Self::Readable { kind, .. } = self {
            *kind = new_kind;
        }
    }
}

impl Entry for CrmEmail {
    /// In the form of the other entries; as a bare text where there are none.
    fn new(_: CrmKind, content: &Content, siblings: &[Self]) -> Self {
        let first = siblings
            .iter()
            .find(|entry| !matches!(entry, Self::Opaque(_)));
        let mut entry = match first {
            Some(Self::Typed { member, rest, .. }) => {
                let mut new_rest = Members::new();
                if rest.contains_key("type") {
                    new_rest.insert("type".to_owned(), Value::from(""));
                }
                let address = String::new();
                Self::Typed {
                    member: member.clone(),
                    address,
                    rest: new_rest,
                }
            }
            _ => Self::Plain(String::new()),
        };
        entry.write(content, siblings);
        entry
    }

    fn write(&mut self, content: &Content, _: &[Self]) {
        if let (Self::Plain(address) | Self::Typed { address, .. }, Content::Email(written)) =
            (self, content)
        {
            address.clone_from(written);
        }
    }

    fn retype(&mut self, _: CrmKind) {}
}

impl Entry for CrmAddress {
    fn new(kind: CrmKind, content: &Content, siblings: &[Self]) -> Self {
        let (address, rest) = (PostalAddress::default(), Members::new());
        let mut entry = Self::Readable {
            kind,
            address,
            rest,
        };
        entry.write(content, siblings);
        entry
    }

    fn write(&mut self, content: &Content, siblings: &[Self]) {
        let language = address::language(siblings.iter().filter_map(|entry| match entry {
            Self::Readable { address, .. } => Some(address),
            Self::Opaque(_) => None,
        }));
        if let (Self::Readable { address, .. }, Content::Address(source)) = (self, content) {
            *address = address::written(source, Some(&*address), language);
        }
    }

    fn retype(&mut self, new_kind: CrmKind) {
        if let Self::Readable { kind, .. } = self {
            *kind = new_kind;
        }
    }
}

// ---- writing the mailbox ------------------------------------------------------------------------

fn write_view(view: &mut View, before: &View, field: Field, taken: &BTreeMap<Slot, Seat>) {
    let slots = before.phones.keys().chain(before.emails.keys());
    let slots = slots.chain(before.addresses.keys());
    let is_kept = |slot: &Slot| {
        let seat = taken.get(slot);
        seat.is_some_and(|seat| seat.content.is_none() && seat.from == Some(*slot))
    };
    let mut slots = slots.filter(|slot| field_of(**slot) == field);
    if slots.clone().count() == taken.len() && slots.all(is_kept) {
        return;
    }
    let language = address::language(before.addresses.values());
    view.phones.retain(|slot, _| field_of(*slot) != field);
    view.emails.retain(|slot, _| field_of(*slot) != field);
    view.addresses.retain(|slot, _| field_of(*slot) != field);
    for (slot, seat) in taken {
        let from = seat.from.as_ref();
        match (&seat.content, field) {
            (Some(Content::Phone { phone, .. }), _) => {
                view.phones.insert(*slot, phone.international().to_owned());
            }
            (Some(Content::Email(address)), _) => {
                let email = MailboxEmail {
                    address: address.clone(),
                    name: String::new(),
                };
                view.emails.insert(*slot, email);
            }
            (Some(Content::Address(source)), _) => {
                let current = from.and_then(|slot| before.addresses.get(slot));
                view.addresses
                    .insert(*slot, address::written(source, current, language));
            }
            (_, Field::Phones) => carry(&mut view.phones, &before.phones, from, *slot),
            (_, Field::Emails) => carry(&mut view.emails, &before.emails, from, *slot),
            _ => carry(&mut view.addresses, &before.addresses, from, *slot),
        }
    }
}

/// What is not written stays as the mailbox has it, byte for byte, even where it moves up.
fn carry<V: Clone>(
    after: &mut BTreeMap<Slot, V>,
    before: &BTreeMap<Slot, V>,
    from: Option<&Slot>,
    to: Slot,
) {
    if let Some(value) = from.and_then(|from| before.get(from)) {
        after.insert(to, value.clone());
    }
}
