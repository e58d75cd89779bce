//! Setting a mailbox up: from a job to its two sides, and what can be found out about them.

use std::rc::Rc;

use crate::autodiscover::{ORIGINS_MAX, discover};
use crate::contact::{CrmId, Field, FieldSet, MailboxId};
use crate::crm::flowfact::{Flowfact, Survey};
use crate::crm::{Crm, CrmRead};
use crate::http::{Http, RemoteError};
use crate::job::{CrmAccess, Endpoint, EwsAccess, Job, Marker, NativeSync};
use crate::links::{Answer, Caution, Memory, Source, State, Stored};
use crate::mailbox::ews::Ews;
use crate::mailbox::graph::Graph;
use crate::mailbox::{Mailbox, MailboxRead};
use crate::outside::Outside;
use crate::plan::matching::is_question;
use crate::report::{
    Action, ContactName, Failure, Finding, Operation, OperationState, Problem, Service, Severity,
    Side,
};

/// The two sides of a job.
pub struct Sides {
    /// The CRM.
    pub crm: Flowfact,
    /// The mailbox, whichever protocol its server speaks.
    pub mailbox: Box<dyn Mailbox>,
    /// What they send with, for counting.
    pub clients: Vec<Http>,
}

/// What earlier passes left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// When the last complete pass ended, in ms since 1970.
    pub last_complete: Option<u64>,
    /// Pairs in step.
    pub links: u32,
    /// Pairs at rest.
    pub detached: u32,
    /// Pairs and contacts on which nothing is done until something is settled.
    pub held: u32,
    /// Changes read and not carried out yet.
    pub pending: u32,
    /// Operations of the last pass that wait for a person.
    pub held_back: u32,
}

/// What was found out about the two sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkup {
    /// Whether a pass with this job could start.
    pub ready: bool,
    /// In the order of the questions asked.
    pub findings: Vec<Finding>,
    /// Field names that the schema offers.
    pub fields: Vec<(Field, Option<String>)>,
    /// Places for the marker, in order of preference.
    pub markers: Vec<Marker>,
    /// Where the mailbox was found, if the job does not know it.
    pub endpoint: Option<Endpoint>,
    /// The mailbox's own primary address.
    pub address: Option<String>,
}

/// Makes the two sides of a job, after checking it. Sends nothing.
pub fn sides(job: &Job, outside: &Rc<dyn Outside>) -> Result<Sides, Failure> {
    check_job(job)?;
    let (crm, crm_http) = crm_side(job, outside);
    let (mailbox, mailbox_http): (Box<dyn Mailbox>, Http) = match &job.mailbox.endpoint {
        Endpoint::Graph(graph) => {
            let http = Http::new(Rc::clone(outside), Service::Graph);
            (Box::new(Graph::new(http.clone(), graph)), http)
        }
        Endpoint::Ews(ews) => {
            let Some(url) = &ews.url else {
                return Err(Failure::InvalidJob(Problem {
                    message: "`mailbox.endpoint.url` is missing: where Exchange Web Services \
                              answer"
                        .to_owned(),
                    remedy: Some("run `contact-sync check`, which looks for it".to_owned()),
                }));
            };
            let http = Http::new(Rc::clone(outside), Service::Ews);
            let mailbox = Ews::new(http.clone(), url, &job.mailbox.address, ews);
            (Box::new(mailbox), http)
        }
    };
    Ok(Sides {
        crm,
        mailbox,
        clients: vec![crm_http, mailbox_http],
    })
}

/// Reads from the store alone what earlier passes left behind.
pub fn status(job: &Job, outside: &Rc<dyn Outside>) -> Result<Overview, Failure> {
    check_job(job)?;
    let memory = Memory::new(Rc::clone(outside), &job.mailbox.id);
    let Some(state) = memory.state()? else {
        return Ok(Overview::default());
    };
    let pending = memory.pending()?;
    let is_held = |reason: &str| HELD.contains(&reason);
    let held = pending.values().filter(|row| is_held(&row.reason)).count();
    let request = state.approval_request;
    Ok(Overview {
        last_complete: state.last_complete.and_then(|at| u64::try_from(at.0).ok()),
        links: state.links,
        detached: state.detached,
        held: u32::try_from(held).unwrap_or(u32::MAX),
        pending: u32::try_from(pending.len()).unwrap_or(u32::MAX),
        held_back: request.map_or(0, |request| {
            u32::try_from(request.entries()).unwrap_or(u32::MAX)
        }),
    })
}

