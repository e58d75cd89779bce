//! NTLM version 2, the client's part: three messages that prove a password without sending it, and
//! bind the proof to the TLS channel that it goes over.
//!
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-nlmp>,
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-ntht> (over HTTP).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sspi::{
    AuthIdentity, AuthIdentityBuffers, BufferType, ClientRequestFlags, CredentialUse,
    DataRepresentation, Ntlm, SecurityBuffer, Sspi, SspiImpl, Username,
};

use super::Account;

/// Bytes of a challenge. Names of servers and domains are all that it holds.
const CHALLENGE_BYTES_MAX: usize = 16 * 1024;

/// The one handshake of a connection, after its first message.
pub(crate) struct Handshake {
    ntlm: Ntlm,
    credentials: Option<AuthIdentityBuffers>,
}

impl Handshake {
    /// Begins a handshake, over a channel whose server showed `certificate`. Returns the header
    /// with the first message. `Err` says why in words that hold no secret.
    pub(crate) fn begin(
        account: &Account,
        certificate: Option<&[u8]>,
    ) -> Result<(Self, HeaderValue), String> {
        let username = Username::parse(&account.username).map_err(|error| error.to_string())?;
        let password = account.password.expose_secret().to_owned();
        let identity = AuthIdentity {
            username,
            password: password.into(),
        };
        let mut ntlm = Ntlm::new();
        if let Some(certificate) = certificate {
            ntlm.set_channel_bindings(&end_point(certificate));
        }
        let acquired = ntlm
            .acquire_credentials_handle()
            .with_credential_use(CredentialUse::Outbound)
            .with_auth_data(&identity)
            .execute(&mut ntlm)
            .map_err(|error| error.description)?;
        let mut handshake = Self {
            ntlm,
            credentials: acquired.credentials_handle,
        };
        let message = handshake.next(&[])?;
        Ok((handshake, header(&message)?))
    }

    /// The header that answers the server's challenge, a `WWW-Authenticate` value.
    pub(crate) fn answer(mut self, challenge: &str) -> Result<HeaderValue, String> {
        if challenge.len() > CHALLENGE_BYTES_MAX {
            return Err("its challenge is too long".into());
        }
        let challenge = STANDARD
            .decode(challenge)
            .map_err(|_| "its challenge is damaged".to_owned())?;
        header(&self.next(&challenge)?)
    }

    fn next(&mut self, received: &[u8]) -> Result<Vec<u8>, String> {
        let mut input = [SecurityBuffer::new(received.to_vec(), BufferType::Token)];
        let mut output = vec![SecurityBuffer::new(Vec::new(), BufferType::Token)];
        let mut builder = self
            .ntlm
            .initialize_security_context()
            .with_credentials_handle(&mut self.credentials)
            .with_context_requirements(ClientRequestFlags::empty())
            .with_target_data_representation(DataRepresentation::Native)
            .with_input(&mut input)
            .with_output(&mut output);
        self.ntlm
            .initialize_security_context_impl(&mut builder)
            .and_then(|mut generator| generator.resolve_to_result())
            .map_err(|error| error.description)?;
        let message = output.pop().map(|buffer| buffer.buffer);
        message.ok_or_else(|| "there is no message to send".to_owned())
    }
}

/// The challenge among an answer's `WWW-Authenticate` values.
pub(crate) fn challenge(headers: &http::HeaderMap) -> Option<&str> {
    headers
        .get_all(http::header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_once(' '))
        .find(|(scheme, _)| scheme.eq_ignore_ascii_case("NTLM"))
        .map(|(_, challenge)| challenge.trim())
}

fn header(message: &[u8]) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("NTLM {}", STANDARD.encode(message)))
        .map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The channel's own name, `tls-server-end-point` (RFC 5929, 4.1): the certificate hashed as its
/// signature is, by SHA-256 where that would be MD5 or SHA-1.
pub(crate) fn end_point(certificate: &[u8]) -> Vec<u8> {
    let hash = match signature_hash(certificate) {
        SignatureHash::Sha256 => Sha256::digest(certificate).to_vec(),
        SignatureHash::Sha384 => Sha384::digest(certificate).to_vec(),
        SignatureHash::Sha512 => Sha512::digest(certificate).to_vec(),
    };
    [b"tls-server-end-point:", &*hash].concat()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignatureHash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash that a certificate's signature names (RFC 5280, 4.1.1.2; identifiers from RFC 4055, 5
/// and RFC 5758, 3.2). What is not known here is taken as SHA-256.
fn signature_hash(certificate: &[u8]) -> SignatureHash {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const RSA_PSS: u8 = 10;
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    const SHA_2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let Some((identifier, parameters)) = signature_algorithm(certificate) else {
        return SignatureHash::Sha256;
    };
    let number = |family: &[u8]| match identifier.strip_prefix(family) {
        Some([number]) => Some(*number),
        _ => None,
    };
    // With PSS the hash is a parameter, somewhere inside.
    let names = |number: u8| {
        let wanted = [SHA_2, &[number]].concat();
        parameters.windows(wanted.len()).any(|part| part == wanted)
    };
    match (number(RSA), number(ECDSA)) {
        (Some(12), _) | (_, Some(3)) => SignatureHash::Sha384,
        (Some(13), _) | (_, Some(4)) => SignatureHash::Sha512,
        (Some(RSA_PSS), _) if names(2) => SignatureHash::Sha384,
        (Some(RSA_PSS), _) if names(3) => SignatureHash::Sha512,
        _ => SignatureHash::Sha256,
    }
}

/// The identifier and the parameters of a certificate's signature algorithm.
fn signature_algorithm(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, after_content) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(after_content, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER)
}

/// The content of the DER element (X.690, 8.1) at the beginning, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else {
        return None;
    };
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0x00..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
