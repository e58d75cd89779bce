//! A pass with another purpose: something that the journal holds comes back (contract, 7.2).
//!
//! It signs in and settles intents as every pass does, then looks up what the journal holds of its
//! target, reads those pairs by id, plans and executes. Positions are not advanced, and what is
//! pending for other contacts is left to the next sync.

use std::collections::{BTreeMap, BTreeSet};

use super::{Begun, Mode, Pass, PutOff, Stage, Stop, marker, rules};
use crate::contact::{ChangeKey, CrmId, FieldSet, MailboxId};
use crate::crm::{Crm, CrmRead, MarkerPlace};
use crate::execute::{Task, mailbox_half};
use crate::journal::{self, Cause, JournalEntry};
use crate::links::{Answer, Link, Packed, Pending, Source, Standing, Stored, decode};
use crate::mailbox::{self, Mailbox, read_wherever};
use crate::mapping::Base;
use crate::outside::STORE_ITEMS_MAX;
use crate::plan::approval::Judged;
use crate::plan::restore::Wish;
use crate::plan::{self, Deed, Half, PackedPair, Pair, Rules};
use crate::report::{ContactName, Failure, Finding, Outcome, Problem, Severity, Side};

/// Pairs that one step reads.
const READS_MAX: usize = 40;

/// Contacts that a pass created and that are named one by one.
const CREATED_TOLD_MAX: usize = 100;

/// What to bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One entry of the journal.
    Entry(String),
    /// A contact that was deleted, by its CRM id or mailbox id; of one that was not, the values
    /// that lost a conflict.
    Contact(String),
    /// Everything that one pass deleted or replaced.
    Pass(String),
}

/// What is known of the target so far.
#[derive(Default)]
pub(super) struct Restoring {
    groups: BTreeMap<Key, Group>,
    /// Entries that cannot be read.
    damaged: Vec<String>,
    /// Contacts that were not found and may be in the trash.
    missing: BTreeSet<CrmId>,
    in_trash: BTreeSet<CrmId>,
}

/// Whose entries these are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Crm(CrmId),
    Mailbox(Option<MailboxId>),
}

/// One contact's entries, and what is known of its pair.
struct Group {
    name: ContactName,
    wish: Packed<Wish>,
    /// Deletions only, lost conflicts only, for a contact that is asked for.
    losses: Packed<Wish>,
    has_losses: bool,
    pair: Option<PackedPair>,
}

impl<C: Crm, M: Mailbox> Pass<C, M> {
    fn target(&self) -> Option<&Target> {
        match &self.mode {
            Mode::Restore { target, .. } => Some(target),
            Mode::Preview | Mode::Sync => None,
        }
    }

    // ---- what the journal holds -----------------------------------------------------------------

    /// One page of the journal, or the one entry that is asked for.
    pub(super) fn search(&mut self, after: Option<&str>) -> Result<Stage, Stop> {
        let Some(target) = self.target().cloned() else {
            return Ok(Stage::Remember);
        };
        if let Target::Entry(id) = &target {
            match journal::entry(&self.memory, id)? {
                Stored::Found(entry) => self.restoring.add(id, &entry),
                Stored::Missing => return Err(not_found(&target).into()),
                Stored::Damaged => return Err(unreadable_entry(id).into()),
            }
            return Ok(Stage::Look);
        }
        let (rows, next) = journal::page(&self.memory, "journal", after, STORE_ITEMS_MAX)?;
        for (id, bytes) in rows {
            self.restoring.take(&target, &id, bytes);
        }
        if let Some(next) = next {
            return Ok(Stage::Search(Some(next)));
        }
        let created = match &target {
            Target::Pass(pass) => journal::created_by(&self.memory, pass)?,
            Target::Entry(_) | Target::Contact(_) => Vec::new(),
        };
        self.tell_created(&created);
        self.tell_damaged();
        if matches!(target, Target::Contact(_)) {
            self.restoring.groups.retain(|_, group| group.has_losses);
        }
        if self.restoring.groups.is_empty() && created.is_empty() {
            return Err(not_found(&target).into());
        }
        Ok(Stage::Look)
    }

