//! Scheme, host and port: what credentials and connections are keyed by.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use super::Network;
use super::addresses;

/// Where a request goes (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    https: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

/// Why an address names no origin that a request may go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    /// Not a URL at all.
    #[error("it is not an absolute URL")]
    NotAbsolute,
    /// Another scheme.
    #[error("its scheme is not https")]
    Scheme,
    /// User name or password in front of the host.
    #[error("it carries user information in front of `@`")]
    UserInformation,
    /// Nothing after the scheme.
    #[error("it names no host")]
    NoHost,
    /// More than a base address.
    #[error("it has a query or a fragment")]
    Query,
    /// Plain HTTP to another machine.
    #[error("http without TLS is for this machine only")]
    PlainHttp,
    /// An address that no endpoint has.
    #[error("requests to this address are never allowed")]
    Prohibited,
}

impl Origin {
    /// The origin of a configured endpoint, and the path in front of its resources, without a
    /// trailing slash.
    pub(crate) fn of_endpoint(url: &str, network: Network) -> Result<(Self, String), OriginError> {
        let uri: Uri = url.parse().map_err(|_| OriginError::NotAbsolute)?;
        let origin = Self::of_uri(&uri)?;
        // `Uri` drops a fragment in silence.
        if uri.query().is_some() || url.contains('#') {
            return Err(OriginError::Query);
        }
        if !origin.https && !network.plain_http && !origin.is_this_machine() {
            return Err(OriginError::PlainHttp);
        }
        if origin
            .address()
            .is_some_and(addresses::is_never_an_endpoint)
        {
            return Err(OriginError::Prohibited);
        }
        Ok((origin, uri.path().trim_end_matches('/').to_owned()))
    }

    /// The origin of a request.
    pub(crate) fn of_uri(uri: &Uri) -> Result<Self, OriginError> {
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err(OriginError::Scheme),
            None => return Err(OriginError::NotAbsolute),
        };
        let authority = uri.authority().ok_or(OriginError::NoHost)?;
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInformation);
        }
        // A trailing dot makes a name absolute; it would make the same host look like another.
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() {
            return Err(OriginError::NoHost);
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self { https, host, port })
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// The host, as a resolver wants it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The host, where it is an address and no name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }

    /// Whether it is this machine by name or address.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(formatter, "{scheme}://{}", self.host)?;
        if self.port == usual {
            Ok(())
        } else {
            write!(formatter, ":{}", self.port)
        }
    }
}
