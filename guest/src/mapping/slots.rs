//! Which CRM value stands in which slot.

use serde::{Deserialize, Serialize};

/// Which CRM value stands in which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTable {}