    fn tell_created(&mut self, created: &[(Side, ContactName)]) {
        for (side, name) in created.iter().take(CREATED_TOLD_MAX) {
            let place = match side {
                Side::Crm => "CRM",
                Side::Mailbox => "mailbox",
            };
            let message = format!("created by the pass in the {place}: it stays");
            let finding = finding(Severity::Note, "created-by-pass", message);
            self.findings.push(Finding {
                remedy: Some("delete it by hand if it is not wanted".to_owned()),
                contact: Some(name.clone()),
                ..finding
            });
        }
        let more = created.len().saturating_sub(CREATED_TOLD_MAX);
        if more > 0 {
            let message = format!("the pass created {more} more contacts: they stay");
            self.findings
                .push(finding(Severity::Note, "created-by-pass", message));
        }
    }

    fn tell_damaged(&mut self) {
        for id in std::mem::take(&mut self.restoring.damaged) {
            let message = format!("the journal entry `{id}` cannot be read: it is left out");
            let finding = finding(Severity::Warning, "journal-unreadable", message);
            self.findings.push(Finding {
                remedy: Some("look for the contact in the trash of both services".to_owned()),
                ..finding
            });
        }
    }

    // ---- what is there now ----------------------------------------------------------------------

    /// Reads some pairs by id; asks the trash about those that are not found.
    pub(super) fn look(&mut self) -> Result<Stage, Stop> {
        let asked: Vec<(Key, ContactName)> = self
            .restoring
            .groups
            .iter()
            .filter(|(_, group)| group.pair.is_none())
            .take(READS_MAX)
            .map(|(key, group)| (key.clone(), group.name.clone()))
            .collect();
        if asked.is_empty() {
            return Ok(if self.restoring.missing.is_empty() {
                Stage::PlanRestore
            } else {
                Stage::LookInTrash(1)
            });
        }
        let mut pairs = self.remembered(&asked)?;
        self.read_crm_halves(&mut pairs)?;
        self.read_mailbox_halves(&mut pairs)?;
        for ((key, _), sought) in asked.into_iter().zip(pairs) {
            if let (Half::Astray, Some(id)) = (&sought.pair.crm, sought.crm_id) {
                self.restoring.missing.insert(id);
            }
            if let Some(group) = self.restoring.groups.get_mut(&key) {
                group.pair = Some(sought.pair.pack());
            }
        }
        Ok(Stage::Look)
    }

    /// The links of the contacts that are asked for, and the ids of both halves.
    fn remembered(&self, asked: &[(Key, ContactName)]) -> Result<Vec<Sought>, Stop> {
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let mut pairs = Vec::with_capacity(asked.len());
        for (_, name) in asked {
            let mut crm_id = name.crm_id.clone();
            let mut mailbox_id = name.mailbox_id.clone();
            // A create of an earlier restore whose answer was lost: this is the contact.
            let adopted = mailbox_id.as_ref().and_then(|id| begun.answers.get(id));
            if let Some(Answer::Same(id)) = adopted {
                crm_id = Some(id.clone());
            }
            if let (None, Some(id)) = (&crm_id, &mailbox_id) {
                let paired = self.memory.paired_with(std::slice::from_ref(id))?;
                crm_id = paired.into_iter().next().flatten();
            }
            let link = match &crm_id {
                Some(id) => self.memory.links(std::slice::from_ref(id))?.pop(),
                None => None,
            };
            let link = link.and_then(Stored::found);
            let link = link.map(|link| begun.refreshed(link));
            if let Some(link) = &link {
                mailbox_id = Some(link.mailbox_id.clone());
            }
            // Forgotten or damaged: as if it were gone, of which nothing is known but who it was.
            let link = link.or_else(|| Some(gone(crm_id.clone()?, mailbox_id.as_ref(), begun)));
            let pair = Pair {
                link,
                crm: Half::Absent,
                mailbox: Half::Absent,
            };
            pairs.push(Sought {
                crm_id,
                mailbox_id,
                pair,
            });
        }
        Ok(pairs)
    }

