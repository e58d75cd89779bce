//! Section 7.1: what a person's answer makes of what the guard held back.
//!
//! Method: the guard stops, a person answers by the token, and the next pass acts on it; whatever
//! else happens in between must fall outside the answer.

use contact_sync_guest::approval::{self, RequestPage};
use contact_sync_guest::job::{CrmNotFound, DeleteEdit, OnCrmDelete, OnMailboxDelete, OnUnmark};
use contact_sync_guest::job::{GuardLimits, Policy};
use contact_sync_guest::links::{Link, StoredVerdict};
use contact_sync_guest::outside::Method;
use contact_sync_guest::pass::Mode;
use contact_sync_guest::plan::approval::Verdict;
use contact_sync_guest::report::{Action, ApprovalRequest, Failure, Outcome, Side};
use contact_sync_guest::setup;
use contact_sync_tests::simulator::{Fault, Matcher, Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::safety::snapshot;
use super::stage::{
    ANNA, BERND, DAY_MS, Ending, PAUSE_MS, Played, Scenario, Stage, Variant, crm, ending, play,
    writes,
};

/// So many contacts that ten are the limit.
const LINKS: usize = 40;
const LIST: usize = 11;

const ROWS: &str = "m/anna-makler-example/";

fn stage() -> Stage {
    with_policy(|_| {})
}

fn with_policy(policy: fn(&mut Policy)) -> Stage {
    let scenario = Scenario::new().ballast(LINKS).policy(policy);
    scenario.stage(Variant::AccountField)
}

/// A CRM id and a mailbox id.
type Ids = (String, String);

fn pairs(stage: &Stage, mailbox: &str) -> Vec<Ids> {
    let links = stage.links(mailbox);
    let ids = |link: &Link| (link.crm_id.to_string(), link.mailbox_id.to_string());
    links.iter().map(ids).collect()
}

/// What people do to a contact.
type Hand = fn(&Stage, &Ids);

fn delete_in_crm(stage: &Stage, (crm, _): &Ids) {
    stage.world.crm_delete(crm);
}

fn delete_in_mailbox(stage: &Stage, (_, mailbox): &Ids) {
    stage.world.mailbox_delete(ANNA, mailbox);
}

fn unmark(stage: &Stage, (crm, _): &Ids) {
    stage.world.crm_unmark(crm, ANNA);
}

fn clear_in_crm(stage: &Stage, (crm, _): &Ids) {
    stage.world.crm_edit(crm, &json!({"emails": []}));
}

fn clear_in_mailbox(stage: &Stage, (_, mailbox): &Ids) {
    let cleared = json!({"emailAddresses": []});
    stage.world.mailbox_edit(ANNA, mailbox, &cleared);
}

/// Does something to contacts, and lets a pass ask for it.
fn ask(stage: &mut Stage, hand: Hand, pairs: &[Ids]) -> ApprovalRequest {
    for ids in pairs {
        hand(stage, ids);
    }
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    stage.world.advance_ms(PAUSE_MS);
    asked(&played)
}

fn asked(played: &Played) -> ApprovalRequest {
    match &played.report.outcome {
        Outcome::NeedsApproval(request) => request.clone(),
        other => panic!("nothing is asked: {other:?} {played:#?}"),
    }
}

fn answer(stage: &Stage, mailbox: &str, token: &str, verdict: Verdict) {
    let before = stage.world.services(|services, _| services.take_counters());
    assert_eq!(before.requests, 0);
    let job = stage.job(mailbox);
    approval::answer(&job, &stage.outside(), token, verdict).expect("this list is asked");
    let sent = stage.world.services(|services, _| services.take_counters());
    assert_eq!(sent.requests, 0, "an answer sends nothing");
}

/// The pass after an answer.
fn act(stage: &mut Stage) -> Played {
    let played = stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn complete(stage: &mut Stage, context: &str) -> Played {
    let played = act(stage);
    let end = ending(&played.report.outcome);
    assert_eq!(end, Ending::Complete, "{context}: {played:#?}");
    nothing_is_left(stage, context);
    played
}

/// No row of a request, of an answer, or of what was said of a pair.
fn nothing_is_left(stage: &Stage, context: &str) {
    for folder in ["request", "verdict", "judged", "pending"] {
        let rows = stage.rows(&format!("{ROWS}{folder}"));
        assert!(rows.is_empty(), "{context}: {:?}", rows.keys());
    }
}

fn written(played: &Played) -> Vec<(Kind, u64)> {
    writes(&played.counters).into_iter().collect()
}

fn request(stage: &Stage, after: Option<&str>, entries_max: usize) -> Option<RequestPage> {
    let job = stage.job(ANNA);
    approval::request(&job, &stage.outside(), after, entries_max).expect("the list can be read")
}

// ---- the list -----------------------------------------------------------------------------------

/// Each entry names what would be lost, of whom and why; the pages are the whole list.
#[test]
fn list_can_be_read_page_by_page_without_asking_anybody() {
    for (hand, side, action) in [
        (delete_in_crm as Hand, Side::Mailbox, Action::Delete),
        (delete_in_mailbox, Side::Crm, Action::Delete),
        (unmark, Side::Crm, Action::Detach),
        (clear_in_crm, Side::Mailbox, Action::Update),
        (clear_in_mailbox, Side::Crm, Action::Update),
    ] {
        let mut stage = stage();
        assert_eq!(request(&stage, None, 10), None);
        let pairs = pairs(&stage, ANNA);
        let asked = ask(&mut stage, hand, &pairs[..LIST]);
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = request(&stage, after.as_deref(), 4).expect("something is asked");
            assert_eq!((&page.request, page.verdict), (&asked, None));
            assert!(page.entries.len() <= 4);
            listed.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let numbers: Vec<usize> = listed.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..LIST).collect::<Vec<_>>(), "{action:?}");
        let mut ids: Vec<Ids> = Vec::new();
        for (_, entry) in &listed {
            assert_eq!((entry.destruction.side(), entry.action), (side, action));
            let name = &entry.contact;
            assert!(name.label.starts_with("Bo Ballast"), "{name:?}");
            let shown = format!("{:?}", entry.changes);
            assert!(action == Action::Detach || shown.contains('@'), "{shown}");
            let id = |id: Option<String>| id.expect("both halves are known");
            ids.push((
                id(name.crm_id.as_ref().map(ToString::to_string)),
                id(name.mailbox_id.as_ref().map(ToString::to_string)),
            ));
        }
        ids.sort();
        let mut expected = pairs[..LIST].to_vec();
        expected.sort();
        assert_eq!(ids, expected, "{action:?}");
        // The same list is asked under the same name, and is not written again.
        let played = act(&mut stage);
        assert_eq!(self::asked(&played), asked, "{action:?}");
        assert_eq!(
            request(&stage, None, 1).map(|page| page.request),
            Some(asked)
        );
    }
}