/// Lets the next pass take whatever mailbox it finds for the one that was synced (contract, 2.6).
pub fn rebind(job: &Job, outside: &Rc<dyn Outside>) -> Result<(), Failure> {
    let found = set_caution(job, outside, Caution::Rebound)?;
    found.ok_or_else(|| {
        Failure::NotFound(Problem {
            message: format!(
                "no pass has remembered the mailbox `{}` yet",
                job.mailbox.id
            ),
            remedy: Some("there is nothing to rebind: start a sync".to_owned()),
        })
    })
}

/// Makes the next pass let a person approve whatever it would destroy (contract, 2.4).
pub fn suspend(job: &Job, outside: &Rc<dyn Outside>) -> Result<(), Failure> {
    set_caution(job, outside, Caution::SwitchedOn).map(|_| ())
}

/// Signs in to both sides and says what it found. Writes nothing.
pub fn check(job: &Job, outside: &Rc<dyn Outside>) -> Result<Checkup, Failure> {
    check_job(job)?;
    let mut checkup = Checkup {
        ready: true,
        ..Checkup::default()
    };
    if let Some(ews) = undiscovered(job) {
        check_crm(crm_side(job, outside).0, job, &mut checkup);
        find_endpoint(ews, job, outside, &mut checkup);
        return Ok(checkup);
    }
    let Sides { crm, mailbox, .. } = sides(job, outside)?;
    check_crm(crm, job, &mut checkup);
    check_mailbox(mailbox, job, &mut checkup);
    Ok(checkup)
}

/// Remembers who a mailbox contact is: a CRM contact, or, without one, somebody new. The next pass
/// acts on it. Where no pass has asked about the mailbox contact, it is read: nobody is to wait in
/// every pass for an id that was mistyped.
pub fn pair(
    job: &Job,
    outside: &Rc<dyn Outside>,
    mailbox_id: &MailboxId,
    crm_id: Option<CrmId>,
) -> Result<Operation, Failure> {
    check_job(job)?;
    let memory = Memory::new(Rc::clone(outside), &job.mailbox.id);
    let Some(state) = memory.state()? else {
        return Err(not_found(
            "no pass has read this mailbox yet",
            "start a sync first",
        ));
    };
    let has_partner = |paired: &[Option<CrmId>]| paired.iter().any(Option::is_some);
    if has_partner(&memory.paired_with(std::slice::from_ref(mailbox_id))?) {
        return Err(not_found(
            "the mailbox contact already has a partner in the CRM",
            "take the marker off the CRM contact first",
        ));
    }
    let mut pending = memory.pending()?;
    let is_asked = pending.contains_key(&Source::Mailbox(mailbox_id.clone()));
    let answer = match &crm_id {
        Some(crm_id) => {
            let link = memory
                .links(std::slice::from_ref(crm_id))?
                .pop()
                .and_then(Stored::found);
            if !is_asked {
                // A tombstone's contact can come back from the trash.
                let unknown = link.is_none().then_some(crm_id);
                check_are_there(job, outside, &state, mailbox_id, unknown)?;
            }
            // A pair whose mailbox contact is gone, and may be one of several new ones.
            let asked = pending.remove(&Source::Crm(crm_id.clone()));
            let is_open = asked.is_some_and(|row| is_question(&row.reason));
            if !is_open && link.is_some_and(|link| !link.is_tombstone()) {
                return Err(not_found(
                    "the CRM contact already has a partner in this mailbox",
                    "take the marker off the CRM contact first",
                ));
            }
            Answer::Same(crm_id.clone())
        }
        None if is_asked => Answer::New,
        None => {
            check_are_there(job, outside, &state, mailbox_id, None)?;
            Answer::New
        }
    };
    memory.commit(vec![memory.set_answer(mailbox_id, Some(&answer))])?;
    let action = if crm_id.is_some() {
        Action::Pair
    } else {
        Action::Create
    };
    Ok(Operation {
        side: Side::Crm,
        action,
        contact: ContactName {
            crm_id,
            mailbox_id: Some(mailbox_id.clone()),
            label: String::new(),
        },
        changes: Vec::new(),
        reason: "paired-by-person",
        state: OperationState::Planned,
    })
}

fn crm_side(job: &Job, outside: &Rc<dyn Outside>) -> (Flowfact, Http) {
    let CrmAccess::Flowfact(flowfact) = &job.crm;
    let http = Http::new(Rc::clone(outside), Service::Flowfact);
    let crm = Flowfact::new(http.clone(), flowfact.clone(), &job.mailbox.address);
    (crm, http)
}

/// An Exchange Server whose address the job does not know.
fn undiscovered(job: &Job) -> Option<&EwsAccess> {
    match &job.mailbox.endpoint {
        Endpoint::Ews(ews) if ews.url.is_none() => Some(ews),
        Endpoint::Ews(_) | Endpoint::Graph(_) => None,
    }
}

