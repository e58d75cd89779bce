//! Positions last, together with everything pending.

use std::collections::{BTreeMap, BTreeSet};

use super::assemble::AWAITING_APPROVAL;
use super::settle::{AMBIGUOUS_CREATE, SETTLE_MS};
use super::{Begun, Pass, PutOff, Stop, marker};
use crate::contact::CrmId;
use crate::crm::Crm;
use crate::job::ConflictWinner;
use crate::journal;
use crate::links::{Pending, Source, Standing, State, Stored, bucket_of};
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::outside::{STORE_CALL_BYTES_MAX, Timestamp, Write};
use crate::plan::approval::NOT_RESTORABLE;
use crate::plan::matching::Candidate;
use crate::report::{ContactName, Failure, Finding, Severity};

const HOUR_MS: i64 = 3_600_000;

/// Journal entries of one pass after which the size of the journal is looked at, though the daily
/// full read is not due.
const MANY_ENTRIES: u32 = 1_000;

/// Buckets of digests that are looked at together.
const BUCKETS_AT_ONCE: usize = 16;

/// The first pause after a contact was refused; it doubles with every further attempt.
const RETRY_FIRST_MS: i64 = HOUR_MS / 4;

/// The longest such pause.
const RETRY_MAX_MS: i64 = 24 * HOUR_MS;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn remember(&mut self) -> Result<(), Stop> {
        let now = self.outside.now();
        self.tell_put_off();
        let mut writes = self.pending_writes(now);
        writes.extend(self.bucket_writes()?);
        for mailbox_id in &self.gathered.useless_answers {
            writes.push(self.memory.set_answer(mailbox_id, None));
        }
        writes.extend(self.at_rest_writes()?);
        for id in &self.gathered.created_long_ago {
            writes.push(self.memory.set_created(id, None));
        }
        writes.extend(self.recognised_writes()?);
        for key in &self.gathered.imported_long_ago {
            writes.push(self.memory.forget_importing(key));
        }
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        writes.extend(self.owner_writes(begun));
        let damaged = begun.damaged_rows.iter();
        writes.extend(damaged.map(|key| self.memory.delete_damaged(key)));
        let is_full = begun.is_full;
        if is_full {
            writes.extend(self.expired(now)?);
            writes.extend(self.useless_times(now)?);
        }
        writes.extend(self.request_writes(&begun.state));
        if is_full || self.journal_number > MANY_ENTRIES {
            self.retain(now)?;
        }
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        let old_requests = self.old_requests(&begun.state, is_full)?;
        let state = self.next_state(now);
        if let Some(state) = state {
            // The last of all writes that say something: where they do not fit into one commit, the
            // position comes last.
            writes.push(self.memory.set_state(&state));
            writes.extend(old_requests);
            self.memory.commit(writes)?;
        }
        let outcome = self.outcome();
        self.finish(outcome);
        Ok(())
    }

    pub(super) fn next_state(&mut self, now: Timestamp) -> Option<State> {
        let begun = self.begun.as_ref()?;
        let is_waiting = |source: &&Source| !self.put_off.contains_key(*source);
        let not_due = begun
            .pending
            .iter()
            .filter(|(_, row)| !is_due(row, now) && !begun.is_full);
        let waiting = not_due.map(|(source, _)| source).filter(is_waiting).count();
        self.counts.held = u32::try_from(self.put_off.len() + waiting).unwrap_or(u32::MAX);
        let mut state = begun.state.clone();
        state.marker.clone_from(marker(&self.job));
        state.fields.clone_from(&begun.fields);
        let gathered = &self.gathered;
        state.crm_position = gathered.crm_position.clone().or(state.crm_position);
        state.mailbox_position = gathered.mailbox_position.clone().or(state.mailbox_position);
        state.mailbox_read = gathered.mailbox_read.or(state.mailbox_read);
        state.trash = gathered.trash.mark.clone().or(state.trash);
        state.trash_read = gathered.trash.read.or(state.trash_read);
        state.marker_slice = gathered.next_slice.unwrap_or(state.marker_slice);
        state.approval_request.clone_from(&self.approval_request);
        if begun.is_full {
            state.last_full = Some(now);
        }
        state.caution = self.next_caution(&begun.state, begun.is_full);
        state.creations_wait_until = state.creations_wait_until.filter(|until| *until > now);
        state.last_complete = Some(now);
        Some(state)
    }

    /// Rows of what is put off, and the removal of what was looked at and needs no row any more.
    fn pending_writes(&mut self, now: Timestamp) -> Vec<Write> {
        let Some(begun) = &self.begun else {
            return Vec::new();
        };
        let mut writes = Vec::new();
        for (source, put_off) in &self.put_off {
            if mutation::is_on(Mutant::PendingForgotten) {
                continue;
            }
            let before = begun
                .pending
                .get(source)
                .filter(|row| row.reason == put_off.reason);
            let attempts = before.map_or(0, |row| row.attempts).saturating_add(1);
            let row = Pending {
                reason: put_off.reason.to_owned(),
                since: before.map_or(now, |row| row.since),
                attempts,
                not_before: now.plus_ms(retry_wait_ms(put_off.reason, attempts)),
            };
            writes.push(self.memory.set_pending(source, Some(&row)));
        }
        let is_settled = |source: &Source, row: &Pending| {
            let was_due = begun.is_full || is_due(row, now);
            // Who comes back from another folder may do so under another id: of the one that the
            // row names nothing is left, whenever it would have been looked at again.
            let is_gone =
                matches!(source, Source::Mailbox(_)) && self.gathered.gone.contains(source);
            (was_due || is_gone) && !self.put_off.contains_key(source)
        };
        for (source, row) in &begun.pending {
            if is_settled(source, row) {
                writes.push(self.memory.set_pending(source, None));
            }
        }
        writes
    }

    /// Tells people what nothing is done about: once, not with every pass; a preview tells it
    /// again.
    pub(super) fn tell_put_off(&mut self) {
        let Some(begun) = &self.begun else { return };
        let mut told = BTreeSet::new();
        for (source, put_off) in &self.put_off {
            let is_told = begun
                .pending
                .get(source)
                .is_some_and(|before| before.reason == put_off.reason);
            let Some(name) = &put_off.name else { continue };
            if (is_told && !self.is_dry()) || !told.insert((name.clone(), put_off.reason)) {
                continue;
            }
            self.findings.extend(held_finding(name, put_off));
        }
    }

    /// Who this mailbox belongs to: from the first thing that is remembered of it, so that a second
    /// configuration of it is refused although the first one has only begun.
    pub(super) fn owner_writes(&self, begun: &Begun) -> Vec<Write> {
        if !begun.is_full {
            return Vec::new();
        }
        let former = begun.former_identity.iter();
        let mut writes: Vec<Write> = former.map(|id| self.memory.delete_owner(id)).collect();
        writes.push(self.memory.set_owner(&begun.state.mailbox));
        writes
    }

    /// Pairs at rest under new ids, as far as this pass has not linked them anew since it planned.
    fn at_rest_writes(&self) -> Result<Vec<Write>, Failure> {
        let at_rest = &self.gathered.renewal.at_rest;
        let ids: Vec<CrmId> = at_rest
            .iter()
            .map(|(link, _)| link.crm_id.clone())
            .collect();
        let links = self.memory.links(&ids)?.into_iter().zip(at_rest);
        let still = links.filter(|(stored, _)| match stored {
            Stored::Found(link) => link.standing == Standing::Detached,
            Stored::Missing => false,
            Stored::Damaged => true,
        });
        Ok(still
            .flat_map(|(_, (before, after))| self.memory.set_link(Some(before), after))
            .collect())
    }

    /// The writes that lead from mailbox contacts to their pairs once more, as far as they still
    /// are pairs.
    fn recognised_writes(&self) -> Result<Vec<Write>, Failure> {
        let recognised = &self.gathered.recognised_by_pair;
        let crm_ids: Vec<CrmId> = recognised.values().cloned().collect();
        let links = self.memory.links(&crm_ids)?;
        let links = links.into_iter().zip(recognised);
        let still = links.filter_map(|(link, (mailbox_id, crm_id))| {
            let link = link.found()?;
            (link.mailbox_id == *mailbox_id).then(|| self.memory.set_pair_at(mailbox_id, crm_id))
        });
        Ok(still.collect())
    }

    /// The buckets of digests that changed: new digests in, deleted contacts out. A few at a time:
    /// together they hold something of every contact of the company.
    fn bucket_writes(&self) -> Result<Vec<Write>, Failure> {
        let Some(begun) = &self.begun else {
            return Ok(Vec::new());
        };
        let gone = self.gathered.gone.iter().filter_map(|source| match source {
            Source::Crm(id) => Some(id),
            Source::Mailbox(_) => None,
        });
        // A trash that is as it was names nobody who is still in a bucket.
        let trash = self
            .gathered
            .trash
            .has_changed
            .then_some(&self.gathered.trash.ids);
        let gone: BTreeSet<&CrmId> = gone.chain(trash.into_iter().flatten()).collect();
        let mut new: BTreeMap<u8, Vec<&Candidate<CrmId>>> = BTreeMap::new();
        for (id, candidate) in &self.gathered.candidates {
            new.entry(bucket_of(id)).or_default().push(candidate);
        }
        let touched: BTreeSet<u8> = if begun.is_full {
            (0..=u8::MAX).collect()
        } else {
            let emptied = gone.iter().map(|id| bucket_of(id));
            new.keys().copied().chain(emptied).collect()
        };
        let touched: Vec<u8> = touched.into_iter().collect();
        let mut writes = Vec::new();
        for some in touched.chunks(BUCKETS_AT_ONCE) {
            let mut known = if begun.is_full {
                BTreeMap::new()
            } else {
                self.memory.candidate_buckets(some)?
            };
            for bucket in some {
                let mut digests = known.remove(bucket).unwrap_or_default();
                let is_news = |id: &CrmId| self.gathered.candidates.contains_key(id);
                let mut has_changed = digests.remove(|id| gone.contains(id) && !is_news(id));
                for candidate in new.remove(bucket).unwrap_or_default() {
                    has_changed |= digests.put(candidate);
                }
                if has_changed || begun.is_full {
                    writes.push(self.memory.set_candidates(*bucket, &digests));
                }
            }
            // Digests of what was read are true whatever becomes of the pass. Where they would not
            // fit into its last commit anyway, they are not kept until then.
            if writes.iter().map(Write::bytes).sum::<usize>() > STORE_CALL_BYTES_MAX / 2 {
                self.memory.commit(std::mem::take(&mut writes))?;
            }
        }
        Ok(writes)
    }

    /// Edit times of contacts that the CRM shows no longer; of all where nobody asks for them.
    fn useless_times(&self, now: Timestamp) -> Result<Vec<Write>, Failure> {
        let is_asked_for = self.job.policy.conflict == ConflictWinner::Newest;
        self.memory.forget_edited(|id, written| {
            // What was created meanwhile may not show in the CRM's search yet.
            let is_young = written.is_some_and(|at| now.since_ms(at) < 24 * HOUR_MS);
            is_asked_for && (is_young || self.gathered.crm_seen.contains(id))
        })
    }

    /// The journal keeps its days, and no more than fits.
    fn retain(&mut self, now: Timestamp) -> Result<(), Failure> {
        let retained = journal::retain(&self.memory, self.journal_begin(now))?;
        let Some(begun) = &mut self.begun else {
            return Ok(());
        };
        let is_full = retained.too_many > 0;
        if is_full && !begun.state.is_journal_full {
            self.findings.push(journal_full());
        }
        begun.state.is_journal_full = is_full;
        Ok(())
    }

    fn journal_begin(&self, now: Timestamp) -> Timestamp {
        let days = i64::from(self.job.policy.journal_days);
        now.plus_ms(-days * 24 * HOUR_MS)
    }

    /// Tombstones that have been kept for the journal's days (contract, 7.2).
    fn expired(&self, now: Timestamp) -> Result<Vec<Write>, Failure> {
        let before = self.journal_begin(now);
        let mut writes = Vec::new();
        let old: Vec<_> = self
            .memory
            .tombstones()?
            .into_iter()
            .filter(|(_, at)| *at < before)
            .map(|(id, _)| id)
            .collect();
        for link in self
            .memory
            .links(&old)?
            .into_iter()
            .filter_map(Stored::found)
        {
            if link.is_tombstone() {
                writes.extend(self.memory.delete_link(&link));
                writes.push(self.memory.set_deletion(&link.crm_id, None));
            }
        }
        Ok(writes)
    }
}

