//! Bars with whiskers as SVG.

use super::html::escape;

const LABELS: f64 = 170.0;
const PLOT: f64 = 480.0;
const FIGURES: f64 = 70.0;
const BAR: f64 = 14.0;
const GAP: f64 = 10.0;
const AXIS: f64 = 24.0;

/// Fill patterns would be lost on small bars; these colours differ in
/// lightness too.
const COLOURS: [&str; 4] = ["#1f5fa8", "#d9822b", "#4b8f5f", "#8a6bb1"];

pub(super) struct Row {
    pub(super) label: String,
    /// One a series.
    pub(super) bars: Vec<Option<Bar>>,
}

#[derive(Clone, Copy)]
pub(super) struct Bar {
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0 to 1.
    Share,
    /// From 0 to the largest.
    Milliseconds,
}

/// A chart with its title, its legend and all of its figures as text for
/// those who don't see it.
pub(super) fn bars(title: &str, series: &[String], rows: &[Row], scale: Scale) -> String {
    let most = match scale {
        Scale::Share => 1.0,
        Scale::Milliseconds => rows
            .iter()
            .flat_map(|row| row.bars.iter().flatten())
            .map(|bar| bar.interval.map_or(bar.value, |(_, high)| high))
            .fold(1e-3, f64::max),
    };
    let x = |value: f64| LABELS + PLOT * (value / most).clamp(0.0, 1.0);
    let mut drawn = String::new();
    let mut top = 4.0;
    for row in rows {
        let height = row.bars.len() as f64 * BAR;
        drawn.push_str(&format!(
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" class=\"label\">{}</text>\n",
            LABELS - 8.0,
            top + height / 2.0 + 4.0,
            escape(&row.label)
        ));
        for (at, bar) in row.bars.iter().enumerate() {
            if let Some(bar) = bar {
                drawn.push_str(&one(*bar, at, top + at as f64 * BAR, &x, scale));
            }
        }
        top += height + GAP;
    }
    let height = top + AXIS;
    let mut axis = String::new();
    for tick in 0..=4 {
        let value = most * f64::from(tick) / 4.0;
        axis.push_str(&format!(
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{top:.1}\" class=\"grid\"/>\n\
             <text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" class=\"label\">{2}</text>\n",
            x(value),
            top + 16.0,
            figure(value, scale)
        ));
    }
    // No two charts of a page have the same title.
    let id: String = title
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!(
        "<figure>\n<figcaption>{title}{legend}</figcaption>\n\
         <svg role=\"img\" aria-labelledby=\"t-{id} d-{id}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <title id=\"t-{id}\">{title}</title>\n<desc id=\"d-{id}\">{text}</desc>\n{axis}{drawn}</svg>\n</figure>\n",
        title = escape(title),
        legend = legend(series),
        width = LABELS + PLOT + FIGURES,
        text = escape(&in_words(series, rows, scale)),
    )
}

fn one(bar: Bar, series: usize, top: f64, x: &dyn Fn(f64) -> f64, scale: Scale) -> String {
    let colour = COLOURS[series % COLOURS.len()];
    let middle = top + BAR / 2.0;
    let mut text = format!(
        "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n",
        x(0.0),
        top + 1.0,
        (x(bar.value) - x(0.0)).max(0.5),
        BAR - 2.0
    );
    let mut end = x(bar.value);
    if let Some((low, high)) = bar.interval {
        end = end.max(x(high));
        text.push_str(&format!(
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" class=\"whisker\"/>\n",
            x(low),
            x(high)
        ));
    }
    text.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"label\">{}</text>\n",
        end + 5.0,
        middle + 4.0,
        figure(bar.value, scale)
    ));
    text
}

fn legend(series: &[String]) -> String {
    if series.len() < 2 {
        return String::new();
    }
    series
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(name, colour)| {
            format!(
                " <span class=\"key\" style=\"background:{colour}\"></span> {}",
                escape(name)
            )
        })
        .collect()
}

/// All figures of the chart in a sentence.
fn in_words(series: &[String], rows: &[Row], scale: Scale) -> String {
    let mut words = Vec::new();
    for row in rows {
        for (name, bar) in series.iter().zip(&row.bars) {
            let Some(bar) = bar else { continue };
            let of = if series.len() > 1 {
                format!(" of {name}")
            } else {
                String::new()
            };
            let interval = bar.interval.map_or_else(String::new, |(low, high)| {
                format!(" ({} to {})", figure(low, scale), figure(high, scale))
            });
            words.push(format!(
                "{}{of}: {}{interval}",
                row.label,
                figure(bar.value, scale)
            ));
        }
    }
    words.join("; ")
}

fn figure(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Share => format!("{value:.3}"),
        Scale::Milliseconds => format!("{value:.1}"),
    }
}
