//! What the metadata says about digits, in a form that is asked quickly.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// The largest table of states that a pattern may become, and what making it may take: many times
/// what all tables of a country take together (40 KiB in China; 2 MiB for the whole world).
const TABLE_BYTES_MAX: usize = 1024 * 1024;

/// A regular expression over digits, asked of the beginning of a text: a table of states, which
/// takes one step per digit. (libphonenumber's "leading digits", and "national number" as the crate
/// asks it.)
#[derive(Debug)]
pub(super) struct Pattern(dense::DFA<Vec<u32>>);

impl Pattern {
    /// `None` where the expression is none, or would become too large.
    pub(super) fn new(expression: &str) -> Option<Self> {
        // As the crate reads it, less Unicode's digits: those were folded long before.
        let syntax = syntax::Config::new()
            .ignore_whitespace(true)
            .unicode(false)
            .utf8(false);
        let tables = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(TABLE_BYTES_MAX))
            .determinize_size_limit(Some(TABLE_BYTES_MAX));
        let mut builder = dense::Builder::new();
        let builder = builder.syntax(syntax).configure(tables);
        builder.build(expression).ok().map(Self)
    }

    /// Where the match at the beginning of these digits ends; `None` where there is none.
    pub(super) fn end(&self, digits: &str) -> Option<usize> {
        self.search(Input::new(digits))
    }

    /// Whether there is a match at the beginning.
    pub(super) fn begins(&self, digits: &str) -> bool {
        self.search(Input::new(digits).earliest(true)).is_some()
    }

    fn search(&self, input: Input<'_>) -> Option<usize> {
        let found = self.0.try_search_fwd(&input.anchored(Anchored::Yes));
        // It can fail only where it is configured to give up.
        found.ok().flatten().map(|found| found.offset())
    }
}

/// How the digits of a number are grouped: `(\d{2})(\d{3,8})` and `$1 $2`.
#[derive(Debug)]
pub(super) struct Layout {
    /// At least and at most so many digits, group by group.
    groups: Vec<(usize, usize)>,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(char),
    /// Counted from 0.
    Group(usize),
}

impl Layout {
    /// `None` where it is written in a way that is not known here.
    pub(super) fn new(pattern: &str, format: &str) -> Option<Self> {
        let groups = groups(pattern)?;
        let parts = parts(format)?;
        let known = |part: &Part| !matches!(part, Part::Group(group) if *group >= groups.len());
        parts.iter().all(known).then_some(Self { groups, parts })
    }

    /// Whether a number of so many digits can be grouped like this.
    pub(super) fn fits(&self, digits: &str) -> bool {
        let least: usize = self.groups.iter().map(|(least, _)| least).sum();
        let most: usize = self.groups.iter().map(|(_, most)| most).sum();
        (least..=most).contains(&digits.len())
    }

    /// Appends the digits, which fit, group by group: earlier ones take as many as they can.
    pub(super) fn write(&self, digits: &str, written: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(character) => written.push(*character),
                Part::Group(group) => written.push_str(self.group(*group, digits)),
            }
        }
    }

    fn group<'a>(&self, wanted: usize, digits: &'a str) -> &'a str {
        let mut spare = digits.len();
        for (least, _) in &self.groups {
            spare = spare.saturating_sub(*least);
        }
        let mut start = 0;
        for (index, (least, most)) in self.groups.iter().enumerate() {
            let more = spare.min(most - least);
            spare -= more;
            let end = start + least + more;
            if index == wanted {
                return digits.get(start..end).unwrap_or_default();
            }
            start = end;
        }
        ""
    }
}

/// The widths of `(\d)(\d{4})(\d{3,8})`.
fn groups(pattern: &str) -> Option<Vec<(usize, usize)>> {
    let mut groups = Vec::new();
    let mut rest = pattern.trim();
    while !rest.is_empty() {
        let (group, after) = rest.strip_prefix("(\\d")?.split_once(')')?;
        groups.push(width(group)?);
        rest = after.trim_start();
    }
    Some(groups)
}

fn width(group: &str) -> Option<(usize, usize)> {
    if group.is_empty() {
        return Some((1, 1));
    }
    let inside = group.strip_prefix('{')?.strip_suffix('}')?;
    let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
    let (least, most) = (least.parse().ok()?, most.parse().ok()?);
    (least <= most).then_some((least, most))
}

fn parts(format: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '$' {
            parts.push(Part::Text(character));
            continue;
        }
        let group = characters.next()?.to_digit(10)?.checked_sub(1)?;
        parts.push(Part::Group(usize::try_from(group).ok()?));
        // `$1a` is another group's name, and `$12` another group.
        if (characters.peek()).is_some_and(|next| next.is_alphanumeric() || *next == '_') {
            return None;
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_groups_take_what_later_ones_can_spare() {
        let layout = Layout::new(r"(\d{2})(\d{3,5})(\d{3,4})", "$1 $2-$3").expect("a layout");
        for (digits, written) in [
            ("22123456", Some("22 123-456")),
            ("221234567", Some("22 1234-567")),
            ("2212345678", Some("22 12345-678")),
            ("22123456789", Some("22 12345-6789")),
            ("2212345", None),
            ("221234567890", None),
        ] {
            let grouped = layout.fits(digits).then(|| {
                let mut grouped = String::new();
                layout.write(digits, &mut grouped);
                grouped
            });
            assert_eq!(grouped.as_deref(), written, "{digits}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_crate() {
        for (pattern, format) in [
            (r"(\d{2})(?:\d{3})", "$1"),
            (r"([1-9])(\d{3})", "$1 $2"),
            (r"(\d{2,})", "$1"),
            (r"(\d{2})", "$1 $2"),
            (r"(\d{2})", "$1a"),
            (r"(\d{2})", "$0"),
        ] {
            assert!(Layout::new(pattern, format).is_none(), "{pattern} {format}");
        }
    }
}
