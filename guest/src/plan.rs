//! Pure: what is remembered, what was read and the policy become operations.
//!
//! [`decide`] is the table of the contract's section 3: one pair in, one [`Deed`] out. Planning
//! calls it for every pair that something is known about, and executing calls it again with what it
//! has read immediately before writing. [`crate::pass`] collects the pairs; [`guard`] says how much
//! of it may be destroyed, and [`approval`] what a person's answer makes of it; [`matching`]
//! proposes who is the same person.

pub mod approval;
pub mod guard;
pub mod matching;
pub mod merge;
pub mod restore;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contact::{
    ChangeKey, CrmContact, CrmFields, CrmId, FieldSet, MailboxContact, MailboxId, Shape, View,
};
use crate::job::{
    ConflictWinner, CrmNotFound, DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark, Policy,
};
use crate::links::{Edited, Link, Packed, SAME_TIME_MS, Standing};
use crate::mapping;
use crate::mutation::{self, Mutant};
use crate::report::{Action, Change, ContactName, Operation, OperationState, Problem, Side};
use guard::Destruction;
use merge::{Clash, Input, Merged};

/// What is known of one half of a pair. `T` is the contact, or the contact packed.
#[derive(Clone, Debug)]
pub enum Half<T> {
    /// There is none: the other half has no partner.
    Absent,
    /// Not read in this pass. For a pair: no news, so as in the base.
    Unread,
    /// As read in this pass.
    Present(T),
    /// Deleted, confirmed by id: in the CRM's trash; in Deleted Items, or gone from every live
    /// folder.
    Deleted,
    /// Neither there nor deleted. In the CRM: not found and not in the trash, so purged or hidden
    /// by rights. In the mailbox: moved to another live contact folder.
    Astray,
    /// There, but it cannot be read.
    Unreadable(Problem),
}

/// A pair, or a contact without partner, and what is known about it.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What is remembered.
    pub link: Option<Link>,
    /// The CRM's half.
    pub crm: Half<CrmContact>,
    /// The mailbox's half.
    pub mailbox: Half<MailboxContact>,
}

/// A pair in little room, as a pass keeps it from reading to executing.
#[derive(Clone, Debug)]
pub struct PackedPair {
    /// What is remembered.
    pub link: Option<Packed<Link>>,
    /// The CRM's half.
    pub crm: Half<Packed<CrmContact>>,
    /// The mailbox's half.
    pub mailbox: Half<Packed<MailboxContact>>,
}

/// By which rules a pass decides.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Fields that take part.
    pub fields: &'a FieldSet,
    /// What the mailbox can hold.
    pub shape: Shape,
    /// How a number without country code is read.
    pub region: &'a str,
    /// The tenant's choices.
    pub policy: &'a Policy,
    /// With `newest`: when users edited what the CRM holds. Where nobody knows, its values stay.
    pub times: Option<&'a Edited>,
}

/// What is to be done with a pair, and why: a code for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What.
    pub deed: Deed,
    /// Why.
    pub reason: &'static str,
}

/// What is to be done with a pair.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Nothing.
    Rest,
    /// Nothing until something is settled; stays pending.
    Hold(Option<Problem>),
    /// Write whichever side differs from what both are to hold; remember the pair.
    Agree {
        /// What both are to hold.
        merged: Box<Merged>,
        /// Set this mailbox's marker as well.
        mark: bool,
    },
    /// Create the CRM contact with the marker; remember the pair.
    CreateInCrm(Box<Merged>),
    /// Create the mailbox contact; remember the pair.
    CreateInMailbox(Box<Merged>),
    /// Bring the CRM contact back from the trash under its own id, then agree.
    RestoreInCrm,
    /// Delete the CRM contact softly; tombstone.
    DeleteInCrm,
    /// Delete the mailbox contact softly; tombstone.
    DeleteInMailbox,
    /// Take this mailbox's marker off the CRM contact; tombstone.
    Unmark,
    /// Remember the pair as at rest.
    Detach,
    /// Remember the pair as gone.
    Forget,
    /// Write what each side is to hold, and remember nothing of it: the pair is not in step, or the
    /// next pass carries it over as the edit that it is.
    PutBack {
        /// What the CRM is to hold.
        crm: Box<CrmFields>,
        /// What the mailbox is to hold.
        view: Box<View>,
    },
}

