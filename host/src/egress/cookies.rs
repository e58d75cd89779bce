//! The cookies of one Exchange Server: by `X-BackEndCookie` its front end finds the mailbox's own
//! back end again
//! (<https://learn.microsoft.com/exchange/client-developer/exchange-web-services/how-to-maintain-affinity-between-group-of-subscriptions-and-mailbox-server>).
//!
//! They live in the host, per mailbox: the guest neither sees nor sets one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, header};

/// Cookies of one origin, and bytes of one.
const COOKIES_MAX: usize = 16;
const COOKIE_BYTES_MAX: usize = 4 * 1024;

/// One mailbox's cookies, for one origin.
#[derive(Default)]
pub(crate) struct Cookies(Mutex<BTreeMap<String, String>>);

impl Cookies {
    /// Remembers what an answer sets. Attributes are not kept: no other origin and no other path
    /// is ever asked with them.
    pub(crate) fn keep(&self, headers: &HeaderMap) {
        let mut cookies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for set in headers.get_all(header::SET_COOKIE) {
            let Ok(set) = set.to_str() else {
                continue;
            };
            let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            if value.is_empty() || is_over(attributes) {
                cookies.remove(name);
            } else if pair.len() <= COOKIE_BYTES_MAX
                && !name.is_empty()
                && (cookies.len() < COOKIES_MAX || cookies.contains_key(name))
            {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// What goes along with a request.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let cookies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Whether a cookie is set in order to be forgotten (RFC 6265, 5.2.2). A date is not looked at:
/// what expires then is refused by the server, and set anew.
fn is_over(attributes: &str) -> bool {
    attributes.split(';').any(|attribute| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.trim();
        name.trim().eq_ignore_ascii_case("max-age") && (value.starts_with('-') || value == "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(sets: &[&str]) -> Option<String> {
        let cookies = Cookies::default();
        for set in sets {
            let mut headers = HeaderMap::new();
            headers.append(header::SET_COOKIE, HeaderValue::from_str(set).unwrap());
            cookies.keep(&headers);
        }
        let header = cookies.header()?;
        Some(header.to_str().unwrap().to_owned())
    }

    /// The newest value of each name goes along; what is set to be forgotten is.
    #[test]
    fn cookies_are_kept_replaced_and_forgotten() {
        assert_eq!(jar(&[]), None);
        let kept = jar(&["a=1; path=/; secure; HttpOnly", "b=x=y", "a=2", "c=3"]);
        assert_eq!(kept.as_deref(), Some("a=2; b=x=y; c=3"));
        assert_eq!(jar(&["a=1", "a=; expires=Thu, 01-Jan-1970"]), None);
        assert_eq!(jar(&["a=1", "a=1; Max-Age=0"]), None);
        let long = format!("a={}", "x".repeat(COOKIE_BYTES_MAX));
        assert_eq!(jar(&[&long, "none"]), None);
    }

    /// A server that sets a new one with each answer fills no memory.
    #[test]
    fn there_are_only_so_many() {
        let many: Vec<_> = (0..50).map(|number| format!("c{number}=1")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(jar(&many).unwrap().split("; ").count(), COOKIES_MAX);
    }
}
