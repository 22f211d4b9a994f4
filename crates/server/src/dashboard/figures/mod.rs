//! Pictures: SVG that is drawn here, without script, with title and description. Colours come from the style
//! sheet by class, so they follow the theme. Next to each picture stands a table that says the same.
//!
//! | module | what |
//! |---|---|
//! | [`chart`] | a figure over time, or run by run |
//! | [`graph`] | a workflow, where the run stands in it and the way it took |
//! | [`timeline`] | the attempts of a run's steps, and what it waited for |

pub(crate) mod chart;
pub(crate) mod graph;
pub(crate) mod timeline;

pub(crate) use chart::Chart;
pub(crate) use graph::Graph;
pub(crate) use timeline::Timeline;

/// Text that fits into about this many characters, with an ellipsis where it was longer.
fn fit(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters.saturating_sub(1)).collect();
    short.push('…');
    short
}