/// Which halves of a pair must be read by id before anything can be decided about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// The CRM's half.
    pub crm: bool,
    /// The mailbox's half.
    pub mailbox: bool,
}

/// Which halves must be read first: nothing is destroyed, restored or linked anew on the strength
/// of one side's news alone, and a field that the base says nothing about is known by reading only.
pub fn unknown(pair: &Pair, fields: &FieldSet, policy: &Policy) -> Unknown {
    let crm = matches!(pair.crm, Half::Unread);
    let mailbox = matches!(pair.mailbox, Half::Unread);
    let standing = pair.link.as_ref().map(|link| link.standing);
    let (needs_crm, needs_mailbox) = match standing {
        None => (true, true),
        Some(Standing::Linked) => {
            let base_lacks = |link: &Link| !fields.is_subset(&link.base.fields);
            let is_partial = pair.link.as_ref().is_some_and(base_lacks);
            (
                is_partial || matches!(pair.mailbox, Half::Deleted),
                is_partial || is_crm_deleted(&pair.crm, policy) || is_marker_gone(pair),
            )
        }
        Some(Standing::Detached) => (false, is_marked(&pair.crm)),
        Some(Standing::Tombstone { .. }) => (
            matches!(pair.mailbox, Half::Present(_)),
            is_marked(&pair.crm),
        ),
    };
    Unknown {
        crm: crm && needs_crm,
        mailbox: mailbox && needs_mailbox,
    }
}

/// The table of the contract's section 3.
pub fn decide(pair: &Pair, rules: &Rules) -> Decision {
    if let Some(decision) = held(pair, rules.policy) {
        return decision;
    }
    match pair.link.as_ref().map(|link| (link, link.standing)) {
        None => first(pair, rules),
        Some((link, Standing::Linked)) => linked(pair, link, rules),
        Some((link, Standing::Detached)) => detached(pair, link, rules),
        Some((link, Standing::Tombstone { .. })) => tombstone(pair, link, rules),
    }
}

/// Decides, with `newest` by users' edit times, which are read only where both sides changed
/// something.
pub fn decide_by_time<E>(
    pair: &Pair,
    rules: &Rules,
    times: impl FnOnce(&CrmId) -> Result<Edited, E>,
    decide: impl Fn(&Rules) -> Decision,
) -> Result<Decision, E> {
    let decision = decide(rules);
    let is_contested = matches!(&decision.deed,
        Deed::Agree { merged, .. } if !merged.conflicts.is_empty());
    match &pair.crm {
        Half::Present(crm) if is_contested && rules.policy.conflict == ConflictWinner::Newest => {
            let times = times(&crm.id)?;
            Ok(decide(&Rules {
                times: Some(&times),
                ..*rules
            }))
        }
        _ => Ok(decision),
    }
}

/// What both halves of a pair in step are to hold, whether or not anything is to be done about it:
/// for whoever explains a pair rather than carrying it out.
pub fn agreement(pair: &Pair, rules: &Rules) -> Merged {
    merged(pair, pair.link.as_ref(), rules)
}

