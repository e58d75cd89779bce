//! Positions last, together with everything pending.

use std::collections::{BTreeMap, BTreeSet};

use super::assemble::AWAITING_APPROVAL;
use super::settle::SETTLE_MS;
use super::{Begun, Mode, Pass, PutOff, Stop, marker};
use crate::contact::CrmId;
use crate::crm::Crm;
use crate::journal;
use crate::links::{Pending, Source, State, bucket_of};
use crate::mailbox::Mailbox;
use crate::mutation::{self, Mutant};
use crate::outside::{Timestamp, Write};
use crate::plan::matching::Candidate;
use crate::report::{ContactName, Failure, Finding, Severity};

const HOUR_MS: i64 = 3_600_000;

/// The first pause after a contact was refused; it doubles with every further attempt.
const RETRY_FIRST_MS: i64 = HOUR_MS / 4;

/// The longest such pause.
const RETRY_MAX_MS: i64 = 24 * HOUR_MS;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn remember(&mut self) -> Result<(), Stop> {
        let now = self.outside.now();
        self.tell_put_off();
        let mut writes = self.pending_writes(now);
        for (bucket, candidates) in self.changed_buckets()? {
            writes.push(self.memory.set_candidates(bucket, &candidates));
        }
        for mailbox_id in &self.gathered.useless_answers {
            writes.push(self.memory.set_answer(mailbox_id, None));
        }
        let begun = self.begun.as_ref().ok_or_else(super::not_begun)?;
        writes.extend(self.owner_writes(begun));
        if begun.is_full {
            writes.extend(self.expired(now)?);
        }
        let state = self.next_state(now);
        if let Some(state) = state {
            // The last of all writes: where they do not fit into one commit, the position comes
            // last.
            writes.push(self.memory.set_state(&state));
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
            .filter(|(_, row)| row.not_before > now && !begun.is_full);
        let waiting = not_due.map(|(source, _)| source).filter(is_waiting).count();
        self.counts.held = u32::try_from(self.put_off.len() + waiting).unwrap_or(u32::MAX);
        let mut state = begun.state.clone();
        state.marker.clone_from(marker(&self.job));
        state.fields.clone_from(&begun.fields);
        let gathered = &self.gathered;
        state.crm_position = gathered.crm_position.clone().or(state.crm_position);
        state.mailbox_position = gathered.mailbox_position.clone().or(state.mailbox_position);
        state.trash = gathered.trash.mark.clone().or(state.trash);
        state.marker_slice = gathered.next_slice.unwrap_or(state.marker_slice);
        state.approval_request.clone_from(&self.approval_request);
        if begun.is_full {
            state.last_full = Some(now);
            if state.approval_request.is_none() {
                state.caution = None;
            }
        }
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
            let was_due = begun.is_full || row.not_before <= now;
            was_due && !self.put_off.contains_key(source)
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
            if (is_told && self.mode == Mode::Sync) || !told.insert((name.clone(), put_off.reason))
            {
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

    /// The buckets of digests that changed: new digests in, deleted contacts out.
    fn changed_buckets(&self) -> Result<BTreeMap<u8, Vec<Candidate<CrmId>>>, Failure> {
        let Some(begun) = &self.begun else {
            return Ok(BTreeMap::new());
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
        let mut buckets: BTreeMap<u8, Vec<Candidate<CrmId>>> = if begun.is_full {
            (0..=u8::MAX).map(|bucket| (bucket, Vec::new())).collect()
        } else {
            let ids = self.gathered.candidates.keys().chain(gone.iter().copied());
            let buckets: BTreeSet<u8> = ids.map(bucket_of).collect();
            self.memory
                .candidate_buckets(&buckets.into_iter().collect::<Vec<_>>())?
        };
        let before = buckets.clone();
        for bucket in buckets.values_mut() {
            bucket.retain(|candidate| {
                !gone.contains(&candidate.id)
                    && !self.gathered.candidates.contains_key(&candidate.id)
            });
        }
        for (id, candidate) in &self.gathered.candidates {
            buckets
                .entry(bucket_of(id))
                .or_default()
                .push(candidate.clone());
        }
        for bucket in buckets.values_mut() {
            bucket.sort_by(|left, right| left.id.cmp(&right.id));
        }
        if !begun.is_full {
            buckets.retain(|bucket, candidates| before.get(bucket) != Some(candidates));
        }
        Ok(buckets)
    }

    /// What has been kept for the journal's days (contract, 7.2).
    fn expired(&self, now: Timestamp) -> Result<Vec<Write>, Failure> {
        let days = i64::from(self.job.policy.journal_days);
        let before = now.plus_ms(-days * 24 * HOUR_MS);
        let mut writes = journal::forget_before(&self.memory, before)?;
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
            .filter_map(crate::links::Stored::found)
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

/// When something put off is looked at again, unless its contact is news before. A full read looks
/// at everything.
fn retry_wait_ms(reason: &str, attempts: u32) -> i64 {
    match reason {
        AWAITING_APPROVAL | "edited-meanwhile" | "changed-meanwhile" | "gone-meanwhile" => 0,
        "open-intent" | "answer-lost" => SETTLE_MS,
        "ambiguous-match" | "match-taken" | "namesake" | "moved-in-mailbox" | "vanished-in-crm"
        | "cannot-be-restored" => RETRY_MAX_MS,
        _ => {
            let doublings = attempts.saturating_sub(1).min(10);
            (RETRY_FIRST_MS << doublings).min(RETRY_MAX_MS)
        }
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
