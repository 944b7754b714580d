//! Lines that strangers can cause as often as they like: bounded, so that nobody fills the disk with refusals.
//!
//! Owns: how many lines of one place in the code are written in a while, and the line that counts the rest. It
//! belongs to the writer thread. Not here: which lines are limited (`subscriber`).
//! Units: microseconds, in the time of the lines.
//!
//! Invariant: a line that was not written is counted, and the count is written when its window ends.

use tracing::callsite::Identifier;

use super::line::{Level, Line};

/// Lines of one place in the code within one window. Beyond: counted, and one line says how many.
pub(super) const LIKE_LINES_MAX: u64 = 100;

/// How long a window is.
pub(super) const WINDOW_US: i64 = 10_000_000;

/// What the limited places of the code have logged of late. There are as many windows as such places at most.
#[derive(Default)]
pub(super) struct Flood {
    windows: Vec<Window>,
}

struct Window {
    place: Identifier,
    began_us: i64,
    count: u64,
    /// The newest of those that were not written.
    held_back: Option<(Level, String)>,
}

impl Window {
    /// Over, or the clock was set back.
    fn is_over(&self, now_us: i64) -> bool {
        now_us.saturating_sub(self.began_us).saturating_abs() >= WINDOW_US
    }
}

impl Flood {
    /// Whether this line of `place` is written. Call [`Flood::counts`] with its time before.
    pub(super) fn admit(&mut self, place: &Identifier, line: &Line) -> bool {
        let found = self.windows.iter_mut().find(|window| window.place == *place);
        let Some(window) = found else {
            self.windows.push(Window {
                place: place.clone(),
                began_us: line.time_us,
                count: 1,
                held_back: None,
            });
            return true;
        };
        window.count += 1;
        if window.count <= LIKE_LINES_MAX {
            return true;
        }
        window.held_back = Some((line.level, line.flat_text()));
        false
    }

    /// Whether some count waits to be written.
    pub(super) fn holds_back(&self) -> bool {
        self.windows.iter().any(|window| window.held_back.is_some())
    }

    /// Ends the windows that are over and returns the lines that count what they held back.
    pub(super) fn counts(&mut self, now_us: i64) -> Vec<Line> {
        self.end(now_us, |window| window.is_over(now_us))
    }

    /// As [`Flood::counts`], of all windows.
    pub(super) fn last_counts(&mut self, now_us: i64) -> Vec<Line> {
        self.end(now_us, |_| true)
    }

    fn end(&mut self, now_us: i64, is_over: impl Fn(&Window) -> bool) -> Vec<Line> {
        let mut lines = Vec::new();
        self.windows.retain_mut(|window| {
            if !is_over(window) {
                return true;
            }
            if let Some((level, text)) = window.held_back.take() {
                let count = window.count - LIKE_LINES_MAX;
                lines.push(Line {
                    level,
                    time_us: now_us,
                    text: format!(
                        "{count} more like this in the last {} s: {text}",
                        WINDOW_US / 1_000_000
                    ),
                    fields: Vec::new(),
                });
            }
            false
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::Callsite;
    use tracing::subscriber::Interest;
    use tracing::Metadata;

    use super::*;

    struct Place(u8);

    impl Callsite for Place {
        fn set_interest(&self, _: Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("nobody asks a place of this test")
        }
    }

    static HERE: Place = Place(1);
    static THERE: Place = Place(2);

    fn place(of: &'static Place) -> Identifier {
        assert!(of.0 > 0);
        Identifier(of)
    }

    fn line(time_us: i64, text: &str) -> Line {
        Line {
            level: Level::Error,
            time_us,
            text: text.to_owned(),
            fields: Vec::new(),
        }
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    /// So many lines of a place in a window, then one line for the others; other places have windows of their own.
    #[test]
    fn rest_of_a_window_is_counted() {
        let mut flood = Flood::default();
        for number in 0..LIKE_LINES_MAX + 7 {
            let admitted = flood.admit(&place(&HERE), &line(5, &format!("bad {number}")));
            assert_eq!(admitted, number < LIKE_LINES_MAX);
        }
        assert!(flood.admit(&place(&THERE), &line(6, "other")));
        assert!(flood.holds_back());
        assert_eq!(texts(flood.counts(WINDOW_US + 4)), [""; 0]);
        assert_eq!(
            texts(flood.counts(WINDOW_US + 5)),
            ["7 more like this in the last 10 s: bad 106"]
        );
        assert!(!flood.holds_back());
        assert!(flood.admit(&place(&HERE), &line(WINDOW_US + 5, "bad again")));
    }

    /// A clock that is set back ends a window, and the end of the log ends all.
    #[test]
    fn every_count_is_written() {
        let mut flood = Flood::default();
        for round in [WINDOW_US * 9, 0] {
            assert_eq!(texts(flood.counts(round)).len(), usize::from(round == 0));
            for _ in 0..=LIKE_LINES_MAX {
                flood.admit(&place(&HERE), &line(round, "bad"));
            }
        }
        assert_eq!(
            texts(flood.last_counts(3)),
            ["1 more like this in the last 10 s: bad"]
        );
    }
}