/// What a decision would destroy, for the guard.
pub fn destructions(pair: &Pair, decision: &Decision, rules: &Rules) -> Vec<Destruction> {
    match &decision.deed {
        Deed::RestoreInCrm => destructions_once_restored(pair, rules),
        Deed::DeleteInCrm => vec![Destruction::Deletion(Side::Crm)],
        Deed::DeleteInMailbox => vec![Destruction::Deletion(Side::Mailbox)],
        // A pair at rest that is found under a new id loses nothing.
        Deed::Detach if !pair.link.as_ref().is_some_and(Link::is_linked) => Vec::new(),
        Deed::Detach | Deed::Unmark => vec![Destruction::Detaching],
        Deed::Agree { merged, .. } => {
            let (crm, view) = (pair.crm_fields(), pair.view());
            let emptied_crm = mapping::emptied(crm, &merged.crm);
            let emptied_view = mapping::emptied(view, &merged.view);
            let on = |side| move |field| Destruction::Emptying(side, field);
            emptied_crm
                .into_iter()
                .map(on(Side::Crm))
                .chain(emptied_view.into_iter().map(on(Side::Mailbox)))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What the merge would empty that follows a restoring. What the trash holds is known only when it
/// is back; until then the base stands for it.
fn destructions_once_restored(pair: &Pair, rules: &Rules) -> Vec<Destruction> {
    let Some(link) = &pair.link else {
        return Vec::new();
    };
    let restored = Pair {
        link: pair.link.clone(),
        crm: Half::Present(CrmContact {
            id: link.crm_id.clone(),
            modified: link.crm_modified,
            created: None,
            creator: None,
            marked: Some(true),
            locked: FieldSet::new(),
            fields: link.base.crm.clone(),
        }),
        mailbox: pair.mailbox.clone(),
    };
    let decision = decide(&restored, rules);
    match decision.deed {
        Deed::Agree { .. } => destructions(&restored, &decision, rules),
        _ => Vec::new(),
    }
}

/// A decision as operations that people can read. None where nothing is written or linked.
pub fn describe(pair: &Pair, decision: &Decision) -> Vec<Operation> {
    let operation = |side, action, changes| Operation {
        side,
        action,
        contact: pair.name(),
        changes,
        reason: decision.reason,
        state: OperationState::Planned,
    };
    let plain = |side, action| vec![operation(side, action, Vec::new())];
    match &decision.deed {
        Deed::Rest | Deed::Hold(_) => Vec::new(),
        Deed::Agree { merged, mark } => agreeing(pair, merged, *mark, operation),
        Deed::PutBack { crm, view } => updates(pair, crm, view, &operation),
        Deed::CreateInCrm(merged) => {
            let changes = mapping::changes(&CrmFields::default(), &merged.crm);
            vec![operation(Side::Crm, Action::Create, changes)]
        }
        Deed::CreateInMailbox(merged) => {
            let changes = mapping::changes(&View::default(), &merged.view);
            vec![operation(Side::Mailbox, Action::Create, changes)]
        }
        Deed::RestoreInCrm => plain(Side::Crm, Action::Restore),
        Deed::DeleteInCrm => plain(Side::Crm, Action::Delete),
        Deed::DeleteInMailbox => plain(Side::Mailbox, Action::Delete),
        Deed::Unmark => plain(Side::Crm, Action::Unmark),
        Deed::Detach => plain(Side::Crm, Action::Detach),
        Deed::Forget => plain(Side::Crm, Action::Forget),
    }
}

fn agreeing(
    pair: &Pair,
    merged: &Merged,
    mark: bool,
    operation: impl Fn(Side, Action, Vec<Change>) -> Operation,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    if !pair.link.as_ref().is_some_and(Link::is_linked) {
        operations.push(operation(Side::Crm, Action::Pair, Vec::new()));
    }
    operations.extend(updates(pair, &merged.crm, &merged.view, &operation));
    if mark {
        operations.push(operation(Side::Crm, Action::Mark, Vec::new()));
    }
    // Most often it is one of four that there would be room for, and a plan holds all of them.
    operations.shrink_to_fit();
    operations
}

fn updates(
    pair: &Pair,
    crm_after: &CrmFields,
    view_after: &View,
    operation: &impl Fn(Side, Action, Vec<Change>) -> Operation,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    let (crm, view) = (pair.crm_fields(), pair.view());
    if crm_after != crm {
        let changes = mapping::changes(crm, crm_after);
        operations.push(operation(Side::Crm, Action::Update, changes));
    }
    if view_after != view {
        let changes = mapping::changes(view, view_after);
        operations.push(operation(Side::Mailbox, Action::Update, changes));
    }
    operations
}

/// Pairs on which nothing may be done: a half that cannot be read, has vanished or was moved.
fn held(pair: &Pair, policy: &Policy) -> Option<Decision> {
    if pair.link.as_ref().is_some_and(|link| !link.is_linked()) {
        return None;
    }
    let hold = |problem: Option<&Problem>, reason| {
        Some(Decision {
            deed: Deed::Hold(problem.cloned()),
            reason,
        })
    };
    match (&pair.crm, &pair.mailbox) {
        // Neither side has anything left that could be lost.
        (Half::Astray, Half::Deleted) => None,
        (Half::Unreadable(problem), _) => hold(Some(problem), "crm-unreadable"),
        (_, Half::Unreadable(problem)) => hold(Some(problem), "mailbox-unreadable"),
        // Without link it was there when it was planned: the next pass looks again.
        (Half::Astray, _) if pair.link.is_none() => None,
        (Half::Astray, _) if policy.crm_not_found == CrmNotFound::Hold => {
            hold(None, "vanished-in-crm")
        }
        (_, Half::Astray) => hold(None, "moved-in-mailbox"),
        _ => None,
    }
}

/// Contacts that are not remembered.
fn first(pair: &Pair, rules: &Rules) -> Decision {
    match (&pair.crm, &pair.mailbox) {
        (Half::Present(crm), Half::Present(_)) => {
            let merged = merged(pair, None, rules);
            agree(merged, crm.marked != Some(true), "same-person")
        }
        (Half::Present(crm), Half::Absent | Half::Deleted) if crm.marked == Some(true) => {
            create_in_mailbox(pair, rules, "marker-set")
        }
        (Half::Absent | Half::Deleted, Half::Present(_)) => {
            create_in_crm(pair, rules, "new-in-mailbox")
        }
        _ => REST,
    }
}

/// Pairs in step.
fn linked(pair: &Pair, link: &Link, rules: &Rules) -> Decision {
    let policy = rules.policy;
    let mailbox_gone = matches!(pair.mailbox, Half::Deleted);
    if is_crm_deleted(&pair.crm, policy) {
        return if mailbox_gone {
            decision(Deed::Forget, "deleted-on-both-sides")
        } else {
            deleted_in_crm(pair, link, rules)
        };
    }
    if mailbox_gone && matches!(pair.crm, Half::Astray) {
        return decision(Deed::Forget, "vanished-and-deleted");
    }
    if is_marker_gone(pair) {
        return if mailbox_gone {
            decision(Deed::Forget, "marker-removed")
        } else {
            unmarked_in_crm(pair, link, rules)
        };
    }
    if mailbox_gone {
        return deleted_in_mailbox(pair, link, rules);
    }
    let merged = merged(pair, Some(link), rules);
    let mark = matches!(&pair.crm, Half::Present(crm) if crm.marked == Some(false));
    let (crm, view) = (pair.crm_fields(), pair.view());
    let is_news = merged.crm != *crm
        || merged.view != *view
        || mark
        || !link.base.is_of_crm(crm)
        || !link.base.is_of_mailbox(view)
        || !rules.fields.is_subset(&link.base.fields)
        || has_new_version(pair, link);
    if is_news {
        agree(merged, mark, edited(pair, link, rules))
    } else {
        REST
    }
}

fn deleted_in_crm(pair: &Pair, link: &Link, rules: &Rules) -> Decision {
    let policy = rules.policy;
    if policy.on_crm_delete == OnCrmDelete::KeepInMailbox {
        return decision(Deed::Detach, "deleted-in-crm");
    }
    if !is_edited_in_mailbox(pair, link, rules) || policy.delete_edit == DeleteEdit::Delete {
        return decision(Deed::DeleteInMailbox, "deleted-in-crm");
    }
    if matches!(pair.crm, Half::Astray) {
        // Rebuilding it from the mailbox's poorer view would lose what only the CRM held.
        return decision(Deed::Hold(None), "cannot-be-restored");
    }
    if mutation::is_on(Mutant::RebuiltFromView) {
        return create_in_crm(pair, rules, "edit-outlives-deletion");
    }
    decision(Deed::RestoreInCrm, "edit-outlives-deletion")
}

fn unmarked_in_crm(pair: &Pair, link: &Link, rules: &Rules) -> Decision {
    let deletes = rules.policy.on_unmark == OnUnmark::DeleteFromMailbox;
    if deletes && !is_edited_in_mailbox(pair, link, rules) {
        decision(Deed::DeleteInMailbox, "marker-removed")
    } else {
        decision(Deed::Detach, "marker-removed")
    }
}

fn deleted_in_mailbox(pair: &Pair, link: &Link, rules: &Rules) -> Decision {
    let policy = rules.policy;
    if is_edited_in_crm(pair, link, rules) && policy.delete_edit == DeleteEdit::KeepEdit {
        return create_in_mailbox(pair, rules, "edit-outlives-deletion");
    }
    match policy.on_mailbox_delete {
        OnMailboxDelete::DeleteInCrm => decision(Deed::DeleteInCrm, "deleted-in-mailbox"),
        OnMailboxDelete::Unmark => decision(Deed::Unmark, "deleted-in-mailbox"),
    }
}

/// Pairs at rest.
fn detached(pair: &Pair, link: &Link, rules: &Rules) -> Decision {
    match (&pair.crm, &pair.mailbox) {
        (Half::Present(crm), mailbox) if crm.marked == Some(true) => match mailbox {
            Half::Present(_) => agree(merged_again(pair, link, rules), false, "marker-set-again"),
            Half::Deleted => create_in_mailbox(pair, rules, "marker-set-again"),
            Half::Astray => decision(Deed::Hold(None), "moved-in-mailbox"),
            Half::Unreadable(problem) => {
                decision(Deed::Hold(Some(problem.clone())), "mailbox-unreadable")
            }
            Half::Absent | Half::Unread => REST,
        },
        (_, Half::Deleted) => decision(Deed::Forget, "deleted-in-mailbox"),
        (_, Half::Present(mailbox)) if mailbox.id != link.mailbox_id => {
            decision(Deed::Detach, "found-under-new-id")
        }
        _ => REST,
    }
}

/// Pairs that are gone, and may be back.
fn tombstone(pair: &Pair, link: &Link, rules: &Rules) -> Decision {
    match (&pair.crm, &pair.mailbox) {
        (Half::Present(crm), Half::Deleted) if crm.marked == Some(true) => {
            create_in_mailbox(pair, rules, "restored-in-crm")
        }
        (Half::Present(crm), Half::Astray) if crm.marked == Some(true) => {
            decision(Deed::Hold(None), "moved-in-mailbox")
        }
        (Half::Present(crm), Half::Unreadable(problem)) if crm.marked == Some(true) => {
            decision(Deed::Hold(Some(problem.clone())), "mailbox-unreadable")
        }
        (Half::Present(crm), Half::Present(_)) => {
            let mark = crm.marked != Some(true);
            agree(merged_again(pair, link, rules), mark, "back-in-folder")
        }
        (Half::Deleted, Half::Present(_)) => decision(Deed::RestoreInCrm, "back-in-folder"),
        (Half::Astray | Half::Unreadable(_), Half::Present(_)) => {
            decision(Deed::Hold(None), "cannot-be-restored")
        }
        _ => REST,
    }
}

const REST: Decision = Decision {
    deed: Deed::Rest,
    reason: "unchanged",
};

fn decision(deed: Deed, reason: &'static str) -> Decision {
    Decision { deed, reason }
}

fn agree(merged: Merged, mark: bool, reason: &'static str) -> Decision {
    decision(
        Deed::Agree {
            merged: Box::new(merged),
            mark,
        },
        reason,
    )
}

fn create_in_mailbox(pair: &Pair, rules: &Rules, reason: &'static str) -> Decision {
    let crm = pair.crm_fields();
    let input = input(None, crm, &EMPTY_VIEW, &NO_FIELDS, Side::Crm, rules);
    decision(Deed::CreateInMailbox(Box::new(merge::merge(input))), reason)
}

fn create_in_crm(pair: &Pair, rules: &Rules, reason: &'static str) -> Decision {
    let view = pair.view();
    let input = input(None, &EMPTY_FIELDS, view, &NO_FIELDS, Side::Mailbox, rules);
    decision(Deed::CreateInCrm(Box::new(merge::merge(input))), reason)
}

fn merged(pair: &Pair, link: Option<&Link>, rules: &Rules) -> Merged {
    let (crm, view) = (pair.crm_fields(), pair.view());
    let base = link.map(|link| &link.base);
    let input = input(base, crm, view, pair.locked(), Side::Crm, rules);
    merge::merge_by(input, &|clash| winner(pair, rules, clash))
}

/// A pair linked anew: as a first pair, so that nothing is removed; the old base only says which
/// side changed a clashing value.
fn merged_again(pair: &Pair, link: &Link, rules: &Rules) -> Merged {
    let (crm, view) = (pair.crm_fields(), pair.view());
    let base = Some(&link.base);
    let input = input(base, crm, view, pair.locked(), Side::Crm, rules);
    merge::relink_by(input, &|clash| winner(pair, rules, clash))
}

fn input<'a>(
    base: Option<&'a mapping::Base>,
    crm: &'a CrmFields,
    view: &'a View,
    locked: &'a FieldSet,
    winner: Side,
    rules: &'a Rules,
) -> Input<'a> {
    Input {
        base,
        crm,
        view,
        fields: rules.fields,
        locked,
        shape: rules.shape,
        region: rules.region,
        winner,
    }
}

/// Whose value stays (contract, section 5).
fn winner(pair: &Pair, rules: &Rules, clash: &Clash<'_>) -> Side {
    let unfinished = pair.link.as_ref().and_then(|link| link.unfinished);
    if let Some(side) = unfinished.filter(|side| is_cut(clash, *side)) {
        return side;
    }
    match rules.policy.conflict {
        ConflictWinner::Crm => Side::Crm,
        ConflictWinner::Mailbox => Side::Mailbox,
        ConflictWinner::Newest => match (rules.times, &pair.crm, &pair.mailbox) {
            (Some(times), Half::Present(crm), Half::Present(mailbox)) => {
                match (times.at(clash.trace, crm.modified), mailbox.modified) {
                    (Some(crm), Some(mailbox)) if mailbox.since_ms(crm) >= SAME_TIME_MS => {
                        Side::Mailbox
                    }
                    _ => Side::Crm,
                }
            }
            _ => Side::Crm,
        },
    }
}

/// Whether the other side holds the beginning of this one's value: no edit of anybody, but what it
/// made of a write that broke off (contract, section 7.6).
fn is_cut(clash: &Clash<'_>, whole: Side) -> bool {
    let (whole, cut) = match whole {
        Side::Crm => (clash.crm, clash.mailbox),
        Side::Mailbox => (clash.mailbox, clash.crm),
    };
    matches!((whole, cut), (Some(whole), Some(cut)) if !cut.is_empty() && whole.starts_with(cut))
}

fn edited(pair: &Pair, link: &Link, rules: &Rules) -> &'static str {
    match (
        is_edited_in_crm(pair, link, rules),
        is_edited_in_mailbox(pair, link, rules),
    ) {
        (true, true) => "edited-on-both-sides",
        (true, false) => "edited-in-crm",
        (false, true) => "edited-in-mailbox",
        (false, false) => "versions-only",
    }
}

