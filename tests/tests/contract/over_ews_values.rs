//! What an Exchange Server's contacts hold, and how: slots with gaps, dates, titles, leftovers.
//!
//! Contract, section 4: on Exchange Server a slot is a place of its own. Goal: values stay where
//! people put them, and what takes no part stays byte for byte as it is.

use contact_sync_tests::simulator::ews::quirks::BirthdayForm;
use serde_json::{Map, Value, json};

use super::stage::{
    ANNA, Edit, PAUSE_MS, Person, Played, Scenario, Stage, State, Variant, crm, outlook,
};

fn numbers(numbers: &[(&str, &str)]) -> Value {
    let phone = |(kind, number): &(&str, &str)| json!({"type": kind, "number": number});
    json!(numbers.iter().map(phone).collect::<Vec<_>>())
}

fn erika(more: &Value) -> Person {
    let mut person = json!({"firstName": ["Erika"], "lastName": ["Muster"],
                            "emails": ["erika@muster.example"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        person[name] = value.clone();
    }
    crm("erika", &[ANNA], person)
}

fn stage_with(person: Person) -> Stage {
    Scenario::new()
        .before([person])
        .stage(Variant::AccountField)
}

fn pass_after(stage: &mut Stage, edit: &Edit) -> Played {
    stage.edit(edit);
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn in_mailbox(stage: &Stage, expected: Value) {
    stage.check("in the mailbox", &State::Outlook(ANNA, "erika", expected));
}

fn in_crm(stage: &Stage, expected: Value) {
    stage.check("in the CRM", &State::Crm("erika", expected));
}

// ---- slots --------------------------------------------------------------------------------------

/// The second number stands alone, and stays in its place through edits on either side.
#[test]
fn second_business_number_alone_keeps_its_place() {
    let imported = json!({"givenName": "Erika", "surname": "Muster",
                          "businessPhones": [null, "+49 221 889902"]});
    let mut stage = stage_with(outlook(ANNA, "erika", imported));
    in_crm(
        &stage,
        json!({"phones": numbers(&[("office", "+49 221 889902")])}),
    );
    let phones = numbers(&[("office", "0221 889955")]);
    pass_after(&mut stage, &Edit::Crm("erika", json!({"phones": phones})));
    in_mailbox(&stage, json!({"businessPhones": [null, "+49 221 889955"]}));
    let edited = json!({"businessPhones": [null, "+49 221 889977"]});
    pass_after(&mut stage, &Edit::Outlook(ANNA, "erika", edited));
    in_crm(
        &stage,
        json!({"phones": numbers(&[("office", "+49 221 889977")])}),
    );
    stage.check_quiet("alone");
}

/// A cleared slot stays empty: what stands in the next one does not move up, whoever clears it.
#[test]
fn clearing_the_first_slot_moves_nothing() {
    let two = json!({"phones": numbers(&[("office", "0221 889901"), ("office", "0221 889902")])});
    let one = numbers(&[("office", "0221 889902")]);
    let cleared_in_outlook = json!({"businessPhones": [null, "+49 221 889902"]});
    for edit in [
        Edit::Outlook(ANNA, "erika", cleared_in_outlook),
        Edit::Crm("erika", json!({ "phones": one })),
    ] {
        let mut stage = stage_with(erika(&two));
        in_mailbox(
            &stage,
            json!({"businessPhones": ["+49 221 889901", "+49 221 889902"]}),
        );
        pass_after(&mut stage, &edit);
        in_mailbox(&stage, json!({"businessPhones": [null, "+49 221 889902"]}));
        in_crm(&stage, json!({ "phones": one }));
        stage.check_quiet("cleared");
    }
}

/// Exchange Server has a place for numbers of no particular kind, and it is no other's.
#[test]
fn number_of_no_particular_kind_stands_in_its_own_slot() {
    let phones = numbers(&[("other", "0221 889901"), ("mobile", "0171 2345678")]);
    let mut stage = stage_with(erika(&json!({ "phones": phones })));
    in_mailbox(
        &stage,
        json!({"otherTelephone": "+49 221 889901", "mobilePhone": "+49 171 2345678",
               "businessPhones": null, "homePhones": null}),
    );
    let edited = json!({"otherTelephone": "+49 221 889977"});
    pass_after(&mut stage, &Edit::Outlook(ANNA, "erika", edited));
    let phones = numbers(&[("other", "+49 221 889977"), ("mobile", "0171 2345678")]);
    in_crm(&stage, json!({ "phones": phones }));
    stage.check_quiet("other");
}

/// What the mailbox contact holds besides the fields of the contract.
fn besides() -> Value {
    json!({
        "assistantPhone": "0221 1", "businessFax": "0221 2", "callback": "0221 3",
        "carPhone": "0221 4", "companyMainPhone": "0221 5", "homeFax": "0221 6", "isdn": "0221 7",
        "otherFax": "0221 8", "pager": "0221 9", "primaryPhone": "0221 10",
        "radioPhone": "0221 11", "telex": "0221 12", "ttyTddPhone": "0221 13",
        "imAddresses": ["im:erika@muster.example"], "nickName": " Eri ", "middleName": "Maria",
        "generation": "jun.", "initials": "E.M.", "spouseName": "Max", "manager": "Moritz",
        "assistantName": "Anton", "officeLocation": "3. Stock", "profession": "Maklerin",
        "categories": ["Kunde", "VIP"], "children": ["Kim"],
    })
}

/// Nineteen kinds of numbers there are, and six take part: the others, messengers, nicknames and
/// notes are as people left them after every field was written that takes part.
#[test]
fn what_takes_no_part_is_left_byte_for_byte() {
    let mut stage = stage_with(erika(&json!({})));
    stage.edit(&Edit::Outlook(ANNA, "erika", besides()));
    let others = |stage: &Stage| {
        let id = stage.handle(ANNA, "erika");
        let held = stage.world.mailbox_contact(ANNA, &id).expect("is there");
        let names = besides();
        let names = names.as_object().expect("an object").keys();
        let part = |name: &String| (name.clone(), held[name].clone());
        names.map(part).collect::<Map<String, Value>>()
    };
    let before = others(&stage);
    for (name, value) in besides().as_object().expect("an object") {
        assert_eq!(before[name], *value, "the stage is set");
    }
    let all = json!({
        "firstName": ["Erica"], "lastName": ["Müster"], "title": ["Dr."], "company": ["Haus"],
        "department": ["Verkauf"], "position": ["Leitung"], "emails": ["erica@muster.example"],
        "website": ["https://muster.example"], "birthday": [318_380_400_i64],
        "phones": numbers(&[("office", "0221 889901"), ("private", "0221 889902"),
                            ("mobile", "0171 2345678"), ("other", "0221 889903")]),
        "addresses": [{"type": "office", "street": "Weg 1", "zipcode": "50667", "city": "Köln"}],
    });
    pass_after(&mut stage, &Edit::Crm("erika", all));
    in_mailbox(
        &stage,
        json!({"givenName": "Erica", "otherTelephone": "+49 221 889903"}),
    );
    assert_eq!(others(&stage), before, "set");
    let none = json!({"title": [], "company": [], "department": [], "position": [], "emails": [],
                      "website": [], "birthday": [], "phones": [], "addresses": []});
    pass_after(&mut stage, &Edit::Crm("erika", none));
    in_mailbox(
        &stage,
        json!({"title": null, "otherTelephone": null, "mobilePhone": null, "birthday": null}),
    );
    assert_eq!(others(&stage), before, "cleared");
    stage.check_quiet("untouched");
}

/// No element writes a title: it goes by its MAPI property, there and back, and is emptied by it.
#[test]
pub(crate) fn title_goes_by_its_property() {
    let mut stage = stage_with(erika(&json!({"title": ["Dr."]})));
    in_mailbox(&stage, json!({"title": "Dr."}));
    pass_after(
        &mut stage,
        &Edit::Outlook(ANNA, "erika", json!({"title": "Prof."})),
    );
    in_crm(&stage, json!({"title": ["Prof."]}));
    pass_after(&mut stage, &Edit::Crm("erika", json!({"title": []})));
    in_mailbox(&stage, json!({"title": null}));
    stage.check_quiet("title");
}

/// An e-mail address that goes takes along what Exchange would leave of it: Outlook would go on
/// showing an entry (php-ews#157).
#[test]
fn removed_address_leaves_no_entry_behind() {
    let mut stage = Scenario::new()
        .world(|world| world.ews(|quirks| quirks.email_name_left_behind = true))
        .before([erika(&json!({}))])
        .stage(Variant::AccountField);
    pass_after(&mut stage, &Edit::Crm("erika", json!({"emails": []})));
    in_mailbox(&stage, json!({"emailAddresses": null}));
    stage.check_quiet("removed");
}

// ---- birthdays ----------------------------------------------------------------------------------

/// A birthday is a day, whichever instant of it the server answers, and before 1970 too.
#[test]
fn birthday_is_a_day_whichever_instant_is_answered() {
    // Midnight in Berlin of 4 March 1950 and of 3 February 1980, as FLOWFACT has it.
    for (instant, day) in [
        (-625_798_800_i64, "1950-03-04"),
        (318_380_400, "1980-02-03"),
    ] {
        for form in [BirthdayForm::AsStored, BirthdayForm::LocalMidnight] {
            let mut stage = Scenario::new()
                .world(move |world| world.ews(|quirks| quirks.birthday = form))
                .before([erika(&json!({"birthday": [instant]}))])
                .stage(Variant::AccountField);
            in_mailbox(&stage, json!({"birthday": format!("{day}T11:59:00Z")}));
            stage.check_quiet("exported");
            let moved = json!({"birthday": format!("{}-05T00:00:00Z", &day[..7])});
            pass_after(&mut stage, &Edit::Outlook(ANNA, "erika", moved));
            let found = stage
                .world
                .crm_fields(&stage.crm_id("erika"))
                .expect("is there");
            let found = found["birthday"][0].as_i64().expect("an instant");
            let days: i64 = if day.starts_with("1950") { 1 } else { 2 };
            assert_eq!(found, instant + days * 86_400, "{form:?}, {day}");
            stage.check_quiet("edited");
        }
    }
}

/// A date that cannot be right is told, and neither copied nor taken for a clearing.
#[test]
fn impossible_birthday_is_told_and_changes_nothing() {
    for impossible in ["4500-12-31T00:00:00Z", "2999-12-31T00:00:00Z"] {
        let instant = 318_380_400_i64;
        let mut stage = stage_with(erika(&json!({"birthday": [instant]})));
        let edit = Edit::Outlook(ANNA, "erika", json!({"birthday": impossible}));
        let played = pass_after(&mut stage, &edit);
        assert_eq!(
            played.codes(),
            ["unreadable-birthday"],
            "{impossible} {played:#?}"
        );
        in_crm(&stage, json!({"birthday": [instant]}));
        in_mailbox(&stage, json!({"birthday": impossible}));
        stage.check_quiet(impossible);
    }
}
