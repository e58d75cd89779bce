//! The server's side of NTLM, as a pure state machine: written from MS-NLMP alone, so that no
//! client is proven against itself (<https://learn.microsoft.com/openspecs/windows_protocols/ms-nlmp>).
//!
//! Only version 2 is accepted, with channel bindings where they are expected: Extended Protection,
//! as Exchange Server has it on by default since 2019 CU14. Sessions are neither signed nor sealed,
//! because HTTP has no use for it.

use contact_sync_guest::outside::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

/// The names that a server calls itself by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The domain's `NetBIOS` name.
    pub domain: String,
    /// The computer's `NetBIOS` name.
    pub computer: String,
}

/// One handshake: of one connection.
#[derive(Clone, Debug)]
pub struct Handshake {
    names: Names,
    challenge: [u8; 8],
    /// What the connection is bound to, where a client must prove that it knows.
    channel_bindings: Option<[u8; 16]>,
    /// The messages so far, the client's and the server's: the client signs them.
    begun: Option<(Vec<u8>, Vec<u8>)>,
}

/// What a client's message leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client is to answer this.
    Challenge(Vec<u8>),
    /// The client has proven to know the password of this account.
    Accepted(String),
    /// It has not, for this reason.
    Refused(&'static str),
}

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Unicode, target and its info, NTLM with extended session security, 128 bits, a version: without
/// key exchange, so that the session's key needs no RC4.
const FLAGS: u32 = 0x0000_0001
    | 0x0000_0004
    | 0x0000_0200
    | 0x0000_8000
    | 0x0001_0000
    | 0x0008_0000
    | 0x0080_0000
    | 0x0200_0000
    | 0x2000_0000;
const UNICODE: u32 = 1;

/// Windows Server 2022, NTLM revision 15.
const VERSION: [u8; 8] = [10, 0, 0x7C, 0x4F, 0, 0, 0, 15];

/// Kinds of AV pairs (MS-NLMP, 2.2.2.1).
const AV_END: u16 = 0;
const AV_COMPUTER: u16 = 1;
const AV_DOMAIN: u16 = 2;
const AV_FLAGS: u16 = 6;
const AV_TIMESTAMP: u16 = 7;
const AV_CHANNEL_BINDINGS: u16 = 10;

/// In `AV_FLAGS`: the message holds a code over all three.
const HAS_CODE: u32 = 2;

/// Where that code stands in a client's answer, and how long it is.
const CODE_AT: usize = 72;
const CODE_LENGTH: usize = 16;

/// Milliseconds from 1601, where Windows begins to count, to 1970.
const WINDOWS_EPOCH_MS: i64 = 11_644_473_600_000;

impl Handshake {
    /// A handshake with this challenge, which nobody should be able to foretell.
    pub fn new(names: Names, challenge: [u8; 8], channel_bindings: Option<[u8; 16]>) -> Self {
        Self {
            names,
            challenge,
            channel_bindings,
            begun: None,
        }
    }

    /// Takes the client's next message. `password` gives account and password for a user's name as
    /// the client writes it: `user`, `user@domain`, or `DOMAIN\user`.
    pub fn step<'a>(
        &mut self,
        message: &[u8],
        now: Timestamp,
        password: impl FnOnce(&str) -> Option<(&'a str, &'a str)>,
    ) -> Step {
        if message.get(..8) != Some(SIGNATURE) {
            return Step::Refused("no NTLM message");
        }
        match (number(message, 8), self.begun.take()) {
            (Some(1), _) => {
                let challenge = self.challenge_message(now);
                self.begun = Some((message.to_vec(), challenge.clone()));
                Step::Challenge(challenge)
            }
            (Some(3), Some(begun)) => match self.verify(message, &begun, password) {
                Ok(account) => Step::Accepted(account),
                Err(why) => Step::Refused(why),
            },
            (Some(3), None) => Step::Refused("an answer to no challenge"),
            _ => Step::Refused("an unknown message"),
        }
    }

    fn challenge_message(&self, now: Timestamp) -> Vec<u8> {
        const HEAD_LENGTH: u32 = 56;
        let target = utf16(&self.names.domain);
        let ticks = now
            .0
            .saturating_add(WINDOWS_EPOCH_MS)
            .saturating_mul(10_000);
        let mut info = Vec::new();
        pair(&mut info, AV_DOMAIN, &target);
        pair(&mut info, AV_COMPUTER, &utf16(&self.names.computer));
        pair(&mut info, AV_TIMESTAMP, &ticks.to_le_bytes());
        pair(&mut info, AV_END, &[]);
        let mut message = SIGNATURE.to_vec();
        message.extend(2_u32.to_le_bytes());
        let info_at = HEAD_LENGTH + length(&target);
        field(&mut message, length(&target), HEAD_LENGTH);
        message.extend(FLAGS.to_le_bytes());
        message.extend(self.challenge);
        message.extend([0; 8]);
        field(&mut message, length(&info), info_at);
        message.extend(VERSION);
        message.extend(target);
        message.extend(info);
        message
    }

    fn verify<'a>(
        &self,
        message: &[u8],
        begun: &(Vec<u8>, Vec<u8>),
        password: impl FnOnce(&str) -> Option<(&'a str, &'a str)>,
    ) -> Result<String, &'static str> {
        const TRUNCATED: &str = "a truncated message";
        let response = payload(message, 20).ok_or(TRUNCATED)?;
        let domain = payload(message, 28).and_then(text).ok_or(TRUNCATED)?;
        let user = payload(message, 36).and_then(text).ok_or(TRUNCATED)?;
        if number(message, 60).ok_or(TRUNCATED)? & UNICODE == 0 {
            return Err("no Unicode");
        }
        // A response of version 1 has exactly 24 bytes (MS-NLMP, 2.2.2.6).
        let (proof, proven) = response.split_first_chunk::<16>().ok_or("no response")?;
        if response.len() <= 24 || proven.get(..2) != Some(&[1, 1]) {
            return Err("NTLM version 1");
        }
        let name = if domain.is_empty() {
            user.clone()
        } else {
            format!("{domain}\\{user}")
        };
        let (account, password) = password(&name).ok_or("an unknown user")?;
        let key = key(&user, &domain, password);
        let mut challenged = self.challenge.to_vec();
        challenged.extend(proven);
        if code(&key, &challenged) != *proof {
            return Err("a wrong password");
        }
        let pairs = proven.get(28..).ok_or(TRUNCATED)?;
        self.check_bindings(pairs)?;
        check_code(message, begun, pairs, &code(&key, proof))?;
        Ok(account.to_owned())
    }

    fn check_bindings(&self, pairs: &[u8]) -> Result<(), &'static str> {
        let Some(expected) = self.channel_bindings else {
            return Ok(());
        };
        match find(pairs, AV_CHANNEL_BINDINGS) {
            Some(bindings) if bindings == expected => Ok(()),
            Some(bindings) if bindings.iter().any(|byte| *byte != 0) => {
                Err("channel bindings of another connection")
            }
            _ => Err("no channel bindings"),
        }
    }
}

