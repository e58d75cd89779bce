//! The component's face: WIT in, WIT out. Converts, decides nothing.
//!
//! `convert` turns the values of `wit/types.wit` into the crate's own and back; `imports`
//! implements [`crate::outside::Outside`] with the host's WASI and store.

#![expect(unsafe_code, reason = "the generated bindings speak the canonical ABI")]

mod convert;
mod imports;

#[expect(clippy::pedantic, reason = "generated")]
pub(crate) mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "contact-sync:plugin/plugin",
        generate_all,
        pub_export_macro: false,
    });
}

use std::cell::RefCell;
use std::rc::Rc;

use bindings::contact_sync::plugin::types as wit;
use bindings::exports::contact_sync::plugin::{
    approval, archive, contacts, lifecycle, setup, sync,
};

use crate::outside::Outside;
use crate::pass::{self, Advance, Mode, Step};
use crate::report::{Finding, Outcome};
use convert::failure;
use imports::Imports;

/// A pass is many small values, and one thread has them all.
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// Operations or findings that one answer carries at most (`types.wit`).
const LISTED_MAX: usize = 1_000;

struct Component;

bindings::export!(Component with_types_in bindings);

impl lifecycle::Guest for Component {
    fn prepare() {
        crate::contact::prepare();
    }
}

impl setup::Guest for Component {
    fn check(job: wit::Job) -> Result<setup::Checkup, wit::Failure> {
        let job = convert::job(job);
        let checkup = crate::setup::check(&job, &outside()).map_err(failure)?;
        Ok(convert::checkup(checkup))
    }

    fn rebind(job: wit::Job) -> Result<(), wit::Failure> {
        crate::setup::rebind(&convert::job(job), &outside()).map_err(failure)
    }

    fn suspend(job: wit::Job) -> Result<(), wit::Failure> {
        crate::setup::suspend(&convert::job(job), &outside()).map_err(failure)
    }
}

impl sync::Guest for Component {
    type Pass = Pass;

    fn preview(job: wit::Job) -> Result<wit::Plan, wit::Failure> {
        let (pass, report) = run_whole(job, Mode::Preview)?;
        if let Outcome::Stopped(stopped) = report.outcome {
            return Err(failure(stopped));
        }
        Ok(convert::plan(&*pass, report))
    }

    fn run(job: wit::Job) -> Result<wit::Report, wit::Failure> {
        let (pass, report) = run_whole(job, Mode::Sync)?;
        match report.outcome {
            Outcome::Stopped(stopped) if !convert::has_written(&report.counts) => {
                Err(failure(stopped))
            }
            outcome => Ok(convert::report(
                &*pass,
                crate::report::Report { outcome, ..report },
            )),
        }
    }

    fn status(job: wit::Job) -> Result<sync::Overview, wit::Failure> {
        let overview = crate::setup::status(&convert::job(job), &outside()).map_err(failure)?;
        Ok(convert::overview(&overview))
    }
}

/// The resource behind `sync.pass`.
struct Pass(RefCell<Box<dyn Advance>>);

impl sync::GuestPass for Pass {
    fn open(job: wit::Job, mode: sync::Mode) -> Result<sync::Pass, wit::Failure> {
        let mode = match mode {
            sync::Mode::Preview => Mode::Preview,
            sync::Mode::Sync => Mode::Sync,
        };
        let pass = pass::open(convert::job(job), mode, outside()).map_err(failure)?;
        Ok(sync::Pass::new(Self(RefCell::new(pass))))
    }

    fn restore(
        job: wit::Job,
        target: sync::Target,
        dry_run: bool,
    ) -> Result<sync::Pass, wit::Failure> {
        let mode = Mode::Restore {
            target: convert::target(target),
            is_dry: dry_run,
        };
        let pass = pass::open(convert::job(job), mode, outside()).map_err(failure)?;
        Ok(sync::Pass::new(Self(RefCell::new(pass))))
    }

    fn advance(&self) -> sync::Step {
        let mut pass = self.0.borrow_mut();
        match pass.advance() {
            Step::Working(progress) => sync::Step::Working(convert::progress(progress)),
            Step::Waiting(wait_ms, progress) => sync::Step::Waiting(sync::Pause {
                wait_ms,
                progress: convert::progress(progress),
            }),
            Step::Done(report) => sync::Step::Done(convert::report(&**pass, *report)),
        }
    }

