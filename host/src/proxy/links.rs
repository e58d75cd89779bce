//! Links in the answers of Microsoft Graph, so that who follows them stays on the proxy.
//!
//! Graph names the next page and the next delta by absolute addresses, in two members of its JSON
//! (<https://learn.microsoft.com/graph/paging>, <https://learn.microsoft.com/graph/delta-query-overview>).
//! Only the strings of these members are touched. An address in anything that a person wrote, a
//! contact's website for example, is data: translated, it would be written to the other side. All
//! other bytes stay as they came.

use std::ops::Range;

use bytes::Bytes;

/// As they stand in the JSON, quotation marks included.
const NAMES: [&[u8]; 2] = [b"\"@odata.nextLink\"", b"\"@odata.deltaLink\""];

/// The same JSON, with links that lead where `lead` says. `lead` gives `None` for what stays.
pub(super) fn translated(json: Bytes, lead: impl Fn(&str) -> Option<String>) -> Bytes {
    let mut written = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(string) = next_string(&json, at) {
        at = string.end;
        if !json.get(string).is_some_and(|name| NAMES.contains(&name)) {
            continue;
        }
        let Some(value) = string_after_colon(&json, at) else {
            continue;
        };
        at = value.end;
        let link = json
            .get(value.clone())
            .map(serde_json::from_slice::<String>);
        let Some(Ok(link)) = link else { continue };
        let Some(led) = lead(&link) else { continue };
        written.extend_from_slice(json.get(copied..value.start).unwrap_or_default());
        written.extend_from_slice(serde_json::Value::String(led).to_string().as_bytes());
        copied = value.end;
    }
    if copied == 0 {
        return json;
    }
    written.extend_from_slice(json.get(copied..).unwrap_or_default());
    written.into()
}

/// The first string that begins at `from` or later, with its quotation marks.
fn next_string(json: &[u8], from: usize) -> Option<Range<usize>> {
    let length = json.get(from..)?.iter().position(|byte| *byte == b'"')?;
    let start = from + length;
    let mut at = start + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(start..at + 1),
            // Whatever is escaped ends no string.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The string that is the value of a member whose name ends at `from`.
fn string_after_colon(json: &[u8], from: usize) -> Option<Range<usize>> {
    let colon = after_blanks(json, from);
    if json.get(colon) != Some(&b':') {
        return None;
    }
    let start = after_blanks(json, colon + 1);
    if json.get(start) != Some(&b'"') {
        return None;
    }
    next_string(json, start)
}

fn after_blanks(json: &[u8], from: usize) -> usize {
    let rest = json.get(from..).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| b" \t\r\n".contains(byte));
    from + blanks.count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn lead(link: &str) -> Option<String> {
        let rest = link.strip_prefix("https://graph.example/v1.0/")?;
        Some(format!("http://here/{rest}"))
    }

    fn check(json: &str, expected: &str) {
        let translated = translated(Bytes::from(json.to_owned()), lead);
        assert_eq!(str::from_utf8(&translated).unwrap(), expected);
    }

    /// Links lead here, at any depth and however they are written; nothing else changes, not even a
    /// blank or the spelling of a number.
    #[test]
    fn links_lead_here_and_nothing_else_changes() {
        check(
            r#"{ "@odata.nextLink" : "https://graph.example/v1.0/a?$skip=1", "n": 1.50e3 }"#,
            r#"{ "@odata.nextLink" : "http://here/a?$skip=1", "n": 1.50e3 }"#,
        );
        check(
            r#"{"responses":[{"body":{"@odata.deltaLink":"https:\/\/graph.example/v1.0/b\u0026"}}]}"#,
            r#"{"responses":[{"body":{"@odata.deltaLink":"http://here/b&"}}]}"#,
        );
    }

    /// What people wrote is theirs, even where it looks like a link.
    #[test]
    fn what_people_wrote_stays() {
        for json in [
            r#"{"businessHomePage":"https://graph.example/v1.0/a"}"#,
            r#"{"note":"\"@odata.nextLink\":\"https://graph.example/v1.0/a\""}"#,
            r#"{"note":"\\","x":"@odata.nextLink","y":"https://graph.example/v1.0/a"}"#,
            r#"["@odata.nextLink","https://graph.example/v1.0/a"]"#,
            r#"{"@odata.nextLink":["https://graph.example/v1.0/a"]}"#,
            r#"{"@odata.nextLink":"https://other.example/v1.0/a"}"#,
            r#"{"@odata.nextLink":"https://graph.example/v1.0/a"#,
            r#"{"@odata.nextLink""#,
            "\"\\",
            "",
        ] {
            check(json, json);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            ".{0,8}",
            Just("@odata.nextLink".to_owned()),
            Just("https://graph.example/v1.0/a".to_owned()),
            Just("\"@odata.nextLink\":\"https://graph.example/v1.0/a\"".to_owned()),
        ];
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(text.clone(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// What a parser would have done, member by member.
    fn by_parsing(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(by_parsing).collect(),
            Value::Object(members) => {
                let translated = members.into_iter().map(|(name, value)| match value {
                    Value::String(link) if name == "@odata.nextLink" => {
                        let led = lead(&link).unwrap_or(link);
                        (name, json!(led))
                    }
                    value => (name, by_parsing(value)),
                });
                Value::Object(translated.collect())
            }
            value => value,
        }
    }

    proptest! {
        #[test]
        fn any_json_is_translated_as_a_parser_would(value in any_json()) {
            let translated = translated(Bytes::from(value.to_string()), lead);
            let translated: Value = serde_json::from_slice(&translated).unwrap();
            prop_assert_eq!(translated, by_parsing(value));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            translated(Bytes::from(bytes), lead);
        }
    }
}
