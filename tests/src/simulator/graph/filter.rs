//! `$filter`, as far as Graph knows it for contacts.

use serde_json::Value;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

/// A filter, understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare {
        path: String,
        operator: Operator,
        value: Literal,
    },
    Text {
        function: TextFunction,
        path: String,
        text: String,
    },
    /// `collection/any(x: …)`; paths inside are without `x/`.
    Any {
        collection: String,
        inner: Box<Filter>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFunction {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Text(String),
    /// A number, a time, `true`, `false` or `null`.
    Word(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

impl Filter {
    /// `None` where Graph would answer that it does not understand the filter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser {
            tokens: tokens(text)?.into_iter().peekable(),
            variable: None,
        };
        let filter = parser.either()?;
        parser.tokens.next().is_none().then_some(filter)
    }

    /// Whether a contact meets the filter; `property` reads it.
    pub(super) fn meets(&self, property: &dyn Fn(&str) -> Value) -> bool {
        match self {
            Self::And(left, right) => left.meets(property) && right.meets(property),
            Self::Or(left, right) => left.meets(property) || right.meets(property),
            Self::Not(inner) => !inner.meets(property),
            Self::Compare {
                path,
                operator,
                value,
            } => operator.holds(&at(property, path), value),
            Self::Text {
                function,
                path,
                text,
            } => {
                let held = at(property, path);
                let held = held.as_str().unwrap_or_default().to_lowercase();
                let text = text.to_lowercase();
                match function {
                    TextFunction::StartsWith => held.starts_with(&text),
                    TextFunction::EndsWith => held.ends_with(&text),
                    TextFunction::Contains => held.contains(&text),
                }
            }
            Self::Any { collection, inner } => {
                let entries = property(collection);
                let mut entries = entries.as_array().into_iter().flatten();
                entries.any(|entry| {
                    inner.meets(&|member: &str| entry.get(member).cloned().unwrap_or_default())
                })
            }
        }
    }

    /// The literal that this filter asks `path` to equal.
    pub(super) fn equal_to(&self, path: &str) -> Option<&str> {
        match self {
            Self::Compare {
                path: found,
                operator: Operator::Equal,
                value: Literal::Text(text),
            } if found == path => Some(text),
            Self::And(left, right) => left.equal_to(path).or_else(|| right.equal_to(path)),
            _ => None,
        }
    }

    /// All literals of `path eq '…' or path eq '…'`; `None` where there is anything else.
    pub(super) fn alternatives(&self, path: &str) -> Option<Vec<String>> {
        match self {
            Self::Or(left, right) => {
                let mut all = left.alternatives(path)?;
                all.extend(right.alternatives(path)?);
                Some(all)
            }
            Self::Compare { .. } => Some(vec![self.equal_to(path)?.to_owned()]),
            _ => None,
        }
    }

    /// The id and value of the extended property that is asked for, in all results.
    pub(super) fn extended_property(&self) -> Option<(&str, &str)> {
        match self {
            Self::And(left, right) => left
                .extended_property()
                .or_else(|| right.extended_property()),
            Self::Any { collection, inner } if collection == "singleValueExtendedProperties" => {
                Some((inner.equal_to("id")?, inner.equal_to("value")?))
            }
            _ => None,
        }
    }
}

impl Operator {
    fn holds(self, held: &Value, wanted: &Literal) -> bool {
        let (held, wanted) = match wanted {
            Literal::Word(word) if word == "null" => (!held.is_null(), false),
            Literal::Text(text) | Literal::Word(text) => {
                let Some(held) = held.as_str() else {
                    return self == Self::NotEqual;
                };
                // Exchange compares without case.
                let order = held.to_lowercase().cmp(&text.to_lowercase());
                return self.accepts(order);
            }
        };
        self.accepts(held.cmp(&wanted))
    }

    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
        }
    }
}

fn at(property: &dyn Fn(&str) -> Value, path: &str) -> Value {
    let mut parts = path.split('/');
    let first = property(parts.next().unwrap_or_default());
    parts.fold(first, |value, part| {
        value.get(part).cloned().unwrap_or_default()
    })
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    /// The name before the colon of the `any` that is being read.
    variable: Option<String>,
}

