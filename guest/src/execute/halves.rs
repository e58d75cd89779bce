//! Tasks that come half-way: one side is written, the other is not, or nobody knows.
//!
//! What a pass wrote to one side is no edit of it (contract, section 7.6). So a link is marked as
//! *unfinished* before the first side is written, and says whose values were meant, should the
//! other side have cut them; and fields in which both sides agree by now are remembered, whatever
//! became of the others.

use super::{End, Executor, Work};
use crate::contact::FieldSet;
use crate::crm::Crm;
use crate::links::Link;
use crate::mailbox::Mailbox;
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::outside::Write;
use crate::plan::Deed;
use crate::plan::merge::Merged;
use crate::report::Side;

impl Work {
    /// The link of a pair in step that is about to be written, marked as unfinished. `None` where
    /// nothing is written, and where the link says so already.
    pub(super) fn begun_link(&self) -> Option<Link> {
        let Deed::Agree { merged, .. } = &self.decision.deed else {
            return None;
        };
        let link = self.pair.link.as_ref().filter(|link| link.is_linked())?;
        if self.outlives(link).is_some() {
            return None;
        }
        let (crm, mailbox) = self.writes(merged);
        let unfinished = match (crm, mailbox) {
            (false, false) => return None,
            // Whatever the CRM makes of it, the mailbox's value is the one that was meant.
            (true, false) => Side::Mailbox,
            (_, true) => Side::Crm,
        };
        (link.unfinished != Some(unfinished)).then(|| Link {
            unfinished: Some(unfinished),
            ..link.clone()
        })
    }

    /// What an earlier write has left unfinished in fields that this task leaves alone: it stays so
    /// whatever becomes of the others.
    pub(super) fn outlives(&self, link: &Link) -> Option<Side> {
        link.unfinished.filter(|_| !self.task.withheld.is_empty())
    }

    /// Whether each side is still to be written.
    fn writes(&self, merged: &Merged) -> (bool, bool) {
        let crm = self.crm.is_none() && merged.crm != *self.pair.crm_fields();
        let mailbox = self.mailbox.is_none() && merged.view != *self.pair.view();
        (crm, mailbox)
    }

    /// Whether it is known that the side that was to be written last holds what it held.
    fn is_outcome_known(&self) -> bool {
        match &self.end {
            Some(End::PutOff { reason, .. }) => *reason != "answer-lost",
            _ => true,
        }
    }
}

impl<C: Crm, M: Mailbox> Executor<'_, C, M> {
    /// The link of a task that has not come to its end, as far as both sides agree by now. `None`
    /// where there is nothing to remember.
    pub(super) fn half_agreed(&self, work: &Work) -> Option<Link> {
        let Deed::Agree { merged, .. } = &work.decision.deed else {
            return None;
        };
        let before = work.pair.link.as_ref().filter(|link| link.is_linked());
        let begun = work.begun_link();
        let agreed = self.agreed_fields(work, merged);
        let is_whole = self.fields_of(&work.task) == agreed;
        if before.is_none() && !is_whole {
            return None;
        }
        if before.is_some() && work.crm.is_none() && work.mailbox.is_none() {
            // Nothing came of it: as before, unless a write may have had its effect after all.
            let link = before.filter(|_| begun.is_some() && work.is_outcome_known());
            return link.cloned();
        }
        let link = Self::agreed(work, before, merged, &agreed)?;
        let unfinished = begun.and_then(|begun| begun.unfinished);
        Some(Link {
            unfinished: link.unfinished.or(unfinished.filter(|_| !is_whole)),
            told: before.map(|link| link.told.clone()).unwrap_or_default(),
            ..link
        })
    }

    /// What is to be remembered of a task that has not come to its end.
    pub(super) fn remember_half(&self, work: &Work, writes: &mut Vec<Write>) -> Option<Link> {
        let link = self
            .half_agreed(work)
            .filter(|_| !mutation::is_on(Mutant::HalfForgotten))?;
        writes.extend(self.memory.set_link(work.stored.as_ref(), &link));
        Some(link)
    }

    /// Fields in which neither side is to be written any more.
    fn agreed_fields(&self, work: &Work, merged: &Merged) -> FieldSet {
        let (crm, view) = (work.pair.crm_fields(), work.pair.view());
        let (writes_crm, writes_mailbox) = work.writes(merged);
        let crm = if writes_crm { crm } else { &merged.crm };
        let view = if writes_mailbox { view } else { &merged.view };
        let fields = self.fields_of(&work.task);
        mapping::equal_fields((crm, view), (&merged.crm, &merged.view), &fields)
    }
}