fn is_edited_in_crm(pair: &Pair, link: &Link, rules: &Rules) -> bool {
    let crm = pair.crm_fields();
    !mapping::changed_in_crm(&link.base, crm, rules.fields, rules.region).is_empty()
}

fn is_edited_in_mailbox(pair: &Pair, link: &Link, rules: &Rules) -> bool {
    let view = pair.view();
    !mapping::changed_in_mailbox(&link.base, view, rules.fields, rules.region).is_empty()
}

fn has_new_version(pair: &Pair, link: &Link) -> bool {
    let crm = matches!(&pair.crm, Half::Present(crm)
        if crm.marked == Some(true) && !link.marker_seen);
    let mailbox = matches!(&pair.mailbox, Half::Present(mailbox)
        if mailbox.change_key != link.change_key || mailbox.id != link.mailbox_id);
    crm || mailbox || link.unfinished.is_some()
}

fn is_crm_deleted(crm: &Half<CrmContact>, policy: &Policy) -> bool {
    match crm {
        Half::Deleted => true,
        Half::Astray => policy.crm_not_found == CrmNotFound::Deleted,
        _ => false,
    }
}

/// A marker counts as taken away only if it was seen before.
fn is_marker_gone(pair: &Pair) -> bool {
    let is_seen = |link: &Link| link.marker_seen || mutation::is_on(Mutant::UnseenMarkerRemoved);
    let was_seen = pair.link.as_ref().is_some_and(is_seen);
    was_seen && matches!(&pair.crm, Half::Present(crm) if crm.marked == Some(false))
}

