//! How long a sandbox computes.
//!
//! A step's time runs while it waits for a service as well; computing is what takes a core from
//! others. It is the time inside the polls of a call: running code hands over at every tick, and
//! whoever waits is not polled.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// What a call comes to, or `None` once `computed` has grown beyond `max` and it is not done yet.
pub(super) async fn metered<T>(
    call: impl Future<Output = T>,
    computed: &mut Duration,
    max: Duration,
) -> Option<T> {
    let mut call = pin!(call);
    poll_fn(|context| {
        let begun = Instant::now();
        let polled = call.as_mut().poll(context);
        *computed += begun.elapsed();
        match polled {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if *computed > max => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