#[test]
fn answer_to_another_list_is_refused_and_names_the_one_that_is_asked() {
    let mut stage = stage();
    let (job, outside) = (stage.job(ANNA), stage.outside());
    let refused = |token: &str| match approval::answer(&job, &outside, token, Verdict::Approve) {
        Err(Failure::NotFound(problem)) => problem.message,
        other => panic!("{other:?}"),
    };
    assert!(refused("0123").contains("waits for no approval"));
    let pairs = pairs(&stage, ANNA);
    let old = ask(&mut stage, delete_in_crm, &pairs[..LIST]);
    let page = request(&stage, None, 4).expect("something is asked");
    let new = ask(&mut stage, delete_in_crm, &pairs[LIST..=LIST]);
    assert_ne!(old.token, new.token);
    assert!(refused(&old.token).contains(&new.token));
    let after = page.next.expect("there are more pages");
    let stale = approval::request(&job, &outside, Some(&after), 4);
    assert!(matches!(stale, Err(Failure::NotFound(_))), "{stale:?}");
    // The refused answer was not remembered.
    let played = act(&mut stage);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    assert_eq!(asked(&played), new);
}

/// Not by the call, which refuses it: a store that says two things.
#[test]
fn stored_answer_to_another_list_is_told_and_ignored() {
    let mut stage = stage();
    let pairs = pairs(&stage, ANNA);
    let asked_now = ask(&mut stage, delete_in_crm, &pairs[..LIST]);
    let mut rows = stage.world.stored();
    let verdict = StoredVerdict {
        token: "00000000deadbeef".to_owned(),
        verdict: Verdict::Approve,
    };
    let row = serde_json::to_vec(&verdict).expect("a verdict is JSON");
    rows.insert(format!("{ROWS}verdict"), row);
    stage.world.set_stored(rows);
    let played = act(&mut stage);
    assert_eq!(played.codes(), ["answer-outdated"]);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    assert_eq!(asked(&played), asked_now);
    let played = act(&mut stage);
    assert!(played.findings.is_empty(), "told once: {played:#?}");
}

// ---- approving ----------------------------------------------------------------------------------