fn is_marked(crm: &Half<CrmContact>) -> bool {
    matches!(crm, Half::Present(crm) if crm.marked == Some(true))
}

static NO_FIELDS: FieldSet = FieldSet::new();
static EMPTY_VIEW: View = View::EMPTY;
static EMPTY_FIELDS: CrmFields = CrmFields::EMPTY;

impl Pair {
    /// What the CRM's half holds, as far as is known.
    pub fn crm_fields(&self) -> &CrmFields {
        match (&self.crm, &self.link) {
            (Half::Present(crm), _) => &crm.fields,
            (Half::Unread, Some(link)) => &link.base.crm,
            _ => &EMPTY_FIELDS,
        }
    }

    /// What the mailbox's half holds, as far as is known.
    pub fn view(&self) -> &View {
        match (&self.mailbox, &self.link) {
            (Half::Present(mailbox), _) => &mailbox.view,
            (Half::Unread, Some(link)) => &link.base.view,
            _ => &EMPTY_VIEW,
        }
    }

    /// How people know this contact.
    pub fn name(&self) -> ContactName {
        let crm_id = match &self.crm {
            Half::Present(crm) => Some(crm.id.clone()),
            _ => self.link.as_ref().map(|link| link.crm_id.clone()),
        };
        let mailbox_id = match &self.mailbox {
            Half::Present(mailbox) => Some(mailbox.id.clone()),
            Half::Absent => None,
            _ => self.link.as_ref().map(|link| link.mailbox_id.clone()),
        };
        let label = match (&self.crm, &self.mailbox, &self.link) {
            (Half::Present(crm), _, _) => crm.fields.label(),
            (_, Half::Present(mailbox), _) => mailbox.view.label(),
            (_, _, Some(link)) => link.base.crm.label(),
            _ => String::new(),
        };
        ContactName {
            crm_id,
            mailbox_id,
            label,
        }
    }