/// The code over all three messages, where the client says that there is one (MS-NLMP, 3.2.5.1.2).
fn check_code(
    message: &[u8],
    (negotiate, challenge): &(Vec<u8>, Vec<u8>),
    pairs: &[u8],
    session_key: &[u8; 16],
) -> Result<(), &'static str> {
    let flags = find(pairs, AV_FLAGS).and_then(|flags| number(flags, 0));
    if flags.unwrap_or(0) & HAS_CODE == 0 {
        return Ok(());
    }
    let end = CODE_AT + CODE_LENGTH;
    let mut blank = message.to_vec();
    let Some(place) = blank.get_mut(CODE_AT..end) else {
        return Err("a code that is missing");
    };
    place.fill(0);
    let all = [negotiate.as_slice(), challenge, &blank].concat();
    if message.get(CODE_AT..end) == Some(&code(session_key, &all)) {
        Ok(())
    } else {
        Err("a wrong code")
    }
}

/// What a TLS connection is bound to: MD5 over RFC 2744's structure with nothing in it but this,
/// `tls-server-end-point:` and the certificate's hash (RFC 5929; MS-NLMP, 3.1.5.1.2).
pub fn channel_bindings(application_data: &[u8]) -> [u8; 16] {
    let mut structure = vec![0; 16];
    structure.extend(length(application_data).to_le_bytes());
    structure.extend(application_data);
    Md5::digest(structure).into()
}

/// `NTOWFv2` (MS-NLMP, 3.3.2).
fn key(user: &str, domain: &str, password: &str) -> [u8; 16] {
    let hash: [u8; 16] = Md4::digest(utf16(password)).into();
    code(&hash, &utf16(&format!("{}{domain}", user.to_uppercase())))
}

fn code(key: &[u8; 16], bytes: &[u8]) -> [u8; 16] {
    // RFC 2104 fills a short key up with zeros to the size of a block.
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut code = Hmac::<Md5>::new(&block.into());
    code.update(bytes);
    code.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn text(bytes: &[u8]) -> Option<String> {
    let (units, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16(&units).ok()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Length, space and place of a part of a message.
fn field(message: &mut Vec<u8>, length: u32, at: u32) {
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    message.extend(length);
    message.extend(length);
    message.extend(at.to_le_bytes());
}

/// The part of a message whose field stands here.
fn payload(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(short(message, at)?);
    let start = usize::try_from(number(message, at + 4)?).ok()?;
    message.get(start..start.checked_add(length)?)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

fn pair(pairs: &mut Vec<u8>, kind: u16, value: &[u8]) {
    pairs.extend(kind.to_le_bytes());
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    pairs.extend(length.to_le_bytes());
    pairs.extend(value);
}

/// The value of the first pair of this kind.
fn find(mut pairs: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let kind = short(pairs, 0)?;
        let length = usize::from(short(pairs, 2)?);
        let rest = pairs.get(4..)?;
        if kind == wanted {
            return rest.get(..length);
        }
        if kind == AV_END {
            return None;
        }
        pairs = rest.get(length..)?;
    }
}
