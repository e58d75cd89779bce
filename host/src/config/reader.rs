//! Reads TOML so that every mistake names file, line, column, key and remedy, all mistakes at once.
//!
//! A [`Section`] remembers which keys it was asked for; whatever else stands in it is unknown.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a configuration file. Holds no secret: values are shown only where they are
/// names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, counted from 1; `None` where the file as a whole is meant.
    pub place: Option<(usize, usize)>,
    /// What is wrong, with the key.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(formatter, ":{line}:{column}")?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// A file being read, and what is wrong with it so far.
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    errors: RefCell<Vec<ConfigError>>,
}

/// A table of the file.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    /// As a person would write it: `tenant.flowfact`; empty at the top.
    path: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            errors: RefCell::default(),
        }
    }

    /// The file's tables, if it is TOML at all.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text)
            .map_err(|error| {
                let what = format!("this is not TOML: {}", error.message().replace('\n', "; "));
                self.error(
                    &error.span().unwrap_or(0..0),
                    what,
                    "see https://toml.io for its rules",
                );
            })
            .ok()
    }

    /// The whole file as a section.
    pub(super) fn top(&'a self, table: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        self.section(String::new(), table.get_ref(), 0..0)
    }

    /// Notes a mistake.
    pub(super) fn error(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.errors.borrow_mut().push(ConfigError {
            file: self.file.to_owned(),
            place: Some(self.place(span.start)),
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// All mistakes, in the order of the file.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.place);
        errors
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    fn section(&'a self, path: String, table: &'a DeTable<'a>, span: Range<usize>) -> Section<'a> {
        Section {
            reader: self,
            path,
            table,
            span,
            asked: RefCell::default(),
        }
    }
}

impl<'a> Section<'a> {
    /// Where the section stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Where the key's value stands; where the section does, if it is not there.
    pub(super) fn span_of(&self, key: &'static str) -> Range<usize> {
        self.find(key).map_or_else(|| self.span(), Spanned::span)
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// A string that must not be empty.
    pub(super) fn text(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.find(key)?;
        self.expect(key, value, "a text in quotes", |value| match value {
            DeValue::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        })
    }

    /// As [`Section::text`], but it must be there.
    pub(super) fn required_text(&self, key: &'static str, remedy: &str) -> Option<Placed<String>> {
        if !self.has(key) {
            self.missing(key, remedy);
        }
        self.text(key)
    }

    /// `true` or `false`; `false` if it is not there.
    pub(super) fn flag(&self, key: &'static str) -> bool {
        let flag = self.find(key).and_then(|value| {
            self.expect(key, value, "`true` or `false`", |value| match value {
                DeValue::Boolean(flag) => Some(*flag),
                _ => None,
            })
        });
        flag.is_some_and(|flag| flag.value)
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, key: &'static str, range: Range<u32>) -> Option<u32> {
        let value = self.find(key)?;
        let wanted = format!("a whole number from {} to {}", range.start, range.end - 1);
        let number = self.expect(key, value, &wanted, |value| match value {
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                let number = u32::from_str_radix(&digits, number.radix()).ok()?;
                range.contains(&number).then_some(number)
            }
            _ => None,
        });
        number.map(|number| number.value)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.find(key)?;
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let wanted = names.join(" or ");
        let chosen = self.expect(key, value, &wanted, |value| match value {
            DeValue::String(text) => choices
                .iter()
                .find(|(name, _)| *name == text.as_ref())
                .map(|(_, choice)| *choice),
            _ => None,
        });
        chosen.map(|chosen| chosen.value)
    }

    /// A list of strings.
    pub(super) fn texts(&self, key: &'static str) -> Option<Placed<Vec<String>>> {
        let value = self.find(key)?;
        self.expect(key, value, "a list of texts", |value| match value {
            DeValue::Array(items) => items.iter().map(|item| text_of(item.get_ref())).collect(),
            _ => None,
        })
    }

    /// A table.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let value = self.find(key)?;
        if let DeValue::Table(table) = value.get_ref() {
            return Some(self.reader.section(self.join(key), table, value.span()));
        }
        let message = format!("`{}` is not a table", self.join(key));
        self.reader.error(
            &value.span(),
            message,
            format!("write it as `[{}]`", self.join(key)),
        );
        None
    }

    /// As [`Section::section`], but it must be there.
    pub(super) fn required_section(&self, key: &'static str, remedy: &str) -> Option<Section<'a>> {
        if !self.has(key) {
            self.missing(key, remedy);
        }
        self.section(key)
    }

    /// A list of tables.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.find(key) else {
            return Vec::new();
        };
        let path = self.join(key);
        let tables: Option<Vec<_>> = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Table(table) => {
                        Some(self.reader.section(path.clone(), table, item.span()))
                    }
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        tables.unwrap_or_else(|| {
            let message = format!("`{path}` is not a list of tables");
            self.reader.error(
                &value.span(),
                message,
                format!("write each as `[[{path}]]`"),
            );
            Vec::new()
        })
    }

    /// A string, where a table would be possible too.
    pub(super) fn short_form(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.find(key)?;
        let text = text_of(value.get_ref())?;
        Some(Placed {
            value: text,
            span: value.span(),
        })
    }

    /// All keys of a table whose keys are names.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'a str, Range<usize>, &'a DeValue<'a>)> {
        let table = self.table;
        table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value.get_ref()))
    }

    /// Notes a missing key.
    pub(super) fn missing(&self, key: &'static str, remedy: &str) {
        self.asked.borrow_mut().push(key);
        let whose = if self.path.is_empty() {
            "the file"
        } else {
            &self.path
        };
        let message = format!("`{key}` is missing in `{whose}`").replace("`the file`", "the file");
        self.reader.error(&self.span, message, remedy);
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(&self, remedy: &str) {
        let asked = self.asked.borrow();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let whose = match self.path.as_str() {
                "" => String::new(),
                path => format!(" in `{path}`"),
            };
            let message = format!("unknown key `{name}`{whose}");
            self.reader
                .error(&key.span(), message, suggestion(name, &asked, remedy));
        }
    }

    /// A mistake in one of this section's values.
    pub(super) fn error(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.reader.error(span, message, remedy);
    }

    /// The key with the tables in front of it.
    pub(super) fn join(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn find(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table.get(key)
    }

    fn expect<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<Placed<T>> {
        let read = read(value.get_ref());
        if read.is_none() {
            let message = format!("`{}` has a value that it cannot have", self.join(key));
            self.reader
                .error(&value.span(), message, format!("write {wanted}"));
        }
        read.map(|read| Placed {
            value: read,
            span: value.span(),
        })
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        _ => None,
    }
}

/// The nearest known key, if one is near; else all of them.
pub(super) fn suggestion(name: &str, known: &[&str], remedy: &str) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    match nearest {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None if !remedy.is_empty() => remedy.to_owned(),
        None => {
            let mut names: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
            names.sort();
            format!("known here: {}", names.join(", "))
        }
    }
}