#[test]
fn approved_list_is_carried_out_and_nothing_else() {
    let count = LIST as u64;
    for (name, hand, expected) in [
        (
            "deleted in the CRM",
            delete_in_crm as Hand,
            Some(Kind::GraphDelete),
        ),
        (
            "deleted in the mailbox",
            delete_in_mailbox,
            Some(Kind::FlowfactDelete),
        ),
        ("unmarked", unmark, None),
        ("cleared in the CRM", clear_in_crm, Some(Kind::GraphUpdate)),
        (
            "cleared in the mailbox",
            clear_in_mailbox,
            Some(Kind::FlowfactUpdate),
        ),
    ] {
        for (variant, wait_ms) in [(Variant::AccountField, 0), (Variant::FullRead, DAY_MS)] {
            let mut stage = Scenario::new().ballast(LINKS).stage(variant);
            let pairs = pairs(&stage, ANNA);
            let asked = ask(&mut stage, hand, &pairs[..LIST]);
            answer(&stage, ANNA, &asked.token, Verdict::Approve);
            let page = request(&stage, None, 1).expect("it is still asked");
            assert_eq!(page.verdict, Some(Verdict::Approve));
            stage.world.advance_ms(wait_ms);
            // A preview says what the answer will do, and leaves it to the pass.
            let preview = stage.pass_in(ANNA, Mode::Preview);
            assert_eq!(preview.operations.len(), LIST, "{name}");
            assert_eq!(ending(&preview.report.outcome), Ending::Complete);
            let played = complete(&mut stage, name);
            let expected: Vec<_> = expected.iter().map(|kind| (*kind, count)).collect();
            assert_eq!(written(&played), expected, "{name}");
            assert_eq!(played.operations.len(), LIST, "{name}: {played:#?}");
            assert!(played.findings.is_empty(), "{name}: {played:#?}");
            stage.check_quiet(name);
        }
    }
}

/// A day's limit is not used up by what a person has looked at.
#[test]
fn what_was_approved_does_not_count() {
    for hand in [delete_in_crm as Hand, delete_in_mailbox, clear_in_mailbox] {
        let mut stage = stage();
        let pairs = pairs(&stage, ANNA);
        let asked = ask(&mut stage, hand, &pairs[..LIST]);
        answer(&stage, ANNA, &asked.token, Verdict::Approve);
        complete(&mut stage, "approved");
        for ids in &pairs[LIST..LIST + 10] {
            hand(&stage, ids);
        }
        let played = complete(&mut stage, "as many as the limit");
        assert_eq!(writes(&played.counters).into_values().sum::<u64>(), 10);
    }
}

#[test]
fn what_was_not_listed_is_not_covered() {
    for (more, is_asked) in [(3, false), (LIST, true)] {
        let mut stage = stage();
        let pairs = pairs(&stage, ANNA);
        let first = ask(&mut stage, delete_in_crm, &pairs[..LIST]);
        answer(&stage, ANNA, &first.token, Verdict::Approve);
        for ids in &pairs[LIST..LIST + more] {
            delete_in_crm(&stage, ids);
        }
        stage.world.advance_ms(60_000);
        let played = act(&mut stage);
        let expected = if is_asked { LIST } else { LIST + more };
        assert_eq!(written(&played), [(Kind::GraphDelete, expected as u64)]);
        if is_asked {
            let second = asked(&played);
            assert_ne!(second.token, first.token);
            assert_eq!(second.entries(), more);
            let listed = request(&stage, None, 100).expect("something is asked");
            assert_eq!(listed.entries.len(), more);
            answer(&stage, ANNA, &second.token, Verdict::Approve);
            complete(&mut stage, "the second list");
        }
        assert_eq!(stage.world.mailbox_ids(ANNA).len(), LINKS - LIST - more);
        stage.check_quiet("two lists");
    }
}

#[test]
fn entry_that_was_edited_meanwhile_drops_out_and_is_told_once() {
    // The edit outlives the deletion.
    let mut stage = stage();
    let pairs = pairs(&stage, ANNA);
    let asked = ask(&mut stage, delete_in_crm, &pairs[..LIST]);
    answer(&stage, ANNA, &asked.token, Verdict::Approve);
    let edit = json!({"jobTitle": "Leitung"});
    stage.world.mailbox_edit(ANNA, &pairs[0].1, &edit);
    stage.world.advance_ms(60_000);
    let played = complete(&mut stage, "edited");
    assert_eq!(played.codes(), ["approval-dropped"]);
    assert_eq!(
        writes(&played.counters).get(&Kind::GraphDelete),
        Some(&(LIST as u64 - 1))
    );
    let fields = stage.world.crm_fields(&pairs[0].0).expect("it is back");
    assert_eq!(fields["position"], json!(["Leitung"]));
    stage.check_quiet("edited");
}

/// What would be lost is another value than the one that was shown: asked again.
#[test]
fn entry_whose_value_changed_meanwhile_drops_out() {
    let mut stage = with_policy(|policy| {
        policy.delete_edit = DeleteEdit::Delete;
        policy.guard = NONE;
    });
    let pairs = pairs(&stage, ANNA);
    let first = ask(&mut stage, delete_in_crm, &pairs[..2]);
    answer(&stage, ANNA, &first.token, Verdict::Approve);
    let edit = json!({"jobTitle": "Leitung"});
    stage.world.mailbox_edit(ANNA, &pairs[0].1, &edit);
    stage.world.advance_ms(60_000);
    let played = act(&mut stage);
    assert_eq!(played.codes(), ["approval-dropped"]);
    assert_eq!(written(&played), [(Kind::GraphDelete, 1)]);
    assert_eq!(asked(&played).entries(), 1);
    assert_eq!(
        stage.world.mailbox_place(ANNA, &pairs[0].1),
        Place::Contacts
    );
}