/// Whether something put off is to be taken up by the next pass, however soon it comes.
pub(super) fn is_for_next_pass(reason: &str) -> bool {
    reason != AWAITING_APPROVAL && retry_wait_ms(reason, 1) == 0
}

/// Whether something pending is to be looked at again. Nothing waits longer than it was told to: a
/// row that seems to was written by a clock that has been set right since.
pub(super) fn is_due(row: &Pending, now: Timestamp) -> bool {
    let wait_ms = row.not_before.since_ms(now);
    wait_ms <= 0 || wait_ms > retry_wait_ms(&row.reason, row.attempts)
}

/// When something put off is looked at again, unless its contact is news before. A full read looks
/// at everything.
fn retry_wait_ms(reason: &str, attempts: u32) -> i64 {
    match reason {
        AWAITING_APPROVAL | "edited-meanwhile" | "changed-meanwhile" | "gone-meanwhile" => 0,
        "open-intent" | "answer-lost" | AMBIGUOUS_CREATE => SETTLE_MS,
        "ambiguous-match" | "match-taken" | "namesake" | "moved-in-mailbox" | "vanished-in-crm"
        | "cannot-be-restored" | NOT_RESTORABLE => RETRY_MAX_MS,
        _ => {
            let doublings = attempts.saturating_sub(1).min(10);
            (RETRY_FIRST_MS << doublings).min(RETRY_MAX_MS)
        }
    }
}

