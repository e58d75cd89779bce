//! A job of the file as one of the interface. Variant by variant; nothing is decided.

use contact_sync_job as file;
use contact_sync_job::Job;

use super::bindings::contact_sync::plugin::types as wit;

pub(super) fn to_wit(job: Job) -> wit::Job {
    let file::CrmAccess::Flowfact(flowfact) = job.crm;
    let fields = flowfact
        .fields
        .into_iter()
        .map(|(field, name)| wit::FieldName {
            field: self::field(field),
            name,
        });
    wit::Job {
        tenant: wit::Tenant {
            id: job.tenant.id,
            region: job.tenant.region,
        },
        crm: wit::Crm::Flowfact(wit::Flowfact {
            base_url: flowfact.base_url,
            schema: flowfact.schema,
            company: flowfact.company,
            fields: fields.collect(),
            marker: match flowfact.marker {
                file::Marker::SyncEntry(entry) => wit::Marker::SyncEntry(entry),
                file::Marker::FieldValue { field, value } => {
                    wit::Marker::FieldValue(wit::FieldValue { field, value })
                }
            },
        }),
        mailbox: wit::Mailbox {
            id: job.mailbox.id,
            address: job.mailbox.address,
            endpoint: endpoint(job.mailbox.endpoint),
        },
        policy: policy(&job.policy),
    }
}

fn endpoint(endpoint: file::Endpoint) -> wit::Endpoint {
    match endpoint {
        file::Endpoint::Graph(graph) => wit::Endpoint::Graph(wit::Graph {
            base_url: graph.base_url,
            user: match graph.user {
                file::GraphUser::Me => wit::GraphUser::Me,
                file::GraphUser::User(user) => wit::GraphUser::User(user),
            },
            trust_if_match: graph.trust_if_match,
        }),
        file::Endpoint::Ews(ews) => wit::Endpoint::Ews(wit::Ews {
            url: ews.url,
            autodiscover: ews.autodiscover,
            impersonate: ews.impersonate,
            ask_search_key: ews.ask_search_key,
        }),
    }
}

fn field(field: file::Field) -> wit::Field {
    match field {
        file::Field::FirstName => wit::Field::FirstName,
        file::Field::LastName => wit::Field::LastName,
        file::Field::AcademicTitle => wit::Field::AcademicTitle,
        file::Field::Company => wit::Field::Company,
        file::Field::Department => wit::Field::Department,
        file::Field::Position => wit::Field::Position,
        file::Field::Phones => wit::Field::Phones,
        file::Field::Emails => wit::Field::Emails,
        file::Field::Website => wit::Field::Website,
        file::Field::Addresses => wit::Field::Addresses,
        file::Field::Birthday => wit::Field::Birthday,
    }
}

fn policy(policy: &file::Policy) -> wit::Policy {
    wit::Policy {
        conflict: match policy.conflict {
            file::ConflictWinner::Crm => wit::ConflictWinner::Crm,
            file::ConflictWinner::Mailbox => wit::ConflictWinner::Mailbox,
            file::ConflictWinner::Newest => wit::ConflictWinner::Newest,
        },
        delete_edit: match policy.delete_edit {
            file::DeleteEdit::KeepEdit => wit::DeleteEdit::KeepEdit,
            file::DeleteEdit::Delete => wit::DeleteEdit::Delete,
        },
        on_crm_delete: match policy.on_crm_delete {
            file::OnCrmDelete::DeleteInMailbox => wit::OnCrmDelete::DeleteInMailbox,
            file::OnCrmDelete::KeepInMailbox => wit::OnCrmDelete::KeepInMailbox,
        },
        on_mailbox_delete: match policy.on_mailbox_delete {
            file::OnMailboxDelete::DeleteInCrm => wit::OnMailboxDelete::DeleteInCrm,
            file::OnMailboxDelete::Unmark => wit::OnMailboxDelete::Unmark,
        },
        on_unmark: match policy.on_unmark {
            file::OnUnmark::Keep => wit::OnUnmark::Keep,
            file::OnUnmark::DeleteFromMailbox => wit::OnUnmark::DeleteFromMailbox,
        },
        matching: match policy.matching {
            file::Matching::EmailOrPhone => wit::Matching::EmailOrPhone,
            file::Matching::Off => wit::Matching::Off,
        },
        guard: wit::Guard {
            contacts_max: policy.guard.contacts_max,
            contacts_percent_max: policy.guard.contacts_percent_max,
        },
        journal_days: policy.journal_days,
        native_sync: match policy.native_sync {
            file::NativeSync::Ask => wit::NativeSync::Ask,
            file::NativeSync::Off => wit::NativeSync::Off,
        },
        crm_not_found: match policy.crm_not_found {
            file::CrmNotFound::Hold => wit::CrmNotFound::Hold,
            file::CrmNotFound::Deleted => wit::CrmNotFound::Deleted,
        },
    }
}
