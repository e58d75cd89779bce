//! Every request to Exchange Server that a sync makes, as data: which elements, in which namespace,
//! how often and in which order, with which attributes. What is not written down here stays in the
//! host.
//!
//! Contacts are named by their contents alone: no notes, no photo, no attachment, and no element or
//! property of an item by which a mail or an appointment could be read. A folder is named by its id
//! or as one of the job's own mailbox.

/// SOAP 1.1 (<https://www.w3.org/TR/2000/NOTE-SOAP-20000508/>).
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const MESSAGES: &str = "http://schemas.microsoft.com/exchange/services/2006/messages";
const TYPES: &str = "http://schemas.microsoft.com/exchange/services/2006/types";
const AUTODISCOVER: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
const AUTODISCOVER_ANSWER: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// An element, and what may be in it.
pub(super) struct Shape {
    pub(super) namespace: &'static str,
    /// Elements that differ in nothing but their names share a shape.
    pub(super) names: &'static [&'static str],
    pub(super) attributes: &'static [Attribute],
    pub(super) content: Content,
}

pub(super) enum Content {
    /// Text without elements.
    Text(Value),
    /// Elements without text, in this order.
    Parts(&'static [Part]),
}

/// A place among an element's children.
pub(super) struct Part {
    pub(super) occurs: Occurs,
    /// What may stand there. Shapes of one name differ in their attributes, and one of them has to
    /// fit.
    pub(super) shapes: &'static [&'static Shape],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occurs {
    Once,
    AtMostOnce,
    AtLeastOnce,
}

pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) is_needed: bool,
    pub(super) value: Value,
}

/// What a text or an attribute may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Any,
    /// The address of the job's mailbox.
    OwnAddress,
    OneOf(&'static [&'static str]),
    /// One of these names behind `contacts:`.
    OfContacts(&'static [&'static str]),
}

impl Shape {
    pub(super) fn is(&self, namespace: &[u8], name: &str) -> bool {
        self.namespace.as_bytes() == namespace && self.names.contains(&name)
    }

    /// For a message.
    pub(super) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

/// Names of the operations that write.
pub(super) const WRITING: [&str; 3] = ["CreateItem", "UpdateItem", "DeleteItem"];

/// A request of a pass that may write, or of a call that only reads; acting for the job's mailbox,
/// or by the rights of whoever signs in.
pub(super) fn request(is_writing: bool, impersonates: bool) -> &'static Content {
    match (is_writing, impersonates) {
        (true, true) => &WRITING_IMPERSONATED,
        (true, false) => &WRITING_PLAIN,
        (false, true) => &READING_IMPERSONATED,
        (false, false) => &READING_PLAIN,
    }
}

/// What the older Autodiscover is asked
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/autodiscover-request-pox>).
pub(super) static QUESTION: Content = Content::Parts(&[once(&[&AUTODISCOVER_ROOT])]);

static WRITING_IMPERSONATED: Content = Content::Parts(&[once(&[&ENVELOPE_WRITING_IMPERSONATED])]);
static WRITING_PLAIN: Content = Content::Parts(&[once(&[&ENVELOPE_WRITING_PLAIN])]);
static READING_IMPERSONATED: Content = Content::Parts(&[once(&[&ENVELOPE_READING_IMPERSONATED])]);
static READING_PLAIN: Content = Content::Parts(&[once(&[&ENVELOPE_READING_PLAIN])]);

static ENVELOPE_WRITING_IMPERSONATED: Shape = soap(
    &["Envelope"],
    &[once(&[&HEADER_IMPERSONATED]), once(&[&BODY_WRITING])],
);
static ENVELOPE_WRITING_PLAIN: Shape = soap(
    &["Envelope"],
    &[once(&[&HEADER_PLAIN]), once(&[&BODY_WRITING])],
);
static ENVELOPE_READING_IMPERSONATED: Shape = soap(
    &["Envelope"],
    &[once(&[&HEADER_IMPERSONATED]), once(&[&BODY_READING])],
);
static ENVELOPE_READING_PLAIN: Shape = soap(
    &["Envelope"],
    &[once(&[&HEADER_PLAIN]), once(&[&BODY_READING])],
);

// The header. An `actor`, `role` or `relay` on a part of it would make Exchange pass over that
// part (SOAP 1.1, 4.2.2), and with it over whom the request acts for: no element has an attribute
// that is not written down here.