    fn read_crm_halves(&self, pairs: &mut [Sought]) -> Result<(), Stop> {
        let ids: Vec<CrmId> = pairs.iter().filter_map(|of| of.crm_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let reads = self.crm.read(&ids)?;
        let markers = if self.crm.marker_place() == MarkerPlace::Field {
            vec![None; ids.len()]
        } else {
            self.crm.markers(&ids)?
        };
        let with_id = pairs.iter_mut().filter(|of| of.crm_id.is_some());
        for ((of, read), marked) in with_id.zip(reads).zip(markers) {
            of.pair.crm = match read {
                CrmRead::Present(mut contact) => {
                    contact.marked = contact.marked.or(marked);
                    Half::Present(contact)
                }
                CrmRead::NotFound => Half::Astray,
                CrmRead::Unreadable(problem) => Half::Unreadable(problem),
            };
        }
        Ok(())
    }

    fn read_mailbox_halves(&self, pairs: &mut [Sought]) -> Result<(), Stop> {
        let sought = pairs.iter().filter_map(|of| {
            let link = of.pair.link.as_ref();
            Some(mailbox::Sought::new(of.mailbox_id.clone()?, link))
        });
        let sought: Vec<mailbox::Sought> = sought.collect();
        if sought.is_empty() {
            return Ok(());
        }
        let reads = read_wherever(&self.mailbox, &self.memory, &sought)?;
        let with_id = pairs.iter_mut().filter(|of| of.mailbox_id.is_some());
        for (of, read) in with_id.zip(reads) {
            of.pair.mailbox = mailbox_half(read);
        }
        Ok(())
    }

    /// One page of the trash, until all that is missing is found in it.
    pub(super) fn look_in_trash(&mut self, page: u32) -> Result<Stage, Stop> {
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let answer = self.crm.trash(begun.state.trash.as_ref(), Some(page))?;
        let restoring = &mut self.restoring;
        let found = answer.entries.into_iter().map(|entry| entry.id);
        restoring.in_trash.extend(found);
        if restoring.missing.is_subset(&restoring.in_trash) || page >= answer.pages {
            restoring.missing.clear();
            return Ok(Stage::PlanRestore);
        }
        Ok(Stage::LookInTrash(page.saturating_add(1)))
    }

    // ---- the plan -------------------------------------------------------------------------------

    pub(super) fn plan_restore(&mut self) -> Result<Option<Stage>, Stop> {
        let is_for_contact = matches!(self.target(), Some(Target::Contact(_)));
        let groups = std::mem::take(&mut self.restoring.groups);
        for group in groups.into_values() {
            let wish = if is_for_contact {
                group.losses
            } else {
                group.wish
            };
            if let (Some(wish), Some(pair)) = (
                wish.unpack(),
                group.pair.as_ref().and_then(PackedPair::unpack),
            ) {
                self.plan_one(pair, &wish)?;
            }
        }
        if self.is_dry() {
            self.tell_put_off();
            self.finish(Outcome::Complete);
            return Ok(None);
        }
        self.tasks_total = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        Ok(Some(Stage::Execute))
    }

    fn plan_one(&mut self, mut pair: Pair, wish: &Wish) -> Result<(), Failure> {
        let is_in_trash = |link: &Link| self.restoring.in_trash.contains(&link.crm_id);
        if matches!(pair.crm, Half::Astray) && pair.link.as_ref().is_some_and(is_in_trash) {
            pair.crm = Half::Deleted;
        }
        let packed = pair.pack();
        if self.is_withheld(&pair) {
            self.findings.push(under_way(&pair));
            return Ok(());
        }
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let all = rules(&self.job, &self.mailbox, &begun.fields);
        let restoring = plan::restore::plan(&pair, wish, &all);
        let fields: FieldSet = all
            .fields
            .difference(&restoring.withheld)
            .copied()
            .collect();
        // As it will be carried out: of withheld fields nothing is written or remembered.
        let reduced = Rules {
            fields: &fields,
            ..all
        };
        let decision = plan::restore::decide(&pair, wish, &reduced);
        if creates(&pair, &decision.deed) && self.must_creations_wait() {
            self.findings.push(under_way(&pair));
            return Ok(());
        }
        let settles = super::mailbox_answer(begun, &pair);
        let operations = plan::restore::describe(&pair, wish, &decision);
        let planned = plan::destructions(&pair, &decision, &reduced);
        if let (Deed::RestoreInCrm, Some(id)) = (&decision.deed, pair.crm_id()) {
            let mut causes = self.memory.deletions(&[id])?.into_iter().flatten();
            if causes.any(|cause| cause.marker != *marker(&self.job)) {
                self.findings.push(other_marker_goes(&pair));
            }
        }
        self.findings.extend(restoring.findings);
        match decision.deed {
            Deed::Rest => {}
            // Told already, and nothing that a sync could do about it.
            Deed::Hold(None) if decision.reason != "moved-in-mailbox" => {}
            Deed::Hold(problem) => {
                let put_off = PutOff {
                    reason: decision.reason,
                    problem,
                    name: Some(pair.name()),
                };
                for source in super::sources(&pair) {
                    self.put_off.insert(source, put_off.clone());
                }
            }
            _ => {
                let mut carried = wish.clone();
                carried.entries = restoring.restored;
                let range = (self.operations.len(), operations.len());
                self.operations.extend(operations);
                self.tasks.push_back(Task {
                    pair: packed,
                    planned,
                    withheld: restoring.withheld,
                    judged: Judged::default(),
                    wish: Some(Packed::new(&carried)),
                    settles,
                    operations: range,
                });
            }
        }
        Ok(())
    }

    /// A create for this contact may still be under way.
    fn is_withheld(&self, pair: &Pair) -> bool {
        let crm = pair.crm_id().map(Source::Crm);
        let mailbox = pair.mailbox_id().map(Source::Mailbox);
        let is_withheld = |source: &Source| self.gathered.withheld.contains(source);
        let is_adopted = |id: &CrmId| {
            let answers = self.begun.iter().flat_map(|begun| &begun.answers);
            let mut others =
                answers.filter(|(mailbox_id, _)| Some(*mailbox_id) != pair.mailbox_id().as_ref());
            others.any(|(_, answer)| matches!(answer, Answer::Same(same) if same == id))
        };
        crm.iter().chain(&mailbox).any(is_withheld)
            || pair.crm_id().as_ref().is_some_and(is_adopted)
    }

    // ---- the end --------------------------------------------------------------------------------

    /// Rows of what is put off, so that the next sync looks at it; nothing else is remembered.
    pub(super) fn remember_restore(&mut self) -> Result<(), Stop> {
        let now = self.outside.now();
        self.tell_put_off();
        let mut writes = Vec::new();
        for (source, put_off) in &self.put_off {
            let is_known = self
                .begun
                .as_ref()
                .is_some_and(|begun| begun.pending.contains_key(source));
            if is_known {
                continue;
            }
            let row = Pending {
                reason: put_off.reason.to_owned(),
                since: now,
                attempts: 1,
                not_before: now,
            };
            writes.push(self.memory.set_pending(source, Some(&row)));
        }
        if !writes.is_empty() {
            self.memory.commit(writes)?;
        }
        self.finish(Outcome::Complete);
        Ok(())
    }
}

/// The link of a pair of which nothing else is remembered.
fn gone(crm_id: CrmId, mailbox_id: Option<&MailboxId>, begun: &Begun) -> Link {
    Link {
        crm_id,
        mailbox_id: mailbox_id.cloned().unwrap_or_else(|| MailboxId::new("")),
        standing: Standing::Tombstone {
            at: begun.state.last_complete.unwrap_or_default(),
        },
        marker_seen: false,
        base: Base::default(),
        crm_modified: None,
        change_key: ChangeKey::new(""),
        key: None,
        stable_id: None,
        unfinished: None,
        told: Vec::new(),
    }
}

/// A pair that is looked for.
struct Sought {
    crm_id: Option<CrmId>,
    mailbox_id: Option<MailboxId>,
    pair: Pair,
}

impl Restoring {
    fn take(&mut self, target: &Target, id: &str, bytes: Vec<u8>) {
        let is_of_pass = matches!(target, Target::Pass(pass)
            if journal::pass_of(id) == Some(pass.as_str()));
        match (decode::<JournalEntry>(Some(bytes)), target) {
            (Stored::Found(entry), Target::Contact(asked)) if entry.is_about(asked) => {
                self.add(id, &entry);
            }
            (Stored::Found(entry), Target::Pass(_)) if is_of_pass => self.add(id, &entry),
            (Stored::Damaged, Target::Contact(_)) => self.damaged.push(id.to_owned()),
            (Stored::Damaged, _) if is_of_pass => self.damaged.push(id.to_owned()),
            _ => {}
        }
    }

