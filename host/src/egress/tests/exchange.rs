//! Exchange Server: what a hostile guest tries in a SOAP body, and how the host signs in.
//!
//! Method: bodies in, denials out; then whole exchanges with a server on loopback that keeps a
//! state per connection, as NTLM does, with TLS from a certificate authority of its own. Whether
//! the proof in an NTLM message is right is proven elsewhere, by a verifier that shares no code
//! with this host.

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::loopback::read;
use crate::types::Ews;

pub(super) const ADDRESS: &str = "erika@muster.example";
const URL: &str = "https://mail.muster.example/EWS/Exchange.asmx";

fn exchange_job(url: Option<&str>, autodiscover: &[&str], impersonate: bool) -> Job {
    let mut job = job("https://ff.example", "https://graph.example/v1.0");
    job.mailbox.endpoint = Endpoint::Ews(Ews {
        url: url.map(str::to_owned),
        autodiscover: autodiscover.iter().map(ToString::to_string).collect(),
        impersonate,
        ask_search_key: true,
    });
    job
}

/// An envelope with this header and this body.
pub(super) fn envelope(header: &str, body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><s:Envelope
        xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
        xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"
        xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Header>
        <t:RequestServerVersion Version="Exchange2013_SP1"/>{header}</s:Header>
        <s:Body>{body}</s:Body></s:Envelope>"#
    )
}

pub(super) fn acting_for(address: &str) -> String {
    format!(
        "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>{address}\
         </t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>"
    )
}

/// What becomes of a request to EWS.
pub(super) fn judged(impersonate: bool, writing: Writing, body: &str) -> String {
    judged_with(
        impersonate,
        writing,
        body,
        &[("content-type", "text/xml; charset=utf-8")],
    )
}

pub(super) fn judged_with(
    impersonate: bool,
    writing: Writing,
    body: &str,
    headers: &[(&str, &str)],
) -> String {
    let job = exchange_job(Some(URL), &[], impersonate);
    let rules = Rules::new(&job, Networks::default(), writing).unwrap();
    let uri: Uri = URL.parse().unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let judged = rules.check(&Method::POST, &uri).and_then(|allowed| {
        rules.check_headers(&allowed, &map)?;
        rules.check_body(&allowed, &uri, body.as_bytes())
    });
    judged.map_or_else(|denial| denial.to_string(), |()| "fine".into())
}

/// The folder of contacts as [`SYNC`] names it.
const OWN: &str = r#"<t:DistinguishedFolderId Id="contacts"><t:Mailbox>
    <t:EmailAddress>erika@muster.example</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>"#;
pub(super) const SYNC: &str = r#"<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>
    </m:ItemShape><m:SyncFolderId><t:DistinguishedFolderId Id="contacts"><t:Mailbox>
    <t:EmailAddress>erika@muster.example</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>
    </m:SyncFolderId><m:MaxChangesReturned>512</m:MaxChangesReturned></m:SyncFolderItems>"#;
pub(super) const READ: &str = r#"<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>
    <t:AdditionalProperties><t:FieldURI FieldURI="item:ItemClass"/>
    <t:FieldURI FieldURI="item:ParentFolderId"/><t:FieldURI FieldURI="contacts:FileAs"/>
    <t:IndexedFieldURI FieldURI="contacts:PhoneNumber" FieldIndex="HomePhone"/>
    <t:IndexedFieldURI FieldURI="contacts:PhysicalAddress:City" FieldIndex="Home"/>
    <t:ExtendedFieldURI PropertyTag="0x3A45" PropertyType="String"/>
    <t:ExtendedFieldURI PropertyTag="0x300B" PropertyType="Binary"/>
    </t:AdditionalProperties></m:ItemShape><m:ItemIds><t:ItemId Id="A"/><t:ItemId Id="B"/>
    </m:ItemIds></m:GetItem>"#;
pub(super) const FIND: &str = r#"<m:FindItem Traversal="Shallow"><m:ItemShape>
    <t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:IndexedPageItemView
    MaxEntriesReturned="50" Offset="0" BasePoint="Beginning"/><m:Restriction><t:IsEqualTo>
    <t:ExtendedFieldURI PropertySetId="6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942"
    PropertyName="ContactSyncKey" PropertyType="String"/><t:FieldURIOrConstant>
    <t:Constant Value="k"/></t:FieldURIOrConstant></t:IsEqualTo></m:Restriction>
    <m:ParentFolderIds><t:FolderId Id="F"/></m:ParentFolderIds></m:FindItem>"#;
pub(super) const FOLDERS: &str = r#"<m:FindFolder Traversal="Deep"><m:FolderShape>
    <t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>
    <t:FieldURI FieldURI="folder:FolderClass"/></t:AdditionalProperties></m:FolderShape>
    <m:ParentFolderIds><t:DistinguishedFolderId Id="msgfolderroot"><t:Mailbox>
    <t:EmailAddress>erika@muster.example</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>
    </m:ParentFolderIds></m:FindFolder>"#;
pub(super) const FOLDER: &str = r#"<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>
    </m:FolderShape><m:FolderIds><t:DistinguishedFolderId Id="deleteditems"><t:Mailbox>
    <t:EmailAddress>erika@muster.example</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>
    <t:FolderId Id="F"/></m:FolderIds></m:GetFolder>"#;
