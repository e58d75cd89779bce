//! A history from a seed.

use contact_sync_guest::job::{ConflictWinner, DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark};

use super::history::{
    Act, Answering, Book, Deed, Edit, Event, History, Oddity, Pass, Person, ServerTrouble, Setting,
    Trouble,
};
use super::values::{FIRST_NUMBER, Line, PhoneKind, Token};
use crate::simulator::chance::Chance;
use crate::simulator::ews::quirks::{
    BirthdayForm, Busy, BusyForm, IllegalCharacters, PrefixStyle, SearchKey,
};
use crate::simulator::flowfact::quirks::Reach;
use crate::simulator::{Dialect, MarkerKind, StoreFault};

/// The history of a seed.
pub fn generate(seed: u64) -> History {
    let mut chance = Chance::new(seed ^ 0x6869_7374_6F72_7921);
    // What concerns Exchange Server alone is drawn apart: without it the histories are the same.
    let mut server_chance = Chance::new(seed ^ 0x6F6E_2070_7265_6D73);
    let setting = setting(&mut chance, &mut server_chance);
    let mut drawing = Drawing {
        mailboxes: setting.mailboxes.len(),
        servers: setting.mailboxes.clone(),
        chance,
        server_chance,
        next_number: FIRST_NUMBER,
        is_calm: seed.is_multiple_of(4),
        people: 0,
    };
    let count = drawing.count(2, 5);
    let mut people: Vec<Person> = (0..count).map(|_| drawing.person()).collect();
    // People who are nowhere yet.
    for _ in 0..drawing.count(0, 2) {
        people.push(Person {
            common: drawing.introduction(),
            crm: None,
            marks: Vec::new(),
            mailboxes: vec![None; drawing.mailboxes],
        });
    }
    drawing.people = people.len();
    let mut events = Vec::new();
    for _ in 0..drawing.count(1, 3) {
        drawing.chapter(&mut events);
        events.push(Event::Rest);
    }
    History {
        seed,
        setting,
        people,
        events,
    }
}

struct Drawing {
    chance: Chance,
    server_chance: Chance,
    mailboxes: usize,
    servers: Vec<Dialect>,
    people: usize,
    next_number: u32,
    /// Nothing goes wrong.
    is_calm: bool,
}

fn setting(chance: &mut Chance, server_chance: &mut Chance) -> Setting {
    let count = match chance.below(10) {
        0..5 => 1,
        5..9 => 2,
        _ => 3,
    };
    let mailboxes: Vec<Dialect> = (0..count)
        .map(|_| *server_chance.pick(&[Dialect::Graph, Dialect::Ews]))
        .collect();
    let oddities = oddities(chance, server_chance, &mailboxes);
    Setting {
        mailboxes,
        marker: *chance.pick(&[
            MarkerKind::AccountField,
            MarkerKind::AccountField,
            MarkerKind::Tag,
            MarkerKind::SyncEntry,
        ]),
        conflict: *chance.pick(&[
            ConflictWinner::Crm,
            ConflictWinner::Crm,
            ConflictWinner::Mailbox,
            ConflictWinner::Newest,
        ]),
        delete_edit: *chance.pick(&[
            DeleteEdit::KeepEdit,
            DeleteEdit::KeepEdit,
            DeleteEdit::KeepEdit,
            DeleteEdit::Delete,
        ]),
        on_crm_delete: *chance.pick(&[
            OnCrmDelete::DeleteInMailbox,
            OnCrmDelete::DeleteInMailbox,
            OnCrmDelete::DeleteInMailbox,
            OnCrmDelete::KeepInMailbox,
        ]),
        on_mailbox_delete: *chance.pick(&[
            OnMailboxDelete::DeleteInCrm,
            OnMailboxDelete::DeleteInCrm,
            OnMailboxDelete::DeleteInCrm,
            OnMailboxDelete::Unmark,
        ]),
        on_unmark: *chance.pick(&[
            OnUnmark::Keep,
            OnUnmark::Keep,
            OnUnmark::Keep,
            OnUnmark::DeleteFromMailbox,
        ]),
        answering: *chance.pick(&[
            Answering::Never,
            Answering::Approve,
            Answering::Approve,
            Answering::Reject,
            Answering::InTurn,
        ]),
        oddities,
    }
}

