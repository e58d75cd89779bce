//! What happens in one world, as data: it can be printed, shortened, and played again.

use std::fmt;

use contact_sync_guest::job::{ConflictWinner, DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark};

use super::values::{Line, PhoneKind, Token, Writing};
use crate::simulator::ews::quirks::{
    BirthdayForm, Busy, IllegalCharacters, PrefixStyle, SearchKey,
};
use crate::simulator::flowfact::quirks::Reach;
use crate::simulator::{Dialect, MarkerKind, StoreFault};

/// One world, and all that happens in it.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What ids, keys and chance are drawn from.
    pub seed: u64,
    /// What the world is like.
    pub setting: Setting,
    /// Who is in which address book before the first pass.
    pub people: Vec<Person>,
    /// What happens, in order. After the last event everything comes to rest and is checked.
    pub events: Vec<Event>,
}

/// What a world is like, and by which rules it is synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// One to three, each in Office 365 or on an Exchange Server.
    pub mailboxes: Vec<Dialect>,
    /// How contacts say that they sync.
    pub marker: MarkerKind,
    /// Whose value stays.
    pub conflict: ConflictWinner,
    /// Whether an edit outlives a deletion.
    pub delete_edit: DeleteEdit,
    /// What a deletion in the CRM does.
    pub on_crm_delete: OnCrmDelete,
    /// What a deletion in a mailbox does.
    pub on_mailbox_delete: OnMailboxDelete,
    /// What taking a marker away does.
    pub on_unmark: OnUnmark,
    /// What is said, at rest, to the lists that the guard asks about.
    pub answering: Answering,
    /// How the services behave where they are odd.
    pub oddities: Vec<Oddity>,
}

/// What is said to the guard's lists once faults are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// Nothing.
    Never,
    /// Carry it out.
    Approve,
    /// Bring it back.
    Reject,
    /// Each in turn.
    InTurn,
}

/// How a service behaves all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Milliseconds until a write shows in FLOWFACT's searches.
    IndexLag(i64),
    /// Milliseconds until FLOWFACT recalculates what was written.
    Recalculation(i64),
    /// What is hidden by rights is answered 403 in place of 404.
    HiddenForbidden,
    /// Restoring from the trash bumps no time.
    SilentRestore,
    /// The trash shows its newest entries last.
    TrashNewestLast,
    /// The trash shows no order.
    TrashUnordered,
    /// FLOWFACT's pages are this short.
    ShortPages(usize),
    /// Searches ignore conditions on the time of modification.
    NoTimeFilter,
    /// Milliseconds until a change shows in delta.
    DeltaDelay(i64),
    /// Rounds of delta begin with entries of earlier ones.
    DeltaReplay(usize),
    /// Pages of delta repeat the last entries.
    DeltaRepeats,
    /// Entries of a page come in any order.
    DeltaReordered,
    /// Delta says nothing of a contact that was moved into the folder.
    MovesUnseen,
    /// Delta says nothing of the last deletion of a folder.
    LastDeletionUnseen,
    /// Every so-manieth update is answered 412 for no reason.
    SpontaneousConflicts(u64),
    /// Delta's tokens expire soon.
    ShortMemory,
    /// The server rewrites display names with every update.
    NamesRewritten,
    /// Requests under way together are served in any order.
    Shuffled,
    /// Texts of these fields are cut off after so many characters, without a word.
    CutTexts(usize),
    /// The sync entries of a mailbox can be listed.
    EntriesListable,
    /// Every so-manieth write to Exchange Server is followed by a change key that moves by itself.
    KeysMove(u64),
    /// A sync of Exchange Server reports an item that no read finds.
    PhantomItem,
    /// Exchange Server shows the search key, or does not, or refuses whoever asks for it.
    SearchKeys(SearchKey),
    /// What the elements of Exchange Server's answers are called.
    Prefixes(PrefixStyle),
    /// Exchange Server's answers begin with a byte order mark.
    ByteOrderMark,
    /// What Exchange Server does with characters that XML forbids.
    Illegal(IllegalCharacters),
    /// How Exchange Server answers birthdays.
    Birthdays(BirthdayForm),
    /// Exchange Server answers phones, e-mails and addresses as a whole too.
    WholeProperties,
    /// An e-mail address that is taken away on Exchange Server leaves its display name behind.
    EmailNameLeft,
}

