//! What is remembered between passes: the pairs, what is still to be done, and where reading
//! stands.
//!
//! Rows of one mailbox begin with `m/<mailbox>/`; a tenant's own with `crm/`. Every value is JSON.
//!
//! | key | value | read |
//! |---|---|---|
//! | `m/<mailbox>/state` | [`State`]: identity, positions, counters | once a pass |
//! | `m/<mailbox>/pair/<CRM id>` | [`Link`] | for contacts that changed; all at a full read |
//! | `m/<mailbox>/at/<mailbox id>` | the pair's CRM id | for contacts that changed |
//! | `m/<mailbox>/tombstone/<CRM id>` | when it was deleted | where the trash has changed |
//! | `m/<mailbox>/detached/<CRM id>` | nothing more: a pair at rest | where a CRM contact is marked anew |
//! | `m/<mailbox>/pending/<side>/<id>` | [`Pending`] | once a pass |
//! | `m/<mailbox>/intent/<key>` | [`Intent`] | once a pass |
//! | `m/<mailbox>/answer/<mailbox id>` | [`Answer`] | once a pass |
//! | `m/<mailbox>/request/<token>/<page>` | entries that wait for a person; see `requests` | once answered |
//! | `m/<mailbox>/verdict` | what the person said | while there is a request |
//! | `m/<mailbox>/judged/<CRM id>` | what was said of a pair that no pass got to | once a pass |
//! | `m/<mailbox>/candidate/<bucket>` | digests of CRM contacts, to recognise a person by | where a mailbox contact is new |
//! | `crm/mailbox/<digest of the identity>` | the mailbox that has this identity | at a full read |
//! | `crm/edited/<CRM id>` | [`Edited`]: when users edited what passes wrote | where both sides were edited, with `conflict = newest` |
//! | `crm/created/<CRM id>` | when a pass created it: an index may not show it yet | where a mailbox contact is new |
//! | `crm/importing/<key>` | [`Intent`] of an import that is not settled: its copy may not show yet | where a mailbox contact is new |
//! | `crm/deletion/<CRM id>` | [`Deletion`]: which mailbox's deletion took it away | where it is restored |
//!
//! The journal has rows of its own; see [`crate::journal`].

mod digests;
mod edited;
mod requests;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::marker::PhantomData;
use std::rc::Rc;

pub use requests::StoredVerdict;

use crate::contact::{ChangeKey, CrmId, FieldSet, MailboxId, SearchKey, StableId};
use crate::crm::{CrmConnection, CrmPosition, TrashMark};
use crate::job::{Endpoint, Marker};
use crate::mailbox::{FindBy, MailboxIdentity, MailboxPosition};
use crate::mapping::Base;
use crate::outside::{
    Outside, STORE_CALL_BYTES_MAX, STORE_ITEMS_MAX, StoreError, Timestamp, Write,
};
use crate::plan::guard::GuardWindow;
use crate::plan::matching::Candidate;
use crate::report::{ApprovalRequest, Failure, Problem, Side};

pub use digests::Digests;
pub use edited::{CrmWrite, Edited, SAME_TIME_MS};

/// The format of everything that is stored. A newer one is refused; see [`Memory::state`].
pub const FORMAT: u32 = 1;

/// No longer id fits into a key (`wit/store.wit`).
pub(crate) const ID_BYTES_MAX: usize = 400;

/// How often the store is asked again where it says that it is busy.
const STORE_TRIES_MAX: u32 = 3;

/// The longest that one such pause takes.
const STORE_WAIT_MS_MAX: u32 = 2_000;