fn oddities(chance: &mut Chance, server_chance: &mut Chance, mailboxes: &[Dialect]) -> Vec<Oddity> {
    let mut drawn: Vec<Oddity> = (0..chance.below(4)).map(|_| oddity(chance)).collect();
    if mailboxes.contains(&Dialect::Ews) {
        let own = (0..server_chance.below(4)).map(|_| server_oddity(server_chance));
        drawn.extend(own.collect::<Vec<_>>());
    }
    let mut oddities = Vec::new();
    for oddity in drawn {
        if !oddities.contains(&oddity) {
            oddities.push(oddity);
        }
    }
    oddities
}

fn oddity(chance: &mut Chance) -> Oddity {
    match chance.below(20) {
        0 => Oddity::IndexLag(*chance.pick(&[500, 5_000, 60_000])),
        1 => Oddity::Recalculation(*chance.pick(&[1, 2_000, 90_000])),
        2 => Oddity::HiddenForbidden,
        3 => Oddity::SilentRestore,
        4 => Oddity::TrashNewestLast,
        5 => Oddity::TrashUnordered,
        6 => Oddity::ShortPages(2),
        7 => Oddity::NoTimeFilter,
        8 => Oddity::DeltaDelay(*chance.pick(&[1_000, 30_000, 120_000])),
        9 => Oddity::DeltaReplay(3),
        10 => Oddity::DeltaRepeats,
        11 => Oddity::DeltaReordered,
        12 => Oddity::MovesUnseen,
        13 => Oddity::LastDeletionUnseen,
        14 => Oddity::SpontaneousConflicts(3),
        15 => Oddity::ShortMemory,
        16 => Oddity::NamesRewritten,
        17 => Oddity::CutTexts(6),
        18 => Oddity::EntriesListable,
        _ => Oddity::Shuffled,
    }
}

fn server_oddity(chance: &mut Chance) -> Oddity {
    match chance.below(12) {
        0 | 1 => Oddity::KeysMove(*chance.pick(&[1, 2, 5])),
        2 => Oddity::PhantomItem,
        3 => Oddity::SearchKeys(SearchKey::LeftOut),
        4 => Oddity::SearchKeys(SearchKey::Refused),
        5 => Oddity::Prefixes(*chance.pick(&[PrefixStyle::Others, PrefixStyle::Default])),
        6 => Oddity::ByteOrderMark,
        7 | 8 => Oddity::Illegal(*chance.pick(&[
            IllegalCharacters::Raw,
            IllegalCharacters::LeftOut,
            IllegalCharacters::Referenced,
        ])),
        9 => Oddity::Birthdays(BirthdayForm::LocalMidnight),
        10 => Oddity::WholeProperties,
        _ => Oddity::EmailNameLeft,
    }
}

fn server_trouble(chance: &mut Chance) -> ServerTrouble {
    match chance.below(8) {
        0 => ServerTrouble::StoreAway,
        1..4 => ServerTrouble::BatchStops(usize::try_from(chance.below(4)).unwrap_or(0)),
        _ => ServerTrouble::Busy(Busy {
            every: *chance.pick(&[1, 2, 3, 7]),
            form: *chance.pick(&[
                BusyForm::Fault,
                BusyForm::InAnswer,
                BusyForm::ServiceUnavailable,
            ]),
            back_off_ms: *chance.pick(&[100, 2_000, 400_000]),
        }),
    }
}

impl Drawing {
    fn count(&mut self, least: usize, most: usize) -> usize {
        let span = (most - least + 1) as u64;
        least + usize::try_from(self.chance.below(span)).unwrap_or(0)
    }

