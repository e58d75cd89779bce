//! Smoke.
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::outside::Outside;
use contact_sync_tests::simulator::World;
use serde_json::json;
use std::rc::Rc;

fn run(world: &Rc<World>, address: &str) {
    let mut pass = pass::open(world.job(address), Mode::Sync, Rc::clone(world) as Rc<dyn Outside>).unwrap();
    for _ in 0..10_000 {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(ms, _) => world.advance_ms(i64::from(ms)),
            Step::Done(report) => {
                println!("{report:#?}");
                for operation in pass.operations() { println!("{operation:?}"); }
                for finding in pass.findings() { println!("{finding:?}"); }
                return;
            }
        }
    }
    panic!("no end");
}

#[test]
fn smoke() {
    let world = World::builder().build();
    let a = "anna@makler.example";
    let id = world.crm_create(&json!({"firstName": ["Änne"], "lastName": ["Kraft"], "emails": ["aenne@example.de"], "phones": [{"type":"office","number":"0221 / 88 99-0"}]}));
    world.crm_mark(&id, a);
    world.mailbox_create(a, &json!({"givenName": "Bodo", "surname": "Balz", "emailAddresses": [{"address":"bodo@example.de","name":"Bodo"}], "businessPhones": ["0221 123456"]}));
    run(&world, a);
    println!("{:?} {:?}", world.crm_ids(), world.mailbox_ids(a));
    for id in world.crm_ids() { println!("{}", world.crm_fields(&id).unwrap()); }
    for id in world.mailbox_ids(a) { println!("{}", world.mailbox_contact(a, &id).unwrap()); }
    world.advance_ms(600_000);
    println!("---- second");
    run(&world, a);
    println!("---- third");
    world.advance_ms(600_000);
    run(&world, a);
}