/// An edit between the reading and the writing of the very pass.
#[test]
fn entry_that_is_edited_while_the_pass_runs_is_not_carried_out() {
    let mut stage = with_policy(|policy| {
        policy.delete_edit = DeleteEdit::Delete;
        policy.guard = NONE;
    });
    let pairs = pairs(&stage, ANNA);
    let asked = ask(&mut stage, delete_in_mailbox, &pairs[..1]);
    answer(&stage, ANNA, &asked.token, Verdict::Approve);
    let edit = |stage: &Stage| {
        let fields = json!({"position": ["Leitung"]});
        stage.world.crm_edit(&pairs[0].0, &fields);
    };
    let outside = stage.outside();
    let mut pass = contact_sync_guest::pass::open(stage.job(ANNA), Mode::Sync, outside)
        .expect("the job is sound");
    let mut is_edited = false;
    loop {
        use contact_sync_guest::pass::Step;
        use contact_sync_guest::report::Phase;
        match pass.advance() {
            Step::Working(now) if now.phase == Phase::Execute && !is_edited => {
                edit(&stage);
                is_edited = true;
            }
            Step::Working(_) => {}
            Step::Waiting(ms, _) => stage.world.advance_ms(i64::from(ms)),
            Step::Done(_) => break,
        }
    }
    assert!(is_edited);
    assert!(stage.world.crm_ids().contains(&pairs[0].0));
    stage.world.advance_ms(PAUSE_MS);
    let played = act(&mut stage);
    assert_eq!(played.codes(), ["approval-dropped"], "{played:#?}");
    assert!(stage.world.crm_ids().contains(&pairs[0].0));
}

/// Everything is asked for.
const NONE: GuardLimits = GuardLimits {
    contacts_max: 0,
    contacts_percent_max: 0,
};

fn refused(status: u16) -> Fault {
    Fault::Refused {
        status,
        retry_after_s: None,
        body: String::new(),
    }
}

/// What a service refuses for one contact keeps its answer: nobody is asked twice.
#[test]
fn answer_outlives_a_refusal_of_one_contact() {
    for verdict in [Verdict::Approve, Verdict::Reject] {
        let mut stage = with_policy(|policy| policy.guard = NONE);
        let pairs = pairs(&stage, ANNA);
        let (hand, matcher) = match verdict {
            Verdict::Approve => {
                let matcher = Matcher::of(Method::Delete, &pairs[0].0);
                (delete_in_mailbox as Hand, matcher)
            }
            Verdict::Reject => (delete_in_crm as Hand, Matcher::of(Method::Post, "recover")),
        };
        let asked = ask(&mut stage, hand, &pairs[..2]);
        answer(&stage, ANNA, &asked.token, verdict);
        stage.world.services(|services, _| {
            services.faults.script(matcher, 0, 1, refused(403));
        });
        let played = act(&mut stage);
        let code = match verdict {
            Verdict::Approve => "refused",
            Verdict::Reject => "cannot-be-restored",
        };
        assert_eq!(played.codes(), [code], "{played:#?}");
        stage.world.services(|services, _| services.faults.clear());
        stage.world.advance_ms(DAY_MS);
        let played = complete(&mut stage, "later");
        assert!(played.findings.is_empty(), "{verdict:?}: {played:#?}");
        let (crm, mailbox) = (
            stage.world.crm_ids().len(),
            stage.world.mailbox_ids(ANNA).len(),
        );
        let left = match verdict {
            Verdict::Approve => LINKS - 2,
            Verdict::Reject => LINKS,
        };
        assert_eq!((crm, mailbox), (left, left), "{verdict:?}");
        stage.check_quiet("refused once");
    }
}

// ---- rejecting ----------------------------------------------------------------------------------

/// A rejection in this world: the pass after it, checked for what it leaves.
fn reject(policy: fn(&mut Policy), hand: Hand) -> (Stage, Vec<Ids>, Played) {
    let mut stage = with_policy(policy);
    let pairs = pairs(&stage, ANNA)[..LIST].to_vec();
    let asked = ask(&mut stage, hand, &pairs);
    answer(&stage, ANNA, &asked.token, Verdict::Reject);
    let played = complete(&mut stage, "rejected");
    let mut told = played.codes();
    // What is created again lacks what only the mailbox held.
    told.retain(|code| *code != "created-again-in-mailbox");
    assert!(told.is_empty(), "{played:#?}");
    (stage, pairs, played)
}

