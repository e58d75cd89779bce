//! Signs in, and makes sure that these are the two address books of the last pass.

use super::settle::SETTLE_MS;
use super::{Begun, Mode, Pass, Stage, Stop, marker};
use crate::contact::FieldSet;
use crate::crm::{Crm, CrmConnection};
use crate::job::{Endpoint, Marker, NativeSync};
use crate::links::{Caution, FORMAT, Intent, Link, Standing, State, Stored};
use crate::mailbox::{Mailbox, MailboxIdentity};
use crate::mutation::{self, Mutant};
use crate::outside::{Timestamp, Write};
use crate::plan::guard::GuardWindow;
use crate::report::{Failure, Finding, Problem, Severity};

/// How often both sides are read wholly (contract, 7.7).
const FULL_READ_EVERY_MS: i64 = 24 * 3_600_000;

impl<C: Crm, M: Mailbox> Pass<C, M> {
    pub(super) fn begin(&mut self) -> Result<Stage, Stop> {
        let stored = self.memory.state()?;
        let now = self.outside.now();
        let (pending, answers) = (self.memory.pending()?, self.memory.answers()?);
        let intents = self.intents()?;
        let damaged_rows = self.memory.damaged_rows();
        let endpoint = &self.job.mailbox.endpoint;
        let due = !damaged_rows.is_empty()
            || stored
                .as_ref()
                .is_none_or(|state| is_full_due(state, now) || points_elsewhere(state, endpoint));
        let remembered = stored.as_ref().filter(|_| !due);
        let is_schema_new = remembered.is_none();
        let connection = self.crm.connect(remembered.map(|state| &state.crm))?;
        let identity = self
            .mailbox
            .connect(remembered.map(|state| &state.mailbox))?;
        let fields = self.fields(stored.as_ref());
        let marker = marker(&self.job).clone();
        let is_full = due
            || stored
                .as_ref()
                .is_some_and(|state| !fields.is_subset(&state.fields) || marker != state.marker);
        self.check_sides(stored.as_ref(), &connection, &identity, is_full)?;
        // Not before: where a service asks for patience, this step is taken again.
        self.findings
            .extend(damaged_rows.iter().map(|key| damaged_row(key)));
        let is_unknown = stored.is_none();
        let mut state =
            stored.unwrap_or_else(|| first_state(&connection, &identity, &marker, &fields));
        if is_unknown {
            self.count_remembered(&mut state)?;
        }
        self.read_answers(&state)?;
        let is_marker_moved = state.marker != marker;
        if is_marker_moved && self.mode == Mode::Sync {
            self.forget_markers_seen()?;
        }
        if damaged_rows.iter().any(|key| key.contains("/intent/")) {
            state.creations_wait_until = Some(now.plus_ms(SETTLE_MS));
        }
        state.crm = connection;
        state.endpoint = Some(self.job.mailbox.endpoint.clone());
        let former = std::mem::replace(&mut state.mailbox, identity);
        let former_identity = (!is_same(&former, &state.mailbox)).then_some(former);
        // The marker's place and the fields are remembered when this pass has come to its end: one
        // that breaks off has filled only a part of them.
        self.begun = Some(Begun {
            state,
            former_identity,
            is_full,
            is_marker_moved,
            fields,
            is_schema_new,
            pending,
            answers,
            intents,
            damaged_rows,
            restarts: 0,
        });
        Ok(Stage::Settle(None))
    }

    /// That these are the two address books of the last pass, and that nobody else syncs them.
    fn check_sides(
        &mut self,
        stored: Option<&State>,
        connection: &CrmConnection,
        identity: &MailboxIdentity,
        is_full: bool,
    ) -> Result<(), Stop> {
        if let Some(state) = stored {
            self.check_company(state, &connection.company)?;
            self.check_mailbox(state, identity)?;
        }
        if is_full {
            self.check_owner(identity)?;
            self.check_native_sync()?;
            self.findings.extend(connection.findings.iter().cloned());
            self.compare_address(identity);
        }
        Ok(())
    }