    fn add(&mut self, id: &str, entry: &JournalEntry) {
        let name = &entry.contact;
        let key = match &name.crm_id {
            Some(crm_id) => Key::Crm(crm_id.clone()),
            None => Key::Mailbox(name.mailbox_id.clone()),
        };
        let group = self.groups.entry(key).or_insert_with(|| Group {
            name: name.clone(),
            wish: Packed::new(&Wish::default()),
            losses: Packed::new(&Wish::default()),
            has_losses: false,
            pair: None,
        });
        let mut wish = group.wish.unpack().unwrap_or_default();
        wish.add(id, entry);
        group.wish = Packed::new(&wish);
        if entry.cause != Cause::Changed {
            let mut losses = group.losses.unpack().unwrap_or_default();
            losses.add(id, entry);
            group.losses = Packed::new(&losses);
            group.has_losses = true;
        }
    }
}

impl JournalEntry {
    /// Whether an id, of whichever side, names its contact.
    fn is_about(&self, id: &str) -> bool {
        let crm = self.contact.crm_id.as_ref().map(CrmId::as_str);
        let mailbox = self.contact.mailbox_id.as_ref().map(MailboxId::as_str);
        crm == Some(id) || mailbox == Some(id)
    }
}

fn finding(severity: Severity, code: &str, message: String) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message,
        remedy: None,
        contact: None,
        field: None,
    }
}