pub(super) const CREATE: &str = r#"<m:CreateItem MessageDisposition="SaveOnly">
    <m:SavedItemFolderId><t:DistinguishedFolderId Id="contacts"><t:Mailbox>
    <t:EmailAddress>erika@muster.example</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>
    </m:SavedItemFolderId><m:Items><t:Contact><t:Subject>Erika</t:Subject><t:ExtendedProperty>
    <t:ExtendedFieldURI PropertySetId="6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942"
    PropertyName="ContactSyncKey" PropertyType="String"/><t:Value>k</t:Value>
    </t:ExtendedProperty><t:GivenName>Erika &amp; Söhne &#x1F600;</t:GivenName>
    <t:EmailAddresses><t:Entry Key="EmailAddress1">a@b.example</t:Entry></t:EmailAddresses>
    <t:PhysicalAddresses><t:Entry Key="Home"><t:City>Köln</t:City></t:Entry>
    </t:PhysicalAddresses><t:Surname>Muster</t:Surname></t:Contact></m:Items></m:CreateItem>"#;
pub(super) const UPDATE: &str = r#"<m:UpdateItem ConflictResolution="NeverOverwrite"
    MessageDisposition="SaveOnly"><m:ItemChanges><t:ItemChange><t:ItemId Id="A" ChangeKey="K"/>
    <t:Updates><t:SetItemField><t:FieldURI FieldURI="contacts:JobTitle"/><t:Contact>
    <t:JobTitle>Chefin</t:JobTitle></t:Contact></t:SetItemField><t:DeleteItemField>
    <t:FieldURI FieldURI="contacts:Department"/></t:DeleteItemField><t:DeleteItemField>
    <t:ExtendedFieldURI DistinguishedPropertySetId="Address" PropertyId="32896"
    PropertyType="String"/></t:DeleteItemField></t:Updates></t:ItemChange>
    </m:ItemChanges></m:UpdateItem>"#;
pub(super) const DELETE: &str = r#"<m:DeleteItem DeleteType="MoveToDeletedItems"><m:ItemIds>
    <t:ItemId Id="A" ChangeKey="K"/></m:ItemIds></m:DeleteItem>"#;

/// What a sync asks for goes out; a call that only reads writes nothing, though all is `POST`.
#[test]
fn operations_of_a_sync_are_let_out_and_a_preview_writes_nothing() {
    let by_id = SYNC.replace(OWN, "<t:FolderId Id=\"F\"/>");
    let reading = [SYNC, READ, FIND, FOLDERS, FOLDER, &by_id];
    for body in reading {
        let body = envelope("", body);
        assert_eq!(judged(false, Writing::Forbidden, &body), "fine", "{body}");
        assert_eq!(judged(false, Writing::Allowed, &body), "fine", "{body}");
    }
    for body in [CREATE, UPDATE, DELETE] {
        let body = envelope("", body);
        assert_eq!(judged(false, Writing::Allowed, &body), "fine", "{body}");
        let found = judged(false, Writing::Forbidden, &body);
        assert!(found.contains("this call only reads"), "{body}: {found}");
    }
    let other_case = SYNC.replace("erika@muster.example", "Erika@Muster.example");
    let body = envelope(&acting_for(ADDRESS), &other_case);
    assert_eq!(judged(true, Writing::Forbidden, &body), "fine");
}

/// A deletion goes to the trash and never past it, and no other operation goes out at all.
#[test]
fn other_operations_stay_here() {
    let deleting = |how: &str| DELETE.replace("DeleteType=\"MoveToDeletedItems\"", how);
    let renamed = DELETE
        .replace("<m:DeleteItem", "<t:DeleteItem")
        .replace("/m:D", "/t:D");
    for (body, expected) in [
        (deleting("DeleteType=\"HardDelete\""), "never past it"),
        (deleting("DeleteType=\"SoftDelete\""), "never past it"),
        (
            deleting("deletetype=\"MoveToDeletedItems\""),
            "never past it",
        ),
        (deleting(""), "never past it"),
        (
            SYNC.replace("SyncFolderItems", "SyncFolderHierarchy"),
            "`SyncFolderHierarchy` is not among",
        ),
        (
            "<m:EmptyFolder/>".to_owned(),
            "`EmptyFolder` is not among the operations",
        ),
        ("<m:ExportItems/>".to_owned(), "`ExportItems` is not among"),
        ("<m:MoveItem/>".to_owned(), "`MoveItem` is not among"),
        (
            "<m:GetAttachment/>".to_owned(),
            "`GetAttachment` is not among",
        ),
        (
            "<m:UpdateInboxRules/>".to_owned(),
            "`UpdateInboxRules` is not among",
        ),
        (format!("{SYNC}{DELETE}"), "comes twice in `Body`"),
        (String::new(), "no operation in it"),
        (renamed, "namespace"),
    ] {
        let found = judged(false, Writing::Allowed, &envelope("", &body));
        assert!(found.contains(expected), "{body}: {found}");
    }
}