/// The one member of every state that every version of this plugin can read.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// What is remembered of one mailbox as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT`] when it was written.
    pub format: u32,
    /// What the CRM was, when it was last asked.
    pub crm: CrmConnection,
    /// Which mailbox this is.
    pub mailbox: MailboxIdentity,
    /// Where the marker was kept. Another place detaches nobody; it is first filled from the links.
    pub marker: Marker,
    /// The fields that took part. A set that has grown makes the next pass read everything.
    pub fields: FieldSet,
    /// Where reading the CRM stands.
    pub crm_position: Option<CrmPosition>,
    /// Where reading the mailbox stands.
    pub mailbox_position: Option<MailboxPosition>,
    /// What was seen of the CRM's trash.
    pub trash: Option<TrashMark>,
    /// When that was seen: whatever was deleted afterwards is news to the next pass.
    #[serde(default)]
    pub trash_read: Option<Timestamp>,
    /// When the mailbox's changes were last asked for: an entry for an older one is late, or it is
    /// replayed.
    #[serde(default)]
    pub mailbox_read: Option<Timestamp>,
    /// When both sides were last read wholly.
    pub last_full: Option<Timestamp>,
    /// When a pass last did everything that was to be done.
    pub last_complete: Option<Timestamp>,
    /// Pairs in step.
    pub links: u32,
    /// Pairs at rest.
    pub detached: u32,
    /// What the guard has counted.
    pub guard: GuardWindow,
    /// What the last pass asked a person for.
    pub approval_request: Option<ApprovalRequest>,
    /// Every destructive operation of the next pass needs a person: why (contract, 2.4 and 7.1).
    pub caution: Option<Caution>,
    /// Where the rotating slice of contacts whose marker is asked for goes on (contract, 2.8 c).
    pub marker_slice: u8,
    /// The journal had to forget entries before their time, and people have been told.
    #[serde(default)]
    pub is_journal_full: bool,
    /// Nothing is created before: an intent could not be read, and what it was about may still
    /// show.
    #[serde(default)]
    pub creations_wait_until: Option<Timestamp>,
    /// Where the configuration said that the mailbox is. Another place makes the next pass ask who
    /// it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}

/// Why the next pass trusts no deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caution {
    /// The mailbox was switched off in between.
    SwitchedOn,
    /// The mailbox is another one than before, on purpose.
    Rebound,
    /// Pairs are remembered, but not what they were last seen with.
    MemoryLost,
    /// One side suddenly showed none of the contacts that pairs are remembered with.
    SideEmpty,
}

/// A remembered pair of one mailbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The CRM contact.
    pub crm_id: CrmId,
    /// The mailbox contact.
    pub mailbox_id: MailboxId,
    /// In step, at rest, or gone.
    pub standing: Standing,
    /// Whether a pass has *read* this mailbox's marker on the CRM contact since it was linked. Only
    /// a marker that was seen can be taken away (contract, 2.3).
    pub marker_seen: bool,
    /// What both sides held after the last agreed sync, as read back.
    pub base: Base,
    /// The CRM's time of that record. An answer with an older one is stale.
    pub crm_modified: Option<Timestamp>,
    /// The mailbox's version of that record.
    pub change_key: ChangeKey,
    /// What the mailbox contact was created with, if we created it.
    pub key: Option<SearchKey>,
    /// What outlives the mailbox contact's id, where that does not outlive moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_id: Option<StableId>,
    /// A write of this pair was begun and has not come to its end: the side whose values were
    /// meant. Where the other one holds only a beginning of such a value, nobody edited it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Side>,
    /// What people were already told about this pair: codes and fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
}

/// Where a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// In step.
    Linked,
    /// The marker was taken away: at rest.
    Detached,
    /// Forgotten, and kept as long as the journal.
    Tombstone {
        /// Since when.
        at: Timestamp,
    },
}

/// A change that was read and is not carried out yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Why: a code, shown to people.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Not to be tried before.
    pub not_before: Timestamp,
}

/// A create that was about to happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The random key; in a mailbox the new contact carries it.
    pub key: SearchKey,
    /// Which contact is copied, and so to which side.
    pub source: Source,
    /// When.
    pub at: Timestamp,
    /// What the new contact is recognised by where no key can be written.
    pub candidate: Candidate<SearchKey>,
    /// Entries of the journal that it brings back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<String>,
    /// [`Intent::at`] is no time of its own: the true one is not known.
    #[serde(default)]
    pub is_redated: bool,
}