    fn operations(&self, first: u32, operations_max: u32) -> Vec<wit::Operation> {
        let pass = self.0.borrow();
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        convert::operations(pass.operations(), first, bounded(operations_max))
    }

    fn findings(&self, first: u32, findings_max: u32) -> Vec<wit::Finding> {
        let pass = self.0.borrow();
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let findings: &[Finding] = pass.findings();
        findings
            .iter()
            .skip(first)
            .take(bounded(findings_max))
            .map(convert::finding)
            .collect()
    }
}

impl approval::Guest for Component {
    fn request(
        job: wit::Job,
        after: Option<String>,
        entries_max: u32,
    ) -> Result<Option<approval::RequestPage>, wit::Failure> {
        let page = crate::approval::request(
            &convert::job(job),
            &outside(),
            after.as_deref(),
            bounded(entries_max),
        )
        .map_err(failure)?;
        Ok(page.map(convert::request_page))
    }

    fn answer(
        job: wit::Job,
        token: String,
        verdict: approval::Verdict,
    ) -> Result<wit::ApprovalRequest, wit::Failure> {
        let verdict = convert::verdict(verdict);
        crate::approval::answer(&convert::job(job), &outside(), &token, verdict)
            .map(convert::approval_request)
            .map_err(failure)
    }
}

impl archive::Guest for Component {
    fn entries(
        job: wit::Job,
        after: Option<String>,
        entries_max: u32,
    ) -> Result<archive::JournalPage, wit::Failure> {
        let memory = crate::links::Memory::new(outside(), &job.mailbox.id);
        let (entries, next) =
            crate::journal::entries(&memory, after.as_deref(), bounded(entries_max))
                .map_err(failure)?;
        let entries = entries.into_iter().map(convert::journal_entry).collect();
        Ok(archive::JournalPage { entries, next })
    }
}

impl contacts::Guest for Component {
    fn export_csv(
        job: wit::Job,
        after: Option<String>,
        contacts_max: u32,
    ) -> Result<contacts::CsvPart, wit::Failure> {
        let part = crate::export::part(
            &convert::job(job),
            &outside(),
            after.as_deref(),
            contacts_max,
        )
        .map_err(failure)?;
        Ok(contacts::CsvPart {
            text: part.text,
            contacts: part.contacts,
            next: part.next,
        })
    }

    fn explain(job: wit::Job, question: String) -> Result<contacts::Explained, wit::Failure> {
        let answer = crate::explain::explain(&convert::job(job), &outside(), &question);
        answer.map(convert::explained::answer).map_err(failure)
    }

    fn pair(job: wit::Job, pairing: contacts::Pairing) -> Result<wit::Operation, wit::Failure> {
        let (mailbox_id, crm_id) = match pairing {
            contacts::Pairing::Same(ids) => (ids.mailbox_id, Some(ids.crm_id)),
            contacts::Pairing::AsNew(mailbox_id) => (mailbox_id, None),
        };
        let operation = crate::setup::pair(
            &convert::job(job),
            &outside(),
            &crate::contact::MailboxId::new(mailbox_id),
            crm_id.map(crate::contact::CrmId::new),
        )
        .map_err(failure)?;
        Ok(convert::operation(0, &operation))
    }
}

/// A pass from its opening to its end, pauses included.
fn run_whole(
    job: wit::Job,
    mode: Mode,
) -> Result<(Box<dyn Advance>, crate::report::Report), wit::Failure> {
    let outside = outside();
    let mut pass = pass::open(convert::job(job), mode, Rc::clone(&outside)).map_err(failure)?;
    loop {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(wait_ms, _) => outside.sleep(wait_ms),
            Step::Done(report) => return Ok((pass, *report)),
        }
    }
}

fn outside() -> Rc<dyn Outside> {
    Rc::new(Imports)
}

fn bounded(asked: u32) -> usize {
    usize::try_from(asked)
        .unwrap_or(LISTED_MAX)
        .clamp(1, LISTED_MAX)
}