/// Everything is on both sides, marked and linked, and stays so.
fn all_are_there(stage: &mut Stage, context: &str) {
    assert_eq!(stage.world.crm_ids().len(), LINKS, "{context}");
    assert_eq!(stage.world.mailbox_ids(ANNA).len(), LINKS, "{context}");
    for link in stage.links(ANNA) {
        assert!(link.is_linked(), "{context}: {link:?}");
        let fields = stage.world.crm_fields(link.crm_id.as_str());
        let fields = fields.expect("it is in the CRM");
        assert_ne!(fields.get("emails"), None, "{context}: {fields}");
        let contact = stage.world.mailbox_contact(ANNA, link.mailbox_id.as_str());
        let contact = contact.expect("it is in the mailbox");
        assert_ne!(contact["emailAddresses"], json!([]), "{context}: {contact}");
        let markers = stage.world.crm_markers(link.crm_id.as_str());
        assert_eq!(markers, [ANNA], "{context}");
    }
    stage.check_quiet(context);
}

#[test]
fn rejected_deletion_in_the_mailbox_creates_the_contacts_there_again() {
    for policy in [(|_| {}) as fn(&mut Policy), |policy| {
        policy.on_mailbox_delete = OnMailboxDelete::Unmark;
    }] {
        let (mut stage, pairs, played) = reject(policy, delete_in_mailbox);
        assert_eq!(written(&played), [(Kind::GraphCreate, LIST as u64)]);
        for (crm, _) in &pairs {
            assert!(stage.world.crm_ids().contains(crm));
        }
        all_are_there(&mut stage, "deleted in the mailbox");
    }
}

#[test]
fn rejected_deletion_in_the_crm_restores_the_contacts_under_their_own_ids() {
    for policy in [(|_| {}) as fn(&mut Policy), |policy| {
        policy.on_crm_delete = OnCrmDelete::KeepInMailbox;
    }] {
        let (mut stage, pairs, played) = reject(policy, delete_in_crm);
        assert_eq!(written(&played), [(Kind::FlowfactRestore, LIST as u64)]);
        for (crm, mailbox) in &pairs {
            assert!(stage.world.crm_ids().contains(crm));
            assert_eq!(stage.world.mailbox_place(ANNA, mailbox), Place::Contacts);
        }
        all_are_there(&mut stage, "deleted in the CRM");
    }
}

#[test]
fn rejected_unmarking_sets_the_marker_again() {
    for policy in [(|_| {}) as fn(&mut Policy), |policy| {
        policy.on_unmark = OnUnmark::DeleteFromMailbox;
    }] {
        let (mut stage, _, played) = reject(policy, unmark);
        assert_eq!(writes(&played.counters).get(&Kind::GraphDelete), None);
        all_are_there(&mut stage, "unmarked");
    }
}

#[test]
fn rejected_clearing_fills_the_field_again_where_it_vanished() {
    let (mut stage, _, played) = reject(|_| {}, clear_in_crm);
    assert_eq!(written(&played), [(Kind::FlowfactUpdate, LIST as u64)]);
    all_are_there(&mut stage, "cleared in the CRM");
    let (mut stage, _, played) = reject(|_| {}, clear_in_mailbox);
    assert_eq!(written(&played), [(Kind::GraphUpdate, LIST as u64)]);
    all_are_there(&mut stage, "cleared in the mailbox");
}

/// A rejection is about the contact, whatever has become of it since.
#[test]
fn rejected_deletion_is_not_carried_out_because_of_an_edit() {
    let mut stage = with_policy(|policy| {
        policy.delete_edit = DeleteEdit::Delete;
        policy.guard = NONE;
    });
    let pairs = pairs(&stage, ANNA);
    let asked = ask(&mut stage, delete_in_mailbox, &pairs[..1]);
    answer(&stage, ANNA, &asked.token, Verdict::Reject);
    let edit = json!({"position": ["Leitung"]});
    stage.world.crm_edit(&pairs[0].0, &edit);
    stage.world.advance_ms(60_000);
    let played = complete(&mut stage, "edited");
    assert_eq!(written(&played), [(Kind::GraphCreate, 1)]);
    all_are_there(&mut stage, "edited");
}