static HEADER_IMPERSONATED: Shape = soap(
    &["Header"],
    &[
        once(&[&REQUEST_SERVER_VERSION]),
        once(&[&EXCHANGE_IMPERSONATION]),
    ],
);
static HEADER_PLAIN: Shape = soap(&["Header"], &[once(&[&REQUEST_SERVER_VERSION])]);

static REQUEST_SERVER_VERSION: Shape = types(
    &["RequestServerVersion"],
    &[needed("Version", Value::Any)],
    &[],
);
static EXCHANGE_IMPERSONATION: Shape =
    types(&["ExchangeImpersonation"], &[], &[once(&[&CONNECTING_SID])]);
static CONNECTING_SID: Shape = types(&["ConnectingSID"], &[], &[once(&[&PRIMARY_SMTP_ADDRESS])]);
static PRIMARY_SMTP_ADDRESS: Shape = text(TYPES, &["PrimarySmtpAddress"], Value::OwnAddress);

// The body: one operation
// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/ews-operations-in-exchange>).

static BODY_WRITING: Shape = soap(
    &["Body"],
    &[once(&[
        &SYNC_FOLDER_ITEMS,
        &GET_ITEM,
        &FIND_ITEM,
        &GET_FOLDER,
        &FIND_FOLDER,
        &CREATE_ITEM,
        &UPDATE_ITEM,
        &DELETE_ITEM,
    ])],
);
static BODY_READING: Shape = soap(
    &["Body"],
    &[once(&[
        &SYNC_FOLDER_ITEMS,
        &GET_ITEM,
        &FIND_ITEM,
        &GET_FOLDER,
        &FIND_FOLDER,
    ])],
);

static SYNC_FOLDER_ITEMS: Shape = messages(
    &["SyncFolderItems"],
    &[],
    &[
        once(&[&ITEM_SHAPE]),
        once(&[&SYNC_FOLDER_ID]),
        perhaps(&[&SYNC_STATE]),
        once(&[&MAX_CHANGES_RETURNED]),
        perhaps(&[&SYNC_SCOPE]),
    ],
);
static SYNC_FOLDER_ID: Shape = messages(&["SyncFolderId"], &[], &[once(FOLDERS)]);
static SYNC_STATE: Shape = text(MESSAGES, &["SyncState"], Value::Any);
static MAX_CHANGES_RETURNED: Shape = text(MESSAGES, &["MaxChangesReturned"], Value::Any);
static SYNC_SCOPE: Shape = text(MESSAGES, &["SyncScope"], Value::OneOf(&["NormalItems"]));

static GET_ITEM: Shape = messages(
    &["GetItem"],
    &[],
    &[once(&[&ITEM_SHAPE]), once(&[&ITEM_IDS])],
);

static FIND_ITEM: Shape = messages(
    &["FindItem"],
    &[needed("Traversal", Value::OneOf(&["Shallow"]))],
    &[
        once(&[&ITEM_SHAPE]),
        perhaps(&[&INDEXED_PAGE_ITEM_VIEW]),
        perhaps(&[&RESTRICTION]),
        once(&[&PARENT_FOLDER_IDS]),
    ],
);
static INDEXED_PAGE_ITEM_VIEW: Shape = messages(&["IndexedPageItemView"], PAGE, &[]);
/// Our own properties alone: a search is an answer, too, about what it searches.
static RESTRICTION: Shape = messages(&["Restriction"], &[], &[once(&[&IS_EQUAL_TO])]);
static IS_EQUAL_TO: Shape = types(
    &["IsEqualTo"],
    &[],
    &[once(EXTENDED_PATHS), once(&[&FIELD_URI_OR_CONSTANT])],
);
static FIELD_URI_OR_CONSTANT: Shape = types(&["FieldURIOrConstant"], &[], &[once(&[&CONSTANT])]);
static CONSTANT: Shape = types(&["Constant"], &[needed("Value", Value::Any)], &[]);

static GET_FOLDER: Shape = messages(
    &["GetFolder"],
    &[],
    &[once(&[&FOLDER_SHAPE]), once(&[&FOLDER_IDS])],
);
static FIND_FOLDER: Shape = messages(
    &["FindFolder"],
    &[needed("Traversal", Value::OneOf(&["Deep", "Shallow"]))],
    &[
        once(&[&FOLDER_SHAPE]),
        perhaps(&[&INDEXED_PAGE_FOLDER_VIEW]),
        once(&[&PARENT_FOLDER_IDS]),
    ],
);
static INDEXED_PAGE_FOLDER_VIEW: Shape = messages(&["IndexedPageFolderView"], PAGE, &[]);