/// The contact that a create copies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A CRM contact, to the mailbox.
    Crm(CrmId),
    /// A mailbox contact, to the CRM.
    Mailbox(MailboxId),
}

/// Who a mailbox contact is, as a person or a settled intent says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// This CRM contact.
    Same(CrmId),
    /// Nobody that the CRM knows.
    New,
}

/// Who took a CRM contact away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The marker of the mailbox in which it was deleted.
    pub marker: Marker,
    /// When.
    pub at: Timestamp,
    /// A pass was about to bring it back, and then to take that marker away.
    #[serde(default)]
    pub is_restored: bool,
}

/// A value kept in little room until it is planned: JSON, a quarter of the size of a contact.
#[derive(Clone, Debug)]
pub struct Packed<T>(Box<[u8]>, PhantomData<T>);

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs a value.
    pub fn new(value: &T) -> Self {
        // Into room of its own size: one that is cut to size leaves a hole behind each contact.
        Self(encode(value).as_slice().into(), PhantomData)
    }

    /// What was packed. `None` only if its own serialisation cannot be read, which is a bug.
    pub fn unpack(&self) -> Option<T> {
        serde_json::from_slice(&self.0).ok()
    }
}

/// Whom a row names. One that nobody has written, and no key could hold, names nobody.
fn pair_at(row: &[u8]) -> CrmId {
    const NOBODY: &str = "?";
    let id = std::str::from_utf8(row).ok();
    let id = id.filter(|id| id.len() <= ID_BYTES_MAX && !id.contains(char::is_control));
    CrmId::new(id.filter(|id| !id.is_empty()).unwrap_or(NOBODY))
}

/// The store, as one mailbox sees it: keys, counting, and patience with a busy store.
#[derive(Clone)]
pub struct Memory {
    outside: Rc<dyn Outside>,
    mailbox: String,
    reads: Rc<Cell<u32>>,
    commits: Rc<Cell<u32>>,
    damaged: Rc<RefCell<BTreeSet<String>>>,
}

impl Memory {
    /// The memory of one mailbox.
    pub fn new(outside: Rc<dyn Outside>, mailbox: &str) -> Self {
        Self {
            outside,
            mailbox: mailbox.to_owned(),
            reads: Rc::default(),
            commits: Rc::default(),
            damaged: Rc::default(),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.outside.now()
    }

    /// Rows read so far.
    pub fn reads(&self) -> u32 {
        self.reads.get()
    }

    /// Commits so far.
    pub fn commits(&self) -> u32 {
        self.commits.get()
    }

    /// Keys of rows that were met so far among [`Memory::pending`], [`Memory::intents`],
    /// [`Memory::answers`] and their like, and that cannot be read.
    pub fn damaged_rows(&self) -> BTreeSet<String> {
        self.damaged.borrow().clone()
    }

    /// The write that removes a row that cannot be read.
    pub fn delete_damaged(&self, key: &str) -> Write {
        Write::Delete(key.to_owned())
    }

    /// What is remembered of the mailbox; `None` before its first pass.
    pub fn state(&self) -> Result<Option<State>, Failure> {
        let Some(bytes) = self.get(&[self.key("state", "")])?.pop().flatten() else {
            return Ok(None);
        };
        match serde_json::from_slice::<Format>(&bytes) {
            Ok(Format { format }) if format > FORMAT => Err(unreadable(format!(
                "what is stored was written by a newer plugin (format {format}, this one reads \
                 {FORMAT})"
            ))),
            _ => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| unreadable(format!("the stored state is damaged: {error}"))),
        }
    }

    /// The write that stores the state.
    pub fn set_state(&self, state: &State) -> Write {
        Write::Set(self.key("state", ""), encode(state))
    }

    /// The links of CRM contacts, in the order of the ids. A row that cannot be read is `Damaged`.
    pub fn links(&self, ids: &[CrmId]) -> Result<Vec<Stored<Link>>, Failure> {
        let keys: Vec<String> = ids.iter().map(|id| self.key("pair", id.as_str())).collect();
        Ok(self.get(&keys)?.into_iter().map(decode).collect())
    }

