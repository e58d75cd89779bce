//! Whom a person means.
//!
//! By id first: as a link, a waiting contact or a digest knows it. Then by what people know, in the
//! digests of all CRM contacts, among mailbox contacts that wait for something, and, where nobody
//! is found there, in the links of contacts that are gone. At last by asking both sides for the id.

use std::collections::BTreeMap;

use super::{Explainer, Subject};
use crate::contact::{CrmId, MailboxContact, MailboxId, email, phone, text};
use crate::crm::Crm;
use crate::links::{Link, Source, Stored};
use crate::mailbox::{Mailbox, MailboxRead};
use crate::plan::matching::Candidate;
use crate::report::{ContactName, Failure};

/// Mailbox contacts without partner that are read to be recognised: those that wait for something.
const WAITING_READ_MAX: usize = 40;

/// The longest text that may be an id: a key of the store has room for it (`store.wit`).
const ID_BYTES_MAX: usize = 400;

/// Whom a question means.
pub(super) enum Found {
    One(Subject),
    Several(Vec<ContactName>),
    Nobody,
}

impl<C: Crm, M: Mailbox> Explainer<'_, C, M> {
    pub(super) fn search(&self, question: &str) -> Result<Found, Failure> {
        let may_be_id = question.len() <= ID_BYTES_MAX
            && !question
                .chars()
                .any(|c| c.is_control() || c.is_whitespace());
        let all = self.digests()?;
        if may_be_id && let Some(subject) = self.by_known_id(question, &all)? {
            return Ok(Found::One(subject));
        }
        let wanted = Wanted::new(question, &self.job.tenant.region);
        let mut hits = self.named(all.values().filter(|candidate| wanted.fits(candidate)))?;
        hits.extend(self.waiting(&wanted)?);
        if hits.is_empty() {
            hits = self.in_links(&wanted)?;
        }
        if let Some(only) = only(&hits, &wanted) {
            return Ok(Found::One(Subject {
                crm_id: only.crm_id.clone(),
                mailbox_id: only.mailbox_id.clone(),
                is_guess: false,
            }));
        }
        if !hits.is_empty() {
            let names = hits.into_iter().map(|hit| hit.name).collect();
            return Ok(Found::Several(names));
        }
        // Nobody who is known: somebody whom no pass has seen can still be asked for by id.
        Ok(if may_be_id {
            Found::One(Subject {
                crm_id: Some(CrmId::new(question)),
                mailbox_id: Some(MailboxId::new(question)),
                is_guess: true,
            })
        } else {
            Found::Nobody
        })
    }

    fn by_known_id(
        &self,
        question: &str,
        all: &BTreeMap<CrmId, Candidate<CrmId>>,
    ) -> Result<Option<Subject>, Failure> {
        let crm_id = CrmId::new(question);
        let mailbox_id = MailboxId::new(question);
        let link = self.memory.links(std::slice::from_ref(&crm_id))?.pop();
        let is_known =
            all.contains_key(&crm_id) || link.is_some_and(|link| link != Stored::Missing);
        let pending = self.memory.pending()?;
        if is_known || pending.contains_key(&Source::Crm(crm_id.clone())) {
            return Ok(Some(Subject {
                crm_id: Some(crm_id),
                mailbox_id: None,
                is_guess: false,
            }));
        }
        let paired = self.memory.paired_with(std::slice::from_ref(&mailbox_id))?;
        let crm_id = paired.into_iter().next().flatten();
        if crm_id.is_some() || pending.contains_key(&Source::Mailbox(mailbox_id.clone())) {
            return Ok(Some(Subject {
                crm_id,
                mailbox_id: Some(mailbox_id),
                is_guess: false,
            }));
        }
        Ok(None)
    }

    /// The digests of all CRM contacts.
    pub(super) fn digests(&self) -> Result<BTreeMap<CrmId, Candidate<CrmId>>, Failure> {
        let all = self.memory.candidates()?.into_values().flatten();
        Ok(all
            .map(|candidate| (candidate.id.clone(), candidate))
            .collect())
    }

    /// CRM contacts as people call them, with their partners.
    fn named<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Candidate<CrmId>>,
    ) -> Result<Vec<Hit>, Failure> {
        let candidates: Vec<&Candidate<CrmId>> = candidates.collect();
        let ids: Vec<CrmId> = candidates
            .iter()
            .map(|candidate| candidate.id.clone())
            .collect();
        let links = self.memory.links(&ids)?;
        let hits = candidates.into_iter().zip(links).map(|(candidate, link)| {
            let link = link.found().filter(|link| !link.is_tombstone());
            let label = link.as_ref().map(|link| link.base.crm.label());
            Hit {
                full_name: full_name(candidate),
                name: ContactName {
                    crm_id: Some(candidate.id.clone()),
                    mailbox_id: link.map(|link| link.mailbox_id),
                    label: label.unwrap_or_else(|| candidate.label()),
                },
            }
        });
        Ok(hits.collect())
    }

    /// Mailbox contacts without partner that wait for something: a person's answer, most of all.
    fn waiting(&self, wanted: &Wanted) -> Result<Vec<Hit>, Failure> {
        let ids: Vec<MailboxId> = self
            .memory
            .pending()?
            .into_keys()
            .filter_map(|source| match source {
                Source::Mailbox(id) => Some(id),
                Source::Crm(_) => None,
            })
            .take(WAITING_READ_MAX)
            .collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let hits = self.mailbox.read(&ids)?.into_iter().filter_map(|read| {
            let (MailboxRead::Present(contact) | MailboxRead::Moved(contact)) = read else {
                return None;
            };
            self.hit_of_mailbox(contact, wanted)
        });
        Ok(hits.collect())
    }

    fn hit_of_mailbox(&self, contact: MailboxContact, wanted: &Wanted) -> Option<Hit> {
        let region = &self.job.tenant.region;
        let candidate = Candidate::of_mailbox((), &contact.view, region);
        wanted.fits(&candidate).then(|| Hit {
            full_name: full_name(&candidate),
            name: ContactName {
                crm_id: None,
                label: contact.view.label(),
                mailbox_id: Some(contact.id),
            },
        })
    }

    /// Pairs as they were when they last agreed: also of contacts that the CRM shows no longer.
    fn in_links(&self, wanted: &Wanted) -> Result<Vec<Hit>, Failure> {
        let region = &self.job.tenant.region;
        let mut hits = Vec::new();
        let mut after = None;
        loop {
            let (links, next) = self.memory.pairs(after.as_deref())?;
            for link in links.into_iter().filter_map(Stored::found) {
                let in_crm = Candidate::of_crm((), &link.base.crm, region);
                let in_mailbox = Candidate::of_mailbox((), &link.base.view, region);
                if wanted.fits(&in_crm) || wanted.fits(&in_mailbox) {
                    hits.push(hit_of_link(link, &in_crm));
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(hits),
            }
        }
    }
}

