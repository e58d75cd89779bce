//! Pure: a CRM record and an Exchange view, with remembered slots (contract, section 4).

pub mod slots;

use serde::{Deserialize, Serialize};

use crate::contact::{CrmFields, FieldSet, View};
pub use slots::SlotTable;

/// What both sides held after the last agreed sync, as read back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// The CRM's record.
    pub crm: CrmFields,
    /// The mailbox's view.
    pub view: View,
    /// Which CRM value stood in which slot.
    pub slots: SlotTable,
    /// The fields that took part. A field that did not is treated as in a first pair.
    pub fields: FieldSet,
}