    /// The CRM contact's id, if there is one.
    pub fn crm_id(&self) -> Option<CrmId> {
        match &self.crm {
            Half::Present(contact) => Some(contact.id.clone()),
            _ => self.link.as_ref().map(|link| link.crm_id.clone()),
        }
    }

    /// The mailbox contact's id, if there is one.
    pub fn mailbox_id(&self) -> Option<MailboxId> {
        match &self.mailbox {
            Half::Present(contact) => Some(contact.id.clone()),
            _ => self.link.as_ref().map(|link| link.mailbox_id.clone()),
        }
    }

    /// The id of the mailbox contact that was read in this pass.
    pub(crate) fn present_in_mailbox(&self) -> Option<MailboxId> {
        match &self.mailbox {
            Half::Present(contact) => Some(contact.id.clone()),
            _ => None,
        }
    }

    pub(crate) fn mailbox_version(&self) -> Option<(MailboxId, ChangeKey)> {
        match (&self.mailbox, &self.link) {
            (Half::Present(contact), _) => Some((contact.id.clone(), contact.change_key.clone())),
            (Half::Unread, Some(link)) => Some((link.mailbox_id.clone(), link.change_key.clone())),
            _ => None,
        }
    }

    pub(crate) fn mailbox_contact(&self) -> Option<MailboxContact> {
        match (&self.mailbox, &self.link) {
            (Half::Present(contact), _) => Some(contact.clone()),
            (Half::Unread, Some(link)) => Some(MailboxContact {
                id: link.mailbox_id.clone(),
                change_key: link.change_key.clone(),
                stable_id: link.stable_id.clone(),
                modified: None,
                view: link.base.view.clone(),
            }),
            _ => None,
        }
    }