/// Only contacts are written, into the folder of contacts, and nothing is sent to anybody.
#[test]
fn other_items_stay_here() {
    let moved = UPDATE.replace(
        "<m:ItemChanges>",
        "<m:SavedItemFolderId><t:FolderId Id=\"F\"/></m:SavedItemFolderId><m:ItemChanges>",
    );
    let typed = CREATE.replace("<t:Contact>", "<t:Contact xsi:type=\"t:MessageType\">");
    for (body, expected) in [
        (CREATE.replace("t:Contact", "t:Message"), "no contact"),
        (CREATE.replace("SaveOnly", "SendOnly"), "is not `SaveOnly`"),
        (
            CREATE.replace("Id=\"contacts\"", "Id=\"deleteditems\""),
            "is not `contacts`",
        ),
        (typed, "may not have the attribute `xsi:type`"),
        (
            UPDATE.replace("t:Contact", "t:CalendarItem"),
            "`CalendarItem` is not among what",
        ),
        (
            UPDATE.replace("DeleteItemField", "AppendToItemField"),
            "`AppendToItemField` is not among what",
        ),
        (
            UPDATE.replace("SaveOnly", "SendAndSaveCopy"),
            "is not `SaveOnly`",
        ),
        (
            UPDATE.replace("NeverOverwrite", "AlwaysOverwrite"),
            "is not `NeverOverwrite`",
        ),
        (UPDATE.replace(" ChangeKey=\"K\"", ""), "`ChangeKey`"),
        (moved, "`SavedItemFolderId` is not among what"),
    ] {
        let found = judged(false, Writing::Allowed, &envelope("", &body));
        assert!(found.contains(expected), "{body}: {found}");
    }
}

/// A guest acts for its own mailbox and for no other, by whatever way it names one.
#[test]
fn nobody_else_is_impersonated() {
    let other = "max@muster.example";
    let sid = acting_for("S-1-5-21").replace("PrimarySmtpAddress", "SID");
    let name = acting_for(ADDRESS).replace("PrimarySmtpAddress", "PrincipalName");
    let folder = |address: &str| {
        SYNC.replace(
            OWN,
            &format!(
                "<t:DistinguishedFolderId Id=\"contacts\"><t:Mailbox>{address}</t:Mailbox>\
                 </t:DistinguishedFolderId>"
            ),
        )
    };
    let named = |address: &str| folder(&format!("<t:EmailAddress>{address}</t:EmailAddress>"));
    let own_address = format!("<t:EmailAddress>{ADDRESS}</t:EmailAddress>");
    let twice = folder(&format!("{own_address}{own_address}"));
    let inside = named(&format!("{ADDRESS}<t:Name>Max</t:Name>"));
    let own = acting_for(ADDRESS);
    for (impersonate, header, body, expected) in [
        (true, own.clone(), SYNC.to_owned(), "fine"),
        (
            true,
            acting_for(&ADDRESS.to_uppercase()),
            SYNC.to_owned(),
            "fine",
        ),
        (
            true,
            acting_for(&ADDRESS.replace('e', "&#101;")),
            SYNC.to_owned(),
            "fine",
        ),
        (true, acting_for(other), SYNC.to_owned(), "another mailbox"),
        (true, acting_for(""), SYNC.to_owned(), "another mailbox"),
        (true, sid, SYNC.to_owned(), "another mailbox"),
        (true, name, SYNC.to_owned(), "another mailbox"),
        (
            true,
            format!("{own}{own}"),
            SYNC.to_owned(),
            "comes twice in `Header`",
        ),
        (
            true,
            String::new(),
            SYNC.to_owned(),
            "it impersonates where",
        ),
        (false, own.clone(), SYNC.to_owned(), "it impersonates where"),
        (false, String::new(), named(other), "another mailbox"),
        (false, String::new(), twice, "comes twice in `Mailbox`"),
        (false, String::new(), inside, "may hold"),
        (
            false,
            String::new(),
            named("&#109;ax@muster.example"),
            "another mailbox",
        ),
        (false, String::new(), named(ADDRESS), "fine"),
        (
            false,
            String::new(),
            folder("<t:Name>Max</t:Name>"),
            "another mailbox",
        ),
        (
            false,
            "<t:SerializedSecurityContext/>".to_owned(),
            SYNC.to_owned(),
            "`SerializedSecurityContext` is not among what",
        ),
    ] {
        let found = judged(impersonate, Writing::Allowed, &envelope(&header, &body));
        assert!(found.contains(expected), "{header} {body}: {found}");
    }
    let kind = ("content-type", "text/xml; charset=utf-8");
    let anchored = |address| {
        let headers = [kind, ("x-anchormailbox", address)];
        judged_with(false, Writing::Allowed, &envelope("", SYNC), &headers)
    };
    assert_eq!(anchored(ADDRESS), "fine");
    assert!(anchored(other).contains("another mailbox"));
}

/// What Exchange could read differently than this host is not sent at all.
#[test]
fn bodies_with_two_meanings_stay_here() {
    let fine = envelope("", SYNC);
    let entity = fine.replace("<s:Envelope", "<!DOCTYPE s [<!ENTITY e \"x\">]><s:Envelope");
    let deep = format!("{}{}", "<t:A>".repeat(30), "</t:A>".repeat(30));
    for (body, expected) in [
        (String::new(), "no `Envelope`"),
        ("<html/>".to_owned(), "has no namespace"),
        (fine.replace("</s:Envelope>", ""), "it ends too early"),
        (fine.replace("</s:Body>", ""), "it is no XML"),
        (format!("{fine}{fine}"), "holds what no request"),
        (
            fine.replace("encoding=\"utf-8\"", "encoding=\"utf-7\""),
            "else than XML 1.0 in UTF-8",
        ),
        (entity, "holds what no request"),
        (fine.replace("IdOnly", "&e;"), "entity"),
        (
            fine.replace("<s:Body>", "<?x y?><s:Body>"),
            "holds what no request",
        ),
        (
            fine.replace("IdOnly", "Id<!-- -->Only"),
            "holds what no request",
        ),
        (
            fine.replace("envelope/", "envelope12/"),
            "`Envelope` is in another namespace",
        ),
        (fine.replace("IdOnly", &deep), "`A` is not among what"),
        (
            fine.replace("<s:Body>", "<s:Body><t:Fault/>"),
            "`Fault` is not among",
        ),
    ] {
        let found = judged(false, Writing::Allowed, &body);
        assert!(found.contains(expected), "{found}: {body}");
    }
    for headers in [
        &[][..],
        &[("content-type", "text/xml; charset=utf-16")],
        &[("content-type", "application/xml; charset=utf-8")],
        &[
            ("content-type", "text/xml; charset=utf-8"),
            ("content-type", "text/xml; charset=utf-16"),
        ],
        &[
            ("content-type", "text/xml; charset=utf-8"),
            ("content-encoding", "gzip"),
        ],
    ] {
        let found = judged_with(false, Writing::Allowed, &fine, headers);
        assert!(
            found.contains("no request to Exchange"),
            "{headers:?}: {found}"
        );
    }
}

