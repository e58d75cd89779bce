//! The part of Exchange's XML schema that contacts need, as a table, and its strict reader.
//!
//! Order counts: Exchange's types are sequences (`types.xsd`, `messages.xsd`), and one element in
//! the wrong place fails the whole request. A line names a type, then what it holds:
//!
//! * `@Name` an attribute, `?` where it may be missing, `=Type` what its text is;
//! * `m:Name`, `t:Name` an element of the messages' or the types' namespace, with `?`, `*` or `+`
//!   for how often, `=Type` where its type is called otherwise; `a|b` where one of several stands;
//! * `#bool`, `#int`, `#time`, or `#A|B|C` for texts. A type without a line is any text.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::fields::is_field;
use super::xml::{Node, Space};

const SCHEMA: &str = "
GetFolder m:FolderShape m:FolderIds
FindFolder @Traversal=FolderTraversal m:FolderShape m:IndexedPageFolderView=PageView? \
    m:ParentFolderIds=FolderIds
SyncFolderHierarchy m:FolderShape m:SyncFolderId=FolderId? m:SyncState?
SyncFolderItems m:ItemShape m:SyncFolderId=FolderId m:SyncState? m:Ignore=Ignored? \
    m:MaxChangesReturned=Changes m:SyncScope?
GetItem m:ItemShape m:ItemIds
CreateItem @MessageDisposition=Disposition? @SendMeetingInvitations? \
    m:SavedItemFolderId=FolderId? m:Items
UpdateItem @ConflictResolution @MessageDisposition=Disposition? \
    @SendMeetingInvitationsOrCancellations? @SuppressReadReceipts=Bool? \
    m:SavedItemFolderId=FolderId? m:ItemChanges
DeleteItem @DeleteType @SendMeetingCancellations? @AffectedTaskOccurrences? \
    @SuppressReadReceipts=Bool? m:ItemIds
FindItem @Traversal=ItemTraversal m:ItemShape m:IndexedPageItemView=PageView? \
    m:Restriction? m:SortOrder? m:ParentFolderIds=FolderIds
ConvertId @DestinationFormat=IdFormat m:SourceIds
FolderShape t:BaseShape t:AdditionalProperties=Paths?
ItemShape t:BaseShape t:IncludeMimeContent=Bool? t:BodyType=BodyForm? \
    t:UniqueBodyType=BodyForm? t:NormalizedBodyType=BodyForm? t:FilterHtmlContent=Bool? \
    t:ConvertHtmlCodePageToUTF8=Bool? t:InlineImageUrlTemplate? t:BlockExternalImages=Bool? \
    t:AddBlankTargetToLinks=Bool? t:MaximumBodySize=Int? t:AdditionalProperties=Paths?
Paths t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI+
FieldURI @FieldURI=Field
IndexedFieldURI @FieldURI=Dictionary @FieldIndex
ExtendedFieldURI @DistinguishedPropertySetId=PropertySet? @PropertySetId=Guid? \
    @PropertyTag? @PropertyName? @PropertyId=Int? @PropertyType
