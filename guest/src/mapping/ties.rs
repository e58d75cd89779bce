//! Ties: a value through time and on both sides.
//!
//! A tie holds what a value was in the base and what it is now, in the CRM and in the mailbox. It
//! is made by the four steps of the contract's section 4: equal value in the same room; equal value
//! in another room (its type changed); what is left, by place (the value was edited); the rest was
//! added or cleared. All steps compare one side's base with its present, or the two sides; none
//! compares texts.

use super::rooms::Room;
use super::values::{self, CrmValue, Key, MailboxValue};
use super::{Base, SlotTable};
use crate::contact::{CrmFields, Field, Shape, View, address};
use crate::mutation::{self, Mutant};

/// One value, then and now, here and there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tie {
    /// In the CRM, in the base.
    pub(crate) crm_then: Option<CrmValue>,
    /// In the CRM, now.
    pub(crate) crm: Option<CrmValue>,
    /// In the mailbox, in the base.
    pub(crate) mailbox_then: Option<MailboxValue>,
    /// In the mailbox, now.
    pub(crate) mailbox: Option<MailboxValue>,
    /// Which CRM value this is, is not certain.
    pub(crate) unsure: bool,
}

impl Tie {
    /// Whether a user edited, added, cleared or retyped it in the CRM. What cannot be read is none
    /// of these.
    pub(crate) fn crm_changed(&self) -> bool {
        self.crm_value_changed() || self.crm_room_changed()
    }

    pub(crate) fn crm_value_changed(&self) -> bool {
        changed(
            self.crm_then.as_ref().map(|value| &value.key),
            self.crm.as_ref().map(|value| &value.key),
        )
    }

    pub(crate) fn crm_room_changed(&self) -> bool {
        match (&self.crm_then, &self.crm) {
            (Some(then), Some(now)) => !now.key.is_opaque() && then.room != now.room,
            _ => false,
        }
    }

    /// Whether a user edited, added, cleared or moved it in the mailbox.
    pub(crate) fn mailbox_changed(&self) -> bool {
        self.mailbox_value_changed() || self.mailbox_room_changed()
    }

    pub(crate) fn mailbox_value_changed(&self) -> bool {
        changed(
            self.mailbox_then.as_ref().map(|value| &value.key),
            self.mailbox.as_ref().map(|value| &value.key),
        )
    }

    pub(crate) fn mailbox_room_changed(&self) -> bool {
        match (&self.mailbox_then, &self.mailbox) {
            (Some(then), Some(now)) => !now.key.is_opaque() && then.room != now.room,
            _ => false,
        }
    }
}

fn changed(then: Option<&Key>, now: Option<&Key>) -> bool {
    then != now && !now.is_some_and(Key::is_opaque)
}

/// The two records of a list field, and their base where there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Records<'a> {
    pub(crate) field: Field,
    pub(crate) base: Option<&'a Base>,
    pub(crate) region: &'a str,
}

/// All values of a field, then and now, in the order of the base and then of the records.
pub(crate) fn of_both(
    records: Records<'_>,
    crm: &CrmFields,
    view: &View,
    shape: Shape,
) -> Vec<Tie> {
    let mut ties = in_base(records);
    let mut crm_left = values::of_crm(records.field, crm, records.region);
    let mut mailbox_left = values::of_mailbox(records.field, view, records.region);
    find_equal_in_crm(&mut ties, &mut crm_left);
    if mutation::is_on(Mutant::SlotsBeforeValues) {
        find_by_slot(&mut ties, &mut mailbox_left, true);
    }
    find_equal_in_mailbox(&mut ties, &mut mailbox_left);
    // What was added on both sides alike is one value, not an edit of two others.
    find_equal_on_other_side(records, shape, &mut ties, &mut crm_left, &mut mailbox_left);
    let mut added = unite_equal(records, shape, &mut crm_left, &mut mailbox_left);
    find_by_position(records, crm, &mut ties, &mut crm_left);
    find_by_slot(&mut ties, &mut mailbox_left, shape.keeps_gaps);
    if records.field == Field::Addresses {
        added.append(&mut unite_compatible(&mut crm_left, &mut mailbox_left));
    }
    ties.append(&mut added);
    ties.extend(crm_left.into_iter().map(|value| Tie {
        crm: Some(value),
        ..Tie::default()
    }));
    ties.extend(mailbox_left.into_iter().map(|value| Tie {
        mailbox: Some(value),
        ..Tie::default()
    }));
    ties
}

/// Whether a user changed a list field in the CRM.
pub(crate) fn crm_changed(records: Records<'_>, crm: &CrmFields) -> bool {
    let mut ties = in_base(records);
    let mut left = values::of_crm(records.field, crm, records.region);
    find_equal_in_crm(&mut ties, &mut left);
    find_by_position(records, crm, &mut ties, &mut left);
    ties.iter().any(Tie::crm_changed) || left.iter().any(|value| !value.key.is_opaque())
}

