//! Whose certificates are trusted: the machine's authorities, and a company's own.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Certificates of one file.
const CERTIFICATES_MAX: usize = 64;

/// Authorities that are trusted beside the machine's. Usually none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Certificates(Arc<Vec<CertificateDer<'static>>>);

/// Why a file's certificates cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificatesError {
    /// Not PEM (RFC 7468), or damaged.
    #[error("it is no PEM file")]
    Pem,
    /// Perhaps a key.
    #[error("there is no certificate in it")]
    None,
    /// A whole machine's.
    #[error("there are more than {CERTIFICATES_MAX} certificates in it")]
    TooMany,
    /// PEM, but inside it is something else.
    #[error("a certificate in it is damaged")]
    Damaged,
}

impl Certificates {
    /// The certificates in a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificatesError> {
        let mut found = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            found.push(certificate.map_err(|_| CertificatesError::Pem)?);
            if found.len() > CERTIFICATES_MAX {
                return Err(CertificatesError::TooMany);
            }
        }
        if found.is_empty() {
            return Err(CertificatesError::None);
        }
        let mut store = RootCertStore::empty();
        for certificate in &found {
            store
                .add(certificate.clone())
                .map_err(|_| CertificatesError::Damaged)?;
        }
        Ok(Self(Arc::new(found)))
    }

    /// These and the others.
    #[must_use]
    pub fn with(&self, others: Self) -> Self {
        if self.0.is_empty() {
            return others;
        }
        if others.0.is_empty() {
            return self.clone();
        }
        Self(Arc::new(self.0.iter().chain(&*others.0).cloned().collect()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} certificates", self.0.len())
    }
}

/// TLS with the machine's roots of trust, or Mozilla's on a machine that has none, such as a bare
/// container; and with `certificates`. The machine's roots are read once; what sessions leave
/// behind is each pool's own.
pub(crate) fn tls(certificates: &Certificates) -> ClientConfig {
    static MACHINE: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(store)
    });
    let mut store = Arc::clone(&MACHINE);
    if !certificates.0.is_empty() {
        Arc::make_mut(&mut store).add_parsable_certificates(certificates.0.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("this provider knows both versions of TLS")
        .with_root_certificates(store)
        .with_no_client_auth();
    config.resumption = Resumption::default();
    config
}