/// Looks for contacts by the ids that a person gave.
fn check_are_there(
    job: &Job,
    outside: &Rc<dyn Outside>,
    state: &State,
    mailbox_id: &MailboxId,
    crm_id: Option<&CrmId>,
) -> Result<(), Failure> {
    const REMEDY: &str = "take both ids from a finding, or from `contact-sync explain`";
    let Sides {
        mut crm,
        mut mailbox,
        ..
    } = sides(job, outside)?;
    mailbox.connect(Some(&state.mailbox))?;
    let read = mailbox.read(std::slice::from_ref(mailbox_id))?.pop();
    if !matches!(read, Some(MailboxRead::Present(_))) {
        return Err(not_found(
            "the contacts folder of this mailbox has no contact with this id",
            REMEDY,
        ));
    }
    let Some(crm_id) = crm_id else {
        return Ok(());
    };
    crm.connect(Some(&state.crm))?;
    match crm.read(std::slice::from_ref(crm_id))?.pop() {
        Some(CrmRead::Present(_)) => Ok(()),
        _ => Err(not_found("the CRM shows no contact with this id", REMEDY)),
    }
}

/// Reasons of pending rows that mean *held* (contract, section 1).
const HELD: [&str; 12] = [
    "ambiguous-create",
    "ambiguous-match",
    "awaiting-approval",
    "cannot-be-restored",
    "crm-unreadable",
    "mailbox-unreadable",
    "match-taken",
    "moved-in-mailbox",
    "namesake",
    "open-intent",
    "rejected-not-restorable",
    "vanished-in-crm",
];

fn set_caution(
    job: &Job,
    outside: &Rc<dyn Outside>,
    caution: Caution,
) -> Result<Option<()>, Failure> {
    check_job(job)?;
    let memory = Memory::new(Rc::clone(outside), &job.mailbox.id);
    let Some(state) = memory.state()? else {
        return Ok(None);
    };
    // Both ask for an approval, and only a rebound mailbox may be another one: switching it off
    // in between does not take that back.
    if state.caution == Some(caution) || state.caution == Some(Caution::Rebound) {
        return Ok(Some(()));
    }
    // What was said of an earlier list was said of another state of things.
    let state = State {
        caution: Some(caution),
        approval_request: None,
        ..state
    };
    let mut writes = vec![memory.set_state(&state), memory.set_verdict(None)];
    writes.extend(memory.delete_requests_but(None)?);
    let judged = memory.judgements()?;
    writes.extend(judged.keys().map(|id| memory.set_judgements(id, &[])));
    memory.commit(writes).map(Some)
}

fn check_crm(mut crm: Flowfact, job: &Job, checkup: &mut Checkup) {
    match crm.connect(None) {
        Ok(connection) => {
            checkup.findings.push(note(
                "crm-signed-in",
                &format!("FLOWFACT: signed in to company `{}`", connection.company),
            ));
            checkup.findings.extend(connection.findings);
        }
        Err(error) => {
            checkup.fail("crm-unreachable", error);
            return;
        }
    }
    check_native_sync(&crm, job, checkup);
    match crm.survey() {
        Ok(survey) => take_survey(survey, job, crm.fields(), checkup),
        Err(error) => checkup.fail("crm-survey-failed", error),
    }
}

fn check_native_sync(crm: &Flowfact, job: &Job, checkup: &mut Checkup) {
    if job.policy.native_sync == NativeSync::Off {
        return;
    }
    let (message, remedy) = match crm.native_sync() {
        Ok(Some(false)) => {
            checkup.findings.push(note(
                "native-sync-off",
                "FLOWFACT's own contact sync is off for this mailbox",
            ));
            return;
        }
        Ok(Some(true)) => (
            "FLOWFACT's own contact sync is switched on for this mailbox",
            "switch it off in FLOWFACT: two engines on one mailbox fight",
        ),
        Ok(None) | Err(_) => (
            "whether FLOWFACT's own contact sync is on for this mailbox cannot be read",
            "make sure that it is off, and say so in the configuration: native-sync = \"off\"",
        ),
    };
    checkup.ready = false;
    checkup
        .findings
        .push(finding(Severity::Error, "other-engine", message, remedy));
}