/// Whether a user changed a list field in the mailbox.
pub(crate) fn mailbox_changed(records: Records<'_>, view: &View) -> bool {
    let mut ties = in_base(records);
    let mut left = values::of_mailbox(records.field, view, records.region);
    find_equal_in_mailbox(&mut ties, &mut left);
    find_by_slot(&mut ties, &mut left, true);
    ties.iter().any(Tie::mailbox_changed) || left.iter().any(|value| !value.key.is_opaque())
}

// ---- the base -----------------------------------------------------------------------------------

/// The values of the base: none where the field did not take part in it.
fn in_base(records: Records<'_>) -> Vec<Tie> {
    let Some(base) = records
        .base
        .filter(|base| base.fields.contains(&records.field))
    else {
        return Vec::new();
    };
    let crm = values::of_crm(records.field, &base.crm, records.region);
    let mut left = values::of_mailbox(records.field, &base.view, records.region);
    let mut ties: Vec<Tie> = crm
        .into_iter()
        .map(|value| Tie {
            crm_then: Some(value),
            ..Tie::default()
        })
        .collect();
    let table = &base.slots;
    let mut find = |is_it: &dyn Fn(&CrmValue, &MailboxValue) -> bool| {
        for tie in ties.iter_mut().filter(|tie| tie.mailbox_then.is_none()) {
            let Some(then) = &tie.crm_then else { continue };
            tie.mailbox_then = take(&mut left, |value| is_it(then, value));
        }
    };
    find(&|crm, mailbox| equal(crm, mailbox) && crm.room == Some(mailbox.room));
    find(&|crm, mailbox| equal(crm, mailbox) && stands_in(crm, mailbox, table));
    find(&equal);
    find(&|crm, mailbox| stands_in(crm, mailbox, table));
    ties.extend(left.into_iter().map(|value| {
        Tie {
            unsure: value
                .slots
                .iter()
                .any(|slot| base.slots.unsure.contains(slot)),
            mailbox_then: Some(value),
            ..Tie::default()
        }
    }));
    ties
}

fn stands_in(crm: &CrmValue, mailbox: &MailboxValue, table: &SlotTable) -> bool {
    let mut positions = mailbox
        .slots
        .iter()
        .filter_map(|slot| table.places.get(slot));
    if mutation::is_on(Mutant::SlotTableIgnored) {
        return false;
    }
    positions.any(|position| crm.positions.contains(position))
}

fn equal(crm: &CrmValue, mailbox: &MailboxValue) -> bool {
    !crm.key.is_opaque() && crm.key == mailbox.key
}

// ---- steps 1 and 2 ------------------------------------------------------------------------------

fn find_equal_in_crm(ties: &mut [Tie], left: &mut Vec<CrmValue>) {
    for same_room in [true, false] {
        for tie in ties.iter_mut().filter(|tie| tie.crm.is_none()) {
            let Some(then) = &tie.crm_then else { continue };
            tie.crm = take(left, |now| {
                now.key == then.key && (!same_room || now.room == then.room)
            });
        }
    }
}

fn find_equal_in_mailbox(ties: &mut [Tie], left: &mut Vec<MailboxValue>) {
    for same_room in [true, false] {
        for tie in ties.iter_mut().filter(|tie| tie.mailbox.is_none()) {
            let Some(then) = &tie.mailbox_then else {
                continue;
            };
            tie.mailbox = take(left, |now| {
                now.key == then.key && (!same_room || now.room == then.room)
            });
        }
    }
}

/// How close two equal values stand: the closest are united first.
type Closeness<'a> = &'a dyn Fn(&CrmValue, &MailboxValue) -> bool;

/// In the same room; in one that the value may stand in; in any.
fn by_closeness(records: Records<'_>, shape: Shape, mut each: impl FnMut(Closeness<'_>)) {
    each(&|crm, mailbox| equal(crm, mailbox) && crm.room == Some(mailbox.room));
    each(&|crm, mailbox| {
        let agrees = |room: Room| room.agrees_with(mailbox.room, records.field, shape);
        equal(crm, mailbox) && crm.room.is_some_and(agrees)
    });
    each(&equal);
}

/// What waited on one side only and now stands on the other too.
fn find_equal_on_other_side(
    records: Records<'_>,
    shape: Shape,
    ties: &mut [Tie],
    crm_left: &mut Vec<CrmValue>,
    mailbox_left: &mut Vec<MailboxValue>,
) {
    by_closeness(records, shape, |same| {
        for tie in ties.iter_mut() {
            if tie.mailbox_then.is_none()
                && tie.mailbox.is_none()
                && let Some(crm) = &tie.crm
            {
                tie.mailbox = take(mailbox_left, |mailbox| same(crm, mailbox));
            }
            if tie.crm_then.is_none()
                && tie.crm.is_none()
                && let Some(mailbox) = &tie.mailbox
            {
                tie.crm = take(crm_left, |crm| same(crm, mailbox));
            }
        }
    });
}

fn unite_equal(
    records: Records<'_>,
    shape: Shape,
    crm: &mut Vec<CrmValue>,
    mailbox: &mut Vec<MailboxValue>,
) -> Vec<Tie> {
    let mut united = Vec::new();
    by_closeness(records, shape, |same| {
        united.append(&mut unite(crm, mailbox, same));
    });
    united
}