    /// The CRM ids that mailbox contacts are paired with, in the order of the ids. A damaged row
    /// leads to a pair that is not there.
    pub fn paired_with(&self, ids: &[MailboxId]) -> Result<Vec<Option<CrmId>>, Failure> {
        let keys: Vec<String> = ids.iter().map(|id| self.key("at", id.as_str())).collect();
        let values = self.get(&keys)?;
        Ok(values
            .into_iter()
            .map(|value| value.map(|bytes| pair_at(&bytes)))
            .collect())
    }

    /// The write that leads from a mailbox contact to its pair.
    pub fn set_pair_at(&self, mailbox_id: &MailboxId, crm_id: &CrmId) -> Write {
        Write::Set(self.key("at", mailbox_id.as_str()), crm_id.as_str().into())
    }

    /// One page of all pairs, after the key where the page before it ended.
    pub fn pairs(
        &self,
        after: Option<&str>,
    ) -> Result<(Vec<Stored<Link>>, Option<String>), Failure> {
        let (entries, next) = self.scan("pair", after)?;
        Ok((
            entries
                .into_iter()
                .map(|(_, value)| decode(Some(value)))
                .collect(),
            next,
        ))
    }

    /// The writes that store a link in place of `before`.
    pub fn set_link(&self, before: Option<&Link>, link: &Link) -> Vec<Write> {
        let mut writes = vec![
            Write::Set(self.key("pair", link.crm_id.as_str()), encode(link)),
            self.set_pair_at(&link.mailbox_id, &link.crm_id),
        ];
        if let Some(before) = before.filter(|before| before.mailbox_id != link.mailbox_id) {
            writes.push(Write::Delete(self.key("at", before.mailbox_id.as_str())));
        }
        let tombstone = self.key("tombstone", link.crm_id.as_str());
        match link.standing {
            Standing::Tombstone { at } => writes.push(Write::Set(tombstone, encode(&at))),
            // Of a row that could not be read nobody knows what it was.
            _ if before.is_none_or(Link::is_tombstone) => writes.push(Write::Delete(tombstone)),
            _ => {}
        }
        let detached = self.key("detached", link.crm_id.as_str());
        let was_detached = before.is_none_or(|before| before.standing == Standing::Detached);
        match link.standing {
            Standing::Detached => writes.push(Write::Set(detached, encode(&()))),
            _ if was_detached => writes.push(Write::Delete(detached)),
            _ => {}
        }
        writes
    }

    /// The write that stores a link whose two contacts and standing are as they were.
    pub fn set_link_row(&self, link: &Link) -> Write {
        Write::Set(self.key("pair", link.crm_id.as_str()), encode(link))
    }

    /// The writes that remove a link altogether.
    pub fn delete_link(&self, link: &Link) -> Vec<Write> {
        vec![
            Write::Delete(self.key("pair", link.crm_id.as_str())),
            Write::Delete(self.key("at", link.mailbox_id.as_str())),
            Write::Delete(self.key("tombstone", link.crm_id.as_str())),
            Write::Delete(self.key("detached", link.crm_id.as_str())),
        ]
    }

    /// The writes that remove a pair at rest whose mailbox contact has another partner now.
    pub fn delete_pair(&self, link: &Link) -> Vec<Write> {
        vec![
            Write::Delete(self.key("pair", link.crm_id.as_str())),
            Write::Delete(self.key("detached", link.crm_id.as_str())),
        ]
    }

    /// The CRM contacts of all pairs at rest.
    pub fn detached(&self) -> Result<Vec<CrmId>, Failure> {
        let rows = self.all::<()>("detached")?;
        Ok(rows.into_iter().map(|(id, ())| CrmId::new(id)).collect())
    }

    /// All tombstones: the CRM id, and since when.
    pub fn tombstones(&self) -> Result<Vec<(CrmId, Timestamp)>, Failure> {
        Ok(self
            .all::<Timestamp>("tombstone")?
            .into_iter()
            .map(|(id, at)| (CrmId::new(id), at))
            .collect())
    }