/// A question to Autodiscover about this address.
pub(super) fn pox(address: &str) -> String {
    let schemas = "http://schemas.microsoft.com/exchange/autodiscover/outlook";
    format!(
        "<Autodiscover xmlns=\"{schemas}/requestschema/2006\"><Request><EMailAddress>{address}\
         </EMailAddress><AcceptableResponseSchema>{schemas}/responseschema/2006a\
         </AcceptableResponseSchema></Request></Autodiscover>"
    )
}

/// What becomes of a request of this job.
fn routed(job: &Job, writing: Writing, method: &str, url: &str, body: &str) -> String {
    let rules = Rules::new(job, Networks::default(), writing).unwrap();
    let uri: Uri = url.parse().unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let judged = rules.check(&method, &uri).and_then(|allowed| {
        rules.check_body(&allowed, &uri, body.as_bytes())?;
        Ok(allowed)
    });
    match judged {
        Ok(allowed) => format!("{:?}", allowed.says),
        Err(denial) => denial.to_string(),
    }
}

const GUESSED: [&str; 2] = [
    "https://autodiscover.muster.example",
    "https://muster.example",
];
const GUESSED_XML: &str = "https://autodiscover.muster.example/autodiscover/autodiscover.xml";
const BARE_XML: &str = "https://muster.example/autodiscover/autodiscover.xml";

/// Autodiscover is asked about the job's own mailbox, and told nothing else: behind the bare domain
/// may be anybody.
#[test]
fn autodiscover_learns_one_address_and_nothing_else() {
    let job = exchange_job(None, &GUESSED, true);
    let check = |method, url: &str, body: &str| routed(&job, Writing::Forbidden, method, url, body);
    let json = "https://muster.example/autodiscover/autodiscover.json";
    for query in [
        "?Email=erika%40muster.example&Protocol=EWS",
        "?Email=erika@muster.example&Protocol=Ews&RedirectCount=1",
        "/v1.0/erika@muster.example?Protocol=EWS",
        "/v1.0/erika%40muster.example?Protocol=EWS",
    ] {
        assert_eq!(
            check("GET", &format!("{json}{query}"), ""),
            "Question",
            "{query}"
        );
    }
    for query in [
        "?Email=max%40muster.example&Protocol=EWS",
        "?Email=erika%40muster.example&Protocol=EWS&Note=0221889900",
        "/v1.0/erika@muster.example/0221?Protocol=EWS",
    ] {
        let found = check("GET", &format!("{json}{query}"), "");
        assert!(found.contains("something else"), "{query}: {found}");
    }
    let more = pox(ADDRESS).replace("<Request>", "<Request>0221");
    let twice = pox(ADDRESS).replace("<Request>", "<Request><EMailAddress>0221</EMailAddress>");
    for body in [pox("0221 889900"), more, twice, envelope("", SYNC)] {
        let found = check("POST", BARE_XML, &body);
        assert!(found.contains("something else"), "{body}: {found}");
    }
    assert!(check("GET", json, "0221").contains("something else"));
    let moved = "https://autodiscover.evil.example/autodiscover/autodiscover.xml";
    assert!(check("POST", moved, &pox(ADDRESS)).contains("is no endpoint"));
}

/// A password is shown where Exchange's own administrators must have put the server, or where the
/// configuration names it; and only in a check-up, while no address is known.
#[test]
fn autodiscover_is_signed_in_to_where_it_may() {
    let job = exchange_job(None, &GUESSED, true);
    let named = exchange_job(None, &["https://muster.example"], true);
    let known = exchange_job(Some(URL), &GUESSED, true);
    let (check, pass) = (Writing::Forbidden, Writing::Allowed);
    for (job, writing, url, expected) in [
        (&job, check, GUESSED_XML, "SignedQuestion(true)"),
        (&job, check, BARE_XML, "SignedQuestion(false)"),
        (&named, check, BARE_XML, "SignedQuestion(true)"),
        (&job, pass, GUESSED_XML, "is no endpoint"),
        (&known, check, GUESSED_XML, "is no endpoint"),
        (&job, check, URL, "is no endpoint"),
    ] {
        let found = routed(job, writing, "POST", url, &pox(ADDRESS));
        assert!(found.contains(expected), "{url}: {found}");
    }
}

