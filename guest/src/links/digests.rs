//! One bucket of the digests by which CRM contacts are recognised.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

use crate::contact::CrmId;
use crate::plan::matching::Candidate;

/// The digests of one bucket, in the order of their ids. Only these are read: a pass that has news
/// of a few contacts looks into buckets full of others.
#[derive(Default)]
pub struct Digests(BTreeMap<CrmId, Box<RawValue>>);

/// The one member of a digest that is read.
#[derive(Deserialize)]
struct Whose {
    #[serde(rename = "i")]
    id: CrmId,
}

impl Digests {
    /// Nobody, where the row cannot be read: the next full read fills it again.
    pub(super) fn decode(row: &[u8]) -> Self {
        let digests: Vec<Box<RawValue>> = serde_json::from_slice(row).unwrap_or_default();
        let whose = |digest: &RawValue| serde_json::from_str(digest.get());
        let digests = digests.into_iter().filter_map(|digest| {
            let Whose { id } = whose(&digest).ok()?;
            Some((id, digest))
        });
        Self(digests.collect())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Digests are JSON already; a row of them is some hundred kilobytes where there are many.
        let digests: Vec<&str> = self.0.values().map(|digest| digest.get()).collect();
        ["[", &digests.join(","), "]"].concat().into_bytes()
    }

    /// Puts a digest in place of the one before. Whether it is another one.
    pub fn put(&mut self, candidate: &Candidate<CrmId>) -> bool {
        let Ok(digest) = to_raw_value(candidate) else {
            return false;
        };
        match self.0.get_mut(&candidate.id) {
            Some(known) if known.get() == digest.get() => false,
            Some(known) => {
                *known = digest;
                true
            }
            None => {
                self.0.insert(candidate.id.clone(), digest);
                true
            }
        }
    }

    /// Takes out whoever is gone. Whether there was anybody.
    pub fn remove(&mut self, is_gone: impl Fn(&CrmId) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|id, _| !is_gone(id));
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::{CrmEmail, CrmFields};

    fn candidate(id: &str, address: &str) -> Candidate<CrmId> {
        let fields = CrmFields {
            emails: vec![CrmEmail::Plain(address.to_owned())],
            ..CrmFields::default()
        };
        Candidate::of_crm(CrmId::new(id), &fields, "DE")
    }

    #[test]
    fn a_bucket_keeps_what_nobody_has_news_of() {
        let one = candidate("1", "erika@muster.de");
        let stored = super::super::encode(&[&one, &candidate("2", "max@muster.de")]);
        let mut digests = Digests::decode(&stored);
        assert_eq!(digests.encode(), stored);
        assert!(!digests.put(&one));
        assert!(!digests.remove(|id| id.as_str() == "3"));
        assert_eq!(digests.encode(), stored);

        assert!(digests.put(&candidate("0", "otto@muster.de")));
        assert!(digests.put(&candidate("1", "erika@beispiel.de")));
        assert!(digests.remove(|id| id.as_str() == "2"));
        let expected = [
            &candidate("0", "otto@muster.de"),
            &candidate("1", "erika@beispiel.de"),
        ];
        assert_eq!(digests.encode(), super::super::encode(&expected));
    }

    #[test]
    fn a_damaged_bucket_is_an_empty_one() {
        for row in ["", "{}", "[{\"i\":"] {
            assert_eq!(Digests::decode(row.as_bytes()).encode(), b"[]", "{row}");
        }
        let half = br#"[{"x":1},{"i":"1","f":"erika"}]"#;
        assert_eq!(
            Digests::decode(half).encode(),
            br#"[{"i":"1","f":"erika"}]"#
        );
    }
}
