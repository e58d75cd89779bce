//! What a guest may make the host keep in its memory, and write into its log.

use super::super::held::HELD_BYTES_MAX;
use super::*;

const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Answers that are never let go are counted, and the one too many is refused; what is let go makes
/// room.
#[tokio::test]
async fn answers_that_are_held_are_counted() {
    let whole = Bytes::from(vec![b' '; ANSWER_BYTES]);
    let setup = setup(Writing::Allowed, move |_| answer(200, whole.clone())).await;
    let ask = async || {
        let request = setup.request("GET", CONTACTS, "");
        let mut hooks = setup.egress.clone();
        let sent = hooks.send_request(request, None, Box::new(async { Ok(()) }));
        Pin::from(sent).await
    };
    let mut held = Vec::new();
    for _ in 0..HELD_BYTES_MAX / ANSWER_BYTES {
        held.push(ask().await.ok().unwrap());
    }
    for _ in 0..2 {
        let refused = ask().await.err();
        assert!(
            matches!(refused, Some(Error::HttpResponseBodySize(Some(_)))),
            "{refused:?}"
        );
    }
    let (one, _) = held.pop().unwrap();
    let whole = one.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole.len(), ANSWER_BYTES);
    assert!(ask().await.is_ok(), "there is room again");
}

/// Only the bodies of requests in flight are read: whoever sends a thousand waits with the rest.
#[tokio::test]
async fn bodies_wait_for_their_turn() {
    struct Counted(Arc<AtomicUsize>);
    impl futures_core::Stream for Counted {
        type Item = Result<Frame<Bytes>, Error>;
        fn poll_next(
            self: Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::task::Poll::Pending
        }
    }
    let setup = setup(Writing::Allowed, |_| answer(200, "{}")).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let mut request = setup.request("POST", CONTACTS, "");
            *request.body_mut() = StreamBody::new(Counted(Arc::clone(&begun))).boxed_unsync();
            let mut hooks = setup.egress.clone();
            let sent = hooks.send_request(request, None, Box::new(async { Ok(()) }));
            tokio::spawn(Pin::from(sent))
        })
        .collect();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun.load(Ordering::SeqCst), IN_FLIGHT_MAX);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A denial names what was asked for in a line that a person reads, however long the address was.
#[tokio::test]
async fn denials_are_short() {
    let setup = setup(Writing::Allowed, |_| answer(200, "{}")).await;
    let long = "a".repeat(50_000);
    let mut elsewhere = setup.request("GET", CONTACTS, "");
    *elsewhere.uri_mut() = format!("https://{long}/").parse().unwrap();
    let mut otherwise = setup.request("GET", CONTACTS, "");
    *otherwise.method_mut() = Method::from_bytes(long.as_bytes()).unwrap();
    for request in [elsewhere, otherwise] {
        let denied = setup.send(request).await;
        assert!(matches!(denied, Err(Error::HttpRequestDenied)));
    }
    let noted = setup.egress.noted().denials;
    assert_eq!(noted.len(), 2);
    for denial in noted {
        assert!(denial.len() < 1_000, "{}", denial.len());
    }
    assert_eq!(setup.server.asked().len(), 0);
}

/// What a guest writes behind its body is dropped: no header reaches a service that way.
#[tokio::test]
async fn trailers_stay_here() {
    let setup = setup(Writing::Allowed, |_| answer(200, "{}")).await;
    let mut request = setup.request("POST", CONTACTS, "");
    let mut trailers = HeaderMap::new();
    trailers.insert("cognitotoken", HeaderValue::from_static("forged"));
    let names = HeaderValue::from_static("cognitotoken");
    request.headers_mut().insert("trailer", names);
    let body = wasi_body("{}").with_trailers(async { Some(Ok(trailers)) });
    *request.body_mut() = body.boxed_unsync();
    setup.send(request).await.unwrap();
    let [asked] = setup.served().try_into().unwrap();
    assert_eq!(asked.header("content-length"), Some("2"));
    assert_eq!(
        (asked.header("trailer"), asked.header("transfer-encoding")),
        (None, None)
    );
    assert_eq!(asked.header("cognitotoken"), Some("jwt-1"));
}