/// Exchange Web Services are one address and one method.
#[test]
fn ews_is_one_address() {
    let job = exchange_job(Some(URL), &[], false);
    let sync = envelope("", SYNC);
    for (method, url, expected) in [
        ("POST", URL, "Operation"),
        (
            "POST",
            "https://MAIL.muster.example/ews/exchange.asmx",
            "Operation",
        ),
        (
            "POST",
            "https://mail.muster.example/EWS/Exchange.asmx/x",
            "is not among",
        ),
        (
            "POST",
            "https://mail.muster.example/EWS/Exchange.asmx?op=x",
            "leaves its folder",
        ),
        ("POST", "https://mail.muster.example/EWS", "is not among"),
        ("POST", "https://mail.muster.example/OWA/", "is not among"),
        ("GET", URL, "is not among"),
        (
            "POST",
            "http://mail.muster.example/EWS/Exchange.asmx",
            "is no endpoint",
        ),
    ] {
        let found = routed(&job, Writing::Allowed, method, url, &sync);
        assert!(found.contains(expected), "{method} {url}: {found}");
    }
}

/// Nobody who is asked without a password learns one, or anything else; a redirect goes back to the
/// guest, which can follow it only as far as the list.
#[tokio::test]
async fn autodiscover_shows_a_password_only_where_it_may() {
    let server = Server::start(None, |_, asked| {
        let mut answer = answer(302, "");
        let elsewhere = HeaderValue::from_static("https://evil.example/");
        answer.headers_mut().insert(header::LOCATION, elsewhere);
        assert_eq!(asked.header("x-note"), None);
        answer
    })
    .await;
    let origin = server.url.strip_suffix("/EWS/Exchange.asmx").unwrap();
    let none = Certificates::default();
    let (_, keeper, _) = mailbox(&server.url, PasswordScheme::Basic, &none);
    let (place, _) = Origin::of_endpoint(origin, Network::default()).unwrap();
    let client = Client::new(system_lookup(), &[(place, Network::default())], &none);
    let job = exchange_job(None, &[origin], false);
    let rules = Rules::new(&job, Networks::default(), Writing::Forbidden).unwrap();
    let connections = Connections::new(
        (client.clone(), client),
        Permits::default(),
        Arc::clone(&keeper),
        keeper,
    );
    let egress = Egress::new(rules, connections, Arc::default());
    let json = format!("/autodiscover/autodiscover.json/v1.0/{ADDRESS}?Protocol=EWS");
    let asked = [
        ("GET", json, String::new()),
        (
            "POST",
            "/autodiscover/autodiscover.xml".to_owned(),
            pox(ADDRESS),
        ),
    ];
    for (method, path, body) in asked {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{origin}{path}"))
            .header("x-note", "0221889900");
        if method == "POST" {
            request = request.header("content-type", "text/xml; charset=utf-8");
        }
        let request = request.body(wasi_body(body)).unwrap();
        let mut hooks = egress.clone();
        let sent = hooks.send_request(request, None, Box::new(async { Ok(()) }));
        let (answer, _) = Pin::from(sent).await.unwrap();
        assert_eq!(answer.status(), 302, "{method}");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].1.header("authorization"), None);
    let signed = asked[1].1.header("authorization").unwrap();
    assert!(signed.starts_with("Basic "));
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Stranger,
    Challenged,
    SignedIn,
}

type Behaviour = dyn Fn(&mut Standing, &Asked) -> Response<Full<Bytes>> + Send + Sync;

/// A server that knows its connections apart.
#[derive(Clone)]
struct Server {
    url: String,
    opened: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<(usize, Asked)>>>,
}