static CREATE_ITEM: Shape = messages(
    &["CreateItem"],
    &[needed("MessageDisposition", SAVE_ONLY)],
    &[once(&[&SAVED_ITEM_FOLDER_ID]), once(&[&ITEMS])],
);
static SAVED_ITEM_FOLDER_ID: Shape = messages(
    &["SavedItemFolderId"],
    &[],
    &[once(&[&FOLDER_ID, &OWN_CONTACTS])],
);
static ITEMS: Shape = messages(&["Items"], &[], &[often(&[&CONTACT])]);

/// Each change is based on a version (contract, section 5).
static UPDATE_ITEM: Shape = messages(
    &["UpdateItem"],
    &[
        needed("ConflictResolution", Value::OneOf(&["NeverOverwrite"])),
        needed("MessageDisposition", SAVE_ONLY),
    ],
    &[once(&[&ITEM_CHANGES])],
);
static ITEM_CHANGES: Shape = messages(&["ItemChanges"], &[], &[often(&[&ITEM_CHANGE])]);
static ITEM_CHANGE: Shape = types(
    &["ItemChange"],
    &[],
    &[once(&[&ITEM_VERSION]), once(&[&UPDATES])],
);
static UPDATES: Shape = types(
    &["Updates"],
    &[],
    &[often(&[&SET_ITEM_FIELD, &DELETE_ITEM_FIELD])],
);
static SET_ITEM_FIELD: Shape = types(
    &["SetItemField"],
    &[],
    &[once(WRITTEN_PATHS), once(&[&CONTACT])],
);
static DELETE_ITEM_FIELD: Shape = types(&["DeleteItemField"], &[], &[once(WRITTEN_PATHS)]);

static DELETE_ITEM: Shape = messages(
    &["DeleteItem"],
    &[needed("DeleteType", Value::OneOf(&["MoveToDeletedItems"]))],
    &[once(&[&ITEM_IDS])],
);

const SAVE_ONLY: Value = Value::OneOf(&["SaveOnly"]);
const PAGE: &[Attribute] = &[
    needed("MaxEntriesReturned", Value::Any),
    needed("Offset", Value::Any),
    needed("BasePoint", Value::OneOf(&["Beginning"])),
];

// Items and folders.

static ITEM_IDS: Shape = messages(&["ItemIds"], &[], &[often(&[&ITEM_ID])]);
static ITEM_ID: Shape = types(
    &["ItemId"],
    &[needed("Id", Value::Any), possible("ChangeKey", Value::Any)],
    &[],
);
static ITEM_VERSION: Shape = types(
    &["ItemId"],
    &[needed("Id", Value::Any), needed("ChangeKey", Value::Any)],
    &[],
);

static FOLDER_IDS: Shape = messages(&["FolderIds"], &[], &[often(FOLDERS)]);
static PARENT_FOLDER_IDS: Shape = messages(&["ParentFolderIds"], &[], &[often(FOLDERS)]);
const FOLDERS: &[&Shape] = &[&FOLDER_ID, &OWN_FOLDER];
static FOLDER_ID: Shape = types(&["FolderId"], &[needed("Id", Value::Any)], &[]);
/// Without a mailbox, it would be a folder of whoever signs in
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/distinguishedfolderid>).
static OWN_FOLDER: Shape = types(
    &["DistinguishedFolderId"],
    &[needed(
        "Id",
        Value::OneOf(&["contacts", "msgfolderroot", "deleteditems"]),
    )],
    &[once(&[&MAILBOX])],
);
static OWN_CONTACTS: Shape = types(
    &["DistinguishedFolderId"],
    &[needed("Id", Value::OneOf(&["contacts"]))],
    &[once(&[&MAILBOX])],
);
static MAILBOX: Shape = types(&["Mailbox"], &[], &[once(&[&EMAIL_ADDRESS])]);
static EMAIL_ADDRESS: Shape = text(TYPES, &["EmailAddress"], Value::OwnAddress);

// What is asked for.

