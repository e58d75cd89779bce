//! Engines that do something wrong on purpose: a simulation that cannot fail proves nothing.
//!
//! The wrong is done between the engine and the outside, so that the engine itself stays as it is.

use std::rc::Rc;

use contact_sync_guest::outside::{
    Method, Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp, Write,
};

use crate::simulator::World;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Updates of CRM contacts never arrive, and are answered as if they had.
    LosesCrmUpdates,
    /// Updates of mailbox contacts lose what they say of phones.
    LosesPhones,
    /// Nothing of what is deleted or overwritten is kept.
    NoJournal,
    /// Links are not remembered.
    NoLinks,
    /// Writes name no version.
    NoVersions,
}

/// The outside with something wrong in it.
pub(super) struct Sabotaged {
    world: Rc<World>,
    sabotage: Sabotage,
}

impl Sabotaged {
    pub(super) fn new(world: Rc<World>, sabotage: Sabotage) -> Self {
        Self { world, sabotage }
    }

    fn spoil(&self, mut request: Request) -> Request {
        match self.sabotage {
            Sabotage::LosesCrmUpdates
                if request.method == Method::Patch && request.url.contains("/flowfact/") =>
            {
                request.method = Method::Get;
                request.body = None;
            }
            Sabotage::LosesPhones => {
                request.body = request.body.map(|body| {
                    let text = String::from_utf8_lossy(&body);
                    let mut text = text.replace("\"businessPhones\"", "\"imAddresses\"");
                    if text.contains("<m:UpdateItem") {
                        text = text.replace("\"BusinessPhone\"", "\"CarPhone\"");
                    }
                    text.into_bytes()
                });
            }
            Sabotage::NoVersions => {
                request.headers.retain(|(name, _)| name != "if-match");
                request.body = request.body.map(|body| {
                    let text = String::from_utf8_lossy(&body);
                    text.replace("\"If-Match\"", "\"x-nothing\"")
                        .replace("\"if-match\"", "\"x-nothing\"")
                        .replace("\"NeverOverwrite\"", "\"AlwaysOverwrite\"")
                        .into_bytes()
                });
            }
            _ => {}
        }
        request
    }

    fn keeps(&self, write: &Write) -> bool {
        let (Write::Set(key, _) | Write::Delete(key)) = write;
        let folder = match self.sabotage {
            Sabotage::NoJournal => "/journal/",
            Sabotage::NoLinks => "/pair/",
            _ => return true,
        };
        !key.contains(folder)
    }
}

impl Outside for Sabotaged {
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        let requests = requests.into_iter().map(|request| self.spoil(request));
        self.world.send(requests.collect())
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

    fn commit(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        writes.retain(|write| self.keeps(write));
        self.world.commit(writes)
    }
}