    /// The same in little room.
    pub fn pack(&self) -> PackedPair {
        PackedPair {
            link: self.link.as_ref().map(Packed::new),
            crm: self.crm.pack(),
            mailbox: self.mailbox.pack(),
        }
    }

    fn locked(&self) -> &FieldSet {
        match &self.crm {
            Half::Present(crm) => &crm.locked,
            _ => &NO_FIELDS,
        }
    }
}

impl PackedPair {
    /// Whether one of the halves was not read in this pass.
    pub fn has_unread_half(&self) -> bool {
        matches!(self.crm, Half::Unread) || matches!(self.mailbox, Half::Unread)
    }

    /// The pair itself. `None` only if a packed value cannot be read, which is a bug.
    pub fn unpack(&self) -> Option<Pair> {
        let link = match &self.link {
            Some(link) => Some(link.unpack()?),
            None => None,
        };
        Some(Pair {
            link,
            crm: self.crm.unpack()?,
            mailbox: self.mailbox.unpack()?,
        })
    }
}

impl<T> Half<T> {
    fn try_map<U>(&self, with: impl FnOnce(&T) -> Option<U>) -> Option<Half<U>> {
        Some(match self {
            Self::Absent => Half::Absent,
            Self::Unread => Half::Unread,
            Self::Present(contact) => Half::Present(with(contact)?),
            Self::Deleted => Half::Deleted,
            Self::Astray => Half::Astray,
            Self::Unreadable(problem) => Half::Unreadable(problem.clone()),
        })
    }
}

impl<T: Serialize + DeserializeOwned> Half<T> {
    /// The same in little room.
    pub fn pack(&self) -> Half<Packed<T>> {
        self.try_map(|contact| Some(Packed::new(contact)))
            .unwrap_or(Half::Unread)
    }
}

impl<T: Serialize + DeserializeOwned> Half<Packed<T>> {
    /// What was packed.
    pub fn unpack(&self) -> Option<Half<T>> {
        self.try_map(Packed::unpack)
    }
}