FolderIds t:FolderId=FolderKey|t:DistinguishedFolderId+
FolderId t:FolderId=FolderKey|t:DistinguishedFolderId
FolderKey @Id @ChangeKey?
DistinguishedFolderId @Id=DistinguishedFolder @ChangeKey? t:Mailbox?
Mailbox t:Name? t:EmailAddress? t:RoutingType? t:MailboxType?
Ignored t:ItemId*
ItemIds t:ItemId+
ItemId @Id @ChangeKey?
Items t:Contact*
ItemChanges t:ItemChange+
ItemChange t:ItemId t:Updates
Updates t:AppendToItemField=SetField|t:SetItemField=SetField|t:DeleteItemField=Path*
SetField t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI t:Contact
Path t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI
PageView @MaxEntriesReturned=Int? @Offset=Int @BasePoint
Restriction t:IsEqualTo|t:Exists|t:And=Several|t:Or=Several|t:Not=Restriction
Several t:IsEqualTo|t:Exists|t:And=Several|t:Or=Several|t:Not=Restriction+
IsEqualTo t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI t:FieldURIOrConstant
Exists t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI
FieldURIOrConstant t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI|t:Constant
Constant @Value
SortOrder t:FieldOrder+
FieldOrder @Order=Direction t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI
SourceIds t:AlternateId+
AlternateId @Format=IdFormat @Id @Mailbox @IsArchive=Bool?
Contact t:MimeContent? t:ItemId? t:ParentFolderId=FolderKey? t:ItemClass? t:Subject? \
    t:Sensitivity? t:Body? t:Attachments? t:DateTimeReceived=Time? t:Size=Int? \
    t:Categories=Strings? t:Importance? t:InReplyTo? t:IsSubmitted=Bool? t:IsDraft=Bool? \
    t:IsFromMe=Bool? t:IsResend=Bool? t:IsUnmodified=Bool? t:InternetMessageHeaders? \
    t:DateTimeSent=Time? t:DateTimeCreated=Time? t:ResponseObjects? t:ReminderDueBy=Time? \
    t:ReminderIsSet=Bool? t:ReminderNextTime=Time? t:ReminderMinutesBeforeStart? \
    t:DisplayCc? t:DisplayTo? t:DisplayBcc? t:HasAttachments=Bool? t:ExtendedProperty* \
    t:Culture? t:EffectiveRights? t:LastModifiedName? t:LastModifiedTime=Time? \
    t:IsAssociated=Bool? t:WebClientReadFormQueryString? t:WebClientEditFormQueryString? \
    t:ConversationId? t:UniqueBody? t:Flag? t:StoreEntryId? t:InstanceKey? \
    t:NormalizedBody? t:EntityExtractionResult? t:PolicyTag? t:ArchiveTag? \
    t:RetentionDate=Time? t:Preview? t:RightsManagementLicenseData? t:NextPredictedAction? \
    t:GroupingAction? t:BlockStatus=Bool? t:HasBlockedImages=Bool? t:TextBody=Body? \
    t:IconIndex? t:FileAs? t:FileAsMapping? t:DisplayName? t:GivenName? t:Initials? \
    t:MiddleName? t:Nickname? t:CompleteName? t:CompanyName? t:EmailAddresses? \
    t:AbchEmailAddresses? t:PhysicalAddresses? t:PhoneNumbers? t:AssistantName? \
    t:Birthday=Time? t:BusinessHomePage? t:Children=Strings? t:Companies=Strings? \
    t:ContactSource? t:Department? t:Generation? t:ImAddresses? t:JobTitle? t:Manager? \
    t:Mileage? t:OfficeLocation? t:PostalAddressIndex? t:Profession? t:SpouseName? \
    t:Surname? t:WeddingAnniversary=Time? t:HasPicture=Bool? t:PhoneticFullName? \
    t:PhoneticFirstName? t:PhoneticLastName? t:Alias? t:Notes? t:Photo?
CompleteName t:Title? t:FirstName? t:MiddleName? t:LastName? t:Suffix? t:Initials? \
    t:FullName? t:Nickname? t:YomiFirstName? t:YomiLastName?
Body @BodyType=BodyKind @IsTruncated=Bool?
Strings t:String*
ExtendedProperty t:ExtendedFieldURI t:Value|t:Values=ValueList
ValueList t:Value+
EmailAddresses t:Entry=EmailEntry+
EmailEntry @Key=EmailKey @Name? @RoutingType? @MailboxType?
PhoneNumbers t:Entry=PhoneEntry+
PhoneEntry @Key=PhoneKey
ImAddresses t:Entry=ImEntry+
ImEntry @Key=ImKey
PhysicalAddresses t:Entry=AddressEntry+
AddressEntry @Key=AddressKey t:Street? t:City? t:State? t:CountryOrRegion? t:PostalCode?
Bool #bool
Int #int
Time #time
Field #field
Changes #changes
Guid #guid
BaseShape #IdOnly|Default|AllProperties
BodyForm #Best|HTML|Text
BodyKind #HTML|Text
SyncScope #NormalItems|NormalAndAssociatedItems
Disposition #SaveOnly|SendOnly|SendAndSaveCopy
ConflictResolution #NeverOverwrite|AutoResolve|AlwaysOverwrite
DeleteType #HardDelete|SoftDelete|MoveToDeletedItems
FolderTraversal #Shallow|Deep|SoftDeleted
ItemTraversal #Shallow|SoftDeleted|Associated
BasePoint #Beginning|End
Direction #Ascending|Descending
Sensitivity #Normal|Personal|Private|Confidential
Importance #Low|Normal|High
PostalAddressIndex #None|Home|Business|Other
FileAsMapping #None|LastCommaFirst|FirstSpaceLast|Company|LastCommaFirstCompany|\
    CompanyLastFirst|LastFirst|LastFirstCompany|CompanyLastCommaFirst|LastFirstSuffix|\
    LastSpaceFirstCompany|CompanyLastSpaceFirst|LastSpaceFirst|DisplayName|FirstName|\
    LastFirstMiddleSuffix|LastName|Empty
IdFormat #EwsLegacyId|EwsId|EntryId|HexEntryId|StoreId|OwaId
EmailKey #EmailAddress1|EmailAddress2|EmailAddress3
ImKey #ImAddress1|ImAddress2|ImAddress3
AddressKey #Home|Business|Other
PhoneKey #AssistantPhone|BusinessFax|BusinessPhone|BusinessPhone2|Callback|CarPhone|\
    CompanyMainPhone|HomeFax|HomePhone|HomePhone2|Isdn|MobilePhone|OtherFax|OtherTelephone|\
    Pager|PrimaryPhone|RadioPhone|Telex|TtyTddPhone|BusinessMobile|IPPhone|Mms|Msn