fn journal_full() -> Finding {
    Finding {
        severity: Severity::Warning,
        code: "journal-full".to_owned(),
        message: format!(
            "the journal holds its {} entries: the oldest are forgotten before their days are over",
            journal::ENTRIES_MAX
        ),
        remedy: Some(
            "nothing, if so many changes are expected; what was deleted is still in the services' \
             own trash"
                .to_owned(),
        ),
        contact: None,
        field: None,
    }
}

/// `None` where nobody can do anything about it and the next pass will: a record that has moved on.
fn held_finding(name: &ContactName, put_off: &PutOff) -> Option<Finding> {
    let (message, remedy) = match put_off.reason {
        "moved-in-mailbox" => (
            "the contact was moved to another folder of the mailbox: both copies stay as they are",
            "move it back into the contacts folder to go on syncing it, or delete it there",
        ),
        "vanished-in-crm" => (
            "the CRM no longer shows this contact, and its trash does not hold it: it was purged, or \
             it is hidden from the API user",
            "give the API user access; if the CRM contact is gone for good, delete the mailbox contact",
        ),
        "cannot-be-restored" => (
            "edited in the mailbox, but gone from the CRM for good: nothing is rebuilt from the \
             mailbox's poorer copy",
            "delete it in the mailbox; to keep the person, enter them in the mailbox again, or create \
             them in the CRM and mark them",
        ),
        NOT_RESTORABLE => (
            "you want to keep this contact, but the CRM has it no more and its trash does not hold \
             it: the mailbox contact stays as it is, and takes no part",
            "create the contact in the CRM, or delete it in the mailbox",
        ),
        _ => ("", ""),
    };
    let told = put_off.problem.as_ref();
    if told.is_none() && message.is_empty() {
        return None;
    }
    Some(Finding {
        severity: if told.is_some() {
            Severity::Error
        } else {
            Severity::Warning
        },
        code: put_off.reason.to_owned(),
        message: told.map_or_else(|| message.to_owned(), |problem| problem.message.clone()),
        remedy: match told {
            Some(problem) => problem.remedy.clone(),
            None => Some(remedy.to_owned()),
        },
        contact: Some(name.clone()),
        field: None,
    })
}