/// Somebody known before the first pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What all records of this person hold.
    pub common: Vec<Edit>,
    /// What the CRM holds besides; `None` where the person is not there.
    pub crm: Option<Vec<Edit>>,
    /// The mailboxes whose markers are set.
    pub marks: Vec<usize>,
    /// The same for each mailbox.
    pub mailboxes: Vec<Option<Vec<Edit>>>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody does something.
    Act(Act),
    /// A pass, and what goes wrong in it.
    Pass(Pass),
    /// Time goes by, in ms.
    Wait(i64),
    /// The host's clock jumps by so many ms, forward or back.
    ClockJump(i64),
    /// Something happens to a service or to what is remembered.
    Trouble(Trouble),
    /// Somebody answers what the guard asks about a mailbox, if it asks: yes, or no.
    Answer(usize, bool),
    /// Faults stop, passes run until everything is at rest, and everything is checked.
    Rest,
}

/// What one person does to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Where.
    pub book: Book,
    /// Whose record: a number in [`History::people`].
    pub who: usize,
    /// Which one, where there are several.
    pub pick: usize,
    /// What.
    pub deed: Deed,
}

/// An address book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Book {
    /// FLOWFACT.
    Crm,
    /// The mailbox of this number.
    Mailbox(usize),
}

/// What people do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Deed {
    /// Enters a record with these contents.
    Enter(Vec<Edit>),
    Edit(Vec<Edit>),
    /// To the trash, or to Deleted Items.
    Delete,
    /// From the trash, from Deleted Items or from another folder.
    BringBack,
    /// For good.
    Purge,
    Mark(usize),
    Unmark(usize),
    /// To another folder of the mailbox.
    Move,
    Copy,
    /// Deleted for good and entered again.
    Recreate,
    /// Rights change so that the sync's user sees the record no more, or sees it again.
    Hide,
    Show,
    /// A new version, and no change.
    Touch,
}

/// A change of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the meaning")]
pub enum Edit {
    Set(Line, Token),
    Clear(Line),
    /// The same value in another writing.
    Rewrite(Line, Writing),
    AddPhone(PhoneKind, Token),
    ChangePhone(usize, Token),
    RewritePhone(usize, Writing),
    RetypePhone(usize, PhoneKind),
    RemovePhone(usize),
    /// All phones in the opposite order.
    SwapPhones,
    /// Text that is no number.
    AddOpaquePhone(PhoneKind, Token),
    AddEmail(Token),
    ChangeEmail(usize, Token),
    RewriteEmail(usize, Writing),
    RemoveEmail(usize),
    SwapEmails,
    SetAddress(PhoneKind, Token),
    /// Another city for an address.
    ChangeCity(usize, Token),
    RemoveAddress(usize),
}

/// One pass, and what goes wrong in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The number of the mailbox.
    pub mailbox: usize,
    /// The seed of faults on the way.
    pub faults: Option<u64>,
    /// The pass dies after so many steps.
    pub crash: Option<u64>,
    /// Of the calls of the store so many pass, the next one suffers this.
    pub store: Option<(u32, StoreFault)>,
    /// What the Exchange Server cannot do meanwhile.
    pub server: Option<ServerTrouble>,
    /// What people do meanwhile: after so many steps.
    pub meanwhile: Vec<(u64, Act)>,
}

/// What an Exchange Server cannot do during a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTrouble {
    /// It says that it is busy.
    Busy(Busy),
    /// Of a batch it carries out so many items.
    BatchStops(usize),
    /// Its database is away.
    StoreAway,
}

impl ServerTrouble {
    /// What it is called where troubles are counted.
    pub fn name(&self) -> String {
        match self {
            Self::Busy(busy) => format!("Busy, {:?}", busy.form),
            trouble => first_word(trouble),
        }
    }
}