impl Server {
    async fn start(
        tls: Option<ServerConfig>,
        behave: impl Fn(&mut Standing, &Asked) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Self {
            url: format!("{scheme}://localhost:{port}/EWS/Exchange.asmx"),
            opened: Arc::default(),
            asked: Arc::default(),
        };
        let (running, behave): (_, Arc<Behaviour>) = (server.clone(), Arc::new(behave));
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = running.opened.fetch_add(1, Ordering::SeqCst);
                let standing = Arc::new(Mutex::new(Standing::default()));
                let (asked, behave) = (Arc::clone(&running.asked), Arc::clone(&behave));
                let service = service_fn(move |request| {
                    let (asked, behave) = (Arc::clone(&asked), Arc::clone(&behave));
                    let standing = Arc::clone(&standing);
                    async move {
                        let one = read(request).await?;
                        asked.lock().unwrap().push((number, one.clone()));
                        let answer = behave(&mut standing.lock().unwrap(), &one);
                        Ok::<_, hyper::Error>(answer)
                    }
                });
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let http = http1::Builder::new();
                    match acceptor {
                        None => http
                            .serve_connection(TokioIo::new(stream), service)
                            .await
                            .ok(),
                        Some(acceptor) => {
                            let stream = acceptor.accept(stream).await.ok()?;
                            http.serve_connection(TokioIo::new(stream), service)
                                .await
                                .ok()
                        }
                    }
                });
            }
        });
        server
    }

    fn asked(&self) -> Vec<(usize, Asked)> {
        self.asked.lock().unwrap().clone()
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

fn refusal(schemes: &[&str]) -> Response<Full<Bytes>> {
    let mut answer = answer(401, "");
    for scheme in schemes {
        let value = HeaderValue::from_str(scheme).unwrap();
        answer.headers_mut().append(header::WWW_AUTHENTICATE, value);
    }
    answer
}

/// The type and the bytes of the NTLM message that a request carries.
fn message(asked: &Asked) -> Option<(u8, Vec<u8>)> {
    let header = asked.header("authorization")?.strip_prefix("NTLM ")?;
    let message = STANDARD.decode(header).unwrap();
    assert_eq!(&message[..8], b"NTLMSSP\0");
    Some((message[8], message))
}

/// A challenge (MS-NLMP, 2.2.1.2) of a domain called `MUSTER`.
fn challenge() -> String {
    let mut target: Vec<u8> = Vec::new();
    let name: Vec<u8> = "MUSTER".encode_utf16().flat_map(u16::to_le_bytes).collect();
    target.extend([2, 0, 12, 0]);
    target.extend(&name);
    target.extend([7, 0, 8, 0]);
    target.extend(133_000_000_000_000_000_u64.to_le_bytes());
    target.extend([0; 4]);
    let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
    message.extend([0, 0, 0, 0, 56, 0, 0, 0]);
    message.extend(0xa288_8205_u32.to_le_bytes());
    message.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    message.extend([0; 8]);
    let length = u16::try_from(target.len()).unwrap().to_le_bytes();
    message.extend(length);
    message.extend(length);
    message.extend(56_u32.to_le_bytes());
    message.extend([10, 0, 0, 0, 0, 0, 0, 15]);
    message.extend(target);
    format!("NTLM {}", STANDARD.encode(message))
}

/// Exchange's part of NTLM; takes the proof where `takes` says so.
fn ntlm(
    takes: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
) -> impl Fn(&mut Standing, &Asked) -> Response<Full<Bytes>> + Send + Sync + 'static {
    move |standing, asked| match (message(asked), *standing) {
        (Some((1, _)), _) => {
            assert!(asked.body.is_empty(), "the first message goes alone");
            assert_eq!(asked.header("content-length"), Some("0"));
            *standing = Standing::Challenged;
            refusal(&[&challenge()])
        }
        (Some((3, proof)), Standing::Challenged) if takes(&proof) => {
            *standing = Standing::SignedIn;
            answer(200, "welcome")
        }
        (None, Standing::SignedIn) => answer(200, "again"),
        _ => {
            *standing = Standing::Stranger;
            refusal(&["Negotiate", "NTLM", "Basic realm=\"mail.muster.example\""])
        }
    }
}

/// A mailbox's way out to one Exchange Server.
fn mailbox(
    url: &str,
    scheme: PasswordScheme,
    certificates: &Certificates,
) -> (Egress, SharedKeeper, Arc<AtomicU64>) {
    let (clock, now_ms) = hand_clock();
    let sign_in = SignIn::ExchangePassword {
        scheme,
        username: "MUSTER\\erika".into(),
        password: SecretSource::Value(SecretString::from("geheim")),
    };
    let (origin, _) = Origin::of_endpoint(url, Network::default()).unwrap();
    let client = Client::new(
        system_lookup(),
        &[(origin, Network::default())],
        certificates,
    );
    let keeper = Arc::new(Keeper::new(sign_in, client.clone(), clock));
    (way_out(url, &client, &keeper), keeper, now_ms)
}

fn way_out(url: &str, client: &Client, keeper: &SharedKeeper) -> Egress {
    let job = exchange_job(Some(url), &[], false);
    let rules = Rules::new(&job, Networks::default(), Writing::Allowed).unwrap();
    let connections = Connections::new(
        (client.clone(), client.clone()),
        Permits::default(),
        Arc::clone(keeper),
        Arc::clone(keeper),
    );
    Egress::new(rules, connections, Arc::default())
}