    /// A state that is gone, beside pairs that are not: what they were last seen with is lost
    /// (contract, 7.1).
    fn count_remembered(&self, state: &mut State) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let (links, next) = self.memory.pairs(after.as_deref())?;
            if !links.is_empty() {
                state.caution = Some(Caution::MemoryLost);
            }
            for link in links.into_iter().filter_map(Stored::found) {
                match link.standing {
                    Standing::Linked => state.links = state.links.saturating_add(1),
                    Standing::Detached => state.detached = state.detached.saturating_add(1),
                    Standing::Tombstone { .. } => {}
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// The fields that take part.
    fn fields(&self, stored: Option<&State>) -> FieldSet {
        let mut fields = self.crm.fields().clone();
        if mutation::is_on(Mutant::LostFieldTakenForCleared) {
            fields.extend(stored.iter().flat_map(|state| &state.fields).copied());
        }
        fields
    }

    fn intents(&self) -> Result<Vec<Intent>, Failure> {
        if mutation::is_on(Mutant::OpenIntentsIgnored) {
            return Ok(Vec::new());
        }
        self.memory.intents()
    }

    /// A marker that was seen in another place has not been seen in this one. Before anything else,
    /// so that no link that this pass does not get to is taken for unmarked by the next.
    fn forget_markers_seen(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let (links, next) = self.memory.pairs(after.as_deref())?;
            let seen = links
                .into_iter()
                .filter_map(Stored::found)
                .filter(|link| link.marker_seen);
            let writes: Vec<Write> = seen
                .flat_map(|link| {
                    let unseen = Link {
                        marker_seen: false,
                        ..link
                    };
                    self.memory.set_link(None, &unseen)
                })
                .collect();
            if !writes.is_empty() {
                self.memory.commit(writes)?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn check_company(&self, state: &State, company: &str) -> Result<(), Failure> {
        if state.crm.company == company {
            return Ok(());
        }
        Err(Failure::WrongIdentity(Problem {
            message: format!(
                "the CRM signs in as company `{company}`, but the mailbox `{}` was synced with \
                 company `{}`",
                self.job.mailbox.id, state.crm.company
            ),
            remedy: Some(
                "check the platform token; for another company, set the mailbox up under a new id"
                    .to_owned(),
            ),
        }))
    }

    fn check_mailbox(&self, state: &State, identity: &MailboxIdentity) -> Result<(), Failure> {
        if is_same(&state.mailbox, identity) || state.caution == Some(Caution::Rebound) {
            return Ok(());
        }
        Err(Failure::WrongIdentity(Problem {
            message: format!(
                "the mailbox `{}` is another one than it was at its last pass (user `{}` instead of \
                 `{}`)",
                self.job.mailbox.id, identity.user, state.mailbox.user
            ),
            remedy: Some(
                "check the address in the configuration; if the mailbox was migrated, run `rebind`"
                    .to_owned(),
            ),
        }))
    }

    /// Two configured mailboxes with one identity would fight (contract, 2.6).
    fn check_owner(&self, identity: &MailboxIdentity) -> Result<(), Failure> {
        let mailbox = &self.job.mailbox.id;
        match self.memory.owner(identity)? {
            Some(owner) if owner != *mailbox => Err(Failure::WrongIdentity(Problem {
                message: format!(
                    "the mailboxes `{owner}` and `{mailbox}` are one and the same mailbox"
                ),
                remedy: Some(format!(
                    "remove one of the two; `{owner}` is the one that syncs"
                )),
            })),
            _ => Ok(()),
        }
    }

    /// Two engines on one mailbox fight: that FLOWFACT's own sync is off must be known.
    fn check_native_sync(&self) -> Result<(), Stop> {
        if self.job.policy.native_sync == NativeSync::Off {
            return Ok(());
        }
        let (message, remedy) = match self.crm.native_sync()? {
            Some(false) => return Ok(()),
            Some(true) => (
                "FLOWFACT's own contact sync is switched on for this mailbox",
                "switch it off in FLOWFACT (settings of the mail account), then run again",
            ),
            None => (
                "whether FLOWFACT's own contact sync is on for this mailbox cannot be read",
                "make sure that it is off, and say so in the configuration: native-sync = \"off\"",
            ),
        };
        Err(Stop::Failed(Failure::OtherEngine(Problem {
            message: format!("{message} (mailbox `{}`)", self.job.mailbox.id),
            remedy: Some(remedy.to_owned()),
        })))
    }

    fn compare_address(&mut self, identity: &MailboxIdentity) {
        let configured = &self.job.mailbox.address;
        let differs = identity
            .address
            .as_ref()
            .is_some_and(|address| !address.eq_ignore_ascii_case(configured));
        if differs {
            self.findings.push(Finding {
                severity: Severity::Note,
                code: "address-differs".to_owned(),
                message: format!(
                    "the server's primary address of the mailbox is not `{configured}`"
                ),
                remedy: Some(
                    "nothing, if the configured address is an alias; the mailbox is known by its id"
                        .to_owned(),
                ),
                contact: None,
                field: None,
            });
        }
    }
}

/// What is known of a mailbox before anything was read.
fn first_state(
    connection: &CrmConnection,
    identity: &MailboxIdentity,
    marker: &Marker,
    fields: &FieldSet,
) -> State {
    State {
        format: FORMAT,
        crm: connection.clone(),
        mailbox: identity.clone(),
        marker: marker.clone(),
        fields: fields.clone(),
        crm_position: None,
        mailbox_position: None,
        trash: None,
        trash_read: None,
        mailbox_read: None,
        last_full: None,
        last_complete: None,
        links: 0,
        detached: 0,
        guard: GuardWindow::default(),
        approval_request: None,
        caution: None,
        marker_slice: 0,
        is_journal_full: false,
        endpoint: None,
        creations_wait_until: None,
    }
}

/// What a row that cannot be read said is found again by reading everything; an answer is not.
fn damaged_row(key: &str) -> Finding {
    let (message, remedy) = if key.contains("/answer/") {
        (
            "what somebody answered about a mailbox contact cannot be read any more",
            Some("answer the question again, if it is asked again"),
        )
    } else if key.contains("/intent/") {
        (
            "what was about to be created when a pass broke off cannot be read any more: for ten \
             minutes nothing is created, then everything is matched anew",
            None,
        )
    } else {
        (
            "what was still to be done about a contact cannot be read any more: both sides are \
             read wholly instead",
            None,
        )
    };
    Finding {
        severity: Severity::Warning,
        code: "row-unreadable".to_owned(),
        message: format!("{message} (`{key}`)"),
        remedy: remedy.map(str::to_owned),
        contact: None,
        field: None,
    }
}

/// The address is no part of the identity.
fn is_same(left: &MailboxIdentity, right: &MailboxIdentity) -> bool {
    left.service == right.service && left.user == right.user && left.folder == right.folder
}

/// Whether the configuration has changed so that the mailbox must be asked anew who it is.
fn points_elsewhere(state: &State, endpoint: &Endpoint) -> bool {
    state
        .endpoint
        .as_ref()
        .is_some_and(|known| known != endpoint)
}

fn is_full_due(state: &State, now: Timestamp) -> bool {
    state.caution.is_some()
        || state.crm_position.is_none()
        || state.mailbox_position.is_none()
        // A time that is still to come is of a clock that has been set right since.
        || state
            .last_full
            .is_none_or(|last| !(0..FULL_READ_EVERY_MS).contains(&now.since_ms(last)))
}