PropertySet #Meeting|Appointment|Common|PublicStrings|Address|InternetHeaders|\
    CalendarAssistant|UnifiedMessaging|Task|Sharing
PropertyType #ApplicationTime|ApplicationTimeArray|Binary|BinaryArray|Boolean|CLSID|\
    CLSIDArray|Currency|CurrencyArray|Double|DoubleArray|Error|Float|FloatArray|Integer|\
    IntegerArray|Long|LongArray|Null|Object|ObjectArray|Short|ShortArray|SystemTime|\
    SystemTimeArray|String|StringArray
Dictionary #item:InternetMessageHeader|contacts:ImAddress|contacts:PhysicalAddress:Street|\
    contacts:PhysicalAddress:City|contacts:PhysicalAddress:State|\
    contacts:PhysicalAddress:CountryOrRegion|contacts:PhysicalAddress:PostalCode|\
    contacts:PhoneNumber|contacts:EmailAddress|distributionlist:Members:Member
DistinguishedFolder #calendar|contacts|deleteditems|drafts|inbox|journal|notes|outbox|\
    sentitems|tasks|msgfolderroot|publicfoldersroot|root|junkemail|searchfolders|voicemail|\
    recoverableitemsroot|recoverableitemsdeletions|recoverableitemsversions|\
    recoverableitemspurges|archiveroot|archivemsgfolderroot|archivedeleteditems|syncissues|\
    conflicts|localfailures|serverfailures|recipientcache|quickcontacts|conversationhistory|\
    adminauditlogs|todosearch|mycontacts|directory|imcontactlist|peopleconnect|favorites
";

/// One place in a sequence: one of several elements, so often.
struct Particle {
    alternatives: Vec<(Space, &'static str, &'static str)>,
    required: bool,
    repeats: bool,
}

struct Attribute {
    name: &'static str,
    required: bool,
    kind: &'static str,
}