    fn token(&mut self) -> Token {
        let number = self.next_number;
        self.next_number += 1;
        let writing = self.writing();
        Token { number, writing }
    }

    fn writing(&mut self) -> u8 {
        u8::try_from(self.chance.below(4)).unwrap_or(0)
    }

    fn kind(&mut self) -> PhoneKind {
        *self.chance.pick(&[
            PhoneKind::Office,
            PhoneKind::Office,
            PhoneKind::Private,
            PhoneKind::Private,
            PhoneKind::Mobile,
            PhoneKind::Other,
        ])
    }

    /// What somebody is recognised by.
    fn introduction(&mut self) -> Vec<Edit> {
        let mut edits = vec![
            Edit::Set(Line::FirstName, self.token()),
            Edit::Set(Line::LastName, self.token()),
            Edit::AddEmail(self.token()),
        ];
        if self.chance.percent(40) {
            edits.push(Edit::AddPhone(self.kind(), self.token()));
        }
        edits
    }

    fn person(&mut self) -> Person {
        let common = self.introduction();
        let crm = self.chance.percent(75).then(|| self.extras());
        let mut mailboxes: Vec<Option<Vec<Edit>>> = Vec::new();
        for _ in 0..self.mailboxes {
            let own = self.chance.percent(50).then(|| self.extras());
            mailboxes.push(own);
        }
        let marks = (0..self.mailboxes)
            .filter(|_| self.chance.percent(60))
            .collect();
        Person {
            common,
            crm,
            marks,
            mailboxes,
        }
    }

    fn extras(&mut self) -> Vec<Edit> {
        (0..self.count(0, 3)).map(|_| self.addition()).collect()
    }

    fn addition(&mut self) -> Edit {
        match self.chance.below(10) {
            0..4 => {
                let line = *self.chance.pick(&Line::ALL[2..]);
                Edit::Set(line, self.token())
            }
            4..7 => Edit::AddPhone(self.kind(), self.token()),
            7 => Edit::AddEmail(self.token()),
            8 => Edit::AddOpaquePhone(self.kind(), self.token()),
            _ => Edit::SetAddress(self.kind(), self.token()),
        }
    }

    fn edit(&mut self) -> Edit {
        let index = self.count(0, 3);
        match self.chance.below(24) {
            0..6 => Edit::Set(*self.chance.pick(&Line::ALL), self.token()),
            6 => Edit::Clear(*self.chance.pick(&Line::ALL[1..])),
            7 => Edit::Rewrite(*self.chance.pick(&Line::ALL), self.writing()),
            8..10 => Edit::AddPhone(self.kind(), self.token()),
            10 => Edit::ChangePhone(index, self.token()),
            11 => Edit::RewritePhone(index, self.writing()),
            12 => Edit::RetypePhone(index, self.kind()),
            13 => Edit::RemovePhone(index),
            14 => Edit::SwapPhones,
            15 => Edit::AddOpaquePhone(self.kind(), self.token()),
            16 => Edit::AddEmail(self.token()),
            17 => Edit::ChangeEmail(index, self.token()),
            18 => Edit::RewriteEmail(index, self.writing()),
            19 => Edit::RemoveEmail(index),
            20 => Edit::SwapEmails,
            21 => Edit::SetAddress(self.kind(), self.token()),
            22 => Edit::ChangeCity(index, self.token()),
            _ => Edit::RemoveAddress(index),
        }
    }

    fn edits(&mut self) -> Vec<Edit> {
        (0..self.count(1, 2)).map(|_| self.edit()).collect()
    }

