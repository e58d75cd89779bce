//! A server on this machine for tests: answers by a closure, remembers what it was asked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::store::Clock;

type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Loopback {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Loopback {
    /// A server that answers at once.
    pub(crate) async fn start(
        answer: impl Fn(&Asked) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::start_slow(move |asked| {
            let answer = answer(&asked);
            Box::pin(async { answer })
        })
        .await
    }

    /// A server that answers when it likes.
    pub(crate) async fn start_slow(
        answer: impl Fn(Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                let service = service_fn(move |request| {
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    async move {
                        let asked = read(request).await?;
                        seen.lock().unwrap().push(asked.clone());
                        Ok::<_, hyper::Error>(answer(asked).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, asked }
    }

    /// Everything that arrived so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests had this path.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked()
            .iter()
            .filter(|asked| asked.path == path)
            .count()
    }

    /// Its base address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

pub(crate) async fn read(request: Request<Incoming>) -> Result<Asked, hyper::Error> {
    let (head, body) = request.into_parts();
    Ok(Asked {
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

/// An answer of this status and body.
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

/// A clock that the test turns.
pub(crate) fn hand_clock() -> (Clock, Arc<AtomicU64>) {
    let now_ms = Arc::new(AtomicU64::new(1_800_000_000_000));
    let read = Arc::clone(&now_ms);
    (Arc::new(move || read.load(Ordering::SeqCst)), now_ms)
}