/// Gone for good in the CRM: nothing is rebuilt from the mailbox's poorer copy, nothing is deleted,
/// and it stays so although the answer is long consumed.
#[test]
fn rejected_deletion_of_a_purged_contact_is_held() {
    for (policy, code) in [
        (
            (|policy| policy.guard = NONE) as fn(&mut Policy),
            "vanished-in-crm",
        ),
        (
            |policy| {
                policy.guard = NONE;
                policy.crm_not_found = CrmNotFound::Deleted;
            },
            "rejected-not-restorable",
        ),
    ] {
        let mut stage = with_policy(policy);
        let pairs = pairs(&stage, ANNA);
        let asked = ask(&mut stage, delete_in_crm, &pairs[..2]);
        answer(&stage, ANNA, &asked.token, Verdict::Reject);
        stage.world.crm_purge(&pairs[0].0);
        let played = act(&mut stage);
        assert_eq!(played.codes(), [code], "{played:#?}");
        assert_eq!(written(&played), [(Kind::FlowfactRestore, 1)]);
        for wait_ms in [PAUSE_MS, DAY_MS, DAY_MS] {
            stage.world.advance_ms(wait_ms);
            let played = act(&mut stage);
            assert!(written(&played).is_empty(), "{code}: {played:#?}");
            assert!(played.findings.is_empty(), "{code}: told once");
            assert_eq!(ending(&played.report.outcome), Ending::Complete);
        }
        assert_eq!(stage.pending(ANNA), [code]);
        let place = stage.world.mailbox_place(ANNA, &pairs[0].1);
        assert_eq!(place, Place::Contacts, "{code}");
    }
}

// ---- crashes, several mailboxes, long lists -----------------------------------------------------

/// Wherever the pass after an answer dies, the next one comes to the same end, and nobody is asked
/// again.
#[test]
fn answered_pass_that_dies_at_any_step_is_taken_up() {
    let hands: [Hand; 3] = [delete_in_crm, delete_in_mailbox, clear_in_mailbox];
    for verdict in [Verdict::Approve, Verdict::Reject] {
        let answered = || {
            let scenario = Scenario::new()
                .ballast(20)
                .policy(|policy| policy.guard = NONE);
            let mut stage = scenario.stage(Variant::AccountField);
            let pairs = pairs(&stage, ANNA);
            for (hand, ids) in hands.iter().zip(&pairs) {
                hand(&stage, ids);
            }
            let asked = ask(&mut stage, |_, _| {}, &[]);
            assert_eq!(asked.entries(), 3);
            answer(&stage, ANNA, &asked.token, verdict);
            stage
        };
        let mut whole = answered();
        let before = whole.world.steps();
        complete(&mut whole, "whole");
        let steps = whole.world.steps() - before;
        let expected = snapshot(&whole.world);
        for step in 0..steps {
            let context = format!("{verdict:?}, step {step} of {steps}");
            let mut stage = answered();
            let job = stage.job(ANNA);
            stage.world.crash_after(step);
            let crashed = stage.world.run(|| play(&stage.world, job, Mode::Sync));
            assert!(crashed.is_err(), "{context}");
            for _ in 0..3 {
                stage.world.advance_ms(PAUSE_MS);
                let played = stage.pass(ANNA);
                let end = ending(&played.report.outcome);
                assert_eq!(end, Ending::Complete, "{context}: {played:#?}");
            }
            assert_eq!(snapshot(&stage.world), expected, "{context}");
            nothing_is_left(&stage, &context);
        }
    }
}

/// An answer is one mailbox's. What one brings back under its own id comes back in the other too.
#[test]
fn each_mailbox_has_its_own_list_and_answer() {
    let person = || {
        crm(
            "erika",
            &[ANNA, BERND],
            json!({"firstName": ["Erika"], "lastName": ["Muster"],
                   "emails": ["erika@muster.example"]}),
        )
    };
    let mut stage = Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .ballast(20)
        .before([person()])
        .policy(|policy| policy.guard = NONE)
        .stage(Variant::AccountField);
    let (id, in_bernd) = (stage.crm_id("erika"), stage.mailbox_id(BERND, "erika"));
    stage.world.crm_delete(&id);
    stage.world.advance_ms(60_000);
    let of_anna = asked(&stage.pass(ANNA));
    let of_bernd = asked(&stage.pass(BERND));
    assert_ne!(of_anna.token, of_bernd.token);
    let (job, outside) = (stage.job(BERND), stage.outside());
    let crossed = approval::answer(&job, &outside, &of_anna.token, Verdict::Approve);
    assert!(matches!(crossed, Err(Failure::NotFound(_))));
    stage.world.services(|services, _| services.take_counters());
    answer(&stage, ANNA, &of_anna.token, Verdict::Approve);
    complete(&mut stage, "approved for Anna");
    let played = stage.pass(BERND);
    assert_eq!(asked(&played), of_bernd);
    assert_eq!(stage.world.mailbox_place(BERND, &in_bernd), Place::Contacts);

    stage.world.services(|services, _| services.take_counters());
    answer(&stage, BERND, &of_bernd.token, Verdict::Reject);
    let played = stage.pass(BERND);
    assert_eq!(ending(&played.report.outcome), Ending::Complete);
    assert!(stage.world.crm_ids().contains(&id));
    stage.world.advance_ms(PAUSE_MS);
    let played = act(&mut stage);
    assert_eq!(written(&played), [(Kind::GraphCreate, 1)], "{played:#?}");
    stage.check_quiet("both");
}

