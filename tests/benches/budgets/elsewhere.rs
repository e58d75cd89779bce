//! A world on a thread of its own: what the services and the store cost is not counted for the
//! engine.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use contact_sync_guest::outside::{
    Outside, Request, Response, ScanPage, SendError, StoreError, Timestamp, Write,
};
use contact_sync_tests::simulator::{World, WorldBuilder};
use rustix::time::{ClockId, clock_gettime};

type Errand = Box<dyn FnOnce(&Rc<World>) + Send>;

/// The way to a world; it ends with the last of its doors.
#[derive(Clone)]
pub(crate) struct Door(Sender<Errand>);

impl Door {
    /// A door to a new world.
    pub(crate) fn open(builder: WorldBuilder) -> Self {
        let (sender, errands) = mpsc::channel::<Errand>();
        thread::spawn(move || {
            let world = builder.build();
            for errand in errands {
                errand(&world);
            }
        });
        Self(sender)
    }

    /// Does something in the world, and waits for what comes of it.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&Rc<World>) -> T + Send + 'static,
    ) -> T {
        let start = thread_time();
        let (answer, answers) = mpsc::sync_channel(1);
        let errand = move |world: &Rc<World>| {
            let _ = answer.send(errand(world));
        };
        self.0.send(Box::new(errand)).expect("the world goes on");
        let answer = answers.recv().expect("the world answers");
        AWAY.set(AWAY.get() + thread_time().saturating_sub(start));
        answer
    }
}

thread_local! {
    /// What this thread has spent on the ways to worlds and back.
    static AWAY: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The processor time of this thread, less what the ways to worlds have cost it.
pub(crate) fn time_at_home() -> Duration {
    thread_time().saturating_sub(AWAY.get())
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl Outside for Door {
    fn send(&self, requests: Vec<Request>) -> Vec<Result<Response, SendError>> {
        self.ask(|world| world.send(requests))
    }

    fn now(&self) -> Timestamp {
        self.ask(|world| world.now())
    }

    fn sleep(&self, wait_ms: u32) {
        self.ask(move |world| world.sleep(wait_ms));
    }

    fn random(&self) -> u64 {
        self.ask(|world| world.random())
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let keys = keys.to_vec();
        self.ask(move |world| world.get_many(&keys))
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        entries_max: u32,
    ) -> Result<ScanPage, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.ask(move |world| world.scan(&prefix, after.as_deref(), entries_max))
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.ask(move |world| world.commit(writes))
    }
}
