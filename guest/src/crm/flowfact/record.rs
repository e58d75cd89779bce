//! How a contact looks on the wire (FLOWFACT types, `Entity.d.ts`, `EntityFieldTypes.d.ts`).
//!
//! Every field is `{"values": […]}`, also one with a single value, and a write replaces the whole
//! list. So whatever a value holds beyond what the sync reads is kept word for word and written
//! back.

use serde_json::{Map, Value, json};

use crate::contact::{
    CrmAddress, CrmContact, CrmEmail, CrmFields, CrmId, CrmKind, CrmPhone, Field, FieldSet,
    Members, PostalAddress, RECORD_BYTES_MAX, value_bytes,
};
use crate::crm::flowfact::schema::{Property, Schema, TimeMember};
use crate::job::Marker;
use crate::outside::Timestamp;
use crate::report::Problem;

/// The id of an entity, wherever it says it.
pub(super) fn id(entity: &Value) -> Option<CrmId> {
    let text = |from: &Value| from.get("id")?.as_str().map(str::to_owned);
    text(entity)
        .or_else(|| text(entity.get("_metadata")?))
        .filter(|id| !id.is_empty())
        .map(CrmId::new)
}

/// Whether an answer shows the entity and not only its id.
pub(super) fn is_entity(answer: &Value) -> bool {
    answer.get("_metadata").is_some_and(Value::is_object)
        && answer
            .as_object()
            .is_some_and(|members| members.values().any(is_field))
}

/// One of `_metadata`'s times: milliseconds as number or as text (recorded answers have text), or
/// ISO 8601.
pub(super) fn time(entity: &Value, member: &str) -> Option<Timestamp> {
    instant(entity.get("_metadata")?.get(member)?)
}

/// A time in any form that FLOWFACT's services use.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_i64().map(Timestamp),
        Value::String(text) => text.parse().ok().map(Timestamp).or_else(|| {
            let instant = text.parse::<jiff::Timestamp>().ok()?;
            Some(Timestamp(instant.as_millisecond()))
        }),
        _ => None,
    }
}

/// Reads a contact.
pub(super) fn parse(
    entity: &Value,
    schema: &Schema,
    marker: &Marker,
) -> Result<CrmContact, Problem> {
    let id = id(entity).ok_or_else(|| Problem {
        message: "FLOWFACT answered with a contact without an id".into(),
        remedy: Some("tell whoever maintains this sync".into()),
    })?;
    let held = schema.fields.values();
    let held = held.flat_map(|property| values(entity, &property.name));
    if held.map(value_bytes).sum::<usize>() > RECORD_BYTES_MAX {
        return Err(too_large(&id));
    }
    let metadata = entity.get("_metadata");
    let text = |member| metadata?.get(member)?.as_str().map(str::to_owned);
    let modified = [TimeMember::LastModified, TimeMember::Timestamp];
    Ok(CrmContact {
        id,
        modified: modified
            .into_iter()
            .find_map(|known| time(entity, known.member())),
        created: time(entity, "createdTimestamp"),
        creator: text("creator").or_else(|| creator_reference(entity)),
        marked: marked(entity, schema, marker),
        locked: locked(entity, schema),
        fields: fields(entity, schema),
    })
}

/// Whether a value of a marker's field is the one that stands for a mailbox. What an
/// `EMAIL_ACCOUNT` field holds is not documented: a text, or an object with the account's id.
pub(super) fn stands_for(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Object(members) => {
            let ids = ["accountId", "id", "value", "email"];
            ids.iter()
                .any(|id| members.get(*id).and_then(Value::as_str) == Some(wanted))
        }
        _ => false,
    }
}

/// The values of one field, as the entity holds them.
pub(super) fn values<'a>(entity: &'a Value, name: &str) -> &'a [Value] {
    let values = entity.get(name).and_then(|field| field.get("values"));
    values.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// All fields with their values, nothing left out but what the service keeps for itself.
pub(super) fn all_values(entity: &Value) -> impl Iterator<Item = (&String, &Vec<Value>)> {
    let members = entity.as_object().into_iter().flatten();
    members.filter_map(|(name, field)| Some((name, field.get("values")?.as_array()?)))
}

/// The body of a create.
pub(super) fn draft(fields: &CrmFields, schema: &Schema) -> Map<String, Value> {
    let empty = CrmFields::default();
    changed(&empty, fields, schema).into_iter().collect()
}

/// The fields of `after` that differ and can be written, each with its whole list.
pub(super) fn changed(
    before: &CrmFields,
    after: &CrmFields,
    schema: &Schema,
) -> Vec<(String, Value)> {
    let writable = schema.fields.iter().filter(|(field, property)| {
        before.differs(after, **field) && misfit(after, **field, property).is_none()
    });
    writable
        .map(|(field, property)| {
            let values = written(after, *field, property);
            (property.name.clone(), json!({ "values": values }))
        })
        .collect()
}

