//! The search index, and the query language `FlowDSL`.
//!
//! The index is a copy of the entities that follows them with a lag. Two orders are kept: by id and
//! by time of modification; queries that filter or sort by either, which is all that a sync asks on
//! the way, cost what they return and not what is stored.

use contact_sync_guest::outside::Timestamp;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeFrom;
use std::sync::Arc;

use super::entities::Entity;

/// A copy of the entities, as far as searches see them.
#[derive(Clone, Debug, Default)]
pub(super) struct SearchIndex {
    by_id: BTreeMap<String, Arc<Entity>>,
    by_modified: BTreeSet<(Timestamp, String)>,
    pending: VecDeque<(Timestamp, String, Option<Arc<Entity>>)>,
}

impl SearchIndex {
    /// From `visible_at` on searches see `entity` under `id`, or nothing.
    pub(super) fn record(&mut self, visible_at: Timestamp, id: &str, entity: Option<Arc<Entity>>) {
        self.pending.push_back((visible_at, id.to_owned(), entity));
    }

    /// Takes in what is visible by now.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while let Some((visible_at, id, entity)) = self.pending.pop_front() {
            if visible_at > now {
                self.pending.push_front((visible_at, id, entity));
                return;
            }
            if let Some(old) = self.by_id.remove(&id) {
                self.by_modified.remove(&(old.modified, id.clone()));
            }
            if let Some(entity) = entity {
                self.by_modified.insert((entity.modified, id.clone()));
                self.by_id.insert(id, entity);
            }
        }
    }

    /// Entries `offset..offset + size` of what `query` finds, and how many it finds in all.
    pub(super) fn search(
        &self,
        query: &Query,
        offset: usize,
        size: usize,
    ) -> (Vec<Arc<Entity>>, usize) {
        if query.conditions.is_empty() && query.sorts.is_empty() {
            let page = self.by_id.values().skip(offset).take(size);
            return (page.cloned().collect(), self.by_id.len());
        }
        if let Some((lower, direction)) = query.index_range() {
            return self.page_of_range(lower, direction, offset, size);
        }
        let mut found = self.candidates(query);
        if query.sorted_by_index().is_none() {
            found.sort_by(|left, right| query.compare(left, right));
        }
        let total = found.len();
        let page = found.into_iter().skip(offset).take(size).cloned();
        (page.collect(), total)
    }

    /// A page of all that was modified since `lower`, in the order of the index.
    fn page_of_range(
        &self,
        lower: Option<Timestamp>,
        direction: Direction,
        offset: usize,
        size: usize,
    ) -> (Vec<Arc<Entity>>, usize) {
        let range = self.by_modified.range(since(lower));
        let total = match lower {
            None => self.by_modified.len(),
            Some(_) => range.clone().count(),
        };
        let entity = |(_, id): &(Timestamp, String)| self.by_id.get(id).cloned();
        let page: Vec<Arc<Entity>> = match direction {
            Direction::Ascending => range.skip(offset).take(size).filter_map(entity).collect(),
            Direction::Descending => {
                let range = range.rev().skip(offset).take(size);
                range.filter_map(entity).collect()
            }
        };
        (page, total)
    }

    /// What `query` finds; in its order where that is the order of the index.
    fn candidates(&self, query: &Query) -> Vec<&Arc<Entity>> {
        let matches = |entity: &&Arc<Entity>| query.matches(entity);
        if let Some(ids) = query.ids() {
            let ids: BTreeSet<&String> = ids.iter().collect();
            let named = ids.into_iter().filter_map(|id| self.by_id.get(id));
            let mut found: Vec<_> = named.filter(matches).collect();
            found.sort_by(|left, right| query.compare(left, right));
            return found;
        }
        let from = query.modified_from();
        if from.is_none() && query.sorted_by_index().is_none() {
            return self.by_id.values().filter(matches).collect();
        }
        let range = self.by_modified.range(since(from));
        let entities = range
            .filter_map(|(_, id)| self.by_id.get(id))
            .filter(matches);
        match query.sorted_by_index() {
            Some(Direction::Descending) => {
                let mut found: Vec<_> = entities.collect();
                found.reverse();
                found
            }
            _ => entities.collect(),
        }
    }
}

/// The first place of the index from this time on.
fn since(lower: Option<Timestamp>) -> RangeFrom<(Timestamp, String)> {
    (lower.unwrap_or(Timestamp(i64::MIN)), String::new())..
}

/// A query, understood.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) fetch: Vec<String>,
    conditions: Vec<Condition>,
    sorts: Vec<(String, Direction)>,
    metadata_filter: bool,
    now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

#[derive(Clone, Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    None(Vec<Condition>),
    HasField {
        field: String,
        not_empty: bool,
    },
    HasValue {
        field: String,
        operator: Operator,
        value: Value,
    },
    Ids(Vec<String>),
    Schemas(Vec<String>),
    /// Technical tags: no contact of this company carries one.
    Tags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    NotEqual,
    Like,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    In,
    Between,
    OlderThanDays,
}

