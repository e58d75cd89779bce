//! Somebody between an engine and its world: a proxy, a bug of a gateway, an attacker.

use super::World;
use contact_sync_guest::outside::{
    Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp, Write,
};
use std::rc::Rc;

/// What becomes of an answer.
type Meddling = dyn Fn(&Request, Response) -> Result<Response, SendError>;

/// A world whose answers something on the way changes.
pub struct Meddled {
    world: Rc<World>,
    meddle: Box<Meddling>,
}

impl Meddled {
    /// Everything goes to this world, and each answer through `meddle`.
    pub fn new(
        world: &Rc<World>,
        meddle: impl Fn(&Request, Response) -> Result<Response, SendError> + 'static,
    ) -> Self {
        Self {
            world: Rc::clone(world),
            meddle: Box::new(meddle),
        }
    }
}

impl Outside for Meddled {
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let answers = self.world.send(requests.clone());
        requests
            .iter()
            .zip(answers)
            .map(|(request, answer)| (self.meddle)(request, answer?))
            .collect()
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn sleep(&self, wait_ms: u32) {
        self.world.sleep(wait_ms);
    }

    fn random(&self) -> u64 {
        self.world.random()
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.world.get_many(keys)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError> {
        self.world.scan(prefix, after, entries_max)
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.world.commit(writes)
    }
}