fn other_marker_goes(pair: &Pair) -> Finding {
    let message = "it was deleted in another mailbox, which wants it no more: it comes back \
                   without that mailbox's marker"
        .to_owned();
    Finding {
        remedy: Some("set the marker again if it is wanted there too".to_owned()),
        contact: Some(pair.name()),
        ..finding(Severity::Note, "marker-taken", message)
    }
}

/// Whether carrying this out creates a contact, at once or as what follows.
fn creates(pair: &Pair, deed: &Deed) -> bool {
    match deed {
        Deed::CreateInCrm(_) | Deed::CreateInMailbox(_) => true,
        Deed::RestoreInCrm => plan::restore::is_gone_from_mailbox(pair),
        _ => false,
    }
}

fn under_way(pair: &Pair) -> Finding {
    let message = "a copy of this contact is being created, and its answer was lost: until it is \
                   known what became of it nothing is done"
        .to_owned();
    Finding {
        remedy: Some("sync in a quarter of an hour: it settles by itself".to_owned()),
        contact: Some(pair.name()),
        ..finding(Severity::Warning, "restore-under-way", message)
    }
}

fn not_found(target: &Target) -> Failure {
    let message = match target {
        Target::Entry(id) => format!("the journal has no entry `{id}` (any more)"),
        Target::Contact(id) => format!(
            "of the contact `{id}` the journal holds no deletion and no value that lost a conflict; \
             plain changes are put back by their entry or their pass"
        ),
        Target::Pass(id) => format!("the journal holds nothing of a pass `{id}` (any more)"),
    };
    Failure::NotFound(Problem {
        message,
        remedy: Some("`contact-sync history` lists what can be brought back".to_owned()),
    })
}

fn unreadable_entry(id: &str) -> Failure {
    Failure::StateUnreadable(Problem {
        message: format!("the journal entry `{id}` cannot be read"),
        remedy: Some("look for the contact in the trash of both services".to_owned()),
    })
}