fn hit_of_link(link: Link, candidate: &Candidate<()>) -> Hit {
    Hit {
        full_name: full_name(candidate),
        name: ContactName {
            label: link.base.crm.label(),
            crm_id: Some(link.crm_id),
            mailbox_id: Some(link.mailbox_id),
        },
    }
}

/// Somebody who may be meant.
struct Hit {
    name: ContactName,
    full_name: String,
}

/// The only one, or the only one of exactly this name.
fn only<'a>(hits: &'a [Hit], wanted: &Wanted) -> Option<&'a ContactName> {
    if let [only] = hits {
        return Some(&only.name);
    }
    let mut exact = hits.iter().filter(|hit| hit.full_name == wanted.text);
    match (exact.next(), exact.next()) {
        (Some(only), None) => Some(&only.name),
        _ => None,
    }
}

fn full_name<I>(candidate: &Candidate<I>) -> String {
    let name = format!("{} {}", candidate.first_name, candidate.last_name);
    let name = text::canonical(&name);
    if name.is_empty() {
        candidate.company.clone()
    } else {
        name
    }
}

/// What people know of a contact.
struct Wanted {
    /// The whole question, canonical and without case.
    text: String,
    email: Option<String>,
    phone: Option<String>,
}

impl Wanted {
    fn new(question: &str, region: &str) -> Self {
        let text = text::canonical(question).to_lowercase();
        Self {
            email: email::canonical(&text),
            phone: phone::read(question, region).map(|phone| phone.international().to_owned()),
            text,
        }
    }

    /// The same address or number; or every word of the question in the names.
    fn fits<I>(&self, candidate: &Candidate<I>) -> bool {
        if let Some(email) = &self.email {
            return candidate.emails.contains(email);
        }
        if self
            .phone
            .as_ref()
            .is_some_and(|phone| candidate.phones.contains(phone))
        {
            return true;
        }
        let names = [
            candidate.first_name.as_str(),
            candidate.last_name.as_str(),
            candidate.company.as_str(),
        ]
        .join(" ");
        self.text.split(' ').all(|word| names.contains(word))
    }
}