/// More entries than a commit has writes or a step has tasks.
#[test]
fn long_list_is_asked_and_answered_whole() {
    const MANY: usize = 1_100;
    let mut stage = Scenario::new()
        .ballast(MANY + 100)
        .world(|builder| builder.graph(|quirks| quirks.requests_per_ten_minutes_max = None))
        .stage(Variant::AccountField);
    let pairs = pairs(&stage, ANNA);
    let asked = ask(&mut stage, delete_in_crm, &pairs[..MANY]);
    assert_eq!(asked.entries(), MANY);
    let last = request(&stage, Some(&format!("{}:1024", asked.token)), 1_000);
    assert_eq!(last.map(|page| page.entries.len()), Some(MANY - 1_024));
    answer(&stage, ANNA, &asked.token, Verdict::Approve);
    let played = complete(&mut stage, "long");
    assert_eq!(written(&played), [(Kind::GraphDelete, MANY as u64)]);
    assert_eq!(stage.world.mailbox_ids(ANNA).len(), 100);
}

// ---- cautions -----------------------------------------------------------------------------------

/// A mailbox that was switched off: everything is asked for until its list is answered, and then no
/// more.
#[test]
fn caution_is_lifted_by_an_answer_only() {
    for verdict in [Verdict::Approve, Verdict::Reject] {
        let mut stage = stage();
        setup::suspend(&stage.job(ANNA), &stage.outside()).expect("the job is sound");
        let pairs = pairs(&stage, ANNA);
        let first = ask(&mut stage, delete_in_crm, &pairs[..1]);
        assert_eq!((first.reason.as_str(), first.entries()), ("switched-on", 1));
        // Nobody has answered: whatever else is deleted is asked for too.
        let second = ask(&mut stage, delete_in_mailbox, &pairs[1..2]);
        assert_eq!(
            (second.reason.as_str(), second.entries()),
            ("switched-on", 2)
        );
        answer(&stage, ANNA, &second.token, verdict);
        complete(&mut stage, "answered");
        delete_in_crm(&stage, &pairs[2]);
        stage.world.advance_ms(60_000);
        let played = complete(&mut stage, "afterwards");
        assert_eq!(written(&played), [(Kind::GraphDelete, 1)], "{played:#?}");
    }
}

/// Also where the feeds show it, and where the limits would let it pass; and it stays a question
/// although the next pass has no news of it.
#[test]
fn side_that_shows_nothing_is_asked_about_until_somebody_answers() {
    for (hand, kind) in [
        (delete_in_mailbox as Hand, Kind::FlowfactDelete),
        (delete_in_crm, Kind::GraphDelete),
    ] {
        for wait_ms in [60_000, DAY_MS] {
            let mut stage = with_policy(|policy| policy.guard.contacts_max = 1_000);
            let pairs = pairs(&stage, ANNA);
            for ids in &pairs {
                hand(&stage, ids);
            }
            stage.world.advance_ms(wait_ms);
            for _ in 0..3 {
                let played = act(&mut stage);
                let asked = asked(&played);
                assert_eq!(asked.reason, "side-empty", "{kind:?}");
                assert_eq!(asked.entries(), LINKS, "{kind:?}");
                assert!(written(&played).is_empty(), "{kind:?}: {played:#?}");
            }
            let asked = asked(&act(&mut stage));
            answer(&stage, ANNA, &asked.token, Verdict::Approve);
            let played = complete(&mut stage, "approved");
            assert_eq!(written(&played), [(kind, LINKS as u64)]);
            stage.check_quiet("empty");
        }
    }
}

/// An approval is of what was asked then: a mailbox that was switched off or has moved since is
/// asked about anew.
#[test]
fn approval_is_void_once_the_mailbox_was_switched_off_or_has_moved() {
    for switch in [setup::suspend, setup::rebind] {
        let mut stage = with_policy(|_| {});
        let pairs = pairs(&stage, ANNA)[..LIST].to_vec();
        let first = ask(&mut stage, delete_in_mailbox, &pairs);
        answer(&stage, ANNA, &first.token, Verdict::Approve);
        switch(&stage.job(ANNA), &stage.outside()).expect("it is known");
        let played = act(&mut stage);
        assert_eq!(asked(&played).entries(), first.entries());
        assert!(written(&played).is_empty(), "{played:#?}");
    }
}