async fn send(egress: &Egress, url: &str) -> Result<Response<Bytes>, Error> {
    let request = Request::post(url)
        .header("content-type", "text/xml; charset=utf-8")
        .header("x-anchormailbox", ADDRESS)
        .header("x-forwarded-for", "10.0.0.1")
        .body(wasi_body(envelope("", SYNC)))
        .unwrap();
    let mut hooks = egress.clone();
    let sent = hooks.send_request(request, None, Box::new(async { Ok(()) }));
    let (answer, _) = Pin::from(sent).await?;
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// Basic signs each request in; cookies of the server come back to it and are never shown; headers
/// that Exchange does not need stay here.
#[tokio::test]
async fn basic_signs_in_and_cookies_stay_in_the_host() {
    let server = Server::start(None, |_, asked| {
        let expected = format!("Basic {}", STANDARD.encode("MUSTER\\erika:geheim"));
        assert_eq!(asked.header("authorization"), Some(&*expected));
        let mut answer = answer(200, "fine");
        let cookie = HeaderValue::from_static("X-BackEndCookie=b1; path=/EWS; secure; HttpOnly");
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        answer
    })
    .await;
    let none = Certificates::default();
    let (egress, ..) = mailbox(&server.url, PasswordScheme::Basic, &none);
    for _ in 0..2 {
        let answer = send(&egress, &server.url).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
    }
    let asked = server.asked();
    assert_eq!(asked[0].1.header("cookie"), None);
    assert_eq!(asked[1].1.header("cookie"), Some("X-BackEndCookie=b1"));
    assert_eq!(asked[1].1.header("x-anchormailbox"), Some(ADDRESS));
    assert_eq!(asked[1].1.header("x-forwarded-for"), None);
    let (other, ..) = mailbox(&server.url, PasswordScheme::Basic, &none);
    send(&other, &server.url).await.unwrap();
    assert_eq!(server.asked()[2].1.header("cookie"), None);
}

/// A refused password is tried once, and not again until the account has rested: accounts lock.
#[tokio::test]
async fn a_refused_password_is_not_repeated() {
    let none = Certificates::default();
    for scheme in [PasswordScheme::Basic, PasswordScheme::Ntlm] {
        let server = match scheme {
            PasswordScheme::Basic => Server::start(None, |_, _| refusal(&["Basic"])).await,
            PasswordScheme::Ntlm => Server::start(None, ntlm(|_| false)).await,
        };
        let (egress, keeper, now_ms) = mailbox(&server.url, scheme, &none);
        let first = send(&egress, &server.url).await.unwrap();
        assert_eq!(first.status(), 401);
        let tried = server.asked().len();
        let told = egress.noted().sign_in.unwrap();
        assert_eq!(told.kind, SignInErrorKind::Refused, "{scheme:?}");
        assert!(told.remedy.contains("`password`"), "{}", told.remedy);
        // Another mailbox with the same account, and this one again.
        let (origin, _) = Origin::of_endpoint(&server.url, Network::default()).unwrap();
        let client = Client::new(system_lookup(), &[(origin, Network::default())], &none);
        let other = way_out(&server.url, &client, &keeper);
        for egress in [&egress, &other] {
            assert_eq!(send(egress, &server.url).await.unwrap().status(), 401);
        }
        assert_eq!(server.asked().len(), tried, "{scheme:?}");
        now_ms.fetch_add(60_000, Ordering::SeqCst);
        send(&egress, &server.url).await.unwrap();
        assert_eq!(server.asked().len(), 2 * tried, "{scheme:?}");
    }
}

/// NTLM: one handshake per connection, the connection is kept, a forgotten one is signed in anew.
#[tokio::test]
async fn ntlm_signs_a_connection_in_once() {
    let server = Server::start(None, ntlm(|_| true)).await;
    let none = Certificates::default();
    let (egress, ..) = mailbox(&server.url, PasswordScheme::Ntlm, &none);
    for expected in ["welcome", "again", "again"] {
        let answer = send(&egress, &server.url).await.unwrap();
        assert_eq!(answer.body(), expected);
    }
    let asked = server.asked();
    assert_eq!((server.opened(), asked.len()), (1, 4));
    let kinds: Vec<_> = asked
        .iter()
        .map(|(_, asked)| message(asked).map(|(kind, _)| kind))
        .collect();
    assert_eq!(kinds, [Some(1), Some(3), None, None]);
    assert!(asked[1..].iter().all(|(_, asked)| !asked.body.is_empty()));
}

/// A connection is one mailbox's: another mailbox with the same account opens one of its own.
#[tokio::test]
async fn mailboxes_share_no_connection() {
    let server = Server::start(None, ntlm(|_| true)).await;
    let none = Certificates::default();
    let (one, keeper, _) = mailbox(&server.url, PasswordScheme::Ntlm, &none);
    let (origin, _) = Origin::of_endpoint(&server.url, Network::default()).unwrap();
    let client = Client::new(system_lookup(), &[(origin, Network::default())], &none);
    let two = way_out(&server.url, &client, &keeper);
    for expected in ["welcome", "again"] {
        for egress in [&one, &two] {
            let answer = send(egress, &server.url).await.unwrap();
            assert_eq!(answer.body(), expected);
        }
    }
    assert_eq!(server.opened(), 2);
}

/// A server that closes connections, or forgets who is behind one, is signed in to again.
#[tokio::test]
async fn a_lost_connection_is_signed_in_anew() {
    let served = AtomicUsize::new(0);
    let usual = ntlm(|_| true);
    let server = Server::start(None, move |standing, asked| {
        let mut answer = usual(standing, asked);
        if answer.status() == 200 {
            match served.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                1 => *standing = Standing::Stranger,
                _ => {}
            }
        }
        answer
    })
    .await;
    let (egress, ..) = mailbox(&server.url, PasswordScheme::Ntlm, &Certificates::default());
    for _ in 0..3 {
        let answer = send(&egress, &server.url).await.unwrap();
        assert_eq!(answer.body(), "welcome");
    }
    assert_eq!(server.opened(), 3);
}

/// A server that wants something else is told apart from a wrong password, with what it offers.
#[tokio::test]
async fn another_way_to_sign_in_is_named() {
    let none = Certificates::default();
    for (scheme, offers, expected) in [
        (
            PasswordScheme::Ntlm,
            &["Negotiate"][..],
            "let the administrator",
        ),
        (
            PasswordScheme::Ntlm,
            &["Negotiate", "Basic realm=\"x\""],
            "`sign-in = \"basic\"`",
        ),
        (
            PasswordScheme::Basic,
            &["Negotiate, NTLM"],
            "`sign-in = \"ntlm\"`",
        ),
        (
            PasswordScheme::Ntlm,
            &["Bearer client_id=\"1\", trusted_issuers=\"x@*\""],
            "`sign-in = \"oauth\"`",
        ),
    ] {
        let server = Server::start(None, move |_, _| refusal(offers)).await;
        let (egress, ..) = mailbox(&server.url, scheme, &none);
        assert_eq!(send(&egress, &server.url).await.unwrap().status(), 401);
        let told = egress.noted().sign_in.unwrap();
        assert!(told.message.contains("it offers"), "{}", told.message);
        assert!(told.remedy.contains(expected), "{}", told.remedy);
        assert!(!told.remedy.contains("password"), "{}", told.remedy);
    }
    let damaged = |text: &'static str| move |_: &mut Standing, _: &Asked| refusal(&[text]);
    for text in ["NTLM", "NTLM !", "NTLM AAAA", "NTLM TlRMTVNTUAACAAAA"] {
        let server = Server::start(None, damaged(text)).await;
        let (egress, ..) = mailbox(&server.url, PasswordScheme::Ntlm, &none);
        assert_eq!(send(&egress, &server.url).await.unwrap().status(), 401);
        let told = egress.noted().sign_in.unwrap();
        assert_eq!(told.kind, SignInErrorKind::Protocol, "{text}: {told}");
    }
}