fn take_survey(survey: Survey, job: &Job, fields: &FieldSet, checkup: &mut Checkup) {
    take_markers(&survey, job, checkup);
    if survey.filter_works == Some(false) {
        let message =
            "FLOWFACT ignores the filter on the time of change: every pass reads all contacts";
        checkup
            .findings
            .push(finding(Severity::Warning, "no-change-filter", message, ""));
    }
    for field in Field::ALL {
        if !fields.contains(&field) {
            checkup.findings.push(Finding {
                field: Some(field),
                ..finding(
                    Severity::Note,
                    "field-takes-no-part",
                    "this field has no counterpart in the FLOWFACT schema and takes no part",
                    "name it in the configuration, under `fields`, if there is one",
                )
            });
        }
    }
    if !survey.trash_readable {
        let message = "FLOWFACT's trash cannot be read: no deletion in FLOWFACT can be confirmed";
        let remedy = "give the API user the right to see the trash";
        checkup.findings.push(finding(
            Severity::Warning,
            "trash-unreadable",
            message,
            remedy,
        ));
    }
    checkup.fields = survey
        .fields
        .into_iter()
        .map(|(field, name)| (field, Some(name)))
        .collect();
    checkup.markers = survey.markers;
}

/// Whether the configured marker is there, and how soon it is seen.
fn take_markers(survey: &Survey, job: &Job, checkup: &mut Checkup) {
    let CrmAccess::Flowfact(access) = &job.crm;
    if is_untried(survey, &access.marker) {
        checkup.findings.push(finding(
            Severity::Note,
            "marker-untried",
            "markers are sync entries, and whether they can be read shows only where there is a \
             contact to ask for: the CRM has none yet",
            "check again once there is one",
        ));
    } else if !survey.markers.contains(&access.marker) {
        let problem = "the marker that is configured was not found in FLOWFACT";
        let remedy = match survey.markers.first() {
            Some(marker) => format!("this one was found: {}", marker_text(marker)),
            None => {
                "add a field of type EMAIL_ACCOUNT, or a value of `tags`, to the contact schema"
                    .to_owned()
            }
        };
        checkup.ready = false;
        checkup.findings.push(finding(
            Severity::Error,
            "marker-not-found",
            problem,
            &remedy,
        ));
    }
    if matches!(access.marker, Marker::SyncEntry(_)) {
        let message = "markers are sync entries, which cannot be listed: they are asked for contact \
                       by contact, so that setting or taking one away may be seen late";
        let remedy = "a marker in a contact field is seen at once";
        checkup.findings.push(finding(
            Severity::Warning,
            "marker-seen-late",
            message,
            remedy,
        ));
    }
}

/// Sync entries are asked for contact by contact: in an empty CRM they can neither be found nor be
/// missing. An account that FLOWFACT does not know is missing all the same.
fn is_untried(survey: &Survey, marker: &Marker) -> bool {
    let Marker::SyncEntry(account) = marker else {
        return false;
    };
    let is_known = survey
        .accounts
        .as_ref()
        .is_none_or(|accounts| accounts.iter().any(|known| known.id == *account));
    survey.contacts == Some(0) && is_known
}

fn check_mailbox(mut mailbox: Box<dyn Mailbox>, job: &Job, checkup: &mut Checkup) {
    let identity = match mailbox.connect(None) {
        Ok(identity) => identity,
        Err(error) => return checkup.fail("mailbox-unreachable", error),
    };
    let message = match &job.mailbox.endpoint {
        Endpoint::Graph(_) => "Office 365: the mailbox answers",
        Endpoint::Ews(_) => "Exchange Server: the mailbox answers",
    };
    checkup.findings.push(note("mailbox-signed-in", message));
    if let Err(error) = mailbox.changes(None) {
        checkup.fail("mailbox-unreadable", error);
    }
    let differs = identity
        .address
        .as_ref()
        .is_some_and(|address| !address.eq_ignore_ascii_case(&job.mailbox.address));
    if differs {
        checkup.findings.push(finding(
            Severity::Note,
            "address-differs",
            "the configured address is not the mailbox's primary one",
            "nothing, if it is an alias; see the proposal",
        ));
    }
    checkup.address = identity.address;
}