/// The same address written more fully on one side is the same address.
fn unite_compatible(crm: &mut Vec<CrmValue>, mailbox: &mut Vec<MailboxValue>) -> Vec<Tie> {
    use values::Content::Address;
    unite(crm, mailbox, |crm, mailbox| {
        match (&crm.content, &mailbox.content) {
            (Address(one), Address(other)) => {
                crm.room == Some(mailbox.room) && address::compatible(one, other)
            }
            _ => false,
        }
    })
}

fn unite(
    crm: &mut Vec<CrmValue>,
    mailbox: &mut Vec<MailboxValue>,
    same: impl Fn(&CrmValue, &MailboxValue) -> bool,
) -> Vec<Tie> {
    let mut united = Vec::new();
    for value in std::mem::take(crm) {
        match take(mailbox, |candidate| same(&value, candidate)) {
            None => crm.push(value),
            partner => united.push(Tie {
                crm: Some(value),
                mailbox: partner,
                ..Tie::default()
            }),
        }
    }
    united
}

// ---- step 3 -------------------------------------------------------------------------------------

/// What is left in the CRM is an edit of what stood at its position, or else of what is missing in
/// its room, those with a slot first.
fn find_by_position(
    records: Records<'_>,
    crm: &CrmFields,
    ties: &mut [Tie],
    left: &mut Vec<CrmValue>,
) {
    if records.field == Field::Addresses {
        mark_unsure(records, crm, ties, left);
    }
    let same_position = |then: &CrmValue, now: &CrmValue| {
        then.positions
            .iter()
            .any(|position| now.positions.contains(position))
    };
    find_edited(ties, left, |tie, then, now| {
        tie.mailbox_then.is_some() && now.room == then.room && same_position(then, now)
    });
    find_edited(ties, left, |_, then, now| {
        now.room == then.room && same_position(then, now)
    });
    // What cannot be read is never a clearing, whatever became of its type.
    find_edited(ties, left, |_, then, now| {
        now.key.is_opaque() && same_position(then, now)
    });
    find_edited(ties, left, |tie, then, now| {
        tie.mailbox_then.is_some() && now.room == then.room
    });
    find_edited(ties, left, |_, then, now| now.room == then.room);
    find_edited(ties, left, |_, _, now| {
        now.key.is_opaque() && now.room.is_none()
    });
}

fn find_edited(
    ties: &mut [Tie],
    left: &mut Vec<CrmValue>,
    is_edit: impl Fn(&Tie, &CrmValue, &CrmValue) -> bool,
) {
    for tie in ties.iter_mut().filter(|tie| tie.crm.is_none()) {
        let Some(then) = &tie.crm_then else { continue };
        tie.crm = take(left, |now| is_edit(tie, then, now));
    }
}

/// Addresses are large and look alike: where one is missing, another number of them is new, and the
/// list has grown or shrunk, its position proves nothing.
fn mark_unsure(records: Records<'_>, crm: &CrmFields, ties: &mut [Tie], left: &[CrmValue]) {
    let then_len = records
        .base
        .map_or(0, |base| values::crm_len(records.field, &base.crm));
    if then_len == values::crm_len(records.field, crm) {
        return;
    }
    for room in [Room::Business, Room::Home, Room::Other] {
        let is_missing = |tie: &Tie| {
            let then_room = tie.crm_then.as_ref().and_then(|then| then.room);
            tie.crm.is_none() && then_room == Some(room)
        };
        let missing = ties.iter().filter(|tie| is_missing(tie)).count();
        let new = left.iter().filter(|value| value.room == Some(room)).count();
        if missing == 0 || new == 0 || missing == new {
            continue;
        }
        for tie in ties.iter_mut().filter(|tie| is_missing(tie)) {
            tie.unsure = true;
        }
    }
}

/// What is left in the mailbox is an edit of what stood in its slot. Where gaps close, slots are
/// only an order, and what is left in a room is an edit of what is missing there.
fn find_by_slot(ties: &mut [Tie], left: &mut Vec<MailboxValue>, keeps_gaps: bool) {
    let same_slot = |then: &MailboxValue, now: &MailboxValue| {
        then.slots.iter().any(|slot| now.slots.contains(slot))
    };
    let mut find = |is_edit: &dyn Fn(&MailboxValue, &MailboxValue) -> bool| {
        for tie in ties.iter_mut().filter(|tie| tie.mailbox.is_none()) {
            let Some(then) = &tie.mailbox_then else {
                continue;
            };
            tie.mailbox = take(left, |now| is_edit(then, now));
        }
    };
    find(&same_slot);
    find(&|then, now| then.room == now.room && (!keeps_gaps || now.key.is_opaque()));
}

/// Takes the first value that fits.
fn take<T>(left: &mut Vec<T>, fits: impl FnMut(&T) -> bool) -> Option<T> {
    let index = left.iter().position(fits)?;
    Some(left.remove(index))
}