    /// Everything pending: CRM contacts, and mailbox contacts.
    pub fn pending(&self) -> Result<BTreeMap<Source, Pending>, Failure> {
        let crm = self.all::<Pending>("pending/crm")?;
        let mailbox = self.all::<Pending>("pending/mailbox")?;
        let crm = crm
            .into_iter()
            .map(|(id, value)| (Source::Crm(CrmId::new(id)), value));
        let mailbox = mailbox
            .into_iter()
            .map(|(id, value)| (Source::Mailbox(MailboxId::new(id)), value));
        Ok(crm.chain(mailbox).collect())
    }

    /// The write that stores or removes something pending.
    pub fn set_pending(&self, source: &Source, pending: Option<&Pending>) -> Write {
        let key = match source {
            Source::Crm(id) => self.key("pending/crm", id.as_str()),
            Source::Mailbox(id) => self.key("pending/mailbox", id.as_str()),
        };
        match pending {
            Some(pending) => Write::Set(key, encode(pending)),
            None => Write::Delete(key),
        }
    }

    /// All open intents.
    pub fn intents(&self) -> Result<Vec<Intent>, Failure> {
        Ok(self
            .all("intent")?
            .into_iter()
            .map(|(_, intent)| intent)
            .collect())
    }

    /// The writes that open an intent. Imports are known to the passes of all mailboxes: the same
    /// person may be new in two of them.
    pub fn open_intent(&self, intent: &Intent) -> Vec<Write> {
        let key = self.key("intent", intent.key.as_str());
        let mut writes = vec![Write::Set(key, encode(intent))];
        if let Source::Mailbox(_) = intent.source {
            let key = format!("{IMPORTING}{}", intent.key.as_str());
            writes.push(Write::Set(key, encode(intent)));
        }
        writes
    }

    /// The writes that close an intent.
    pub fn close_intent(&self, key: &SearchKey) -> Vec<Write> {
        let own = Write::Delete(self.key("intent", key.as_str()));
        vec![own, self.forget_importing(key)]
    }

    /// Imports into this tenant's CRM that are not settled, of whichever mailbox.
    pub fn importing(&self) -> Result<Vec<Intent>, Failure> {
        let mut importing = Vec::new();
        let mut after = None;
        loop {
            let (entries, next) = self.scan_below(IMPORTING, after.as_deref(), STORE_ITEMS_MAX)?;
            let read = entries.into_iter();
            importing.extend(read.filter_map(|(_, value)| decode(Some(value)).found()));
            match next {
                Some(next) => after = Some(next),
                None => return Ok(importing),
            }
        }
    }

    /// The write after which other mailboxes' passes wait for an import no longer.
    pub fn forget_importing(&self, key: &SearchKey) -> Write {
        Write::Delete(format!("{IMPORTING}{}", key.as_str()))
    }

    /// All answers that no pass has acted on.
    pub fn answers(&self) -> Result<BTreeMap<MailboxId, Answer>, Failure> {
        Ok(self
            .all("answer")?
            .into_iter()
            .map(|(id, answer)| (MailboxId::new(id), answer))
            .collect())
    }

    /// The write that stores or removes an answer.
    pub fn set_answer(&self, id: &MailboxId, answer: Option<&Answer>) -> Write {
        let key = self.key("answer", id.as_str());
        match answer {
            Some(answer) => Write::Set(key, encode(answer)),
            None => Write::Delete(key),
        }
    }

    /// The digests of all CRM contacts, by bucket.
    pub fn candidates(&self) -> Result<BTreeMap<u8, Vec<Candidate<CrmId>>>, Failure> {
        let rows = self.all("candidate")?;
        Ok(rows
            .into_iter()
            .filter_map(|(bucket, value)| Some((u8::from_str_radix(&bucket, 16).ok()?, value)))
            .collect())
    }

    /// The digests of some buckets.
    pub fn candidate_buckets(&self, buckets: &[u8]) -> Result<BTreeMap<u8, Digests>, Failure> {
        let keys: Vec<String> = buckets
            .iter()
            .map(|bucket| self.candidate_key(*bucket))
            .collect();
        let rows = self.get(&keys)?.into_iter();
        let digests =
            rows.map(|row| row.map_or_else(Digests::default, |row| Digests::decode(&row)));
        Ok(buckets.iter().copied().zip(digests).collect())
    }