/// A pass does what its job says, so what is found here is only proposed.
fn find_endpoint(ews: &EwsAccess, job: &Job, outside: &Rc<dyn Outside>, checkup: &mut Checkup) {
    checkup.ready = false;
    let http = Http::new(Rc::clone(outside), Service::Autodiscover);
    let steps = match discover(&http, &job.mailbox.address, &ews.autodiscover) {
        Ok(found) => {
            checkup.findings.push(finding(
                Severity::Note,
                "endpoint-proposed",
                &format!(
                    "the mailbox's Exchange Server was found, as `{}` says: `{}`",
                    found.origin, found.url
                ),
                &format!(
                    "if that server is the company's, write it into the mailbox's \
                     `exchange-server`, and check again: `url = \"{}\"`",
                    found.url
                ),
            ));
            checkup.endpoint = Some(Endpoint::Ews(EwsAccess {
                url: Some(found.url),
                ..ews.clone()
            }));
            return;
        }
        Err(steps) => steps,
    };
    checkup.findings.push(finding(
        Severity::Error,
        "endpoint-not-found",
        "the configuration does not say where the mailbox's Exchange Server is, and Autodiscover \
         did not find it",
        "write its address into the mailbox's `exchange-server`: `url = \
         \"https://mail.example.com/EWS/Exchange.asmx\"`; or follow what the failed steps say",
    ));
    let steps = steps.iter().map(|step| {
        finding(
            Severity::Warning,
            "autodiscover-step-failed",
            &step.message,
            &step.remedy,
        )
    });
    checkup.findings.extend(steps);
}

impl Checkup {
    fn fail(&mut self, code: &str, error: RemoteError) {
        let problem = error.into_problem();
        self.ready = false;
        self.findings.push(Finding {
            severity: Severity::Error,
            code: code.to_owned(),
            message: problem.message,
            remedy: problem.remedy,
            contact: None,
            field: None,
        });
    }
}

/// A marker as the configuration would write it.
fn marker_text(marker: &Marker) -> String {
    match marker {
        Marker::SyncEntry(account) => format!("marker = {{ sync-entry = \"{account}\" }}"),
        Marker::FieldValue { field, value } => {
            format!("marker = {{ field = \"{field}\", value = \"{value}\" }}")
        }
    }
}

/// A job contradicts itself before anything is sent.
pub(crate) fn check_job(job: &Job) -> Result<(), Failure> {
    let CrmAccess::Flowfact(flowfact) = &job.crm;
    check_id("tenant.id", &job.tenant.id)?;
    check_id("mailbox.id", &job.mailbox.id)?;
    let region = &job.tenant.region;
    if region.len() != 2 || !region.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(invalid(
            "tenant.region",
            "must be two capital letters, for example `DE`",
        ));
    }
    check_base_url("crm.base-url", &flowfact.base_url)?;
    match &job.mailbox.endpoint {
        Endpoint::Graph(graph) => check_base_url("mailbox.endpoint.base-url", &graph.base_url)?,
        Endpoint::Ews(ews) => check_ews(ews)?,
    }
    if flowfact.schema.is_empty() {
        return Err(invalid(
            "crm.schema",
            "must name the schema of contacts: `contacts`",
        ));
    }
    if !(1..=365).contains(&job.policy.journal_days) {
        return Err(invalid("policy.journal-days", "must be 1 to 365"));
    }
    if job.policy.guard.contacts_percent_max > 100 {
        return Err(invalid(
            "policy.guard.contacts-percent-max",
            "must be 0 to 100",
        ));
    }
    Ok(())
}

fn check_ews(ews: &EwsAccess) -> Result<(), Failure> {
    if let Some(url) = &ews.url {
        check_base_url("mailbox.endpoint.url", url)?;
    }
    if ews.autodiscover.len() > ORIGINS_MAX {
        let rule = format!("must name at most {ORIGINS_MAX} servers");
        return Err(invalid("mailbox.endpoint.autodiscover", &rule));
    }
    for origin in &ews.autodiscover {
        check_base_url("mailbox.endpoint.autodiscover", origin)?;
    }
    Ok(())
}

fn check_id(name: &str, id: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(());
    }
    Err(invalid(name, "must be 1 to 64 characters of `a-z 0-9 -`"))
}

fn check_base_url(name: &str, url: &str) -> Result<(), Failure> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_good = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#']));
    if is_good && !url.ends_with('/') {
        return Ok(());
    }
    Err(invalid(
        name,
        "must be an http(s) address without user, query and trailing slash",
    ))
}

fn not_found(message: &str, remedy: &str) -> Failure {
    Failure::NotFound(Problem {
        message: message.to_owned(),
        remedy: Some(remedy.to_owned()),
    })
}

fn invalid(name: &str, rule: &str) -> Failure {
    Failure::InvalidJob(Problem {
        message: format!("`{name}` {rule}"),
        remedy: Some("correct the job, or the configuration that it is made from".to_owned()),
    })
}

fn note(code: &str, message: &str) -> Finding {
    Finding {
        remedy: None,
        ..finding(Severity::Note, code, message, "")
    }
}

fn finding(severity: Severity, code: &str, message: &str, remedy: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message: message.to_owned(),
        remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
        contact: None,
        field: None,
    }
}

#[cfg(test)]
mod tests;