    fn act(&mut self) -> Act {
        let who = self.count(0, self.people - 1);
        let mailbox = self.count(0, self.mailboxes - 1);
        let book = if self.chance.percent(50) {
            Book::Crm
        } else {
            Book::Mailbox(mailbox)
        };
        let deed = match self.chance.below(40) {
            0..20 => Deed::Edit(self.edits()),
            20..23 => Deed::Delete,
            23..26 => Deed::BringBack,
            26 => Deed::Purge,
            27..30 => Deed::Mark(mailbox),
            30..32 => Deed::Unmark(mailbox),
            32 => Deed::Move,
            33 => Deed::Copy,
            34 => Deed::Recreate,
            35 => Deed::Hide,
            36 => Deed::Show,
            37 => Deed::Touch,
            _ => Deed::Enter(self.extras()),
        };
        let book = match deed {
            Deed::Mark(_) | Deed::Unmark(_) | Deed::Hide | Deed::Show => Book::Crm,
            Deed::Move | Deed::Copy | Deed::Recreate => Book::Mailbox(mailbox),
            _ => book,
        };
        let pick = usize::from(self.chance.percent(20));
        Act {
            book,
            who,
            pick,
            deed,
        }
    }

    /// What happens between two rests.
    fn chapter(&mut self, events: &mut Vec<Event>) {
        for _ in 0..self.count(2, 10) {
            let event = match self.chance.below(20) {
                0..11 => Event::Act(self.act()),
                11..17 => Event::Pass(self.pass()),
                17..19 if self.chance.percent(70) => self.wait(),
                17..19 => {
                    let mailbox = self.count(0, self.mailboxes - 1);
                    Event::Answer(mailbox, self.chance.percent(50))
                }
                _ => match self.trouble() {
                    Some(trouble) => Event::Trouble(trouble),
                    None => continue,
                },
            };
            events.push(event);
        }
    }

    fn wait(&mut self) -> Event {
        if !self.is_calm && self.chance.percent(15) {
            return Event::ClockJump(*self.chance.pick(&[-60_000, -5_000, 90_000, 3_600_000]));
        }
        let waits = [50, 1_000, 30_000, 90_000, 300_000, 700_000, 90_000_000];
        Event::Wait(*self.chance.pick(&waits))
    }

    fn pass(&mut self) -> Pass {
        let mailbox = self.count(0, self.mailboxes - 1);
        let mut pass = Pass {
            mailbox,
            ..Pass::default()
        };
        if self.is_calm {
            return pass;
        }
        if self.chance.percent(25) {
            pass.faults = Some(self.chance.below(1_000_000));
        }
        if self.chance.percent(20) {
            let steps_max = *self.chance.pick(&[30, 30, 120]);
            pass.crash = Some(self.chance.below(steps_max));
        }
        if self.chance.percent(10) {
            let fault = *self.chance.pick(&[
                StoreFault::UnavailableBefore,
                StoreFault::UnavailableAfter,
                StoreFault::LeaseLost,
                StoreFault::Quota,
            ]);
            let calls = u32::try_from(self.chance.below(20)).unwrap_or(0);
            pass.store = Some((calls, fault));
        }
        let is_on_server = self.servers.get(mailbox) == Some(&Dialect::Ews);
        if is_on_server && self.server_chance.percent(20) {
            pass.server = Some(server_trouble(&mut self.server_chance));
        }
        if self.chance.percent(30) {
            for _ in 0..self.count(1, 2) {
                let steps = self.chance.below(24);
                pass.meanwhile.push((steps, self.act()));
            }
        }
        pass
    }

    fn trouble(&mut self) -> Option<Trouble> {
        let mailbox = self.count(0, self.mailboxes - 1);
        let drawn = self.chance.below(16);
        let who = self.count(0, self.people - 1);
        let reach = *self
            .chance
            .pick(&[Reach::Forbidden, Reach::Missing, Reach::Empty]);
        let line = *self.chance.pick(&Line::ALL[2..]);
        (!self.is_calm).then_some(match drawn {
            0..4 => Trouble::DeltaExpires(mailbox),
            4 => Trouble::StoreLost,
            5 => Trouble::StoreOlder,
            6 => Trouble::Suspend(mailbox),
            7..10 => Trouble::FieldLost(line),
            10..12 => Trouble::EntryVanishes(who, mailbox),
            12..14 => Trouble::EntriesOutOfReach(reach),
            _ => Trouble::FieldsBack,
        })
    }
}
