//! `job`: what a pass is told, as a file for other hosts.

use std::io::{self, Write};

use contact_sync_host::config::TenantSettings;
use contact_sync_host::types as wit;
use contact_sync_job as file;
use contact_sync_job::Job;

use super::{End, Stop};

pub(super) const HELP: &str = "\
Example:
  contact-sync job --tenant muster --mailbox koeln > state/job.json

A job names services, the mailbox and your choices, in the words of the configuration. Secrets and
networks are not in it: they stay with the host that sends the requests.";

/// Prints the job of the one mailbox that is chosen.
pub(super) fn print(tenants: &[TenantSettings]) -> Result<End, Stop> {
    let mut chosen = tenants.iter().flat_map(|tenant| {
        tenant
            .mailboxes
            .iter()
            .map(move |mailbox| (tenant, mailbox))
    });
    let (Some((tenant, mailbox)), None) = (chosen.next(), chosen.next()) else {
        let message = "`job` is for one mailbox".to_owned();
        let hint = "name it with `--tenant ID --mailbox ID`".to_owned();
        return Err(Stop::Message(End::Internal, message, Some(hint)));
    };
    let text = to_file(tenant.job(mailbox)).to_json();
    let text = text.map_err(|error| Stop::Message(End::Internal, error.to_string(), None))?;
    writeln!(io::stdout(), "{text}")?;
    Ok(End::Complete)
}

/// A job of the interface as one of a file. Variant by variant; nothing is decided.
fn to_file(job: wit::Job) -> Job {
    let wit::Crm::Flowfact(flowfact) = job.crm;
    let fields = flowfact.fields.into_iter();
    Job {
        tenant: file::Tenant {
            id: job.tenant.id,
            region: job.tenant.region,
        },
        crm: file::CrmAccess::Flowfact(file::FlowfactAccess {
            base_url: flowfact.base_url,
            schema: flowfact.schema,
            company: flowfact.company,
            fields: fields
                .map(|named| (field(named.field), named.name))
                .collect(),
            marker: match flowfact.marker {
                wit::Marker::SyncEntry(entry) => file::Marker::SyncEntry(entry),
                wit::Marker::FieldValue(place) => file::Marker::FieldValue {
                    field: place.field,
                    value: place.value,
                },
            },
        }),
        mailbox: file::MailboxAccess {
            id: job.mailbox.id,
            address: job.mailbox.address,
            endpoint: endpoint(job.mailbox.endpoint),
        },
        policy: policy(&job.policy),
    }
}

fn endpoint(endpoint: wit::Endpoint) -> file::Endpoint {
    match endpoint {
        wit::Endpoint::Graph(graph) => file::Endpoint::Graph(file::GraphAccess {
            base_url: graph.base_url,
            user: match graph.user {
                wit::GraphUser::Me => file::GraphUser::Me,
                wit::GraphUser::User(user) => file::GraphUser::User(user),
            },
            trust_if_match: graph.trust_if_match,
        }),
        wit::Endpoint::Ews(ews) => file::Endpoint::Ews(file::EwsAccess {
            url: ews.url,
            autodiscover: ews.autodiscover,
            impersonate: ews.impersonate,
            ask_search_key: ews.ask_search_key,
        }),
    }
}

fn field(field: wit::Field) -> file::Field {
    match field {
        wit::Field::FirstName => file::Field::FirstName,
        wit::Field::LastName => file::Field::LastName,
        wit::Field::AcademicTitle => file::Field::AcademicTitle,
        wit::Field::Company => file::Field::Company,
        wit::Field::Department => file::Field::Department,
        wit::Field::Position => file::Field::Position,
        wit::Field::Phones => file::Field::Phones,
        wit::Field::Emails => file::Field::Emails,
        wit::Field::Website => file::Field::Website,
        wit::Field::Addresses => file::Field::Addresses,
        wit::Field::Birthday => file::Field::Birthday,
    }
}

fn policy(policy: &wit::Policy) -> file::Policy {
    file::Policy {
        conflict: match policy.conflict {
            wit::ConflictWinner::Crm => file::ConflictWinner::Crm,
            wit::ConflictWinner::Mailbox => file::ConflictWinner::Mailbox,
            wit::ConflictWinner::Newest => file::ConflictWinner::Newest,
        },
        delete_edit: match policy.delete_edit {
            wit::DeleteEdit::KeepEdit => file::DeleteEdit::KeepEdit,
            wit::DeleteEdit::Delete => file::DeleteEdit::Delete,
        },
        on_crm_delete: match policy.on_crm_delete {
            wit::OnCrmDelete::DeleteInMailbox => file::OnCrmDelete::DeleteInMailbox,
            wit::OnCrmDelete::KeepInMailbox => file::OnCrmDelete::KeepInMailbox,
        },
        on_mailbox_delete: match policy.on_mailbox_delete {
            wit::OnMailboxDelete::DeleteInCrm => file::OnMailboxDelete::DeleteInCrm,
            wit::OnMailboxDelete::Unmark => file::OnMailboxDelete::Unmark,
        },
        on_unmark: match policy.on_unmark {
            wit::OnUnmark::Keep => file::OnUnmark::Keep,
            wit::OnUnmark::DeleteFromMailbox => file::OnUnmark::DeleteFromMailbox,
        },
        matching: match policy.matching {
            wit::Matching::EmailOrPhone => file::Matching::EmailOrPhone,
            wit::Matching::Off => file::Matching::Off,
        },
        guard: file::GuardLimits {
            contacts_max: policy.guard.contacts_max,
            contacts_percent_max: policy.guard.contacts_percent_max,
        },
        journal_days: policy.journal_days,
        native_sync: match policy.native_sync {
            wit::NativeSync::Ask => file::NativeSync::Ask,
            wit::NativeSync::Off => file::NativeSync::Off,
        },
        crm_not_found: match policy.crm_not_found {
            wit::CrmNotFound::Hold => file::CrmNotFound::Hold,
            wit::CrmNotFound::Deleted => file::CrmNotFound::Deleted,
        },
    }
}

#[cfg(test)]
mod tests {
    use contact_sync_host::config::usual_policy;

    use super::*;

    /// What may be left out of a job means the same as what may be left out of a configuration.
    #[test]
    fn a_job_and_a_configuration_leave_out_the_same() {
        assert_eq!(policy(&usual_policy()), file::usual_policy());
    }
}