    /// The write that stores one bucket of digests.
    pub fn set_candidates(&self, bucket: u8, digests: &Digests) -> Write {
        Write::Set(self.candidate_key(bucket), digests.encode())
    }

    /// Which configured mailbox has this identity; `None` where no pass has seen it.
    pub fn owner(&self, identity: &MailboxIdentity) -> Result<Option<String>, Failure> {
        let owner = self.get(&[owner_key(identity)])?.pop().flatten();
        Ok(owner.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// The write that makes this mailbox the owner of an identity.
    pub fn set_owner(&self, identity: &MailboxIdentity) -> Write {
        Write::Set(owner_key(identity), self.mailbox.clone().into_bytes())
    }

    /// The write that gives an identity up.
    pub fn delete_owner(&self, identity: &MailboxIdentity) -> Write {
        Write::Delete(owner_key(identity))
    }

    /// This mailbox, as the configuration names it.
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// CRM contacts that passes of this tenant's mailboxes have created lately, and when.
    pub fn created(&self) -> Result<Vec<(CrmId, Timestamp)>, Failure> {
        let mut created = Vec::new();
        let mut after = None;
        loop {
            let (entries, next) = self.scan_below(CREATED, after.as_deref(), STORE_ITEMS_MAX)?;
            for (id, value) in entries {
                // A row that cannot be read is as old as can be, and so goes.
                let at = decode(Some(value)).found().unwrap_or_default();
                created.push((CrmId::new(id), at));
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(created),
            }
        }
    }

    /// The write that stores or removes when a pass created a CRM contact.
    pub fn set_created(&self, id: &CrmId, at: Option<Timestamp>) -> Write {
        let key = format!("{CREATED}{id}");
        match at {
            Some(at) => Write::Set(key, encode(&at)),
            None => Write::Delete(key),
        }
    }

    /// Which mailbox's deletion took each CRM contact away.
    pub fn deletions(&self, ids: &[CrmId]) -> Result<Vec<Option<Deletion>>, Failure> {
        let keys: Vec<String> = ids.iter().map(deletion_key).collect();
        let values = self.get(&keys)?;
        Ok(values
            .into_iter()
            .map(|value| match decode(value) {
                Stored::Found(deletion) => Some(deletion),
                Stored::Missing | Stored::Damaged => None,
            })
            .collect())
    }

    /// The write that stores or removes who took a CRM contact away.
    pub fn set_deletion(&self, id: &CrmId, deletion: Option<&Deletion>) -> Write {
        match deletion {
            Some(deletion) => Write::Set(deletion_key(id), encode(deletion)),
            None => Write::Delete(deletion_key(id)),
        }
    }

    /// Commits, in as few commits as the store's limits allow: all or none up to
    /// [`STORE_ITEMS_MAX`] writes and [`STORE_CALL_BYTES_MAX`], in order beyond.
    pub fn commit(&self, writes: Vec<Write>) -> Result<(), Failure> {
        for writes in portions(last_write_of_each_key(writes)) {
            self.patiently(|| self.outside.commit(writes.clone()))
                .map_err(|error| store_failure(&error))?;
            self.commits.set(self.commits.get().saturating_add(1));
        }
        Ok(())
    }

    /// All rows below a folder, with what follows the folder in their keys. Damaged rows are left
    /// out and noted: what they held has to be found again by reading.
    pub(crate) fn all<T: DeserializeOwned>(
        &self,
        folder: &str,
    ) -> Result<Vec<(String, T)>, Failure> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let (entries, next) = self.scan(folder, after.as_deref())?;
            for (id, value) in entries {
                if let Stored::Found(value) = decode(Some(value)) {
                    rows.push((id, value));
                } else {
                    self.damaged.borrow_mut().insert(self.key(folder, &id));
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// The key of a row of this mailbox.
    pub(crate) fn key(&self, folder: &str, id: &str) -> String {
        if id.is_empty() {
            format!("m/{}/{folder}", self.mailbox)
        } else {
            format!("m/{}/{folder}/{id}", self.mailbox)
        }
    }

    fn candidate_key(&self, bucket: u8) -> String {
        self.key("candidate", &format!("{bucket:02x}"))
    }

    pub(crate) fn get(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(STORE_ITEMS_MAX) {
            self.get_in_parts(keys, &mut values)
                .map_err(|error| store_failure(&error))?;
        }
        let found = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        self.reads.set(self.reads.get().saturating_add(found));
        Ok(values)
    }

    /// Nobody knows the size of an answer before it is there: one that is too large for one call is
    /// refused, and asked for in halves.
    fn get_in_parts(
        &self,
        keys: &[String],
        values: &mut Vec<Option<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        match self.patiently(|| self.outside.get_many(keys)) {
            Err(StoreError::Refused(_)) if keys.len() > 1 => {
                let (left, right) = keys.split_at(keys.len() / 2);
                self.get_in_parts(left, values)?;
                self.get_in_parts(right, values)
            }
            answer => {
                values.extend(answer?);
                Ok(())
            }
        }
    }

    /// One page of the rows below a folder, and where the next one begins.
    #[expect(
        clippy::type_complexity,
        reason = "keys with values, and where to go on"
    )]
    fn scan(
        &self,
        folder: &str,
        after: Option<&str>,
    ) -> Result<(Vec<(String, Vec<u8>)>, Option<String>), Failure> {
        self.scan_at_most(folder, after, STORE_ITEMS_MAX)
    }

    /// The same, of at most `entries_max` rows.
    #[expect(
        clippy::type_complexity,
        reason = "keys with values, and where to go on"
    )]
    pub(crate) fn scan_at_most(
        &self,
        folder: &str,
        after: Option<&str>,
        entries_max: usize,
    ) -> Result<(Vec<(String, Vec<u8>)>, Option<String>), Failure> {
        self.scan_below(&format!("m/{}/{folder}/", self.mailbox), after, entries_max)
    }

