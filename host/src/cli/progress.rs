//! Progress on standard error: a bar on a terminal, a line per phase otherwise.

use std::io::{self, IsTerminal, Write};

use contact_sync_host::types::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far one pass is.
pub(super) enum Display {
    Bar(ProgressBar),
    Lines { place: String, phase: Option<Phase> },
    Nothing,
}

impl Display {
    /// A display for the pass of this mailbox.
    pub(super) fn new(place: &str, wanted: bool) -> Self {
        if !wanted {
            return Self::Nothing;
        }
        if !io::stderr().is_terminal() {
            return Self::Lines {
                place: place.to_owned(),
                phase: None,
            };
        }
        let bar = ProgressBar::new_spinner();
        bar.set_prefix(place.to_owned());
        Self::Bar(bar)
    }

    /// Shows where the pass stands.
    pub(super) fn show(&mut self, progress: Progress) {
        match self {
            Self::Bar(bar) => {
                if let (Some(total), Ok(style)) =
                    (progress.total, ProgressStyle::with_template(BAR))
                {
                    bar.set_style(style);
                    bar.set_length(total.into());
                } else if let Ok(style) = ProgressStyle::with_template(SPINNER) {
                    bar.set_style(style);
                    bar.unset_length();
                }
                bar.set_message(name(progress.phase));
                bar.set_position(progress.done.into());
            }
            Self::Lines { place, phase } => {
                if *phase != Some(progress.phase) {
                    *phase = Some(progress.phase);
                    // Progress that nobody can see is no reason to stop.
                    _ = writeln!(io::stderr(), "{place}: {}", name(progress.phase));
                }
            }
            Self::Nothing => {}
        }
    }

    /// Takes the display away.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

const BAR: &str = "{prefix}  {msg:18} {bar:30} {pos}/{len}  {elapsed}";
const SPINNER: &str = "{prefix}  {msg:18} {spinner} {pos}  {elapsed}";

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::ReadCrm => "reading FLOWFACT",
        Phase::ReadMailbox => "reading mailbox",
        Phase::Plan => "planning",
        Phase::Execute => "writing",
        Phase::Remember => "remembering",
    }
}
