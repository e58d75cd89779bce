//! Which value gets which slot.
//!
//! Values that have a slot keep it. One that changed its type moves if there is room. A free slot
//! is taken by what was added or edited in the CRM, in the order of its list, never by what was
//! already waiting. Where the mailbox has no slot for numbers of type `other`, they borrow one that
//! no typed value wants, and give it back when one does.

use std::collections::{BTreeMap, BTreeSet};

use super::lists::{Decision, RoomVerdict};
use super::{Verdict, findings};
use crate::contact::{Field, Shape, Slot};
use crate::mapping::rooms::Room;
use crate::mapping::ties::Tie;
use crate::mapping::values::{Content, Key};
use crate::mutation::{self, Mutant};
use crate::report::Finding;

/// Who has a slot.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// Which tie.
    pub(super) tie: usize,
    /// What is to be written; `None` where the slot's own text stays.
    pub(super) content: Option<Content>,
    /// The slot in which it stands now.
    pub(super) from: Option<Slot>,
}

/// The slots of a field, being given out.
pub(super) struct Seats<'a> {
    field: Field,
    shape: Shape,
    ties: &'a [Tie],
    decisions: &'a [Decision],
    pub(super) taken: BTreeMap<Slot, Seat>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Seats<'a> {
    /// Gives out the slots of a field. `decisions` are those about `ties`, in the same order.
    pub(super) fn given_out(
        field: Field,
        shape: Shape,
        ties: &'a [Tie],
        decisions: &'a [Decision],
    ) -> Self {
        let mut seats = Self {
            field,
            shape,
            ties,
            decisions,
            taken: BTreeMap::new(),
            findings: Vec::new(),
        };
        seats.keep();
        let mut homeless = seats.relocate();
        for wants_own in [true, false] {
            for (index, room) in seats.newcomers() {
                let has_own = !room.slots(field, shape).is_empty();
                if has_own == wants_own {
                    homeless.extend(seats.seat(index, room));
                }
            }
            for index in std::mem::take(&mut homeless) {
                if let Some(room) = seats.ties.get(index).and_then(crm_room) {
                    seats.seat(index, room);
                }
            }
        }
        if !shape.keeps_gaps && field != Field::Addresses {
            seats.close_gaps();
        }
        seats.tell_who_waits();
        seats
    }

    /// Values that stay where they are.
    fn keep(&mut self) {
        for (index, tie) in self.ties.iter().enumerate() {
            let stays = matches!(
                self.decision(index).room,
                RoomVerdict::Keep | RoomVerdict::ToCrm
            );
            if stays && !self.is_cleared(index) {
                self.stay(index, tie);
            }
        }
    }

    fn stay(&mut self, index: usize, tie: &Tie) {
        let mut content = self.decision(index).to_mailbox.clone();
        if mutation::is_on(Mutant::ViewRewritten) {
            content = self
                .content_of(index)
                .filter(|content| !content.key().is_opaque());
        }
        for slot in tie.mailbox.iter().flat_map(|value| &value.slots) {
            let seat = Seat {
                tie: index,
                content: content.clone(),
                from: Some(*slot),
            };
            self.taken.insert(*slot, seat);
        }
    }

    /// Values whose type changed in the CRM: they move if there is room for them once all others
    /// have moved, and stay otherwise. Returns those that lost a borrowed slot.
    fn relocate(&mut self) -> Vec<usize> {
        let mut movers: Vec<(usize, Room)> = Vec::new();
        for (index, tie) in self.ties.iter().enumerate() {
            if let (RoomVerdict::ToMailbox, Some(room)) = (self.decision(index).room, crm_room(tie))
                && tie.mailbox.is_some()
                && !self.is_cleared(index)
            {
                movers.push((index, room));
            }
        }
        // Whoever must stay takes a place from others: at most as many rounds as there are movers.
        while let Some(position) = self.first_without_room(&movers) {
            let (index, room) = movers.remove(position);
            if let Some(tie) = self.ties.get(index) {
                self.stay(index, tie);
                let shown = tie.crm.as_ref().map(|value| value.content.shown());
                let finding =
                    findings::type_without_slot(self.field, room, &shown.unwrap_or_default());
                self.findings.push(finding);
            }
        }
        let mut homeless = Vec::new();
        for (index, room) in movers {
            homeless.extend(self.seat(index, room));
        }
        homeless
    }

    fn first_without_room(&self, movers: &[(usize, Room)]) -> Option<usize> {
        let mut wanted: BTreeMap<Room, usize> = BTreeMap::new();
        movers.iter().position(|(_, room)| {
            let count = wanted.entry(*room).or_default();
            *count += 1;
            let slots = room.slots(self.field, self.shape).iter();
            let places = slots.filter(|slot| self.is_free_for(**slot, *room)).count();
            *count > places
        })
    }

    /// Values that were added or edited in the CRM and have no slot, with the room they belong in.
    fn newcomers(&self) -> Vec<(usize, Room)> {
        self.ties
            .iter()
            .enumerate()
            .filter(|(index, tie)| {
                let wants_slot = self.decision(*index).to_mailbox.is_some()
                    || mutation::is_on(Mutant::WaitingTakesFreedSlot);
                tie.mailbox.is_none() && wants_slot
            })
            .filter_map(|(index, tie)| Some((index, crm_room(tie)?)))
            .collect()
    }

    /// Seats a value in its room. Returns whoever lost a borrowed slot by it.
    fn seat(&mut self, index: usize, room: Room) -> Option<usize> {
        let tie = self.ties.get(index)?;
        let own = room.slots(self.field, self.shape);
        let lenders = room.lenders(self.field, self.shape).iter();
        let borrowed = lenders.flat_map(|room| room.slots(self.field, self.shape));
        let slots: Vec<Slot> = own.iter().chain(borrowed).copied().collect();
        let waiting = tie.crm.as_ref().map(|value| value.content.clone());
        let waiting = waiting.filter(|_| mutation::is_on(Mutant::WaitingTakesFreedSlot));
        let content = self.content_of(index).or(waiting)?;
        // Equal values share a slot.
        let key = content.key();
        if slots
            .iter()
            .any(|slot| self.key_in(*slot).as_ref() == Some(&key))
        {
            return None;
        }
        let stood_in = tie.mailbox_then.iter().flat_map(|value| &value.slots);
        let preferred = stood_in.filter(|slot| slots.contains(slot));
        let free = preferred
            .chain(&slots)
            .find(|slot| !self.taken.contains_key(*slot))
            .or_else(|| slots.iter().find(|slot| self.is_free_for(**slot, room)));
        let slot = *free?;
        let seat = Seat {
            tie: index,
            content: Some(content),
            from: None,
        };
        self.taken.insert(slot, seat).map(|evicted| evicted.tie)
    }

    /// Free, or lent to a value that gives it back: one of another type that the CRM keeps.
    fn is_free_for(&self, slot: Slot, room: Room) -> bool {
        let Some(seat) = self.taken.get(&slot) else {
            return true;
        };
        let Some(tie) = self.ties.get(seat.tie) else {
            return false;
        };
        let decision = self.decision(seat.tie);
        let crm_keeps_it = match decision.value {
            Verdict::Keep => {
                let crm_key = tie.crm.as_ref().map(|value| &value.key);
                crm_key == tie.mailbox.as_ref().map(|value| &value.key)
            }
            Verdict::ToMailbox | Verdict::ToCrm => tie.crm.is_some(),
        };
        let is_borrowed = crm_room(tie).is_some_and(|own| {
            own.lenders(self.field, self.shape)
                .contains(&Room::of_slot(slot))
        });
        is_borrowed && crm_keeps_it && room == Room::of_slot(slot)
    }

    /// Where slots are only an order, those behind a cleared one move up.
    fn close_gaps(&mut self) {
        let rooms: BTreeSet<Room> = self.taken.keys().map(|slot| Room::of_slot(*slot)).collect();
        for room in rooms {
            let slots = room.slots(self.field, self.shape);
            let is_written = |slot: &Slot| match self.taken.get(slot) {
                Some(seat) => seat.content.is_some() || seat.from != Some(*slot),
                None => self.stood_in_mailbox(*slot),
            };
            if !slots.iter().any(is_written) {
                continue;
            }
            let seats: Vec<Seat> = slots
                .iter()
                .filter_map(|slot| self.taken.remove(slot))
                .collect();
            self.taken.extend(slots.iter().copied().zip(seats));
        }
    }

    fn tell_who_waits(&mut self) {
        if mutation::is_on(Mutant::NoRoomUntold) {
            return;
        }
        for (index, tie) in self.ties.iter().enumerate() {
            let Some(value) = &tie.crm else { continue };
            let is_seated = self.taken.values().any(|seat| seat.tie == index);
            let decision = self.decision(index);
            let goes = decision.value == Verdict::ToCrm && decision.to_crm.is_none();
            if is_seated || goes || value.key.is_opaque() {
                continue;
            }
            let shares = self.taken.keys().any(|slot| {
                let room = Room::of_slot(*slot);
                let right_room = value
                    .room
                    .is_some_and(|own| own.agrees_with(room, self.field, self.shape));
                right_room && self.key_in(*slot).as_ref() == Some(&value.key)
            });
            if !shares {
                let shown = value.content.shown();
                self.findings
                    .push(findings::no_slot_left(self.field, value.room, &shown));
            }
        }
    }

    fn decision(&self, index: usize) -> &Decision {
        self.decisions.get(index).unwrap_or(&Decision::NOTHING)
    }

    fn is_cleared(&self, index: usize) -> bool {
        let decision = self.decision(index);
        decision.value == Verdict::ToMailbox && decision.to_mailbox.is_none()
    }

    /// What a tie's value is after the merge, as far as the mailbox is told.
    fn content_of(&self, index: usize) -> Option<Content> {
        let tie = self.ties.get(index)?;
        let decision = self.decision(index);
        let present = tie.mailbox.as_ref().map(|value| &value.content);
        decision.to_mailbox.as_ref().or(present).cloned()
    }

    fn key_in(&self, slot: Slot) -> Option<Key> {
        let seat = self.taken.get(&slot)?;
        self.content_of(seat.tie).map(|content| content.key())
    }

    fn stood_in_mailbox(&self, slot: Slot) -> bool {
        let mut now = self.ties.iter().filter_map(|tie| tie.mailbox.as_ref());
        now.any(|value| value.slots.contains(&slot))
    }
}

fn crm_room(tie: &Tie) -> Option<Room> {
    tie.crm.as_ref().and_then(|value| value.room)
}