    #[expect(
        clippy::type_complexity,
        reason = "keys with values, and where to go on"
    )]
    fn scan_below(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: usize,
    ) -> Result<(Vec<(String, Vec<u8>)>, Option<String>), Failure> {
        let entries_max = u32::try_from(entries_max.min(STORE_ITEMS_MAX)).unwrap_or(u32::MAX);
        let page = self
            .patiently(|| self.outside.scan(prefix, after, entries_max))
            .map_err(|error| store_failure(&error))?;
        let found = u32::try_from(page.entries.len()).unwrap_or(u32::MAX);
        self.reads.set(self.reads.get().saturating_add(found));
        let entries = page
            .entries
            .into_iter()
            .map(|(key, value)| {
                (
                    key.get(prefix.len()..).unwrap_or_default().to_owned(),
                    value,
                )
            })
            .collect();
        Ok((entries, page.next))
    }

    /// Repeats a call while the store is busy. Repeating a commit is safe: its writes are the same.
    fn patiently<T>(&self, call: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        for _ in 1..STORE_TRIES_MAX {
            match call() {
                Err(StoreError::Unavailable(wait_ms)) => {
                    self.outside.sleep(wait_ms.clamp(1, STORE_WAIT_MS_MAX));
                }
                answer => return answer,
            }
        }
        call()
    }
}

impl Link {
    /// What the mailbox half is found by where its id no longer is one.
    pub fn find_by(&self) -> Option<FindBy> {
        let key = self.key.clone().map(FindBy::Key);
        key.or_else(|| self.stable_id.clone().map(FindBy::StableId))
    }

    /// Whether this pair is in step.
    pub fn is_linked(&self) -> bool {
        self.standing == Standing::Linked
    }

    /// Whether this pair is forgotten.
    pub fn is_tombstone(&self) -> bool {
        matches!(self.standing, Standing::Tombstone { .. })
    }
}