impl Query {
    /// Understands a `FlowDSL` body; else says what is wrong with it.
    pub(super) fn parse(
        body: &Value,
        metadata_filter: bool,
        now: Timestamp,
    ) -> Result<Self, String> {
        match body.get("target").and_then(Value::as_str) {
            Some(target) if target.eq_ignore_ascii_case("ENTITY") => {}
            _ => return Err("target: ENTITY expected".to_owned()),
        }
        let fetch = texts(body.get("fetch"));
        let conditions = match body.get("conditions") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(conditions)) => parse_all(conditions)?,
            Some(condition) => vec![Condition::parse(condition)?],
        };
        let mut sorts = Vec::new();
        for sort in body
            .get("sorts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let field = sort.get("field").and_then(Value::as_str);
            let field = field.ok_or("sorts: field missing")?;
            let descending = sort
                .get("direction")
                .and_then(Value::as_str)
                .is_some_and(|direction| direction.eq_ignore_ascii_case("DESC"));
            let direction = if descending {
                Direction::Descending
            } else {
                Direction::Ascending
            };
            sorts.push((field.to_owned(), direction));
        }
        Ok(Self {
            fetch,
            conditions,
            sorts,
            metadata_filter,
            now,
        })
    }

    fn matches(&self, entity: &Entity) -> bool {
        self.conditions
            .iter()
            .all(|condition| self.meets(condition, entity))
    }

    fn meets(&self, condition: &Condition, entity: &Entity) -> bool {
        match condition {
            Condition::All(all) => all.iter().all(|one| self.meets(one, entity)),
            Condition::Any(any) => any.iter().any(|one| self.meets(one, entity)),
            Condition::None(none) => !none.iter().any(|one| self.meets(one, entity)),
            Condition::HasField { field, not_empty } => {
                let values = entity.values_at(field);
                values.is_some_and(|values| !not_empty || !values.is_empty())
            }
            Condition::HasValue { field, .. }
                if field.starts_with("_metadata.") && !self.metadata_filter =>
            {
                true
            }
            Condition::HasValue {
                field,
                operator,
                value,
            } => {
                let held = entity.values_at(field).unwrap_or_default();
                operator.holds(&held, value, self.now)
            }
            Condition::Ids(ids) => ids.contains(&entity.id),
            Condition::Schemas(schemas) => schemas.iter().any(|schema| schema == "contacts"),
            Condition::Tags => false,
        }
    }

    /// The ids that the query is limited to.
    fn ids(&self) -> Option<&[String]> {
        self.conditions
            .iter()
            .find_map(|condition| match condition {
                Condition::Ids(ids) => Some(ids.as_slice()),
                _ => None,
            })
    }

    /// The time of modification that all results have reached.
    fn modified_from(&self) -> Option<Timestamp> {
        let mut bounds = self
            .conditions
            .iter()
            .map(|condition| self.lower_bound(condition));
        bounds.find_map(|bound| bound)
    }

    /// The time of modification that whatever meets this condition has reached.
    fn lower_bound(&self, condition: &Condition) -> Option<Timestamp> {
        let Condition::HasValue {
            field,
            operator,
            value,
        } = condition
        else {
            return None;
        };
        if !self.metadata_filter || !is_modified(field) {
            return None;
        }
        let from = whole(number(value)?);
        match operator {
            Operator::GreaterEqual => Some(Timestamp(from)),
            Operator::Greater => Some(Timestamp(from.saturating_add(1))),
            _ => None,
        }
    }

    /// Where the query asks for nothing but what the index is ordered by: from when on, and in
    /// which direction.
    fn index_range(&self) -> Option<(Option<Timestamp>, Direction)> {
        let direction = self.sorted_by_index()?;
        match self.conditions.as_slice() {
            [] => Some((None, direction)),
            [condition] => Some((Some(self.lower_bound(condition)?), direction)),
            _ => None,
        }
    }

    /// The direction, where the order asked for is that of the index.
    fn sorted_by_index(&self) -> Option<Direction> {
        match self.sorts.as_slice() {
            [(field, direction)] if is_modified(field) => Some(*direction),
            _ => None,
        }
    }

    fn compare(&self, left: &Entity, right: &Entity) -> Ordering {
        for (field, direction) in &self.sorts {
            let left = left.values_at(field).unwrap_or_default();
            let right = right.values_at(field).unwrap_or_default();
            let order = compare(left.first(), right.first());
            let order = match direction {
                Direction::Ascending => order,
                Direction::Descending => order.reverse(),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        left.id.cmp(&right.id)
    }
}

/// Both names mean the time of the last modification; which one the index knows is not certain.
fn is_modified(field: &str) -> bool {
    matches!(
        field,
        "_metadata.lastModifiedTimestamp" | "_metadata.timestamp"
    )
}

fn parse_all(conditions: &[Value]) -> Result<Vec<Condition>, String> {
    conditions.iter().map(Condition::parse).collect()
}

impl Condition {
    /// Types are accepted in upper case and in camel case: both are in use.
    fn parse(condition: &Value) -> Result<Self, String> {
        let kind = condition.get("type").and_then(Value::as_str);
        let kind = kind.ok_or("condition without type")?;
        let members = || match condition.get("conditions") {
            Some(Value::Array(conditions)) => parse_all(conditions),
            Some(condition) => Ok(vec![Self::parse(condition)?]),
            None => Err(format!("{kind}: conditions missing")),
        };
        let field = || {
            let field = condition.get("field").and_then(Value::as_str);
            field
                .map(str::to_owned)
                .ok_or(format!("{kind}: field missing"))
        };
        Ok(match kind.to_ascii_uppercase().as_str() {
            "AND" => Self::All(members()?),
            "OR" => Self::Any(members()?),
            "NOT" => Self::None(members()?),
            "HASFIELD" => Self::HasField {
                field: field()?,
                not_empty: condition.get("alsoNotEmpty") == Some(&Value::Bool(true)),
            },
            "HASFIELDWITHVALUE" => Self::HasValue {
                field: field()?,
                operator: Operator::parse(condition.get("operator"))?,
                value: condition.get("value").cloned().unwrap_or_default(),
            },
            "ENTITYID" => Self::Ids(texts(condition.get("values"))),
            "SCHEMAID" | "SCHEMA" => Self::Schemas(texts(condition.get("values"))),
            "HASTAG" | "TAGID" => Self::Tags,
            _ => return Err(format!("condition {kind} is not supported for contacts")),
        })
    }
}

impl Operator {
    fn parse(operator: Option<&Value>) -> Result<Self, String> {
        let Some(operator) = operator.and_then(Value::as_str) else {
            return Ok(Self::Equals);
        };
        Ok(match operator.to_ascii_uppercase().as_str() {
            "EQUALS" => Self::Equals,
            "NOT_EQUAL" => Self::NotEqual,
            "LIKE" => Self::Like,
            "GREATER" => Self::Greater,
            "GREATER_EQUAL" => Self::GreaterEqual,
            "LESS" => Self::Less,
            "LESS_EQUAL" => Self::LessEqual,
            "IN" => Self::In,
            "BETWEEN" => Self::Between,
            "OLDER_THAN_X_DAYS" => Self::OlderThanDays,
            _ => return Err(format!("operator {operator} is unknown")),
        })
    }

    /// Whether one of the values that a field holds meets the condition.
    fn holds(self, held: &[Value], wanted: &Value, now: Timestamp) -> bool {
        let ordered = |order: fn(Ordering) -> bool| {
            held.iter()
                .any(|value| order(compare(Some(value), Some(wanted))))
        };
        match self {
            Self::Equals => ordered(Ordering::is_eq),
            Self::NotEqual => !ordered(Ordering::is_eq),
            Self::Greater => ordered(Ordering::is_gt),
            Self::GreaterEqual => ordered(Ordering::is_ge),
            Self::Less => ordered(Ordering::is_lt),
            Self::LessEqual => ordered(Ordering::is_le),
            Self::Like => {
                let wanted = wanted.as_str().unwrap_or_default().to_lowercase();
                let wanted = wanted.trim_matches(['*', '%']);
                let texts = held.iter().filter_map(Value::as_str);
                texts
                    .map(str::to_lowercase)
                    .any(|text| text.contains(wanted))
            }
            Self::In => {
                let wanted = wanted.as_array().into_iter().flatten();
                wanted
                    .into_iter()
                    .any(|one| Self::Equals.holds(held, one, now))
            }
            Self::Between => {
                let (from, to) = (wanted.get("from"), wanted.get("to"));
                held.iter()
                    .map(Some)
                    .any(|value| compare(value, from).is_ge() && compare(value, to).is_le())
            }
            Self::OlderThanDays => {
                let days = number(wanted).unwrap_or_default();
                let limit = Timestamp(now.0 - whole(days * 86_400_000.0));
                let times = held.iter().filter_map(number).map(whole);
                times.map(Timestamp).any(|time| time < limit)
            }
        }
    }
}

/// By value where one side is a number and the other, perhaps as text, is one too; else as text.
fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    let (Some(left), Some(right)) = (left, right) else {
        return left.is_some().cmp(&right.is_some());
    };
    match (number(left), number(right)) {
        (Some(one), Some(other)) if left.is_number() || right.is_number() => one.total_cmp(&other),
        _ => text(left).cmp(&text(right)),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds of this era fit twice over"
)]
fn whole(number: f64) -> i64 {
    number as i64
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let values = value.and_then(Value::as_array).into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