impl Parser {
    fn either(&mut self) -> Option<Filter> {
        let mut left = self.both()?;
        while self.take_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Some(left)
    }

    fn both(&mut self) -> Option<Filter> {
        let mut left = self.one()?;
        while self.take_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Some(left)
    }

    fn one(&mut self) -> Option<Filter> {
        if self.take_sign('(') {
            let inner = self.either()?;
            return self.take_sign(')').then_some(inner);
        }
        let Token::Word(word) = self.tokens.next()? else {
            return None;
        };
        if word.eq_ignore_ascii_case("not") {
            return Some(Filter::Not(Box::new(self.one()?)));
        }
        if self.take_sign('(') {
            return self.call(&word);
        }
        let path = self.path(&word)?;
        let operator = self.operator()?;
        let value = self.literal()?;
        Some(Filter::Compare {
            path,
            operator,
            value,
        })
    }

    fn call(&mut self, name: &str) -> Option<Filter> {
        if let Some((collection, function)) = name.rsplit_once('/') {
            // Both `any` and `Any` are in use.
            if !function.eq_ignore_ascii_case("any") || self.variable.is_some() {
                return None;
            }
            let Token::Word(variable) = self.tokens.next()? else {
                return None;
            };
            if !self.take_sign(':') {
                return None;
            }
            self.variable = Some(variable);
            let inner = self.either()?;
            self.variable = None;
            return self.take_sign(')').then(|| Filter::Any {
                collection: collection.to_owned(),
                inner: Box::new(inner),
            });
        }
        let function = match name.to_ascii_lowercase().as_str() {
            "startswith" => TextFunction::StartsWith,
            "endswith" => TextFunction::EndsWith,
            "contains" => TextFunction::Contains,
            _ => return None,
        };
        let Token::Word(path) = self.tokens.next()? else {
            return None;
        };
        let path = self.path(&path)?;
        if !self.take_sign(',') {
            return None;
        }
        let Literal::Text(text) = self.literal()? else {
            return None;
        };
        self.take_sign(')').then_some(Filter::Text {
            function,
            path,
            text,
        })
    }

    /// Inside `any`, a path begins with the variable, and nothing else is allowed.
    fn path(&self, word: &str) -> Option<String> {
        match &self.variable {
            None => Some(word.to_owned()),
            Some(variable) => {
                let rest = word.strip_prefix(variable.as_str())?;
                rest.strip_prefix('/').map(str::to_owned)
            }
        }
    }

    fn operator(&mut self) -> Option<Operator> {
        let Token::Word(word) = self.tokens.next()? else {
            return None;
        };
        Some(match word.to_ascii_lowercase().as_str() {
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessEqual,
            _ => return None,
        })
    }

    fn literal(&mut self) -> Option<Literal> {
        match self.tokens.next()? {
            Token::Text(text) => Some(Literal::Text(text)),
            Token::Word(word) => Some(Literal::Word(word)),
            Token::Sign(_) => None,
        }
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is =
            |token: &Token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted));
        self.tokens.next_if(is).is_some()
    }

    fn take_sign(&mut self, wanted: char) -> bool {
        self.tokens.next_if_eq(&Token::Sign(wanted)).is_some()
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        if next.is_whitespace() {
            rest.next();
        } else if next == '\'' {
            rest.next();
            let mut quoted = String::new();
            loop {
                match rest.next()? {
                    // A quote inside a text is written twice.
                    '\'' if rest.next_if_eq(&'\'').is_some() => quoted.push('\''),
                    '\'' => break,
                    other => quoted.push(other),
                }
            }
            tokens.push(Token::Text(quoted));
        } else if matches!(next, '(' | ')' | ',' | ':') {
            rest.next();
            tokens.push(Token::Sign(next));
        } else {
            // A time is one word although it has colons.
            let is_time = next.is_ascii_digit();
            let mut word = String::new();
            let belongs = |sign: &char| {
                !sign.is_whitespace()
                    && !matches!(sign, '(' | ')' | ',' | '\'')
                    && (is_time || *sign != ':')
            };
            while let Some(sign) = rest.next_if(|sign| belongs(sign)) {
                word.push(sign);
            }
            tokens.push(Token::Word(word));
        }
    }
    Some(tokens)
}