static ITEM_SHAPE: Shape = messages(
    &["ItemShape"],
    &[],
    &[once(&[&BASE_SHAPE]), perhaps(&[&ITEM_PROPERTIES])],
);
static FOLDER_SHAPE: Shape = messages(
    &["FolderShape"],
    &[],
    &[once(&[&BASE_SHAPE]), perhaps(&[&FOLDER_PROPERTIES])],
);
static BASE_SHAPE: Shape = text(TYPES, &["BaseShape"], Value::OneOf(&["IdOnly"]));
static ITEM_PROPERTIES: Shape = types(
    &["AdditionalProperties"],
    &[],
    &[often(&[
        &READ_FIELD,
        &CONTACT_FIELD,
        &INDEXED_FIELD,
        &INDEXED_ADDRESS,
        &TITLE,
        &SEARCH_KEY,
        &KEY,
        &OF_ADDRESS_SET,
    ])],
);
static FOLDER_PROPERTIES: Shape = types(&["AdditionalProperties"], &[], &[often(&[&FOLDER_FIELD])]);

// Paths to properties.

const EXTENDED_PATHS: &[&Shape] = &[&TITLE, &SEARCH_KEY, &KEY, &OF_ADDRESS_SET];
const WRITTEN_PATHS: &[&Shape] = &[
    &WRITTEN_FIELD,
    &CONTACT_FIELD,
    &INDEXED_FIELD,
    &INDEXED_ADDRESS,
    &TITLE,
    &KEY,
    &OF_ADDRESS_SET,
];

static READ_FIELD: Shape = field(&[needed(
    "FieldURI",
    Value::OneOf(&[
        "item:ItemClass",
        "item:ParentFolderId",
        "item:LastModifiedTime",
    ]),
)]);
/// Of any item, the subject is the one thing beside a contact's own that is written; read it would
/// be a mail's, too.
static WRITTEN_FIELD: Shape = field(&[needed("FieldURI", Value::OneOf(&["item:Subject"]))]);
static FOLDER_FIELD: Shape = field(&[needed(
    "FieldURI",
    Value::OneOf(&["folder:FolderClass", "folder:ParentFolderId"]),
)]);
static CONTACT_FIELD: Shape = field(&[needed("FieldURI", Value::OfContacts(CONTACT_TEXTS))]);
static INDEXED_FIELD: Shape = types(
    &["IndexedFieldURI"],
    &[
        needed(
            "FieldURI",
            Value::OfContacts(&["PhoneNumber", "EmailAddress"]),
        ),
        needed("FieldIndex", Value::Any),
    ],
    &[],
);
static INDEXED_ADDRESS: Shape = types(
    &["IndexedFieldURI"],
    &[
        needed(
            "FieldURI",
            Value::OfContacts(&[
                "PhysicalAddress:Street",
                "PhysicalAddress:City",
                "PhysicalAddress:State",
                "PhysicalAddress:CountryOrRegion",
                "PhysicalAddress:PostalCode",
            ]),
        ),
        needed("FieldIndex", Value::Any),
    ],
    &[],
);

/// `PR_DISPLAY_NAME_PREFIX` (MS-OXOCNTC, 2.2.1.1.3).
static TITLE: Shape = extended(&[
    needed("PropertyTag", Value::OneOf(&["0x3A45"])),
    needed("PropertyType", STRING),
]);
/// `PR_SEARCH_KEY`, which outlives an id.
static SEARCH_KEY: Shape = extended(&[
    needed("PropertyTag", Value::OneOf(&["0x300B"])),
    needed("PropertyType", Value::OneOf(&["Binary"])),
]);
/// The property that holds our key.
static KEY: Shape = extended(&[
    needed(
        "PropertySetId",
        Value::OneOf(&["6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942"]),
    ),
    needed("PropertyName", Value::OneOf(&["ContactSyncKey"])),
    needed("PropertyType", STRING),
]);
/// Of Outlook's set of contacts (`PSETID_Address`): no notes are in it.
static OF_ADDRESS_SET: Shape = extended(&[
    needed("DistinguishedPropertySetId", Value::OneOf(&["Address"])),
    needed("PropertyId", Value::Any),
    needed("PropertyType", STRING),
]);
const STRING: Value = Value::OneOf(&["String"]);

// A contact as it is written
// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/contact>).