enum Type {
    Text(&'static str),
    Sequence(Vec<Attribute>, Vec<Particle>),
}

/// What a request violates, in the words of .NET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

/// The operations that are answered at all.
pub(super) fn is_operation(name: &str) -> bool {
    SCHEMA
        .lines()
        .skip(1)
        .take(10)
        .any(|line| line.split(' ').next() == Some(name))
}

/// Checks an operation and all that it holds.
pub(super) fn check_operation(operation: &Node) -> Result<(), Violation> {
    let types = types();
    check(types, operation, &operation.name)
}

fn types() -> &'static BTreeMap<&'static str, Type> {
    static TYPES: OnceLock<BTreeMap<&'static str, Type>> = OnceLock::new();
    TYPES.get_or_init(|| SCHEMA.lines().filter_map(parse).collect())
}

fn parse(line: &'static str) -> Option<(&'static str, Type)> {
    let (name, rest) = line.split_once(' ')?;
    if let Some(kind) = rest.strip_prefix('#') {
        return Some((name, Type::Text(kind)));
    }
    let (mut attributes, mut particles) = (Vec::new(), Vec::new());
    for token in rest.split(' ') {
        let body = token.trim_end_matches(['?', '*', '+']);
        let sign = token.get(body.len()..).unwrap_or_default();
        if let Some(attribute) = body.strip_prefix('@') {
            let (name, kind) = attribute.split_once('=').unwrap_or((attribute, attribute));
            attributes.push(Attribute {
                name,
                required: sign.is_empty(),
                kind,
            });
        } else {
            particles.push(Particle {
                alternatives: body.split('|').filter_map(element).collect(),
                required: matches!(sign, "" | "+"),
                repeats: matches!(sign, "*" | "+"),
            });
        }
    }
    Some((name, Type::Sequence(attributes, particles)))
}

fn element(text: &'static str) -> Option<(Space, &'static str, &'static str)> {
    let (prefix, rest) = text.split_once(':')?;
    let space = if prefix == "m" {
        Space::Messages
    } else {
        Space::Types
    };
    let (name, kind) = rest.split_once('=').unwrap_or((rest, rest));
    Some((space, name, kind))
}

fn check(types: &BTreeMap<&'static str, Type>, node: &Node, kind: &str) -> Result<(), Violation> {
    match types.get(kind) {
        None => no_children(node),
        Some(Type::Text(kind)) => {
            no_children(node)?;
            check_text(&node.text, kind, &format!("'{}' element", node.name))
        }
        Some(Type::Sequence(attributes, particles)) => {
            check_attributes(types, node, attributes)?;
            if particles.is_empty() {
                return no_children(node);
            }
            if !node.text.trim().is_empty() && !node.children.is_empty() {
                let name = &node.name;
                return Err(Violation(format!(
                    "The element '{name}' cannot contain text."
                )));
            }
            check_children(types, node, particles)
        }
    }
}

fn no_children(node: &Node) -> Result<(), Violation> {
    match node.children.first() {
        None => Ok(()),
        Some(child) => Err(unexpected(node, child, &[])),
    }
}

fn check_attributes(
    types: &BTreeMap<&'static str, Type>,
    node: &Node,
    known: &[Attribute],
) -> Result<(), Violation> {
    for (name, value) in &node.attributes {
        let Some(attribute) = known.iter().find(|attribute| attribute.name == name) else {
            let why = format!("The '{name}' attribute is not declared.");
            return Err(Violation(why));
        };
        if let Some(Type::Text(kind)) = types.get(attribute.kind) {
            check_text(value, kind, &format!("'{name}' attribute"))?;
        }
    }
    for attribute in known.iter().filter(|attribute| attribute.required) {
        if node.attribute(attribute.name).is_none() {
            let name = attribute.name;
            let why = format!("The required attribute '{name}' is missing.");
            return Err(Violation(why));
        }
    }
    Ok(())
}

fn check_children(
    types: &BTreeMap<&'static str, Type>,
    node: &Node,
    particles: &[Particle],
) -> Result<(), Violation> {
    let mut left = particles.iter();
    let mut current = left.next();
    let mut seen = false;
    for child in &node.children {
        loop {
            let Some(particle) = current else {
                return Err(unexpected(node, child, &[]));
            };
            let mut alternatives = particle.alternatives.iter();
            let found =
                alternatives.find(|(space, name, _)| *space == child.space && *name == child.name);
            if let Some((.., kind)) = found
                && (!seen || particle.repeats)
            {
                check(types, child, kind)?;
                seen = true;
                break;
            }
            if particle.required && !seen {
                return Err(unexpected(node, child, &particle.alternatives));
            }
            current = left.next();
            seen = false;
        }
    }
    let missing = current
        .filter(|particle| particle.required && !seen)
        .or_else(|| left.find(|particle| particle.required));
    match missing {
        None => Ok(()),
        Some(particle) => {
            let (name, uri) = (&node.name, node.space.uri());
            let expected = names(&particle.alternatives);
            Err(Violation(format!(
                "The element '{name}' in namespace '{uri}' has incomplete content. List of \
                 possible elements expected: {expected}."
            )))
        }
    }
}

fn unexpected(
    node: &Node,
    child: &Node,
    expected: &[(Space, &'static str, &'static str)],
) -> Violation {
    let (name, uri) = (&node.name, node.space.uri());
    let (child, child_uri) = (&child.name, child.space.uri());
    let mut why = format!(
        "The element '{name}' in namespace '{uri}' has invalid child element '{child}' in \
         namespace '{child_uri}'."
    );
    if !expected.is_empty() {
        why.push_str(" List of possible elements expected: ");
        why.push_str(&names(expected));
        why.push('.');
    }
    Violation(why)
}

fn names(alternatives: &[(Space, &'static str, &'static str)]) -> String {
    let names: Vec<&str> = alternatives.iter().map(|(_, name, _)| *name).collect();
    format!("'{}'", names.join(", "))
}

fn check_text(text: &str, kind: &str, what: &str) -> Result<(), Violation> {
    let text = text.trim();
    let meets = match kind {
        "bool" => matches!(text, "0" | "1" | "true" | "false"),
        "int" => text.parse::<i64>().is_ok(),
        "changes" => text
            .parse()
            .is_ok_and(|count: i64| (1..=512).contains(&count)),
        "time" => is_time(text),
        "field" => is_field(text),
        "guid" => is_guid(text),
        values => values.split('|').any(|value| value == text),
    };
    if meets {
        Ok(())
    } else {
        Err(Violation(format!(
            "The {what} is invalid - The value '{text}' is invalid according to its datatype."
        )))
    }
}

/// `xs:dateTime`; a date alone is none.
fn is_time(text: &str) -> bool {
    text.contains('T') && super::fields::instant(text).is_some()
}

fn is_guid(text: &str) -> bool {
    let sizes = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == sizes.len()
        && parts.iter().zip(sizes).all(|(part, size)| {
            part.len() == size && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// Where an element stands among those of a contact.
pub(super) fn place_in_contact(name: &str) -> usize {
    let Some(Type::Sequence(_, particles)) = types().get("Contact") else {
        return usize::MAX;
    };
    let mut particles = particles.iter();
    let is_there = |particle: &Particle| particle.alternatives.iter().any(|one| one.1 == name);
    particles.position(is_there).unwrap_or(usize::MAX)
}
