//! The services over HTTP: any client that opens a socket.

use contact_sync_tests::simulator::{Fault, Matcher, Simulator, serve};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use crate::client::{Client, USER};

/// Serves a simulator on a free port for as long as `test` runs.
pub(crate) fn served(test: impl FnOnce(SocketAddr, &Mutex<Simulator>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("tokio");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let simulator = Arc::new(Mutex::new(Client::new().simulator));
    runtime.spawn(serve(listener, Arc::clone(&simulator)));
    test(address, &simulator);
}

/// One request on a connection of its own; all that comes back.
fn send(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\
         \r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    // A connection that breaks is an answer too.
    drop(stream.read_to_string(&mut answer));
    answer
}

#[test]
fn both_services_answer_and_links_lead_back() {
    served(|address, simulator| {
        let answer = send(address, &format!("GET {USER}/contacts/delta"), "");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(
            answer.contains(&format!("http://{address}/graph/v1.0/users/")),
            "{answer}"
        );
        let body = r#"{"firstName":{"values":["Änne"]}}"#;
        let answer = send(
            address,
            "POST /flowfact/entity-service/schemas/contacts",
            body,
        );
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(simulator.lock().expect("whole").flowfact.contact_count(), 1);
        let answer = send(address, "GET /", "");
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("FLOWFACT is at /flowfact"), "{answer}");
    });
}

#[test]
fn methods_without_use_are_refused_as_graph_does() {
    served(|address, _| {
        let answer = send(
            address,
            &format!("PUT {USER}/contacts/x/photo/$value"),
            "jpeg",
        );
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(
            answer.contains("The OData request is not supported."),
            "{answer}"
        );
    });
}

#[test]
fn a_lost_answer_is_a_broken_connection() {
    served(|address, simulator| {
        let lost = |fault| {
            let mut simulator = simulator.lock().expect("whole");
            simulator.faults.next(Matcher::default(), fault);
        };
        let body = r#"{"firstName":{"values":["Änne"]}}"#;
        for (fault, count) in [(Fault::LostBefore, 0), (Fault::LostAfter, 1)] {
            lost(fault);
            let answer = send(
                address,
                "POST /flowfact/entity-service/schemas/contacts",
                body,
            );
            assert_eq!(answer, "");
            assert_eq!(
                simulator.lock().expect("whole").flowfact.contact_count(),
                count
            );
        }
        lost(Fault::Refused {
            status: 503,
            retry_after_s: Some(1),
            body: String::new(),
        });
        let answer = send(address, &format!("GET {USER}/contacts"), "");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("retry-after: 1"), "{answer}");
    });
}