/// A stored value, or what is there instead.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored<T> {
    /// It is there.
    Found(T),
    /// Nothing is there.
    Missing,
    /// Something is there that cannot be read: set aside, never taken for a deletion.
    Damaged,
}

impl<T> Stored<T> {
    /// The value, if it is there and can be read.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing | Self::Damaged => None,
        }
    }
}

/// Which bucket of digests a CRM contact belongs to: FNV-1a of its id, so that ids that count
/// upwards spread as well as random ones.
pub fn bucket_of(id: &CrmId) -> u8 {
    let hash = id.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 24) as u8
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Values of this crate have string keys and no failing serialisers.
    serde_json::to_vec(value).unwrap_or_default()
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: Option<Vec<u8>>) -> Stored<T> {
    match bytes {
        None => Stored::Missing,
        Some(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Stored::Found(value),
            Err(_) => Stored::Damaged,
        },
    }
}

/// Two identities with long ids differ in their digests, and a key stays below its limit.
fn owner_key(identity: &MailboxIdentity) -> String {
    let text = format!("{}/{}/{}", identity.service, identity.user, identity.folder);
    format!(
        "crm/mailbox/{:016x}",
        crate::contact::digest(text.as_bytes())
    )
}

/// What the keys of imports that are not settled begin with.
const IMPORTING: &str = "crm/importing/";

/// What the keys of CRM contacts that passes have created begin with.
const CREATED: &str = "crm/created/";

fn deletion_key(id: &CrmId) -> String {
    format!("crm/deletion/{id}")
}

/// The store takes each key once per commit; the last write of a key is the one that counts.
fn last_write_of_each_key(writes: Vec<Write>) -> Vec<Write> {
    let mut seen = HashSet::with_capacity(writes.len());
    let mut counts: Vec<bool> = Vec::with_capacity(writes.len());
    for write in writes.iter().rev() {
        let (Write::Set(key, _) | Write::Delete(key)) = write;
        counts.push(seen.insert(key.as_str()));
    }
    if seen.len() == writes.len() {
        return writes;
    }
    let counted = writes.into_iter().zip(counts.into_iter().rev());
    counted
        .filter_map(|(write, counts)| counts.then_some(write))
        .collect()
}

/// Writes in the order given, cut where one commit can take no more.
fn portions(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let mut portions: Vec<Vec<Write>> = Vec::new();
    let mut bytes = 0;
    for write in writes {
        let size = write.bytes();
        match portions.last_mut() {
            Some(portion)
                if portion.len() < STORE_ITEMS_MAX && bytes + size <= STORE_CALL_BYTES_MAX =>
            {
                bytes += size;
                portion.push(write);
            }
            _ => {
                bytes = size;
                portions.push(vec![write]);
            }
        }
    }
    portions
}

fn unreadable(message: String) -> Failure {
    Failure::StateUnreadable(Problem {
        message,
        remedy: Some(
            "run the newest version of the plugin, or put a copy of the store back; without one, \
             move it away: the next pass then finds the pairs anew and deletes nothing"
                .to_owned(),
        ),
    })
}

fn store_failure(error: &StoreError) -> Failure {
    let message = error.to_string();
    match error {
        StoreError::LeaseLost => Failure::LeaseLost(Problem {
            message,
            remedy: Some("nothing to do: the other host goes on".to_owned()),
        }),
        StoreError::Unavailable(_) => Failure::StoreUnavailable(Problem {
            message,
            remedy: Some("start the pass again later".to_owned()),
        }),
        StoreError::Quota(_) => Failure::StoreUnavailable(Problem {
            message,
            remedy: Some("ask the operator of the host for more room".to_owned()),
        }),
        StoreError::Refused(_) => Failure::Internal(Problem {
            message,
            remedy: Some("report this: the plugin broke a rule of its store".to_owned()),
        }),
    }
}

impl Source {
    /// The side that this contact is on.
    pub fn side(&self) -> Side {
        match self {
            Self::Crm(_) => Side::Crm,
            Self::Mailbox(_) => Side::Mailbox,
        }
    }
}
