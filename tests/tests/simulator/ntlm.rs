//! The server's side of NTLM against what Microsoft has published, and against bad clients.

use contact_sync_guest::outside::Timestamp;
use contact_sync_tests::simulator::ntlm::{Handshake, Names, Step, channel_bindings};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
pub(crate) const NEGOTIATE: &[u8] =
    b"NTLMSSP\0\x01\0\0\0\x05\x02\x08\xa0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn names() -> Names {
    Names {
        domain: "Domain".to_owned(),
        computer: "Server".to_owned(),
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hmac(key: &[u8; 16], bytes: &[u8]) -> [u8; 16] {
    let mut code = Hmac::<Md5>::new_from_slice(key).expect("any length");
    code.update(bytes);
    code.finalize().into_bytes().into()
}

/// An answer with this response, and room for a code.
pub(crate) fn authenticate(user: &str, domain: &str, response: &[u8]) -> Vec<u8> {
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut payload: Vec<u8> = Vec::new();
    let lm = [0; 24];
    for part in [
        &lm[..],
        response,
        &utf16(domain),
        &utf16(user),
        &utf16("PC"),
        &[],
    ] {
        let length = u16::try_from(part.len()).expect("short").to_le_bytes();
        message.extend(length);
        message.extend(length);
        message.extend(
            u32::try_from(88 + payload.len())
                .expect("short")
                .to_le_bytes(),
        );
        payload.extend(part);
    }
    message.extend(0xA288_8205_u32.to_le_bytes());
    message.extend([0; 8 + 16]);
    message.extend(payload);
    message
}

fn begin(bindings: Option<[u8; 16]>) -> (Handshake, Vec<u8>) {
    let mut handshake = Handshake::new(names(), CHALLENGE, bindings);
    let Step::Challenge(challenge) = handshake.step(NEGOTIATE, Timestamp(0), |_| None) else {
        panic!("no challenge");
    };
    (handshake, challenge)
}

fn end(handshake: &mut Handshake, message: &[u8]) -> Step {
    handshake.step(message, Timestamp(0), |user| {
        (user == "Domain\\User").then_some(("user@domain", "Password"))
    })
}

/// Pairs of a client's response, by kind.
type Pairs<'a> = [(u16, &'a [u8])];

/// The response of Domain's User with these pairs.
fn response(password: &str, pairs: &Pairs<'_>) -> (Vec<u8>, [u8; 16]) {
    response_to(&CHALLENGE, "USERDomain", password, pairs)
}

/// The response to a challenge of whom `name` says: the user in capitals, and the domain.
pub(crate) fn response_to(
    challenge: &[u8],
    name: &str,
    password: &str,
    pairs: &Pairs<'_>,
) -> (Vec<u8>, [u8; 16]) {
    let hash: [u8; 16] = Md4::digest(utf16(password)).into();
    let key = hmac(&hash, &utf16(name));
    let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
    blob.extend([0; 8]);
    blob.extend([0xAA; 8]);
    blob.extend([0; 4]);
    for (kind, value) in pairs {
        blob.extend(kind.to_le_bytes());
        blob.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
        blob.extend(*value);
    }
    blob.extend([0; 8]);
    let proof = hmac(&key, &[challenge, &blob].concat());
    ([&proof[..], &blob].concat(), hmac(&key, &proof))
}

/// MS-NLMP, 4.2.4: the example of version 2.
#[test]
fn the_published_example_is_accepted() {
    let proof = [
        0x68, 0xCD, 0x0A, 0xB8, 0x51, 0xE5, 0x1C, 0x96, 0xAA, 0xBC, 0x92, 0x7B, 0xEB, 0xEF, 0x6A,
        0x1C,
    ];
    let domain = utf16("Domain");
    let server = utf16("Server");
    let (own, _) = response("Password", &[(2, &domain), (1, &server)]);
    assert_eq!(own[..16], proof);
    let (mut handshake, challenge) = begin(None);
    assert_eq!(challenge[24..32], CHALLENGE);
    let message = authenticate("User", "Domain", &own);
    assert_eq!(
        end(&mut handshake, &message),
        Step::Accepted("user@domain".to_owned())
    );
}

#[test]
fn a_wrong_password_another_version_and_replays_are_refused() {
    let (right, _) = response("Password", &[]);
    let rows = [
        ("User", response("password", &[]).0, "a wrong password"),
        ("Nobody", right.clone(), "an unknown user"),
        ("User", vec![7; 24], "NTLM version 1"),
        ("User", Vec::new(), "no response"),
    ];
    for (user, response, why) in rows {
        let (mut handshake, _) = begin(None);
        let message = authenticate(user, "Domain", &response);
        assert_eq!(end(&mut handshake, &message), Step::Refused(why));
        // The challenge is used up.
        let again = authenticate("User", "Domain", &right);
        assert_eq!(
            end(&mut handshake, &again),
            Step::Refused("an answer to no challenge")
        );
    }
    for length in 0..NEGOTIATE.len() {
        let (mut handshake, _) = begin(None);
        let message = authenticate("User", "Domain", &right);
        assert!(matches!(
            end(&mut handshake, &message[..length]),
            Step::Refused(_)
        ));
    }
}

#[test]
fn a_bound_connection_asks_for_its_bindings() {
    let expected = channel_bindings(b"tls-server-end-point:0123456789");
    let other = channel_bindings(b"tls-server-end-point:9876543210");
    let accepted = Step::Accepted("user@domain".to_owned());
    let rows: [(&Pairs<'_>, Step); 4] = [
        (&[(10, &expected)], accepted),
        (
            &[(10, &other)],
            Step::Refused("channel bindings of another connection"),
        ),
        (&[(10, &[0; 16])], Step::Refused("no channel bindings")),
        (&[], Step::Refused("no channel bindings")),
    ];
    for (pairs, step) in rows {
        let (mut handshake, _) = begin(Some(expected));
        let message = authenticate("User", "Domain", &response("Password", pairs).0);
        assert_eq!(end(&mut handshake, &message), step);
    }
}

#[test]
fn a_code_over_the_messages_must_be_right_where_there_is_one() {
    for right in [true, false] {
        let (mut handshake, challenge) = begin(None);
        let (response, session_key) = response("Password", &[(6, &2_u32.to_le_bytes())]);
        let mut message = authenticate("User", "Domain", &response);
        if right {
            let code = hmac(&session_key, &[NEGOTIATE, &challenge, &message].concat());
            message[72..88].copy_from_slice(&code);
        }
        let step = end(&mut handshake, &message);
        assert_eq!(matches!(step, Step::Accepted(_)), right, "{step:?}");
    }
}