/// A company's own authority, a server that it vouches for until `year`, and that server's
/// certificate.
fn authority(year: i32) -> (Certificates, ServerConfig, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let server = params.signed_by(&key, &authority).unwrap();
    let chain = vec![server.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let trusted = Certificates::from_pem(authority.pem().as_bytes()).unwrap();
    (trusted, config, server.der().to_vec())
}

/// The channel binding that an NTLM proof holds: value 10 of its AV pairs (MS-NLMP, 2.2.2.1).
fn channel_binding(proof: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| usize::from(proof[at]) | usize::from(proof[at + 1]) << 8;
    let (length, offset) = (number(20), number(24));
    // Behind the proof itself and the fixed part (MS-NLMP, 2.2.2.7).
    let mut pairs = &proof[offset + 44..offset + length];
    while let [id, _, length, _, rest @ ..] = pairs {
        let (value, rest) = rest.split_at(usize::from(*length));
        match id {
            0 => return None,
            10 => return Some(value.to_vec()),
            _ => pairs = rest,
        }
    }
    None
}

/// `ca-certificates` makes a private authority trusted, and the proof is bound to the channel: the
/// MD5 of RFC 2744's structure around RFC 5929's name for the server's certificate.
#[tokio::test]
async fn a_proof_is_bound_to_the_channel() {
    let (trusted, config, certificate) = authority(2100);
    let proofs = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&proofs);
    let take = move |proof: &[u8]| {
        seen.lock().unwrap().push(proof.to_vec());
        true
    };
    let server = Server::start(Some(config), ntlm(take)).await;
    let (egress, ..) = mailbox(&server.url, PasswordScheme::Ntlm, &trusted);
    let answer = send(&egress, &server.url).await.unwrap();
    assert_eq!(answer.body(), "welcome");

    let hash = <Sha256 as sha2::Digest>::digest(&certificate);
    let name = [&b"tls-server-end-point:"[..], &*hash].concat();
    // Four empty members for the two addresses, then the application's data (RFC 2744, 3.11).
    let mut structure = vec![0; 16];
    structure.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
    structure.extend(name);
    let expected = Md5::digest(structure).to_vec();
    let proof = proofs.lock().unwrap()[0].clone();
    assert_eq!(channel_binding(&proof), Some(expected));
}

/// A certificate that is not trusted, or has expired, is told with what to do, and no password goes
/// there.
#[tokio::test]
async fn an_untrusted_certificate_is_told() {
    for (year, trusts) in [(2100, false), (2021, true)] {
        let (trusted, config, _) = authority(year);
        let trusted = if trusts {
            trusted
        } else {
            Certificates::default()
        };
        let server = Server::start(Some(config), ntlm(|_| true)).await;
        for scheme in [PasswordScheme::Ntlm, PasswordScheme::Basic] {
            let (egress, ..) = mailbox(&server.url, scheme, &trusted);
            send(&egress, &server.url).await.unwrap_err();
            let told = egress.noted().sign_in.unwrap();
            assert_eq!(told.kind, SignInErrorKind::Unreachable);
            assert!(told.remedy.contains("`ca-certificates`"), "{}", told.remedy);
            let why = if trusts { "expired" } else { "UnknownIssuer" };
            assert!(told.message.contains(why), "{}", told.message);
        }
        assert!(server.asked().is_empty());
    }
}

/// TLS that fails for another reason than the certificate is told as what it is: nobody looks for
/// an authority while the server is too old.
#[tokio::test]
async fn tls_without_anything_in_common_is_told() {
    let (trusted, config, _) = authority(2100);
    let mut provider = rustls::crypto::ring::default_provider();
    // For RSA, and the certificate is none of RSA.
    provider.cipher_suites =
        vec![rustls::crypto::ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let strange = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(config.cert_resolver);
    let strange = Server::start(Some(strange), ntlm(|_| true)).await;
    let plain = Server::start(None, ntlm(|_| true)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for (url, message, remedy) in [
        (
            strange.url,
            "no TLS version or cipher in common",
            "Windows Server 2016",
        ),
        (
            plain.url.replace("http:", "https:"),
            "cannot be secured",
            "speaks TLS",
        ),
        (
            format!("https://localhost:{port}/EWS/Exchange.asmx"),
            "cannot be secured",
            "Windows Server 2012 R2",
        ),
    ] {
        for scheme in [PasswordScheme::Ntlm, PasswordScheme::Basic] {
            let (egress, ..) = mailbox(&url, scheme, &trusted);
            send(&egress, &url).await.unwrap_err();
            let told = egress.noted().sign_in.unwrap();
            assert_eq!(told.kind, SignInErrorKind::Unreachable);
            assert!(told.message.contains(message), "{}", told.message);
            assert!(told.remedy.contains(remedy), "{}", told.remedy);
        }
    }
}
