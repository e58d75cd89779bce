//! Who may ask an Exchange Server: Basic, and NTLM on a real connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contact_sync_tests::simulator::Simulator;
use contact_sync_tests::simulator::ews::sign_in::EwsSignIn;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;

use crate::client::ANNA;
use crate::http::served;
use crate::ntlm::{NEGOTIATE, authenticate, response_to};

const OPERATION: &str = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
     xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
     xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\"><s:Body><m:GetFolder>\
     <m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds>\
     <t:DistinguishedFolderId Id=\"contacts\"/></m:FolderIds></m:GetFolder></s:Body></s:Envelope>";

/// A simulator that asks for this, and the password of a user.
fn asking(sign_in: EwsSignIn, test: impl FnOnce(SocketAddr, &Mutex<Simulator>, &str, &str)) {
    served(|address, simulator| {
        let (password, service) = {
            let mut simulator = simulator.lock().expect("whole");
            simulator.set_authentication(true);
            simulator.ews.sign_in = sign_in;
            let password = simulator
                .ews
                .account(ANNA)
                .expect("an account")
                .1
                .to_owned();
            (password, simulator.ews.service_account().1.to_owned())
        };
        test(address, simulator, &password, &service);
    });
}

/// One request on a connection that stays open: head and body of the answer.
fn send(stream: &mut TcpStream, authorization: &str) -> String {
    let length = OPERATION.len();
    let authorization = if authorization.is_empty() {
        String::new()
    } else {
        format!("authorization: {authorization}\r\n")
    };
    let request = format!(
        "POST /ews/exchange.asmx HTTP/1.1\r\nhost: localhost\r\n{authorization}\
         content-length: {length}\r\n\r\n{OPERATION}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).expect("an answer");
        answer.extend(buffer.get(..count).expect("what was read"));
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lines = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "));
        let length: usize = lines
            .map(|length| length.parse::<usize>().expect("a number"))
            .sum();
        if body.len() >= length {
            return text;
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("a connection")
}

/// The third message of a client that was sent this answer.
fn answer_to(answer: &str, user: &str, domain: &str, password: &str) -> String {
    let (_, rest) = answer
        .split_once("www-authenticate: NTLM ")
        .expect("a challenge");
    let token = rest.lines().next().expect("a line");
    let message = STANDARD.decode(token).expect("base64");
    let name = format!("{}{domain}", user.to_uppercase());
    let (response, _) = response_to(
        message.get(24..32).expect("eight bytes"),
        &name,
        password,
        &[],
    );
    format!(
        "NTLM {}",
        STANDARD.encode(authenticate(user, domain, &response))
    )
}

#[test]
fn basic_asks_for_user_and_password() {
    asking(EwsSignIn::Basic, |address, _, password, service| {
        let basic = |user: &str, password: &str| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        };
        let folder = "NoError";
        let rows = [
            (String::new(), "401 Unauthorized"),
            (basic(ANNA, "wrong"), "401 Unauthorized"),
            (basic("nobody@makler.example", password), "401 Unauthorized"),
            (basic("OTHER\\anna", password), "401 Unauthorized"),
            (
                "X-Connection-Of anna@makler.example".to_owned(),
                "401 Unauthorized",
            ),
            (basic(ANNA, password), folder),
            (basic("MAKLER\\anna", password), folder),
            // This account has no mailbox, and has not said whose it means.
            (
                basic("contact-sync@makler.example", service),
                "ErrorMissingEmailAddress",
            ),
        ];
        for (authorization, expected) in rows {
            let answer = send(&mut connect(address), &authorization);
            assert!(answer.contains(expected), "{authorization}: {answer}");
        }
    });
}

#[test]
fn ntlm_signs_a_connection_in_and_no_other() {
    asking(EwsSignIn::Ntlm, |address, _, password, _| {
        let mut stream = connect(address);
        let answer = send(&mut stream, "");
        assert!(answer.contains("401 Unauthorized"), "{answer}");
        assert!(
            answer.contains("www-authenticate: Negotiate\r\n"),
            "{answer}"
        );
        assert!(answer.contains("www-authenticate: NTLM\r\n"), "{answer}");
        let forged = send(&mut stream, "X-Connection-Of anna@makler.example");
        assert!(forged.contains("401 Unauthorized"), "{forged}");
        let begin = format!("NTLM {}", STANDARD.encode(NEGOTIATE));
        let challenge = send(&mut stream, &begin);
        assert!(challenge.contains("401 Unauthorized"), "{challenge}");
        let answer = send(
            &mut stream,
            &answer_to(&challenge, "anna", "MAKLER", password),
        );
        assert!(answer.contains("NoError"), "{answer}");
        let answer = send(&mut stream, "");
        assert!(answer.contains("NoError"), "{answer}");
        // What is right here proves nothing there.
        let answer = send(
            &mut connect(address),
            &answer_to(&challenge, "anna", "MAKLER", password),
        );
        assert!(answer.contains("401 Unauthorized"), "{answer}");
        let mut stream = connect(address);
        let challenge = send(&mut stream, &begin);
        let answer = send(&mut stream, &answer_to(&challenge, ANNA, "", "wrong"));
        assert!(answer.contains("401 Unauthorized"), "{answer}");
    });
}

#[test]
fn extended_protection_refuses_who_does_not_know_the_connection() {
    asking(EwsSignIn::Ntlm, |address, simulator, password, _| {
        simulator.lock().expect("whole").ews.channel_bindings = Some([7; 16]);
        let mut stream = connect(address);
        let challenge = send(&mut stream, &format!("NTLM {}", STANDARD.encode(NEGOTIATE)));
        let answer = send(&mut stream, &answer_to(&challenge, ANNA, "", password));
        assert!(answer.contains("401 Unauthorized"), "{answer}");
    });
}