/// What FLOWFACT would refuse of `after` where it differs from `before`: such fields are not sent.
pub(super) fn misfits(
    before: &CrmFields,
    after: &CrmFields,
    schema: &Schema,
) -> Vec<(Field, Problem)> {
    let differing = schema
        .fields
        .iter()
        .filter(|(field, _)| before.differs(after, **field));
    differing
        .filter_map(|(field, property)| Some((*field, misfit(after, *field, property)?)))
        .collect()
}

fn is_field(member: &Value) -> bool {
    member.get("values").is_some_and(Value::is_array)
}

fn creator_reference(entity: &Value) -> Option<String> {
    let references = entity.get("_refs")?.as_array()?;
    let relation =
        |reference: &&Value| reference.get("relation").and_then(Value::as_str) == Some("creator");
    references
        .iter()
        .find(relation)?
        .get("id")?
        .as_str()
        .map(str::to_owned)
}

/// `None` where the marker is no field, or a field that the schema does not have: then nothing is
/// known, which is not the same as "no".
fn marked(entity: &Value, schema: &Schema, marker: &Marker) -> Option<bool> {
    let (Marker::FieldValue { value, .. }, Some(property)) = (marker, &schema.marker) else {
        return None;
    };
    let values = values(entity, &property.name);
    Some(values.iter().any(|held| stands_for(held, value)))
}

fn locked(entity: &Value, schema: &Schema) -> FieldSet {
    let lock = |name: &str| {
        let locked = entity.get("_lock").and_then(|lock| lock.get(name));
        locked.is_some_and(|locked| *locked != Value::Bool(false) && !locked.is_null())
    };
    schema
        .fields
        .iter()
        .filter(|(_, property)| property.read_only || lock(&property.name))
        .map(|(field, _)| *field)
        .collect()
}

fn fields(entity: &Value, schema: &Schema) -> CrmFields {
    let mut fields = CrmFields::default();
    for (field, property) in &schema.fields {
        let values = values(entity, &property.name);
        match field {
            Field::Phones => fields.phones = values.iter().map(phone).collect(),
            Field::Emails => fields.emails = values.iter().map(email).collect(),
            Field::Addresses => fields.addresses = values.iter().map(address).collect(),
            Field::Birthday => fields.birthday = values.to_vec(),
            _ if values.is_empty() => {}
            _ => {
                let shown = values
                    .iter()
                    .map(|value| captioned(value, property))
                    .collect();
                fields.texts.insert(*field, shown);
            }
        }
    }
    fields
}

fn too_large(id: &CrmId) -> Problem {
    Problem {
        message: format!(
            "FLOWFACT's contact {id} holds more than {} KiB in the fields that are synced",
            RECORD_BYTES_MAX / 1024
        ),
        remedy: Some(
            "shorten what it holds in FLOWFACT and save it; the other contacts go on".into(),
        ),
    }
}

fn written(fields: &CrmFields, field: Field, property: &Property) -> Vec<Value> {
    match field {
        Field::Phones => fields.phones.iter().map(phone_json).collect(),
        Field::Emails => fields.emails.iter().map(email_json).collect(),
        Field::Addresses => fields.addresses.iter().map(address_json).collect(),
        Field::Birthday => fields.birthday.clone(),
        _ => fields
            .texts(field)
            .iter()
            .map(|value| keyed(value, property))
            .collect(),
    }
}

fn count(fields: &CrmFields, field: Field) -> usize {
    match field {
        Field::Phones => fields.phones.len(),
        Field::Emails => fields.emails.len(),
        Field::Addresses => fields.addresses.len(),
        Field::Birthday => fields.birthday.len(),
        _ => fields.texts(field).len(),
    }
}

fn misfit(fields: &CrmFields, field: Field, property: &Property) -> Option<Problem> {
    let name = &property.name;
    let problem = |message: String, remedy: &str| {
        Some(Problem {
            message,
            remedy: Some(remedy.to_owned()),
        })
    };
    if property.read_only {
        let message = format!("FLOWFACT does not let anybody write its field `{name}`");
        return problem(message, "change the value in FLOWFACT's own way");
    }
    let count = count(fields, field);
    if let Some(max) = property.values_max
        && usize::try_from(max).is_ok_and(|max| count > max)
    {
        let message = format!("FLOWFACT's field `{name}` takes {max} values, not {count}");
        return problem(
            message,
            "take one away, or let the field take more in FLOWFACT's schema",
        );
    }
    let unknown = property.is_list()
        && fields.texts(field).iter().any(|value| {
            value
                .as_str()
                .is_none_or(|text| property.key_of(text).is_none())
        });
    if unknown {
        let message = format!("FLOWFACT's list `{name}` does not have this value");
        return problem(
            message,
            "add the value to the list in FLOWFACT's schema, or choose another",
        );
    }
    None
}

/// A list's value as people see it; anything else as it is.
fn captioned(value: &Value, property: &Property) -> Value {
    let caption = value
        .as_str()
        .filter(|_| property.is_list())
        .and_then(|key| {
            let caption = property.caption_of(key)?;
            // Only what leads back to the same value may stand for it.
            (property.key_of(caption) == Some(key)).then_some(caption)
        });
    caption.map_or_else(|| value.clone(), |caption| json!(caption))
}