/// One contact that is back does not make the others' deletion credible.
#[test]
fn side_that_shows_little_again_is_still_asked_about() {
    let mut stage = with_policy(|policy| policy.guard.contacts_max = 1_000);
    let pairs = pairs(&stage, ANNA);
    let first = ask(&mut stage, delete_in_crm, &pairs);
    assert_eq!(first.entries(), LINKS);
    stage.world.crm_restore(&pairs[0].0);
    stage.world.advance_ms(60_000);
    let played = act(&mut stage);
    let second = asked(&played);
    assert_eq!(
        (second.reason.as_str(), second.entries()),
        ("side-empty", LINKS - 1)
    );
    assert!(written(&played).is_empty(), "{played:#?}");
    // Once all are back there is nothing to answer.
    for (crm, _) in &pairs[1..] {
        stage.world.crm_restore(crm);
    }
    stage.world.advance_ms(60_000);
    let played = complete(&mut stage, "all back");
    assert!(written(&played).is_empty(), "{played:#?}");
    all_are_there(&mut stage, "all back");
}

/// Pairs are remembered, but not what they were last seen with.
#[test]
fn destruction_after_lost_memory_is_asked_for() {
    let mut stage = stage();
    let mut rows = stage.world.stored();
    rows.remove(&format!("{ROWS}state"));
    stage.world.set_stored(rows);
    let pairs = pairs(&stage, ANNA);
    let asked = ask(&mut stage, delete_in_mailbox, &pairs[..1]);
    assert_eq!((asked.reason.as_str(), asked.entries()), ("memory-lost", 1));
    assert_eq!(asked.links, u32::try_from(LINKS).expect("few"));
    answer(&stage, ANNA, &asked.token, Verdict::Reject);
    let played = complete(&mut stage, "rejected");
    assert_eq!(written(&played), [(Kind::GraphCreate, 1)]);
    all_are_there(&mut stage, "lost memory");
}

// ---- what the guard did not see -----------------------------------------------------------------

fn clear_in_mailbox_and_delete_in_crm(stage: &Stage, ids: &Ids) {
    let edit = json!({"emailAddresses": [], "jobTitle": "Leitung"});
    stage.world.mailbox_edit(ANNA, &ids.1, &edit);
    stage.world.crm_delete(&ids.0);
}

fn emails(stage: &Stage, ids: &Ids) -> Value {
    let fields = stage.world.crm_fields(&ids.0).expect("it is in the CRM");
    fields.get("emails").cloned().unwrap_or(Value::Null)
}

/// What follows a restoring counts like any other emptying.
#[test]
fn what_a_merge_empties_after_a_restoring_is_held_back_too() {
    let mut stage = stage();
    let pairs = pairs(&stage, ANNA);
    for ids in &pairs[..LIST] {
        clear_in_mailbox_and_delete_in_crm(&stage, ids);
    }
    stage.world.advance_ms(60_000);
    let played = act(&mut stage);
    let asked = asked(&played);
    assert_eq!((asked.emptied as usize, asked.entries()), (LIST, LIST));
    for ids in &pairs[..LIST] {
        assert_ne!(emails(&stage, ids), Value::Null);
        let fields = stage.world.crm_fields(&ids.0).expect("it is in the CRM");
        assert_eq!(fields["position"], json!(["Leitung"]));
    }
    let again = act(&mut stage);
    let asked = self::asked(&again);
    assert_eq!(asked.emptied as usize, LIST);
    assert!(written(&again).is_empty(), "{again:#?}");
    answer(&stage, ANNA, &asked.token, Verdict::Approve);
    complete(&mut stage, "approved");
    for ids in &pairs[..LIST] {
        assert_eq!(emails(&stage, ids), Value::Null);
    }
    stage.check_quiet("restored and cleared");
}

/// The record in the trash is another than the base: what it would take from the mailbox was not
/// planned, and is asked for once it is known.
#[test]
fn what_only_the_trash_knows_is_not_carried_out_unasked() {
    let mut stage = with_policy(|policy| policy.guard = NONE);
    let pairs = pairs(&stage, ANNA);
    let ids = &pairs[0];
    clear_in_crm(&stage, ids);
    stage.world.crm_delete(&ids.0);
    let edit = json!({"jobTitle": "Leitung"});
    stage.world.mailbox_edit(ANNA, &ids.1, &edit);
    stage.world.advance_ms(60_000);
    let played = act(&mut stage);
    assert_eq!(ending(&played.report.outcome), Ending::Complete);
    assert!(played.report.more, "the rest is the next pass's");
    let fields = stage.world.crm_fields(&ids.0).expect("it is in the CRM");
    assert_eq!(fields["position"], json!(["Leitung"]));
    let contact = |stage: &Stage| {
        let contact = stage.world.mailbox_contact(ANNA, &ids.1);
        contact.expect("it is in the mailbox")
    };
    assert_ne!(contact(&stage)["emailAddresses"], json!([]));
    let asked = asked(&act(&mut stage));
    assert_eq!((asked.emptied, asked.entries()), (1, 1));
    assert_ne!(contact(&stage)["emailAddresses"], json!([]));
    answer(&stage, ANNA, &asked.token, Verdict::Reject);
    complete(&mut stage, "rejected");
    all_are_there(&mut stage, "rejected");
}