static CONTACT: Shape = types(
    &["Contact"],
    &[],
    &[often(&[
        &SUBJECT,
        &EXTENDED_PROPERTY,
        &CONTACT_TEXT,
        &TEXT_LISTS,
        &PHYSICAL_ADDRESSES,
    ])],
);
static SUBJECT: Shape = text(TYPES, &["Subject"], Value::Any);
static CONTACT_TEXT: Shape = text(TYPES, CONTACT_TEXTS, Value::Any);
/// Texts of a contact, as an element and behind `contacts:`. Not among them: the notes, the photo,
/// certificates, and the people around a person.
const CONTACT_TEXTS: &[&str] = &[
    "FileAs",
    "DisplayName",
    "GivenName",
    "Initials",
    "MiddleName",
    "Nickname",
    "CompanyName",
    "Birthday",
    "BusinessHomePage",
    "Department",
    "Generation",
    "JobTitle",
    "OfficeLocation",
    "Profession",
    "Surname",
];
static EXTENDED_PROPERTY: Shape = types(
    &["ExtendedProperty"],
    &[],
    &[
        once(&[&TITLE, &KEY, &OF_ADDRESS_SET]),
        once(&[&EXTENDED_VALUE]),
    ],
);
static EXTENDED_VALUE: Shape = text(TYPES, &["Value"], Value::Any);
static TEXT_LISTS: Shape = types(
    &["EmailAddresses", "PhoneNumbers"],
    &[],
    &[often(&[&TEXT_ENTRY])],
);
static TEXT_ENTRY: Shape = Shape {
    namespace: TYPES,
    names: &["Entry"],
    attributes: &[needed("Key", Value::Any)],
    content: Content::Text(Value::Any),
};
static PHYSICAL_ADDRESSES: Shape = types(&["PhysicalAddresses"], &[], &[often(&[&ADDRESS_ENTRY])]);
static ADDRESS_ENTRY: Shape = types(
    &["Entry"],
    &[needed("Key", Value::Any)],
    &[often(&[&ADDRESS_PART])],
);
static ADDRESS_PART: Shape = text(
    TYPES,
    &["Street", "City", "State", "CountryOrRegion", "PostalCode"],
    Value::Any,
);

// Autodiscover.

static AUTODISCOVER_ROOT: Shape = of(
    AUTODISCOVER,
    &["Autodiscover"],
    &[],
    &[once(&[&AUTODISCOVER_REQUEST])],
);
static AUTODISCOVER_REQUEST: Shape = of(
    AUTODISCOVER,
    &["Request"],
    &[],
    &[
        once(&[&AUTODISCOVER_ADDRESS]),
        once(&[&AUTODISCOVER_SCHEMA]),
    ],
);
static AUTODISCOVER_ADDRESS: Shape = text(AUTODISCOVER, &["EMailAddress"], Value::OwnAddress);
static AUTODISCOVER_SCHEMA: Shape = text(
    AUTODISCOVER,
    &["AcceptableResponseSchema"],
    Value::OneOf(&[AUTODISCOVER_ANSWER]),
);

const fn soap(names: &'static [&'static str], parts: &'static [Part]) -> Shape {
    of(SOAP, names, &[], parts)
}

const fn messages(
    names: &'static [&'static str],
    attributes: &'static [Attribute],
    parts: &'static [Part],
) -> Shape {
    of(MESSAGES, names, attributes, parts)
}

const fn types(
    names: &'static [&'static str],
    attributes: &'static [Attribute],
    parts: &'static [Part],
) -> Shape {
    of(TYPES, names, attributes, parts)
}

const fn field(attributes: &'static [Attribute]) -> Shape {
    types(&["FieldURI"], attributes, &[])
}

const fn extended(attributes: &'static [Attribute]) -> Shape {
    types(&["ExtendedFieldURI"], attributes, &[])
}

const fn of(
    namespace: &'static str,
    names: &'static [&'static str],
    attributes: &'static [Attribute],
    parts: &'static [Part],
) -> Shape {
    Shape {
        namespace,
        names,
        attributes,
        content: Content::Parts(parts),
    }
}

const fn text(namespace: &'static str, names: &'static [&'static str], value: Value) -> Shape {
    Shape {
        namespace,
        names,
        attributes: &[],
        content: Content::Text(value),
    }
}

const fn once(shapes: &'static [&'static Shape]) -> Part {
    Part {
        occurs: Occurs::Once,
        shapes,
    }
}

const fn perhaps(shapes: &'static [&'static Shape]) -> Part {
    Part {
        occurs: Occurs::AtMostOnce,
        shapes,
    }
}

const fn often(shapes: &'static [&'static Shape]) -> Part {
    Part {
        occurs: Occurs::AtLeastOnce,
        shapes,
    }
}

const fn needed(name: &'static str, value: Value) -> Attribute {
    Attribute {
        name,
        is_needed: true,
        value,
    }
}

const fn possible(name: &'static str, value: Value) -> Attribute {
    Attribute {
        name,
        is_needed: false,
        value,
    }
}