fn keyed(value: &Value, property: &Property) -> Value {
    let key = value
        .as_str()
        .filter(|_| property.is_list())
        .and_then(|text| property.key_of(text));
    key.map_or_else(|| value.clone(), |key| json!(key))
}

fn kind(members: &Members) -> Option<CrmKind> {
    Some(match members.get("type") {
        None | Some(Value::Null) => CrmKind::Untyped,
        Some(Value::String(text)) => match text.as_str() {
            "office" => CrmKind::Office,
            "private" => CrmKind::Private,
            "mobile" => CrmKind::Mobile,
            "other" => CrmKind::Other,
            "" => CrmKind::Untyped,
            unknown => CrmKind::Unknown(unknown.to_owned()),
        },
        Some(_) => return None,
    })
}

/// The kind, and the rest of the members. How "no type" was written stays in the rest, because a
/// value that is written back unchanged must not change.
fn split_kind(members: &Members) -> Option<(CrmKind, Members)> {
    let kind = kind(members)?;
    let mut rest = members.clone();
    if kind != CrmKind::Untyped {
        rest.shift_remove("type");
    }
    Some((kind, rest))
}

fn join_kind(kind: &CrmKind, members: &mut Members) {
    let text = match kind {
        CrmKind::Office => "office",
        CrmKind::Private => "private",
        CrmKind::Mobile => "mobile",
        CrmKind::Other => "other",
        CrmKind::Unknown(text) => text,
        CrmKind::Untyped => return,
    };
    members.insert("type".into(), json!(text));
}

fn phone(value: &Value) -> CrmPhone {
    let readable = || {
        let (kind, mut rest) = split_kind(value.as_object()?)?;
        let number = rest.get("number")?.as_str()?.to_owned();
        rest.shift_remove("number");
        Some(CrmPhone::Readable { kind, number, rest })
    };
    readable().unwrap_or_else(|| CrmPhone::Opaque(value.clone()))
}

fn phone_json(phone: &CrmPhone) -> Value {
    match phone {
        CrmPhone::Opaque(value) => value.clone(),
        CrmPhone::Readable { kind, number, rest } => {
            let mut members = rest.clone();
            join_kind(kind, &mut members);
            members.insert("number".into(), json!(number));
            Value::Object(members)
        }
    }
}

/// Members that may hold an e-mail's address, in the order in which they are believed.
const EMAIL_MEMBERS: [&str; 3] = ["email", "value", "address"];

fn email(value: &Value) -> CrmEmail {
    if let Value::String(text) = value {
        return CrmEmail::Plain(text.clone());
    }
    let typed = || {
        let mut rest = value.as_object()?.clone();
        let member = EMAIL_MEMBERS
            .into_iter()
            .find(|name| rest.get(*name).is_some_and(Value::is_string))?;
        let address = rest.shift_remove(member)?.as_str()?.to_owned();
        Some(CrmEmail::Typed {
            member: member.to_owned(),
            address,
            rest,
        })
    };
    typed().unwrap_or_else(|| CrmEmail::Opaque(value.clone()))
}

fn email_json(email: &CrmEmail) -> Value {
    match email {
        CrmEmail::Plain(text) => json!(text),
        CrmEmail::Opaque(value) => value.clone(),
        CrmEmail::Typed {
            member,
            address,
            rest,
        } => {
            let mut members = rest.clone();
            members.insert(member.clone(), json!(address));
            Value::Object(members)
        }
    }
}

/// FLOWFACT's names of the parts of an address, in the order of [`parts`].
const ADDRESS_MEMBERS: [&str; 5] = ["street", "zipcode", "city", "state", "country"];

fn parts(address: &mut PostalAddress) -> [&mut String; 5] {
    let PostalAddress {
        street,
        postal_code,
        city,
        state,
        country,
    } = address;
    [street, postal_code, city, state, country]
}

fn address(value: &Value) -> CrmAddress {
    let readable = || {
        let (kind, mut rest) = split_kind(value.as_object()?)?;
        let mut address = PostalAddress::default();
        for (name, part) in ADDRESS_MEMBERS.into_iter().zip(parts(&mut address)) {
            match rest.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.is_empty() => {}
                Some(Value::String(text)) => {
                    part.clone_from(text);
                    rest.shift_remove(name);
                }
                Some(_) => return None,
            }
        }
        Some(CrmAddress::Readable {
            kind,
            address,
            rest,
        })
    };
    readable().unwrap_or_else(|| CrmAddress::Opaque(value.clone()))
}

fn address_json(address: &CrmAddress) -> Value {
    match address {
        CrmAddress::Opaque(value) => value.clone(),
        CrmAddress::Readable {
            kind,
            address,
            rest,
        } => {
            let mut members = rest.clone();
            join_kind(kind, &mut members);
            let mut address = address.clone();
            for (name, part) in ADDRESS_MEMBERS.into_iter().zip(parts(&mut address)) {
                if !part.is_empty() {
                    members.insert(name.to_owned(), json!(part));
                }
            }
            Value::Object(members)
        }
    }
}