/// Something that happens to a service, or to what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Delta's tokens of a mailbox become worthless, or its sync states.
    DeltaExpires(usize),
    /// The store is gone.
    StoreLost,
    /// The store is as it was before the last pass.
    StoreOlder,
    /// A field is no longer in the schema.
    FieldLost(Line),
    /// All of them are there again.
    FieldsBack,
    /// A mailbox is switched off, and on again.
    Suspend(usize),
    /// A person's sync entry of a mailbox is gone, and nobody took it away.
    EntryVanishes(usize, usize),
    /// Until the next rest the service of the sync entries lets nobody in, or shows nothing.
    EntriesOutOfReach(Reach),
}

impl Act {
    /// What it is called where deeds are counted.
    pub fn name(&self, mailboxes: &[Dialect]) -> String {
        let book = match self.book {
            Book::Crm => "CRM",
            Book::Mailbox(mailbox) => mailboxes.get(mailbox).copied().map_or("mailbox", service),
        };
        format!("{book}: {}", first_word(&self.deed))
    }
}

/// What the service of a mailbox is called where things are counted.
pub(super) fn service(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Graph => "Office 365",
        Dialect::Ews => "Exchange Server",
    }
}

impl Setting {
    /// Where a mailbox is.
    pub fn dialect(&self, mailbox: usize) -> Dialect {
        self.mailboxes
            .get(mailbox)
            .copied()
            .unwrap_or(Dialect::Graph)
    }
}

/// The name of a variant.
pub(super) fn first_word(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|character: char| !character.is_alphanumeric());
    text.split_at(end.unwrap_or(text.len())).0.to_owned()
}

impl History {
    /// How many events there are, those during passes too.
    pub fn size(&self) -> usize {
        let meanwhile = |event: &Event| match event {
            Event::Pass(pass) => 1 + pass.meanwhile.len(),
            _ => 1,
        };
        self.people.len() + self.events.iter().map(meanwhile).sum::<usize>()
    }
}

impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}", self.seed)?;
        writeln!(formatter, "{:?}", self.setting)?;
        for (number, person) in self.people.iter().enumerate() {
            writeln!(formatter, "person {number}: {:?}", person.common)?;
            if let Some(own) = &person.crm {
                writeln!(
                    formatter,
                    "    in the CRM, marked for {:?}: {own:?}",
                    person.marks
                )?;
            }
            for (mailbox, own) in person.mailboxes.iter().enumerate() {
                if let Some(own) = own {
                    writeln!(formatter, "    in mailbox {mailbox}: {own:?}")?;
                }
            }
        }
        for (number, event) in self.events.iter().enumerate() {
            writeln!(formatter, "{number:3}  {event}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act(act) => act.fmt(formatter),
            Self::Pass(pass) => {
                write!(formatter, "pass of mailbox {}", pass.mailbox)?;
                if let Some(seed) = pass.faults {
                    write!(formatter, ", faults of seed {seed}")?;
                }
                if let Some(steps) = pass.crash {
                    write!(formatter, ", crash after {steps} steps")?;
                }
                if let Some((calls, fault)) = pass.store {
                    write!(formatter, ", {fault:?} after {calls} calls of the store")?;
                }
                if let Some(trouble) = pass.server {
                    write!(formatter, ", {trouble:?}")?;
                }
                for (steps, act) in &pass.meanwhile {
                    write!(formatter, "\n       after {steps} steps: {act}")?;
                }
                Ok(())
            }
            Self::Wait(ms) => write!(formatter, "wait {ms} ms"),
            Self::ClockJump(ms) => write!(formatter, "the host's clock jumps by {ms} ms"),
            Self::Trouble(trouble) => write!(formatter, "trouble: {trouble:?}"),
            Self::Answer(mailbox, is_yes) => {
                let verdict = if *is_yes { "approves" } else { "rejects" };
                write!(formatter, "somebody {verdict} what mailbox {mailbox} asks")
            }
            Self::Rest => write!(formatter, "rest"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            book,
            who,
            pick,
            deed,
        } = self;
        match book {
            Book::Crm => write!(formatter, "CRM, ")?,
            Book::Mailbox(number) => write!(formatter, "mailbox {number}, ")?,
        }
        write!(formatter, "person {who}")?;
        if *pick > 0 {
            write!(formatter, " ({pick})")?;
        }
        write!(formatter, ": {deed:?}")
    }
}
